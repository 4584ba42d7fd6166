package admission_test

import (
	"net/netip"
	"testing"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/testbed/world"
)

// web1 is acme's endpoint at port 16 of h1.
func fromWeb1(change func(*admission.Request)) admission.Request {
	r := admission.Request{DPID: 1, InPort: 16, Headers: packet.Headers{
		EthSrc: packet.MAC{0x02, 0x42, 10, 1, 0, 2}, EthType: 0x800, TTL: 64,
		Src: netip.MustParseAddr("10.1.0.2"), Dst: netip.MustParseAddr("10.1.0.3"),
		Proto: packet.TCP, SrcPort: 40000, DstPort: 80, Flags: packet.SYN,
	}}
	change(&r)
	return r
}

func to(ip string) func(*admission.Request) {
	return func(r *admission.Request) { r.Headers.Dst = netip.MustParseAddr(ip) }
}

// TestDecideBeforeThePolicyIsAsked holds what no policy can open: each row is
// denied though the policy allows everything.
func TestDecideBeforeThePolicyIsAsked(t *testing.T) {
	w := world.New()
	snap, pol := w.Snapshot(), w.AllowAll("r1")
	for _, tt := range []struct {
		name   string
		change func(*admission.Request)
		want   policy.Reason
	}{
		{"nothing wrong", func(*admission.Request) {}, policy.ReasonDefault},
		{"no endpoint at the port", func(r *admission.Request) { r.InPort = 99 }, policy.ReasonUnknownEndpoint},
		{"no such switch", func(r *admission.Request) { r.DPID = 99 }, policy.ReasonUnknownEndpoint},
		{"another's address", func(r *admission.Request) { r.Headers.Src = netip.MustParseAddr("10.1.0.9") }, policy.ReasonSpoofed},
		{"another's MAC", func(r *admission.Request) { r.Headers.EthSrc[5] = 9 }, policy.ReasonSpoofed},
		{"a VLAN tag", func(r *admission.Request) { r.Headers.VLAN = 0x1064 }, policy.ReasonSpoofed},
		{"not IPv4", func(r *admission.Request) { r.Headers = packet.Headers{EthSrc: r.Headers.EthSrc, EthType: 0x86dd} }, policy.ReasonProtocol},
		{"itself", to("10.1.0.2"), policy.ReasonAddressReserved},
		{"nobody in a subnet", to("10.1.0.77"), policy.ReasonNoEndpoint},
		{"its own host", to("172.31.1.1"), policy.ReasonAddressReserved},
		{"another host", to("172.31.2.1"), policy.ReasonAddressReserved},
		{"link-local", to("169.254.169.254"), policy.ReasonAddressReserved},
		{"loopback", to("127.0.0.1"), policy.ReasonAddressReserved},
		{"multicast", to("224.0.0.5"), policy.ReasonAddressReserved},
		{"broadcast", to("255.255.255.255"), policy.ReasonAddressReserved},
		{"this network", to("0.1.2.3"), policy.ReasonAddressReserved},
		{"a later fragment", func(r *admission.Request) { r.Headers.LaterFragment, r.Headers.Proto = true, packet.UDP }, policy.ReasonProtocol},
		{"a protocol without ports", func(r *admission.Request) { r.Headers.Proto = 47 }, policy.ReasonProtocol},
		{"an ICMP that is no echo request", func(r *admission.Request) { r.Headers.Proto, r.Headers.ICMPType = packet.ICMP, 13 }, policy.ReasonProtocol},
		{"outside, which nothing carries yet", to("198.51.100.1"), policy.ReasonUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := admission.Decide(snap, pol, world.Start, fromWeb1(tt.change)).Decision
			allow := tt.want == policy.ReasonDefault
			if got.Reason != tt.want || (got.Verdict == policy.Allow) != allow {
				t.Errorf("Decide = %s %s; want reason %s", got.Verdict, got.Reason, tt.want)
			}
			if got.Revision != "r1" {
				t.Errorf("revision = %q; want r1", got.Revision)
			}
		})
	}
}

// TestFragmentIsNeverAReply: a later fragment has no ports and no flags. Taken for
// a reply of a session to port 0, it would open a way for all fragments, and so
// for a SYN in two pieces.
func TestFragmentIsNeverAReply(t *testing.T) {
	w := world.New()
	for name, change := range map[string]func(*admission.Request){
		"later fragment": func(r *admission.Request) {
			r.Headers.Fragment, r.Headers.LaterFragment = true, true
			r.Headers.SrcPort, r.Headers.DstPort, r.Headers.Flags = 0, 0, 0
		},
		"source port 0": func(r *admission.Request) { r.Headers.SrcPort, r.Headers.Flags = 0, packet.ACK },
	} {
		got := admission.Decide(w.Snapshot(), onlyPort{w.AllowAll("r1"), 0}, world.Start, fromWeb1(change))
		if got.Decision.Verdict == policy.Allow {
			t.Errorf("%s: allowed, reverse %v; want a denial", name, got.Reverse)
		}
	}
}

// TestOverlappingAddressesNeverMeet sends from each tenant's endpoint to an
// address that both tenants have: the server is the sender's own.
func TestOverlappingAddressesNeverMeet(t *testing.T) {
	w := world.New()
	snap, pol := w.Snapshot(), w.AllowAll("r1")
	for port, want := range map[uint32]string{16: "acme/prod", 18: "globex/prod"} {
		r := fromWeb1(to("10.1.1.2"))
		r.InPort = port
		got := admission.Decide(snap, pol, world.Start, r)
		if got.Server == nil || string(got.Server.VPC) != want {
			t.Errorf("from port %d: server %+v; want one of %s", port, got.Server, want)
		}
	}
}

func TestMidStreamPacketIsJudgedAsReplyOnlyWithoutSYNOrRST(t *testing.T) {
	w := world.New()
	snap := w.Snapshot()
	for _, tt := range []struct {
		name    string
		flags   uint8
		reverse bool
	}{
		{"ack", packet.ACK, true},
		{"push", packet.ACK | packet.PSH, true},
		{"fin", packet.ACK | packet.FIN, true},
		{"syn-ack", packet.SYN | packet.ACK, true},
		{"syn", packet.SYN, false},
		{"rst", packet.RST | packet.ACK, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := fromWeb1(func(r *admission.Request) {
				r.Headers.Flags, r.Headers.SrcPort, r.Headers.DstPort = tt.flags, 80, 40000
			})
			got := admission.Decide(snap, onlyPort{w.AllowAll("r1"), 80}, world.Start, r)
			if got.Reverse != tt.reverse || (got.Decision.Verdict == policy.Allow) != tt.reverse {
				t.Errorf("Decide = %s, reverse %v; want reverse %v", got.Decision.Verdict, got.Reverse, tt.reverse)
			}
			if tt.reverse && (got.Client.Name != "web2" || got.Server.Name != "web1" || got.Port != 80) {
				t.Errorf("session %s -> %s:%d; want web2 -> web1:80", got.Client.Name, got.Server.Name, got.Port)
			}
		})
	}
}
