package session_test

import (
	"testing"

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
