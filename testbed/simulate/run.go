package simulate

import (
	"fmt"
	"runtime/debug"
)

// Options say what to run.
type Options struct {
	Library *Library
	Seed    uint64
	Steps   int
	Bug     Bug
	// Trace gets a line for each thing that happens; nil: none.
	Trace func(line string)

	actions []action
	weights int
}

// Stats count what happened in a run.
type Stats struct {
	Steps     int
	Events    int // that the engine was fed
	Packets   int // that switches took from ports
	Lifted    int // PacketIns that reached the engine
	Delivered int // frames that reached containers
	Denied    int // packets
	Sessions  int // lanes put on their paths
	Adopted   int // sessions
	Drift     int // flows that an audit mended
	Strays    int // packets of no session's flows that a host's own port took
	Rests     int // times that everything came to rest
	Probes    int // connections tried then
	Worked    int // of those
}

// Add adds o.
func (s *Stats) Add(o Stats) {
	s.Steps += o.Steps
	s.Events += o.Events
	s.Packets += o.Packets
	s.Lifted += o.Lifted
	s.Delivered += o.Delivered
	s.Denied += o.Denied
	s.Sessions += o.Sessions
	s.Adopted += o.Adopted
	s.Drift += o.Drift
	s.Strays += o.Strays
	s.Rests += o.Rests
	s.Probes += o.Probes
	s.Worked += o.Worked
}

// Failure is a broken invariant.
type Failure struct {
	Seed uint64
	Step int
	Rule Rule
	Text string
}

// Error says what broke and where.
func (f *Failure) Error() string {
	return fmt.Sprintf("seed %d step %d: %s: %s", f.Seed, f.Step, f.Rule, f.Text)
}

// Between two times at rest there are so many steps.
const restFirst, restLast = 1500, 5000

// Run runs a cluster and returns the first invariant that broke, or nil. The
// same Options give the same run.
func Run(o Options) (stats Stats, failure *Failure) {
	o.actions = actions(o.Bug)
	for _, a := range o.actions {
		o.weights += a.weight
	}
	c := newCluster(o)
	defer func() {
		if r := recover(); r != nil {
			c.fail(RulePanic, "%v\n%s", r, debug.Stack())
		}
		c.stats.Steps = c.step
		stats, failure = c.stats, c.failure
	}()
	rest := c.between(restFirst, restLast)
	for c.step < o.Steps && c.failure == nil {
		c.once()
		if c.step >= rest {
			c.rest()
			rest = c.step + c.between(restFirst, restLast)
		}
	}
	if c.failure == nil {
		c.rest()
	}
	if c.failure == nil {
		c.sleep()
	}
	return c.stats, c.failure
}

// once does one step and checks what can be checked at any time.
func (c *cluster) once() {
	c.step++
	c.next()
	if c.step%16 == 0 {
		h := c.hosts[c.step/16%len(c.hosts)]
		h.checkFlows()
		if c.step%256 == 0 {
			h.checkPresent()
		}
	}
}

// Repeat runs again and returns the last lines of what happened.
func Repeat(o Options, lines int) (*Failure, []string) {
	ring := make([]string, 0, lines)
	o.Trace = func(line string) {
		if len(ring) == lines {
			copy(ring, ring[1:])
			ring = ring[:lines-1]
		}
		ring = append(ring, line)
	}
	_, f := Run(o)
	return f, ring
}
