package inventory_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

func ref(name string) inventory.EndpointRef {
	return inventory.EndpointRef{VPC: "acme/prod", Name: name}
}

func TestGroupsAreClaimedOnlyWithoutMembers(t *testing.T) {
	w := world.New()
	group := func(name string, m *spec.Members) {
		if w.Net.Groups["acme/prod"] == nil {
			w.Net.Groups["acme/prod"] = make(map[string]*spec.SecurityGroup)
		}
		w.Net.Groups["acme/prod"][name] = &spec.SecurityGroup{VPC: "acme/prod", Name: name, Members: m}
	}
	group("open", nil)
	group("bysubnet", &spec.Members{Subnets: []string{"web", "other"}})
	group("bydb", &spec.Members{Subnets: []string{"db"}})
	group("bylabel", &spec.Members{Labels: map[string]string{"role": "api", "tier": "1"}})
	group("halflabel", &spec.Members{Labels: map[string]string{"role": "api", "tier": "2"}})
	group("byname", &spec.Members{Endpoints: []string{"web1"}})
	group("both", &spec.Members{Subnets: []string{"web"}, Endpoints: []string{"db1"}})
	group("all", &spec.Members{All: true})
	ep := &w.Hosts[0].Endpoints[0]
	ep.Claims = []string{"open", "bydb", "nosuch"}
	ep.Labels = map[string]string{"role": "api", "tier": "1"}
	got := w.Snapshot().EndpointByName(ref("web1"))
	if diff := cmp.Diff([]string{"all", "bylabel", "byname", "bysubnet", "open"}, got.Identity.Groups); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"bydb", "nosuch"}, got.Ignored); diff != "" {
		t.Errorf("ignored claims (-want +got):\n%s", diff)
	}
}

func TestAlikeEndpointsShareAnIdentityOthersDoNot(t *testing.T) {
	w := world.New()
	w.Hosts[2].Endpoints = []inventory.EndpointReport{
		world.Endpoint("acme", "web9", "web", "10.1.0.9", 16), world.Endpoint("acme", "labelled", "web", "10.1.0.10", 17),
	}
	w.Hosts[2].Endpoints[1].Labels = map[string]string{"a": "b"}
	s := w.Snapshot()
	id := func(e *inventory.Endpoint) inventory.IdentityID { return e.Identity.ID }
	web1 := id(s.EndpointByName(ref("web1")))
	if got := id(s.EndpointByName(ref("web9"))); got != web1 {
		t.Errorf("identity of a like endpoint = %d; want %d", got, web1)
	}
	for name, other := range map[string]*inventory.Endpoint{
		"another subnet": s.EndpointByName(ref("db1")),
		"a label":        s.EndpointByName(ref("labelled")),
		"another tenant": s.EndpointByName(inventory.EndpointRef{VPC: "globex/prod", Name: "web1"}),
	} {
		if id(other) == web1 {
			t.Errorf("endpoint with %s has web1's identity", name)
		}
	}
	if again := id(w.Snapshot().EndpointByName(ref("web1"))); again != web1 {
		t.Errorf("identity in the next snapshot = %d; want %d", again, web1)
	}
}

// TestIdentityFieldsDoNotRunTogether has two endpoints whose labels, written one
// after the other, are the same text.
func TestIdentityFieldsDoNotRunTogether(t *testing.T) {
	w := world.New()
	w.Hosts[0].Endpoints[0].Labels = map[string]string{"a": "1l1:b1:2"}
	w.Hosts[1].Endpoints[0].Labels = map[string]string{"a": "1", "b": "2"}
	s := w.Snapshot()
	if a, b := s.EndpointByName(ref("web1")), s.EndpointByName(ref("web2")); a.Identity == b.Identity {
		t.Error("different labels share an identity")
	}
}

func TestFirstClaimToAnAddressStands(t *testing.T) {
	w := world.New()
	w.Hosts[1].Endpoints[0].IP = netip.MustParseAddr("10.1.0.2")
	s, refused := inventory.Build(w.Interner, w.Net, w.Hosts)
	if len(refused) != 1 || refused[0].Ref != ref("web2") || !strings.Contains(refused[0].Text, `"web1"'s on host "h1"`) {
		t.Fatalf("refused = %+v; want web2, naming web1 on h1", refused)
	}
	if got := s.EndpointByAddr("acme/prod", netip.MustParseAddr("10.1.0.2")); got.Name != "web1" {
		t.Errorf("address is %q's; want web1's", got.Name)
	}
	if s.EndpointAt(2, 16) != nil {
		t.Error("the refused endpoint is at its port")
	}
}

// TestClaimThatStoodStands although a host that is listed before makes it now: its
// address, its name, or the last of its tenant's quota.
func TestClaimThatStoodStands(t *testing.T) {
	for what, bend := range map[string]func(w *world.World, mine *inventory.EndpointReport){
		"the address": func(_ *world.World, mine *inventory.EndpointReport) { mine.Name = "other" },
		"the name":    func(_ *world.World, mine *inventory.EndpointReport) { mine.IP = netip.MustParseAddr("10.1.0.99") },
		"the quota": func(w *world.World, mine *inventory.EndpointReport) {
			mine.Name, mine.IP = "other", netip.MustParseAddr("10.1.0.99")
			w.Net.Tenants["acme"].Quota.Endpoints = 4
		},
	} {
		w := world.New()
		was, _ := inventory.Build(w.Interner, w.Net, w.Hosts)
		mine := world.Endpoint("acme", "web2", "web", was.EndpointByName(ref("web2")).IP.String(), 40)
		bend(w, &mine)
		w.Hosts[0].Endpoints = append(w.Hosts[0].Endpoints, mine)
		s, refused := inventory.Rebuild(w.Interner, w.Net, w.Hosts, was)
		if len(refused) != 1 || refused[0].Host != "h1" {
			t.Errorf("%s: refused = %+v; want h1's new claim", what, refused)
		}
		if got := s.EndpointByName(ref("web2")); got == nil || got.Host.Name != "h2" {
			t.Errorf("%s: web2 is %+v; want h2's, as it was", what, got)
		}
		if _, refused := inventory.Build(w.Interner, w.Net, w.Hosts); what != "the quota" && (len(refused) != 1 || refused[0].Host == "h1") {
			t.Errorf("%s, without what was before: refused = %+v; want the later host's", what, refused)
		}
	}
}

func TestQuotaOfEndpoints(t *testing.T) {
	w := world.New()
	w.Net.Tenants["acme"].Quota.Endpoints = 3
	_, refused := inventory.Build(w.Interner, w.Net, w.Hosts)
	if len(refused) != 1 || !strings.Contains(refused[0].Text, "quota of 3") {
		t.Errorf("refused = %+v; want one over the quota of 3", refused)
	}
}

func TestTenantsHostsAreGlobs(t *testing.T) {
	for _, tt := range []struct {
		globs []string
		host  string
		want  bool
	}{
		{[]string{"*"}, "h1", true}, {[]string{"h*"}, "h1", true}, {[]string{"h2", "h1"}, "h1", true},
		{[]string{"x*"}, "h1", false}, {nil, "h1", false}, {[]string{"h"}, "h1", false},
	} {
		w := world.New()
		w.Net.Tenants["acme"].Hosts = tt.globs
		_, err := w.Partial().MayClaim(tt.host, "acme", "prod", "web")
		if (err == nil) != tt.want {
			t.Errorf("hosts %v, host %s: %v; want allowed %v", tt.globs, tt.host, err, tt.want)
		}
	}
}

func TestAHostHasOnlyTheTenantsThatItsTokenAllowed(t *testing.T) {
	for _, tt := range []struct {
		tenants []string
		want    bool
	}{
		{nil, true}, {[]string{"acme"}, true}, {[]string{"globex", "acme"}, true}, {[]string{"globex"}, false}, {[]string{"acm"}, false},
	} {
		w := world.New()
		w.Hosts[0].Tenants = tt.tenants
		name := w.Hosts[0].Name
		s, refused := inventory.Build(w.Interner, w.Net, w.Hosts)
		_, err := s.MayClaim(name, "acme", "prod", "web")
		if (err == nil) != tt.want || err != nil && !strings.Contains(err.Error(), "joined for endpoints of") {
			t.Errorf("tenants %v: %v; want allowed %v", tt.tenants, err, tt.want)
		}
		of := 0
		for _, r := range refused {
			if r.Host == name && strings.HasPrefix(string(r.Ref.VPC), "acme/") {
				of++
			}
		}
		if (of == 0) != tt.want {
			t.Errorf("tenants %v: %d endpoints of acme are refused", tt.tenants, of)
		}
		// What is allowed changes with the token that it joins with next.
		w.Hosts[0].Tenants = nil
		s, _ = inventory.Rebuild(w.Interner, w.Net, w.Hosts, s)
		if _, err := s.MayClaim(name, "acme", "prod", "web"); err != nil {
			t.Errorf("tenants %v, then all: %v", tt.tenants, err)
		}
	}
}

func TestUnderlayRangesAreTheHostsSubnetsOnce(t *testing.T) {
	w := world.New()
	w.Hosts[2].Uplink.Addr = netip.MustParsePrefix("172.31.1.9/25")
	var got []string
	for _, p := range w.Snapshot().UnderlayRanges() {
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"172.31.1.0/24", "172.31.2.0/24"}, got); diff != "" {
		t.Errorf("ranges (-want +got):\n%s", diff)
	}
}

func TestIdentitiesAreEachOnceAndWithoutNumbers(t *testing.T) {
	w := world.New()
	w.Hosts[2].Endpoints = []inventory.EndpointReport{world.Endpoint("acme", "web9", "web", "10.1.0.9", 16)}
	s := w.Snapshot()
	distinct := make(map[*inventory.Identity]bool)
	for _, e := range s.Endpoints() {
		distinct[e.Identity] = true
	}
	got := s.Identities()
	if len(got) != len(distinct) || len(got) >= len(s.Endpoints()) {
		t.Errorf("%d identities of %d endpoints; want %d, since some are alike", len(got), len(s.Endpoints()), len(distinct))
	}
	for _, id := range got {
		if id.ID != 0 || distinct[id] {
			t.Errorf("identity %+v has a number or is the snapshot's own", id)
		}
	}
}

func TestAddressesOfHostsAndControllersAreKnown(t *testing.T) {
	w := world.New()
	w.Hosts[0].Addresses = []netip.Addr{netip.MustParseAddr("172.17.0.1")}
	w.Hosts[1].Addresses = []netip.Addr{netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("198.51.100.2")}
	w.Hosts[1].Controllers = []netip.Addr{netip.MustParseAddr("172.31.250.1")}
	s := w.Snapshot()
	for a, want := range map[string]bool{
		"172.31.1.1": true, "172.17.0.1": true, "198.51.100.2": true, "172.31.250.1": true,
		"172.31.1.2": false, "172.17.0.2": false, "172.31.250.2": false, "10.1.0.2": false,
	} {
		if got := s.HostOrController(netip.MustParseAddr(a)); got != want {
			t.Errorf("HostOrController(%s) = %v; want %v", a, got, want)
		}
	}
	if s.HostByUnderlay(netip.MustParseAddr("198.51.100.2")) != nil {
		t.Error("a further address of a host is taken for its underlay address")
	}
	w.Hosts[0].AddressLists, w.Hosts[1].AddressLists = inventory.AddressLists{}, inventory.AddressLists{}
	if w.Snapshot().HostOrController(netip.MustParseAddr("172.17.0.1")) {
		t.Error("an address that no host reports any more is still reserved")
	}
}
