package session_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// TestWirePacketsOfACutSessionAreNotBroughtOn while the label is still held,
// since a hop has not confirmed yet. Found by simulation: a forbidding edit did
// not cut as long as one switch was away.
func TestWirePacketsOfACutSessionAreNotBroughtOn(t *testing.T) {
	b := newBench(t)
	in := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40000, 80))))
	high, _ := in.Session.WirePorts()
	server := b.endpoint("web2").Host
	h := packet.Headers{
		EthType: 0x800, TTL: 64, Src: b.endpoint("web1").Host.Uplink.Addr.Addr(), Dst: server.Uplink.Addr.Addr(),
		Proto: packet.TCP, SrcPort: 40000, DstPort: high, Flags: packet.ACK,
	}
	wire := session.Packet{DPID: server.DPID, InPort: server.Uplink.Port, Headers: h, Received: b.now}
	only[session.Deliver](b, b.arrive(wire))
	b.pol = b.w.Deny("r2", policy.Drop)
	b.revise()
	if got := only[session.Ignored](b, b.arrive(wire)); got.Why != session.IgnoreWireUnknown {
		t.Errorf("ignored because of %q; want %q", got.Why, session.IgnoreWireUnknown)
	}
}

// TestAnsweredConnectionIsNotHalfOpenWhenItsCountersBeginAgain: its switch was
// restarted and has its flows anew. Found by killing vswitchd.
func TestAnsweredConnectionIsNotHalfOpenWhenItsCountersBeginAgain(t *testing.T) {
	b := newBench(t)
	s := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40000, 80)))).Session
	for _, packets := range []uint64{5, 1} {
		b.now = b.now.Add(20 * time.Second)
		b.table.Step(b.now, session.Counted{Session: s.ID, Set: session.HighHalf, Direction: session.Reply, Count: session.Count{Packets: packets}})
		if effects := b.after(0); len(effects) != 0 {
			t.Fatalf("effects after %d replies = %+v; want none", packets, effects)
		}
	}
}
