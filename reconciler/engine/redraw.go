package engine

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/session"
)

// redrawing is a session.Redraw under way.
type redrawing struct {
	session.Redraw
	waiting map[uint64]bool // DPIDs whose barrier of this step is awaited
	rest    batches         // the flows that take the place of Old's; nil: sent
}

// redraw begins with the flows that replace none: those that take packets from
// the wire, and guards.
func (e *Engine) redraw(now time.Time, ef session.Redraw) []Effect {
	old := make(map[uint64]map[openflow.Key]bool)
	for _, l := range ef.Old.Lanes {
		hops := flows.ForLane(ef.Old, l)
		for i := range hops {
			keys := old[hops[i].Host.DPID]
			if keys == nil {
				keys = make(map[openflow.Key]bool)
				old[hops[i].Host.DPID] = keys
			}
			for f := range hops[i].All {
				keys[f.Key()] = true
			}
		}
	}
	var first batches
	r := &redrawing{Redraw: ef}
	e.redraws[ef.New.ID] = r
	for _, l := range ef.New.Lanes {
		path := ef.New.Path(l)
		for i, h := range ef.New.Hops {
			for _, m := range flows.AppendAdds(nil, ef.New, l, &path, i) {
				bs := &first
				if old[h.DPID][m.Flow.Key()] {
					bs = &r.rest
				}
				b := bs.at(h.DPID)
				b.Flows = append(b.Flows, m)
			}
		}
	}
	return e.redrawStep(now, r, first)
}

// redrawStep sends one step's batches and waits for their barriers.
func (e *Engine) redrawStep(now time.Time, r *redrawing, bs batches) []Effect {
	r.waiting = make(map[uint64]bool)
	var out []Effect
	for _, b := range bs {
		sw := e.switches[b.DPID]
		if sw == nil {
			continue // it gets all when it comes
		}
		e.lastToken++
		b.Token = e.lastToken
		sw.waiting[b.Token] = waiter{redraw: r}
		r.waiting[b.DPID] = true
		out = append(out, Send{b})
	}
	if len(r.waiting) == 0 {
		return append(out, e.redrawNext(now, r)...)
	}
	return out
}

// redrawn notes that a switch is done with a step, or is gone.
func (e *Engine) redrawn(now time.Time, r *redrawing, dpid uint64) []Effect {
	if !r.waiting[dpid] {
		return nil
	}
	if delete(r.waiting, dpid); len(r.waiting) > 0 {
		return nil
	}
	return e.redrawNext(now, r)
}

func (e *Engine) redrawNext(now time.Time, r *redrawing) []Effect {
	rest := r.rest
	r.rest = nil
	switch {
	case e.redraws[r.New.ID] != r:
		return nil // it was cut meanwhile
	case rest != nil:
		return e.redrawStep(now, r, rest)
	}
	return e.redrawEnd(now, r.New, nil)
}

// redrawEnd deletes what is left of the session in whose place a new one came, or
// was to come; in says in which receipt that is, if in one.
func (e *Engine) redrawEnd(now time.Time, s *session.Session, in *Receipt) []Effect {
	r := e.redraws[s.ID]
	if r == nil {
		return nil
	}
	delete(e.redraws, s.ID)
	return e.deleteSession(now, r.Old, r.Token, in)
}
