package engine_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// TestAgedLaneLeavesNothing of its own, and what it shared with another lane
// stays. Found by simulation: its guards stayed until the session ended.
func TestAgedLaneLeavesNothing(t *testing.T) {
	udp := func(port uint16) packet.Headers { return packet.Headers{Proto: packet.UDP, SrcPort: port, DstPort: 9} }
	for name, old := range map[string]packet.Headers{"of a wire port of its own": udp(999), "of a wire port that another shares": udp(50000)} {
		t.Run(name, func(t *testing.T) {
			alone := started(t)
			alone.lift(1, 16, alone.frame("web1", "web2", udp(40000)))
			b := started(t)
			b.lift(1, 16, b.frame("web1", "web2", udp(40000)))
			b.lift(1, 16, b.frame("web1", "web2", old))
			for i := range 20 {
				b.now = b.now.Add(5 * time.Second)
				var held []openflow.FlowStats
				for _, f := range b.stats(1) {
					if f.Match.L4Src.Value == 40000 {
						f.Packets += uint64(i) // busy
					}
					held = append(held, f)
				}
				b.step(engine.FlowsCounted{DPID: 1, Flows: held})
				b.step(engine.Tick{})
			}
			for dpid := uint64(1); dpid <= 2; dpid++ {
				if diff := cmp.Diff(alone.sessionFlows(dpid), b.sessionFlows(dpid)); diff != "" {
					t.Errorf("session flows of switch %d (-without the lane +after its end):\n%s", dpid, diff)
				}
			}
			if n := b.category(1, pipeline.CategorySession); n != 3 {
				t.Errorf("session flows = %d; want 3", n)
			}
		})
	}
}
