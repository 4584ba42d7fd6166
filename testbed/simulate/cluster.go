package simulate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// cluster is one run: everything that there is, and its clock.
type cluster struct {
	opt  Options
	rng  *rand.Rand
	now  time.Time
	due  agenda
	step int

	ctl   *controller
	hosts []*host
	// places are the names that containers may have, by VPC.
	containers []*container // attached ones, in the order in which they came
	talks      []*talk
	packets    []sent // the last ones, by number
	lastPacket uint32
	lastID     uint64 // of connections, tokens, anything

	wire      pipeline.WireRange
	revisions []*revision // those of this run
	desired   *revision   // what the tree says

	versions []version
	lull     int64  // how long nobody will do anything, once all is quiet
	probing  uint32 // the packet whose answer is awaited
	calm     bool   // no faults: everything arrives soon
	failure  *Failure
	stats    Stats
}

// Virtual time is counted in nanoseconds since Start.
const (
	micro  = int64(time.Microsecond)
	milli  = int64(time.Millisecond)
	second = int64(time.Second)
)

// event is something that will happen.
type event struct {
	at  int64
	seq uint64
	run func()
	// beat is set for what goes on for ever: ticks, polls, reconnecting.
	beat bool
}

// agenda is what will happen, the soonest first: a binary heap.
type agenda struct {
	events []event
	seq    uint64
	work   int // events that are no beat
}

func (a *agenda) less(i, j int) bool {
	x, y := &a.events[i], &a.events[j]
	return x.at < y.at || x.at == y.at && x.seq < y.seq
}

func (a *agenda) push(e event) {
	a.seq++
	e.seq = a.seq
	if !e.beat {
		a.work++
	}
	a.events = append(a.events, e)
	for i := len(a.events) - 1; i > 0; {
		up := (i - 1) / 2
		if !a.less(i, up) {
			break
		}
		a.events[i], a.events[up] = a.events[up], a.events[i]
		i = up
	}
}

func (a *agenda) pop() event {
	first, last := a.events[0], len(a.events)-1
	a.events[0] = a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			break
		}
		if down+1 < last && a.less(down+1, down) {
			down++
		}
		if !a.less(down, i) {
			break
		}
		a.events[i], a.events[down] = a.events[down], a.events[i]
		i = down
	}
	if !first.beat {
		a.work--
	}
	return first
}

func (c *cluster) clock() int64 { return int64(c.now.Sub(Start)) }

// after has run happen in a while.
func (c *cluster) after(d int64, run func()) { c.due.push(event{at: c.clock() + d, run: run}) }

// beat is after for what goes on for ever.
func (c *cluster) beat(d int64, run func()) {
	c.due.push(event{at: c.clock() + d, run: run, beat: true})
}

// lane is a way on which things keep their order.
type lane struct{ last int64 }

// at returns when what enters a lane now leaves it.
func (l *lane) at(c *cluster, d int64) int64 {
	l.last = max(l.last+1, c.clock()+d)
	return l.last
}

func (c *cluster) chance(one int) bool { return c.rng.IntN(one) == 0 }

// one is chance for faults: none while it is calm.
func (c *cluster) fault(one int) bool { return !c.calm && c.rng.IntN(one) == 0 }

// delay is how long a message takes: mostly a moment, sometimes seconds.
func (c *cluster) delay() int64 {
	if c.calm {
		return 100 * micro
	}
	switch n := c.rng.IntN(100); {
	case n < 80:
		return 50*micro + c.rng.Int64N(2*milli)
	case n < 96:
		return c.rng.Int64N(100 * milli)
	}
	return c.rng.Int64N(3 * second)
}

// outage is how long a part that was killed stays away.
func (c *cluster) outage() int64 {
	if c.chance(5) {
		return c.rng.Int64N(100 * second)
	}
	return 5*milli + c.rng.Int64N(2*second)
}

// between returns a number in [lo, hi).
func (c *cluster) between(lo, hi int) int { return lo + c.rng.IntN(hi-lo) }

func newCluster(o Options) *cluster {
	c := &cluster{
		opt: o, rng: rand.New(rand.NewPCG(o.Seed, 0xda011)), now: Start,
		packets: make([]sent, maxPackets),
	}
	c.wire = pick(c.rng, []pipeline.WireRange{{Value: 0x4000, Mask: 0xfff8}, {Value: 0x4000, Mask: 0xfff0}, {Value: 0x4000, Mask: 0xffc0}, pipeline.DefaultWireRange})
	if o.Bug == BugEarlyRelease {
		c.wire = pipeline.WireRange{Value: 0x4000, Mask: 0xfff8} // few labels, so that they come again soon
	}
	for range 5 {
		c.revisions = append(c.revisions, pick(c.rng, o.Library.revisions))
	}
	c.desired = c.revisions[0]
	c.ctl = newController(c)
	for i := range 3 {
		c.hosts = append(c.hosts, newHost(c, i))
	}
	c.ctl.start()
	for _, h := range c.hosts {
		h.startSwitch()
		h.startHostd()
	}
	c.beat(milli, c.act)
	return c
}

// jump lets time pass in which nothing happens.
func (c *cluster) jump(d int64) {
	c.now = c.now.Add(time.Duration(d))
	c.trace("time jumps by %s", time.Duration(d))
}

// next does the next thing, or panics as whatever part did.
func (c *cluster) next() {
	e := c.due.pop()
	if at := Start.Add(time.Duration(e.at)); at.After(c.now) {
		c.now = at
	}
	e.run()
}

// trace notes what happens, if somebody wants to know.
func (c *cluster) trace(format string, args ...any) {
	if c.opt.Trace == nil {
		return
	}
	c.opt.Trace(fmt.Sprintf("%8d %12.6f ", c.step, c.now.Sub(Start).Seconds()) + fmt.Sprintf(format, args...))
}

func (c *cluster) tracing() bool { return c.opt.Trace != nil }

// fail notes the first broken invariant.
func (c *cluster) fail(r Rule, format string, args ...any) {
	if c.failure == nil {
		c.failure = &Failure{Seed: c.opt.Seed, Step: c.step, Rule: r, Text: fmt.Sprintf(format, args...)}
		c.trace("BROKEN %s: %s", r, c.failure.Text)
	}
}

func (c *cluster) id() uint64 {
	c.lastID++
	return c.lastID
}

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// gateway is where every container sends.
var gateway = packet.MAC(pipeline.GatewayMAC)
