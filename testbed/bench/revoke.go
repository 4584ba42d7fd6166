package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
)

// revokeSwitches is how many switches hold the sessions that are revoked.
const revokeSwitches = 4

// measureRevoke has edits forbid the tenth of all sessions, and reads of the
// controller's own receipts how long it took from the edit's being seen until the
// last switch's barrier.
func measureRevoke(ctx context.Context, e *Env) ([]Value, error) {
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	all := e.Effort.Sessions / revokeSwitches * revokeSwitches
	o, err := startOursOf(ctx, binaries, revokeSwitches, 8, portsUpTo(all))
	if err != nil {
		return nil, err
	}
	defer o.stop()
	if err := o.openTo(ctx, 0, all); err != nil {
		return nil, err
	}
	var took, used []float64
	for range e.Effort.Edits {
		r, cpu, err := o.revokeTo(ctx, all, all-all/10)
		if err != nil {
			return nil, err
		}
		took, used = append(took, r.TookSeconds), append(used, cpu.Seconds()*1000)
		if err := o.revise(ctx, portsUpTo(all)); err != nil {
			return nil, err
		}
		if err := o.openTo(ctx, all-all/10, all); err != nil {
			return nil, err
		}
	}
	resident, err := residentMB(o.process.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	note := fmt.Sprintf("%d of %d sessions, %d edits, %d switches", all/10, all, len(took), revokeSwitches)
	return []Value{
		{Line: "revoke-p99", Quantity: Quantity{percentile(took, 0.99), Seconds}, Note: note + ": median " + Quantity{median(took), Seconds}.String()},
		{Line: "revoke-cpu", Quantity: Quantity{median(used), Milliseconds}, Note: "median, with reading and compiling the edit; most " + Quantity{percentile(used, 1), Milliseconds}.String()},
		{Line: "revoke-memory", Quantity: Quantity{resident, Megabytes}, Note: "after all edits"},
	}, nil
}

// revokeTo forbids all sessions but the first, and returns the receipt of the
// others, which every switch has confirmed, and the CPU that the controller used.
func (o *ours) revokeTo(ctx context.Context, all, first int) (r api.Receipt, cpu time.Duration, err error) {
	before, err := o.process.cpu()
	if err != nil {
		return r, 0, err
	}
	if err := writeSpecs(o.specs, portsUpTo(first)); err != nil {
		return r, 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("20 s passed"))
	defer cancel()
	if err := o.awaitSessions(ctx, first); err != nil {
		return r, 0, err
	}
	err = o.process.await(ctx, "the receipt", func() error {
		list, err := o.api().Receipts(ctx)
		if err != nil {
			return err
		}
		if len(list.Receipts) == 0 || !list.Receipts[0].Done {
			return fmt.Errorf("of %d receipts the last is not done", len(list.Receipts))
		}
		r = list.Receipts[0]
		return nil
	})
	if err == nil && (r.Count != all-first || len(r.Hosts) != len(o.hosts)) {
		err = fmt.Errorf("receipt %d is of %d sessions on %d hosts; want %d on %d", r.ID, r.Count, len(r.Hosts), all-first, len(o.hosts))
	}
	if err != nil {
		return r, 0, err
	}
	after, err := o.process.cpu()
	return r, after - before, err
}
