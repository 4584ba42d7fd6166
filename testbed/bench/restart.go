package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// measureRestart kills the controller and starts it again, with the state that
// it left on disk, beside switches that hold its sessions: from the start of the
// process until all of them are live again.
func measureRestart(ctx context.Context, e *Env) ([]Value, error) {
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	all := e.Effort.Sessions / fleetSize * fleetSize
	o, err := startOurs(ctx, binaries, 8, portsUpTo(all))
	if err != nil {
		return nil, err
	}
	defer o.stop()
	if err := o.openTo(ctx, 0, all); err != nil {
		return nil, err
	}
	var took, used []float64
	for range e.Effort.Rounds {
		s, err := o.restart(ctx, all)
		if err != nil {
			return nil, err
		}
		cpu, err := o.process.cpu()
		if err != nil {
			return nil, err
		}
		took, used = append(took, s), append(used, cpu.Seconds())
	}
	return []Value{{
		Line: "restart", Quantity: Quantity{median(took), Seconds},
		Note: fmt.Sprintf("%d sessions, none lost; slowest of %d: %s; CPU %s", all, len(took),
			Quantity{percentile(took, 1), Seconds}, Quantity{median(used), Seconds}),
	}}, nil
}

// restart returns after how many seconds n sessions were live again.
func (o *ours) restart(ctx context.Context, n int) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not ready within 30 s"))
	defer cancel()
	if err := o.process.cmd.Process.Kill(); err != nil {
		return 0, fmt.Errorf("kill the controller: %w", err)
	}
	<-o.process.done
	o.close()
	begin := time.Now()
	if err := o.start(ctx); err != nil {
		return 0, err
	}
	if err := o.awaitSessions(ctx, n); err != nil {
		return 0, err
	}
	return time.Since(begin).Seconds(), nil
}
