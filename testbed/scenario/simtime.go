package scenario

import (
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// How often the controller looks at the clock and at flows' counters.
const (
	tickEvery = 500 * time.Millisecond
	pollEvery = 5 * time.Second
)

// audit has a switch audited as the controller does: its cookies, and all of it.
func (s *Sim) audit(sw *simnet.Switch) {
	all := engine.FlowsCounted{DPID: sw.DPID, Flows: sw.Dump()}
	cookies := s.engine.Cookies(sw.DPID, engine.Part{})
	known := engine.FlowsCounted{DPID: sw.DPID, Known: true}
	for _, f := range all.Flows {
		if slices.Contains(cookies, f.Cookie) {
			known.Flows = append(known.Flows, f)
		}
	}
	s.push(known)
	s.push(all)
}

// Wait lets time pass as the controller sees it: ticks, and flow counters.
func (s *Sim) Wait(d time.Duration) error {
	for passed := time.Duration(0); passed < d; {
		step := min(tickEvery, d-passed)
		passed += step
		s.net.Advance(step)
		s.push(engine.Tick{})
		if s.net.Now.UnixMilli()%pollEvery.Milliseconds() < step.Milliseconds() {
			for _, h := range s.net.Hosts() {
				s.audit(h.Switch)
			}
		}
		if err := s.settle(); err != nil {
			return err
		}
	}
	return nil
}
