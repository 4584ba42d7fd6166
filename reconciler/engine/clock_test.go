package engine_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// TestClockJumpsEndNothing: a session is idle when its flows were counted twice,
// so long apart, and nothing had passed. That the clock says it is late is no
// reason.
func TestClockJumpsEndNothing(t *testing.T) {
	const jump = 12 * time.Hour
	count := func(b *bench, packets uint64) {
		for dpid := range b.tables {
			flows := b.stats(dpid)
			for i := range flows {
				flows[i].Packets = packets
			}
			b.step(engine.FlowsCounted{DPID: dpid, Flows: flows})
		}
	}
	open := func(t *testing.T) (*bench, int) {
		b := started(t)
		b.lift(1, 16, b.frame("web1", "web2", syn(80)))
		count(b, 3)
		b.now = b.now.Add(time.Minute) // a TCP session that was never answered is gone by now
		b.step(engine.Tick{})
		n := b.category(1, pipeline.CategorySession)
		if n == 0 {
			t.Fatal("the session has no flows to begin with")
		}
		return b, n
	}
	for name, d := range map[string]time.Duration{"forwards": jump, "backwards": -jump} {
		t.Run("guarded "+name, func(t *testing.T) {
			b, flows := open(t)
			b.now = b.now.Add(d)
			b.step(engine.Tick{})
			if n := b.category(1, pipeline.CategorySession); n != flows {
				t.Errorf("flows of the session after the jump = %d; want %d", n, flows)
			}
			count(b, 7) // it was busy all the time
			b.step(engine.Tick{})
			if n := b.category(1, pipeline.CategorySession); n != flows {
				t.Errorf("flows of the session once they were counted = %d; want %d", n, flows)
			}
			b.lift(1, 16, b.frame("web1", "web2", syn(81)))
			if n := b.category(1, pipeline.CategorySession); n != 2*flows {
				t.Errorf("flows with a new session = %d; want %d", n, 2*flows)
			}
		})
	}
	t.Run("unguarded", func(t *testing.T) {
		b, _ := open(t)
		b.now = b.now.Add(jump)
		count(b, 3) // as if what passed did not count
		b.step(engine.Tick{})
		if n := b.category(1, pipeline.CategorySession); n != 0 {
			t.Errorf("flows of a session without a packet in %s = %d; want none: the test is blind", jump, n)
		}
	})
}
