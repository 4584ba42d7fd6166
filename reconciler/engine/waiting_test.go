package engine_test

import (
	"bytes"
	"testing"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/session"
)

// The engine has room for one lifted packet: those that wait for something are
// kept as they came, whatever is lifted after them.
func TestPacketsThatWaitAreKeptAsTheyCame(t *testing.T) {
	b := started(t)
	first, second := b.frame("web1", "db2", syn(80)), b.frame("web1", "db2", packet.Headers{
		Proto: packet.TCP, SrcPort: 40007, DstPort: 80, Flags: packet.SYN,
	})
	other := b.frame("web1", "db1", packet.Headers{Proto: packet.UDP, SrcPort: 1, DstPort: 53})
	var ask session.Decide
	for _, frame := range [][]byte{first, second, other} {
		for _, ef := range b.e.Step(b.now, engine.PacketIn{DPID: 1, In: openflow.PacketIn{InPort: 16, Frame: frame}}) {
			if d, ok := ef.(engine.Decide); ok && ask.Snapshot == nil {
				ask = d.Ask
			}
		}
	}
	if got := ask.Request.Headers.SrcPort; got != 40000 {
		t.Fatalf("asked about a packet from port %d; want the first one's 40000", got)
	}
	r := admission.Decide(ask.Snapshot, ask.Policy, b.now, ask.Request)
	b.step(engine.Decided{Decided: session.Decided{Ask: ask, Result: r}})
	if len(b.out) != 2 || !bytes.Equal(b.out[0].Frame, first) || !bytes.Equal(b.out[1].Frame, second) {
		t.Errorf("packets out = %v; want the two that waited, in their order", b.out)
	}
}

func TestPacketsOfASenderThatIsNotKnownYetAreKeptAsTheyCame(t *testing.T) {
	b := newBench(t)
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	b.hostUp(1)
	b.switchUp(2)
	b.switchUp(1)
	var frames [][]byte
	knowing := started(t)
	for port := range uint16(3) {
		frames = append(frames, knowing.frame("web1", "db1", packet.Headers{Proto: packet.TCP, SrcPort: 40000 + port, DstPort: 80, Flags: packet.SYN}))
		b.lift(1, 16, frames[port])
	}
	b.hostUp(0)
	if len(b.out) != 3 {
		t.Fatalf("%d packets out; want the 3 that were held", len(b.out))
	}
	for i := range frames {
		if !bytes.Equal(b.out[i].Frame, frames[i]) {
			t.Errorf("packet %d out is not the one that came as such", i)
		}
	}
}
