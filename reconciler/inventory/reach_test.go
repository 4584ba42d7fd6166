package inventory_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

func TestReachIsOwnSubnetsThenPeersNeverStrangers(t *testing.T) {
	w := world.New()
	w.Share()
	apart := w.Snapshot()
	w.Peer("acme/prod", "globex/shared")
	peered := w.Snapshot()
	for _, tt := range []struct {
		name string
		snap *inventory.Snapshot
		vpc  spec.VPCID
		addr string
		ep   string
		in   spec.VPCID
	}{
		{"own endpoint", apart, "acme/prod", "10.1.0.2", "web1", "acme/prod"},
		{"own subnet, nobody there", apart, "acme/prod", "10.1.0.77", "", "acme/prod"},
		{"a stranger's endpoint", apart, "acme/prod", "10.2.0.2", "", ""},
		{"a peer's endpoint", peered, "acme/prod", "10.2.0.2", "log1", "globex/shared"},
		{"a peer's subnet, nobody there", peered, "acme/prod", "10.2.0.77", "", "globex/shared"},
		{"back again", peered, "globex/shared", "10.1.0.2", "web1", "acme/prod"},
		{"a Peering of others", peered, "globex/prod", "10.2.0.2", "", ""},
		{"outside", peered, "acme/prod", "203.0.113.9", "", ""},
		{"no such vpc", peered, "acme/none", "10.1.0.2", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ep, in := tt.snap.Reach(tt.vpc, netip.MustParseAddr(tt.addr))
			name := ""
			if ep != nil {
				name = ep.Name
			}
			if name != tt.ep || in != tt.in || (ep != nil && ep.VPC != in) {
				t.Errorf("Reach(%s, %s) = %q in %q; want %q in %q", tt.vpc, tt.addr, name, in, tt.ep, tt.in)
			}
			for _, from := range tt.snap.Endpoints() {
				if from.VPC != tt.vpc {
					continue
				}
				if seen := tt.snap.EndpointSeen(from, netip.MustParseAddr(tt.addr)); seen != ep {
					t.Errorf("EndpointSeen(%s, %s) = %v; want Reach's", from.Name, tt.addr, seen)
				}
				if e, i := tt.snap.ReachFrom(from, netip.MustParseAddr(tt.addr)); e != ep || i != in {
					t.Errorf("ReachFrom(%s, %s) = %v in %q; want Reach's", from.Name, tt.addr, e, i)
				}
			}
		})
	}
}

// TestOwnAddressHidesAPeers has a peer with the same subnets, which the loader
// refuses: were it let through, nobody would lose their own.
func TestOwnAddressHidesAPeers(t *testing.T) {
	w := world.New()
	w.Peer("acme/prod", "globex/prod")
	s := w.Snapshot()
	for _, a := range []string{"10.1.0.2", "10.1.0.3"} {
		if ep, in := s.Reach("globex/prod", netip.MustParseAddr(a)); in != "globex/prod" || (ep != nil && ep.VPC != in) {
			t.Errorf("Reach(globex/prod, %s) = %v in %s; want its own", a, ep, in)
		}
	}
}

func TestNamedEndpointsAndBackendsAreAloneWithTheirIdentity(t *testing.T) {
	label := map[string]string{"role": "api"}
	for _, tt := range []struct {
		name   string
		change func(*spec.Network)
		named  bool
	}{
		{"nothing names it", func(*spec.Network) {}, false},
		{"named", func(n *spec.Network) { n.Named = map[spec.VPCID]map[string]bool{"acme/prod": {"web1": true}} }, true},
		{"named in another vpc", func(n *spec.Network) { n.Named = map[spec.VPCID]map[string]bool{"globex/prod": {"web1": true}} }, false},
		{"backend by subnet", backends(spec.Peer{Subnet: "web", VPC: "acme/prod"}), true},
		{"backend by another subnet", backends(spec.Peer{Subnet: "db", VPC: "acme/prod"}), false},
		{"backend by group", backends(spec.Peer{Group: "api", VPC: "acme/prod"}), true},
		{"backend by another group", backends(spec.Peer{Group: "web", VPC: "acme/prod"}), false},
		{"backend by labels", backends(spec.Peer{Labels: label, VPC: "acme/prod"}), true},
		{"backend by more labels", backends(spec.Peer{Labels: map[string]string{"role": "api", "tier": "1"}, VPC: "acme/prod"}), false},
		{"backend by vpc", backends(spec.Peer{VPC: "acme/prod"}), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := world.New()
			w.Net.Groups["acme/prod"] = map[string]*spec.SecurityGroup{"api": {VPC: "acme/prod", Name: "api"}}
			tt.change(w.Net)
			twin := world.Endpoint("acme", "twin", "web", "10.1.0.9", 30)
			w.Hosts[2].Endpoints = []inventory.EndpointReport{twin}
			for _, e := range []*inventory.EndpointReport{&w.Hosts[0].Endpoints[0], &w.Hosts[2].Endpoints[0]} {
				e.Claims, e.Labels = []string{"api"}, label
			}
			s := w.Snapshot()
			web1, other := s.EndpointByName(ref("web1")), s.EndpointByName(ref("twin"))
			want := ""
			if tt.named {
				want = "web1"
			}
			if web1.Identity.Name != want || (web1.Identity != other.Identity) != tt.named {
				t.Errorf("identity %+v, of its twin %+v; want the name %q", web1.Identity, other.Identity, want)
			}
		})
	}
}

func backends(p spec.Peer) func(*spec.Network) {
	return func(n *spec.Network) {
		n.Services = []*spec.Service{{VPC: "acme/prod", Name: "api", VIP: netip.MustParseAddr("10.1.0.200"), Backends: p}}
	}
}

func TestServicesVIPIsNoEndpoints(t *testing.T) {
	w := world.New()
	vip := netip.MustParseAddr("10.1.0.3") // web2's
	w.Net.Services = []*spec.Service{{VPC: "acme/prod", Name: "api", VIP: vip, At: spec.Pos{File: "a.yaml", Line: 7}}}
	s, refused := inventory.Build(w.Interner, w.Net, w.Hosts)
	if len(refused) != 1 || refused[0].Ref != ref("web2") || !strings.Contains(refused[0].Text, `vip of service "api" (a.yaml:7)`) {
		t.Errorf("refused = %+v; want web2, naming the service", refused)
	}
	if s.ServiceAt("acme/prod", vip) == nil || s.ServiceAt("globex/prod", vip) != nil {
		t.Error("the service is not at its vip in its own vpc alone")
	}
}

func TestImagineIsAsBuildButForHostsQuotasAndPorts(t *testing.T) {
	w := world.New()
	w.Net.Tenants["acme"].Hosts, w.Net.Tenants["acme"].Quota.Endpoints = nil, 1
	eps := []inventory.EndpointReport{
		world.Endpoint("acme", "web1", "web", "10.1.0.2", 0), world.Endpoint("acme", "web2", "web", "10.1.0.3", 0),
		world.Endpoint("acme", "twice", "web", "10.1.0.2", 0), world.Endpoint("acme", "web1", "web", "10.1.0.4", 0),
		world.Endpoint("acme", "away", "web", "10.1.1.4", 0), world.Endpoint("nobody", "x", "web", "10.1.0.5", 0),
	}
	s, refused := inventory.Imagine(w.Interner, w.Net, eps)
	if got := len(s.Endpoints()); got != 2 {
		t.Errorf("endpoints = %d; want 2", got)
	}
	if s.EndpointByName(ref("web1")).Port == s.EndpointByName(ref("web2")).Port {
		t.Error("two endpoints share a port")
	}
	if len(refused) != 4 {
		t.Fatalf("refused = %+v; want 4", refused)
	}
	for i, want := range []string{
		`address 10.1.0.2 is endpoint "web1"'s`, `name "web1" is taken by the endpoint 10.1.0.2`,
		`address 10.1.1.4 is not in subnet "web"`, `vpc "nobody/prod" is not declared`,
	} {
		if !strings.HasPrefix(refused[i].Text, want) || strings.Contains(refused[i].Text, "host") {
			t.Errorf("refused %d: %q; want %q, and no host", i, refused[i].Text, want)
		}
	}
	built := w
	built.Net.Tenants["acme"].Hosts, built.Net.Tenants["acme"].Quota.Endpoints = []string{"*"}, 0
	if s.EndpointByName(ref("web1")).Identity != built.Snapshot().EndpointByName(ref("web1")).Identity {
		t.Error("an imagined endpoint has another identity than a real one alike")
	}
	if got := s.UnderlayRanges(); len(got) != 0 {
		t.Errorf("underlay ranges = %v; want none", got)
	}
}

func TestImaginedIsAsBuiltAndLeavesNoTrace(t *testing.T) {
	w := world.New()
	want := w.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	s, _ := inventory.Imagine(inventory.NewInterner(), w.Net, nil)
	for range 2 {
		got, err := s.Imagined(want.Host.Name, &want.EndpointReport)
		if err != nil {
			t.Fatal(err)
		}
		if got.Identity.Subnet != want.Identity.Subnet || !slices.Equal(got.Identity.Groups, want.Identity.Groups) || got.Host.Name != want.Host.Name {
			t.Errorf("imagined %+v; want as %+v", got.Identity, want.Identity)
		}
	}
	if n := len(s.Endpoints()); n != 0 {
		t.Errorf("the snapshot has %d endpoints afterwards", n)
	}
	w.Net.Tenants["acme"].Hosts = []string{"x*"}
	elsewhere, nowhere := want.EndpointReport, want.EndpointReport
	elsewhere.IP, nowhere.Subnet = netip.MustParseAddr("192.0.2.1"), "nosuch"
	for name, refused := range map[string]struct {
		host string
		e    inventory.EndpointReport
	}{
		"at a host that may not claim it": {"h1", want.EndpointReport},
		"out of its subnet":               {"", elsewhere},
		"in no subnet":                    {"", nowhere},
	} {
		if got, err := s.Imagined(refused.host, &refused.e); err == nil {
			t.Errorf("%s it is %+v", name, got)
		}
	}
}
