package engine_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// fragment makes a piece of a frame's packet: more of it follows, and at bytes
// come before.
func fragment(frame []byte, at int) []byte {
	const flags = 14 + 6
	frame[flags], frame[flags+1] = 0x20|byte(at>>11), byte(at>>3)
	return frame
}

// TestRejectIsAnsweredToTheSender: by a reset where TCP takes one, else by ICMP
// administratively prohibited, unless the packet must not be answered.
func TestRejectIsAnsweredToTheSender(t *testing.T) {
	udp := packet.Headers{Proto: packet.UDP, SrcPort: 40000, DstPort: 80}
	ack := syn(80)
	ack.Flags, ack.Ack = packet.ACK, 4711
	rst := syn(80)
	rst.Flags = packet.RST
	for _, tt := range []struct {
		name   string
		h      packet.Headers
		change func([]byte) []byte
		want   string
	}{
		{name: "tcp opener", h: syn(80), want: "rst"},
		{name: "tcp without syn", h: ack, want: "rst"},
		{name: "tcp reset", h: rst, want: "nothing"},
		{name: "udp", h: udp, want: "prohibited"},
		{name: "echo request", h: packet.Headers{Proto: packet.ICMP, ICMPType: 8}, want: "prohibited"},
		{name: "icmp error", h: packet.Headers{Proto: packet.ICMP, ICMPType: 3}, want: "nothing"},
		{name: "gre", h: packet.Headers{Proto: 47}, want: "prohibited"},
		{name: "sctp", h: packet.Headers{Proto: packet.SCTP}, want: "prohibited"},
		{name: "first fragment of udp", h: udp, change: func(f []byte) []byte { return fragment(f, 0) }, want: "prohibited"},
		{name: "later fragment of udp", h: udp, change: func(f []byte) []byte { return fragment(f, 1480) }, want: "nothing"},
		{name: "first fragment of tcp", h: syn(80), change: func(f []byte) []byte { return fragment(f, 0) }, want: "nothing"},
	} {
		for host, to := range map[string]string{"same host": "db1", "cross host": "web2"} {
			t.Run(tt.name+" "+host, func(t *testing.T) {
				b := started(t)
				b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Reject)})
				frame := b.frame("web1", to, tt.h)
				if tt.change != nil {
					frame = tt.change(frame)
				}
				for range 2 { // it is never cached, so each is answered
					b.out = nil
					b.lift(1, 16, frame)
					if got := b.answer(16); got != tt.want {
						t.Errorf("answer = %s; want %s", got, tt.want)
					}
				}
				if n := b.category(1, pipeline.CategoryDeny); n != 0 {
					t.Errorf("drop flows = %d; want none", n)
				}
			})
		}
	}
}

// answer says what left by web1's port.
func (b *bench) answer(port uint32) string {
	b.Helper()
	if len(b.out) == 0 {
		return "nothing"
	}
	h, err := packet.Decode(b.out[0].Frame)
	if err != nil || len(b.out) != 1 || h.Dst != netip.MustParseAddr("10.1.0.2") || uint32(b.out[0].Actions[0].Port()) != port {
		b.Fatalf("%d packets out, first %+v, %v; want one to web1", len(b.out), h, err)
	}
	switch {
	case h.Proto == packet.TCP && h.Flags&packet.RST != 0:
		return "rst"
	case h.Proto == packet.ICMP && h.ICMPType == 3 && h.ICMPCode == packet.CodeAdminProhibited:
		return "prohibited"
	}
	return "something else"
}

// TestSessionOfAPeeringThatWentAwayIsResetAtBothEnds on each host by its own
// address, though neither can be looked up from the other any more.
func TestSessionOfAPeeringThatWentAwayIsResetAtBothEnds(t *testing.T) {
	b := newBench(t)
	b.w.Share()
	b.w.Peer("acme/prod", "globex/shared")
	b.step(engine.RevisionLoaded{Policy: b.w.AllowReachable("r1")})
	for i := range b.w.Hosts {
		b.hostUp(i)
		b.switchUp(b.w.Hosts[i].DPID)
	}
	web1 := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	log2 := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "globex/shared", Name: "log2"})
	h := syn(514)
	h.EthSrc, h.EthDst, h.EthType, h.TTL, h.Src, h.Dst = web1.MAC, packet.MAC(pipeline.GatewayMAC), 0x800, 64, web1.IP, log2.IP
	b.lift(1, 16, packet.Build(h, nil))
	if n := b.category(2, pipeline.CategorySession); n != 3 {
		t.Fatalf("session flows at log2's host = %d; want 3", n)
	}
	b.w.Peer()
	b.step(engine.RevisionLoaded{Policy: b.w.AllowReachable("r2")})
	if n := b.category(1, pipeline.CategorySession) + b.category(2, pipeline.CategorySession); n != 0 {
		t.Errorf("session flows after the Peering = %d; want none", n)
	}
	b.out = nil
	h.Flags, h.Seq, h.Ack = packet.ACK|packet.PSH, 700, 900
	b.lift(1, 16, packet.Build(h, nil))
	got := make(map[string]uint32) // destination -> sequence number
	for _, out := range b.out {
		h, err := packet.Decode(out.Frame)
		if err != nil || h.Flags&packet.RST == 0 {
			t.Fatalf("put out %+v, %v; want resets", h, err)
		}
		got[h.Dst.String()] = h.Seq
	}
	if diff := cmp.Diff(map[string]uint32{"10.1.0.2": 900, "10.2.0.3": 700}, got); diff != "" {
		t.Errorf("resets by destination (-want +got):\n%s", diff)
	}
}

func TestLeaseLeavesVirtualAddressesOut(t *testing.T) {
	b := newBench(t)
	b.w.Net.Services = []*spec.Service{{VPC: "acme/prod", Name: "api", VIP: netip.MustParseAddr("10.1.0.2")}}
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	ask := func(vpcTenant, ip string) engine.LeaseGiven {
		t.Helper()
		b.other = nil
		ev := engine.LeaseAsked{Conn: 1, ID: 1, Host: "h1", Tenant: vpcTenant, VPC: "prod", Subnet: "web", Name: "new" + ip}
		if ip != "" {
			ev.IP = netip.MustParseAddr(ip)
		}
		b.step(ev)
		given, ok := b.other[len(b.other)-1].(engine.LeaseGiven)
		if !ok {
			t.Fatalf("effects = %#v; want the lease last", b.other)
		}
		return given
	}
	if got := ask("acme", ""); got.IP != netip.MustParseAddr("10.1.0.3") {
		t.Errorf("lowest free address = %s %s; want 10.1.0.3, after the vip", got.IP, got.Err)
	}
	if got := ask("acme", "10.1.0.2"); got.Err == "" {
		t.Errorf("the vip was leased: %+v", got)
	}
	if got := ask("globex", "10.1.0.2"); got.Err != "" {
		t.Errorf("another vpc's lease of the same address: %s; want it given", got.Err)
	}
}
