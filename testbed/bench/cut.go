package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// chunk is how many frames each switch lifts at once: all of them together are
// fewer than the controller queues.
const chunk = 200

// measureCut is how long it takes from the moment an edit is written until the
// last flow is deleted of the tenth of all sessions that it forbids.
func measureCut(ctx context.Context, e *Env) ([]Value, error) {
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
	var took []float64
	for range e.Effort.Edits {
		s, err := o.cutTo(ctx, all, all-all/10)
		if err != nil {
			return nil, err
		}
		took = append(took, s)
		if err := o.revise(ctx, portsUpTo(all)); err != nil {
			return nil, err
		}
		if err := o.openTo(ctx, all-all/10, all); err != nil {
			return nil, err
		}
	}
	return []Value{{
		Line: "cut-p99", Quantity: Quantity{percentile(took, 0.99), Seconds},
		Note: fmt.Sprintf("%d of %d sessions, %d edits: median %s; with the watch's 0.1 s of quiet", all/10, all, len(took), Quantity{median(took), Seconds}),
	}}, nil
}

// portsUpTo is a rule that lets sessions pass whose port, which is their number
// from 1, is at most n.
func portsUpTo(n int) string { return fmt.Sprintf("{from: [{subnet: web}], ports: [tcp/1-%d]}", n) }

// numbered is the opener of session number n, from 0, and the host it is of.
// Each session is between two hosts and on a port of its own.
func (o *ours) numbered(n int) (host int, port uint32, frame []byte) {
	host = n % len(o.hosts)
	k := n / len(o.hosts)
	others := len(o.hosts) - 1
	h, to := &o.hosts[host], &o.hosts[(host+1+k%others)%len(o.hosts)]
	from := &h.Endpoints[k%len(h.Endpoints)]
	server := &to.Endpoints[k/len(h.Endpoints)%len(to.Endpoints)]
	return host, from.Port, opener(from, server, packet.TCP, 40000, uint16(1+n))
}

// openTo opens the sessions from number first until n are live.
func (o *ours) openTo(ctx context.Context, first, n int) error {
	for first < n {
		until := min(first+chunk*len(o.switches), n)
		for i, s := range o.switches {
			begin, k := first, 0
			s.rest()
			err := s.lift(chunk, func(int) (uint32, []byte) {
				for ; begin+k < until; k++ {
					if host, port, frame := o.numbered(begin + k); host == i {
						k++
						return port, frame
					}
				}
				return 0, nil
			})
			if err != nil {
				return err
			}
		}
		first = until
		if err := o.awaitSessions(ctx, until); err != nil {
			return err
		}
	}
	return nil
}

// awaitSessions waits until the controller has n live sessions.
func (o *ours) awaitSessions(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("20 s passed"))
	defer cancel()
	return o.process.await(ctx, fmt.Sprintf("%d sessions", n), func() error {
		s, err := o.api().Status(ctx)
		if err == nil && s.Sessions != n {
			err = fmt.Errorf("%d are live", s.Sessions)
		}
		return err
	})
}

func (o *ours) api() *api.Client { return api.NewClient(filepath.Join(o.dir, "s")) }

// revise writes other rules and waits until they are in force.
func (o *ours) revise(ctx context.Context, rules ...string) error {
	before, err := o.api().Status(ctx)
	if err != nil {
		return err
	}
	if err := writeSpecs(o.specs, rules...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("20 s passed"))
	defer cancel()
	return o.process.await(ctx, "another revision", func() error {
		s, err := o.api().Status(ctx)
		if err == nil && s.Revision.ID == before.Revision.ID {
			err = fmt.Errorf("still at %s: %+v", s.Revision.ID, s.Revision.Refused)
		}
		return err
	})
}

// cutTo forbids all sessions but the first, and returns after how many seconds
// the last flow of the others was deleted.
func (o *ours) cutTo(ctx context.Context, all, first int) (float64, error) {
	before := o.deletes()
	begin := time.Now()
	if err := writeSpecs(o.specs, portsUpTo(first)); err != nil {
		return 0, err
	}
	want := before + uint64(2*(all-first)) // one deletion by cookie on each of two hosts
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("20 s passed"))
	defer cancel()
	if err := o.process.await(ctx, "deletions", func() error {
		if n := o.deletes(); n < want {
			return fmt.Errorf("%d of %d", n-before, want-before)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	last := begin
	for _, s := range o.switches {
		if t := time.Unix(0, s.lastDelete.Load()); t.After(last) {
			last = t
		}
	}
	return last.Sub(begin).Seconds(), nil
}

// deletes is how many FlowMods that delete all switches got so far.
func (f *fleet) deletes() (n uint64) {
	for _, s := range f.switches {
		n += s.deletes.Load()
	}
	return n
}
