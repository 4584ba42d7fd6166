package session_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// perConnection is a bench whose TCP sessions have a lane for each connection,
// with two that were answered.
func perConnection(t *testing.T) *bench {
	b := newBench(t)
	for _, n := range b.snap.Net.VPCs {
		n.Sessions.TCP = spec.PerConnection
	}
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	b.arrive(b.packet("web1", "web2", syn(40001, 80)))
	b.count(40000, 5, false)
	b.count(40001, 5, false)
	return b
}

// count tells what a connection's flows counted at the client's switch.
func (b *bench) count(port uint16, packets uint64, ending bool) {
	for _, dir := range []session.Direction{session.Forward, session.Reply} {
		b.table.Step(b.now, session.Counted{
			Session: b.table.Sessions()[0].ID, Set: session.OnePort(port), Direction: dir,
			Count: session.Count{Packets: packets}, Ending: ending,
		})
	}
}

func TestClosedConnectionsEndSoon(t *testing.T) {
	b := perConnection(t)
	b.count(40000, 7, true)
	b.now = b.now.Add(30 * time.Second)
	b.count(40000, 7, true)
	b.count(40001, 5, false)
	if got := b.after(0); len(got) != 0 {
		t.Fatalf("30 s after the last packet: %#v; want nothing", got)
	}
	b.now = b.now.Add(time.Second)
	b.count(40000, 7, true)
	b.count(40001, 5, false)
	if got := only[session.RemoveLane](b, b.after(0)); got.Lane.Set != session.OnePort(40000) {
		t.Errorf("lane %v was removed; want that of port 40000", got.Lane.Set)
	}
	b.count(40001, 6, true)
	b.now = b.now.Add(31 * time.Second)
	b.count(40001, 6, true)
	if got := only[session.Remove](b, b.after(0)); got.Why != session.EndClosed {
		t.Errorf("the session ended because of %q; want %q", got.Why, session.EndClosed)
	}
}

// TestHalfClosedConnectionGoesOn: one end has said FIN, the other still sends.
func TestHalfClosedConnectionGoesOn(t *testing.T) {
	b := perConnection(t)
	for n := range uint64(10) {
		b.now = b.now.Add(20 * time.Second)
		b.count(40000, 10+n, true)
		b.count(40001, 5, false)
		if got := b.after(0); len(got) != 0 {
			t.Fatalf("while it is busy: %#v; want nothing", got)
		}
	}
}

// TestPortThatIsUsedAgainIsAsNew: the flows of an ended connection were gone, and
// the next connection from its port brings them back.
func TestPortThatIsUsedAgainIsAsNew(t *testing.T) {
	b := perConnection(t)
	b.count(40000, 7, true)
	b.now = b.now.Add(10 * time.Second)
	only[session.Install](b, b.arrive(b.packet("web1", "web2", packet.Headers{Proto: packet.TCP, SrcPort: 40000, DstPort: 80, Flags: packet.SYN})))
	b.count(40000, 9, false)
	b.now = b.now.Add(time.Hour)
	b.count(40000, 9, false)
	b.count(40001, 5, false)
	if got := b.after(0); len(got) != 0 {
		t.Errorf("an hour of silence: %#v; want nothing", got)
	}
}
