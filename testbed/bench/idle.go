package bench

import (
	"context"
	"fmt"
	"time"
)

// measureIdle is what the programs of a testbed take when nobody talks: what
// the kernel counts as resident, and CPU over a while.
func measureIdle(ctx context.Context, e *Env) ([]Value, error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, e.Effort.Round); err != nil { // what attaching left to do
		return nil, err
	}
	controller := p.real.Controller.Process().PID()
	pids := []int{controller}
	hostd := 0.0
	for _, h := range p.real.Hosts {
		mb, err := residentMB(h.Hostd().PID())
		if err != nil {
			return nil, err
		}
		hostd, pids = max(hostd, mb), append(pids, h.Hostd().PID())
	}
	mb, err := residentMB(controller)
	if err != nil {
		return nil, err
	}
	cpu, err := idleCPU(ctx, pids, 3*e.Effort.Round)
	n := len(p.real.Endpoints())
	return []Value{
		{"idle-controller", Quantity{mb, Megabytes}, fmt.Sprintf("%d hosts, %d endpoints", len(p.real.Hosts), n)},
		{"idle-hostd", Quantity{hostd, Megabytes}, fmt.Sprintf("the larger of %d", len(p.real.Hosts))},
		{"idle-cpu", Quantity{cpu, Percent}, ""},
	}, err
}

// idleCPU is what processes use of one core together, in percent.
func idleCPU(ctx context.Context, pids []int, d time.Duration) (float64, error) {
	sum := func() (t time.Duration, err error) {
		for _, pid := range pids {
			one, err := processCPU(pid)
			if err != nil {
				return 0, err
			}
			t += one
		}
		return t, nil
	}
	begin := time.Now()
	before, err := sum()
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	after, err := sum()
	return 100 * float64(after-before) / float64(time.Since(begin)), err
}
