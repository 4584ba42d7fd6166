package admission_test

import (
	"net/netip"
	"testing"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

// peered is a world in which acme/prod and globex/shared are peered.
func peered() *world.World {
	w := world.New()
	w.Share()
	w.Peer("acme/prod", "globex/shared")
	return w
}

func web1(s *inventory.Snapshot) *inventory.Endpoint {
	return s.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
}

func addrs(texts ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(texts))
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestAddressIsClassifiedBeforeThePolicyIsAsked asks a policy that allows
// everything about one address, as a destination and as a source.
func TestAddressIsClassifiedBeforeThePolicyIsAsked(t *testing.T) {
	const asked = policy.ReasonDefault
	operator := func(cidr string) func(*world.World) {
		return func(w *world.World) { w.Net.OperatorCIDRs = []netip.Prefix{netip.MustParsePrefix(cidr)} }
	}
	for _, tt := range []struct {
		name, addr string
		change     func(*world.World)
		to, from   policy.Reason
		server     string
	}{
		{name: "itself", addr: "10.1.0.2", to: policy.ReasonAddressReserved, from: policy.ReasonNoEndpoint},
		{name: "an endpoint", addr: "10.1.0.3", to: asked, from: policy.ReasonNoEndpoint, server: "web2"},
		{name: "a peer's endpoint", addr: "10.2.0.2", to: asked, from: policy.ReasonNoEndpoint, server: "log1"},
		{name: "nobody in a subnet", addr: "10.1.0.77", to: policy.ReasonNoEndpoint, from: policy.ReasonNoEndpoint},
		{name: "nobody in a peer's subnet", addr: "10.2.0.77", to: policy.ReasonNoEndpoint, from: policy.ReasonNoEndpoint},
		{name: "outside", addr: "203.0.113.9", to: asked, from: asked},
		{name: "a stranger's subnet", addr: "10.2.0.2", change: func(w *world.World) { w.Peer() }, to: asked, from: asked},
		{name: "link-local", addr: "169.254.169.254", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "class E", addr: "240.0.0.1", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "a host", addr: "172.31.2.1", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "a host, opened", addr: "172.31.2.1", change: operator("172.31.2.0/24"), to: asked, from: policy.ReasonAddressReserved},
		{name: "a host, opened alone", addr: "172.31.2.1", change: operator("172.31.2.1/32"), to: asked, from: policy.ReasonAddressReserved},
		{name: "a host, another opened", addr: "172.31.2.1", change: operator("172.31.1.0/24"), to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "a host, a wider range", addr: "172.31.2.1", change: operator("172.31.0.0/16"), to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "another address of a host", addr: "192.0.2.1", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "beside it", addr: "192.0.2.2", to: asked, from: asked},
		{name: "another address of a host, opened elsewhere", addr: "192.0.2.1", change: operator("192.0.2.0/24"), to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "another address in the hosts' range", addr: "172.31.1.9", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "another address in the hosts' range, opened", addr: "172.31.1.9", change: operator("172.31.1.0/24"), to: asked, from: policy.ReasonAddressReserved},
		{name: "a host's address that an endpoint has", addr: "10.1.0.3", to: asked, from: policy.ReasonNoEndpoint, server: "web2"},
		{name: "a host's address in a subnet", addr: "10.1.0.78", to: policy.ReasonNoEndpoint, from: policy.ReasonNoEndpoint},
		{name: "a controller", addr: "172.31.250.1", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "beside a controller", addr: "172.31.250.2", to: asked, from: asked},
		{name: "a controller, opened elsewhere", addr: "172.31.250.1", change: operator("172.31.250.1/32"), to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "a controller in the hosts' range", addr: "172.31.3.250", to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
		{name: "a controller in the hosts' range, opened", addr: "172.31.3.250", change: operator("172.31.3.250/32"), to: asked, from: policy.ReasonAddressReserved},
		{name: "a controller in the hosts' range, another opened", addr: "172.31.3.250", change: operator("172.31.3.0/25"), to: policy.ReasonAddressReserved, from: policy.ReasonAddressReserved},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := peered()
			w.Hosts[0].Addresses = addrs("172.31.1.9", "192.0.2.1", "10.1.0.3", "10.1.0.78")
			w.Hosts[2].Controllers = addrs("172.31.250.1", "172.31.3.250")
			if tt.change != nil {
				tt.change(w)
			}
			snap, pol, a := w.Snapshot(), w.AllowAll("r1"), netip.MustParseAddr(tt.addr)
			d, server := admission.ToAddress(snap, pol, world.Start, web1(snap), a, packet.TCP, 80)
			name := ""
			if server != nil {
				name = server.Name
			}
			if d.Reason != tt.to || name != tt.server || d.Revision != "r1" {
				t.Errorf("ToAddress = %s %s, server %q; want %s, %q", d.Verdict, d.Reason, name, tt.to, tt.server)
			}
			if d := admission.FromAddress(snap, pol, world.Start, a, web1(snap), packet.TCP, 80); d.Reason != tt.from {
				t.Errorf("FromAddress = %s %s; want %s", d.Verdict, d.Reason, tt.from)
			}
		})
	}
}

func TestSessionsReachIntoPeeredVPCs(t *testing.T) {
	w := peered()
	got := admission.Decide(w.Snapshot(), w.AllowReachable("r1"), world.Start, fromWeb1(to("10.2.0.3")))
	if got.Decision.Verdict != policy.Allow || got.Server == nil || got.Server.VPC != "globex/shared" || got.Server.Name != "log2" {
		t.Errorf("Decide = %+v, server %+v; want an allow to log2", got.Decision, got.Server)
	}
	back := fromWeb1(func(r *admission.Request) {
		r.InPort, r.Headers.EthSrc = 19, packet.MAC{0x02, 0x42, 10, 2, 0, 2}
		r.Headers.Src, r.Headers.Dst = netip.MustParseAddr("10.2.0.2"), netip.MustParseAddr("10.1.0.2")
		r.Headers.SrcPort, r.Headers.DstPort, r.Headers.Flags = 514, 40000, packet.ACK
	})
	got = admission.Decide(w.Snapshot(), onlyPort{w.AllowReachable("r1"), 514}, world.Start, back)
	if !got.Reverse || got.Client.Name != "web1" || got.Server.Name != "log1" {
		t.Errorf("mid-stream from log1: %+v; want a reply of web1's session", got)
	}
}

func TestPacketToAVirtualAddressIsUnsupported(t *testing.T) {
	w := peered()
	w.Net.Services = []*spec.Service{{VPC: "globex/shared", Name: "log", VIP: netip.MustParseAddr("10.2.0.200")}}
	for addr, want := range map[string]policy.Reason{"10.2.0.200": policy.ReasonUnsupported, "10.2.0.201": policy.ReasonNoEndpoint} {
		got := admission.Decide(w.Snapshot(), w.AllowAll("r1"), world.Start, fromWeb1(to(addr))).Decision
		if got.Verdict != policy.Drop || got.Reason != want {
			t.Errorf("to %s: %s %s; want drop %s", addr, got.Verdict, got.Reason, want)
		}
	}
}
