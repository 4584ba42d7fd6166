package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/uplink"
)

var comparable = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// subnet is TENANT/VPC/SUBNET with a CIDR.
func subnet(text, cidr string) uplink.Network {
	p := strings.Split(text, "/")
	return uplink.Network{Tenant: p[0], VPC: p[1], Subnet: p[2], CIDR: netip.MustParsePrefix(cidr)}
}

var (
	web  = subnet("acme/prod/web", "10.1.0.0/24")
	db   = subnet("acme/prod/db", "10.1.1.0/24")
	test = subnet("acme/test/one", "10.2.0.0/24")
	twin = subnet("globex/prod/web", "10.1.0.0/24")
)

func TestNameThatSeveralSubnetsWouldHaveIsNobodys(t *testing.T) {
	a, b := subnet("a/b-c/d", "10.0.0.0/24"), subnet("a-b/c/d", "10.0.1.0/24")
	for _, order := range [][]uplink.Network{{web, a, b}, {b, web, a}} {
		got := Names(order)
		want := map[string]uplink.Network{"acme-prod-web": web, LongName(a): a, LongName(b): b}
		if diff := cmp.Diff(want, got, comparable); diff != "" {
			t.Errorf("Names (-want +got):\n%s", diff)
		}
	}
	if LongName(a) == LongName(b) || !strings.HasPrefix(LongName(a), "a-b-c-d-") {
		t.Errorf("long names are %s and %s", LongName(a), LongName(b))
	}
}

func TestEndpointNames(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	tests := []struct {
		name, container string
		want            []string
	}{
		{"its own, then with its ID", "web1", []string{"web1", "web1-0123456789ab"}},
		{"a slash before it is Docker's", "/web1", []string{"web1", "web1-0123456789ab"}},
		{"small letters, hyphens for the rest", "My_App.web.1", []string{"my-app-web-1", "my-app-web-1-0123456789ab"}},
		{"no hyphen at the ends", "_x_", []string{"x", "x-0123456789ab"}},
		{"nothing left of it", "___", []string{"c", "c-0123456789ab"}},
		{"as if it were made up for an address", "hold-x", []string{"c-hold-x", "c-hold-x-0123456789ab"}},
		{"as if it were, with its ID", "hold", []string{"c-hold", "c-hold-0123456789ab"}},
		{"too long for a name", strings.Repeat("a", 70), []string{strings.Repeat("a", 50) + "-0123456789ab"}},
		{"as long as a name may be", strings.Repeat("a", 63), []string{strings.Repeat("a", 63), strings.Repeat("a", 50) + "-0123456789ab"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := endpointNames(tt.container, id)
			if !slices.Equal(got, tt.want) {
				t.Errorf("endpointNames(%q) = %v; want %v", tt.container, got, tt.want)
			}
			for _, n := range got {
				if !hostpb.ValidName(n) || hostpb.IsHold(n) {
					t.Errorf("%q is no name of an endpoint", n)
				}
			}
		})
	}
}

func FuzzEndpointNamesAreAllowed(f *testing.F) {
	f.Add("web1", "0123456789abcdef")
	f.Add("hold--", "")
	f.Add("hold", "0")
	f.Add(strings.Repeat("_", 100)+"A", "ab")
	f.Fuzz(func(t *testing.T, container, id string) {
		id = fmt.Sprintf("0%x", id)
		for _, n := range endpointNames(container, id) {
			if !hostpb.ValidName(n) || hostpb.IsHold(n) {
				t.Errorf("endpointNames(%q, %q) has %q", container, id, n)
			}
		}
	})
}

func TestClaims(t *testing.T) {
	groups, labels, err := claims(map[string]string{
		"daoli.groups": " web, db,,web ", "daoli.label.tier": "front", "com.docker.compose.project": "x",
	})
	if err != nil || !slices.Equal(groups, []string{"db", "web"}) || !maps.Equal(labels, map[string]string{"tier": "front"}) {
		t.Errorf("claims = %v, %v, %v", groups, labels, err)
	}
	many := make([]string, hostpb.MaxClaims+1)
	for i := range many {
		many[i] = "g" + strings.Repeat("x", i%60) + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for name, bad := range map[string]map[string]string{
		"a group that is no name": {"daoli.groups": "Web"},
		"too many groups":         {"daoli.groups": strings.Join(many, ",")},
		"a label without a key":   {"daoli.label.": "x"},
		"a label too long":        {"daoli.label.x": strings.Repeat("x", hostpb.MaxLabelText+1)},
		"a label with a newline":  {"daoli.label.x": "a\nb"},
	} {
		if _, _, err := claims(bad); err == nil {
			t.Errorf("%s: claims = nil; want an error", name)
		}
	}
}

func TestPlan(t *testing.T) {
	own := func(id, name string, n uplink.Network) Network {
		return Network{ID: id, Name: name, Own: true, Subnet: n}
	}
	resized := web
	resized.CIDR = netip.MustParsePrefix("10.1.0.0/16")
	tests := []struct {
		name   string
		known  []uplink.Network
		ours   []Network
		others []string // names of other networks
		create map[string]uplink.Network
		remove []string
	}{
		{"what is missing is made", []uplink.Network{web, twin}, []Network{own("1", "acme-prod-web", web)}, nil, map[string]uplink.Network{"globex-prod-web": twin}, nil},
		{"what is no longer the host's goes", nil, []Network{own("1", "acme-prod-web", web)}, nil, nil, []string{"1"}},
		{"a user's own network of ours stays, and is none of hostd's", []uplink.Network{web}, []Network{{ID: "1", Name: "mine", Subnet: web}}, nil,
			map[string]uplink.Network{"acme-prod-web": web}, nil},
		{"a name that something else has is left to it", []uplink.Network{web}, nil, []string{"acme-prod-web"}, map[string]uplink.Network{LongName(web): web}, nil},
		{"and so is the long one", []uplink.Network{web}, nil, []string{"acme-prod-web", LongName(web)}, nil, nil},
		{"a network keeps the name that it has", []uplink.Network{web}, []Network{own("1", "old", web)}, nil, nil, nil},
		{"one of two for a subnet goes", []uplink.Network{web}, []Network{own("1", "a", web), own("2", "b", web)}, nil, nil, []string{"2"}},
		{"another range is another network, beside the old one while that has containers", []uplink.Network{resized}, []Network{own("1", "acme-prod-web", web)}, nil,
			map[string]uplink.Network{LongName(resized): resized}, []string{"1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names := make(map[string]bool)
			for _, n := range tt.others {
				names[n] = true
			}
			for _, n := range tt.ours {
				names[n.Name] = true
			}
			p := plan(tt.known, tt.ours, names)
			var removed []string
			for _, n := range p.remove {
				removed = append(removed, n.ID)
			}
			if !maps.Equal(p.create, tt.create) || !slices.Equal(removed, tt.remove) {
				t.Errorf("plan = create %v, remove %v; want %v, %v", p.create, removed, tt.create, tt.remove)
			}
		})
	}
}

func TestPoolsAreTheirNames(t *testing.T) {
	id := poolID(web, "n1")
	if got, err := parsePool(id); err != nil || got != web {
		t.Errorf("parsePool(%q) = %v, %v; want %v", id, got, err, web)
	}
	if poolID(web, "n2") == id {
		t.Error("two networks of a subnet have the same pool; Docker wants each its own")
	}
	for _, bad := range []string{"", "x", "acme/prod/web/10.1.0.0/24", "acme/prod/web/10.1.0.0/33/n", "Acme/prod/web/10.1.0.0/24/n", "acme/prod/web/::/24/n"} {
		if _, err := parsePool(bad); err == nil {
			t.Errorf("parsePool(%q) = nil; want an error", bad)
		}
	}
	if got := gatewayOf(web.CIDR).String(); got != "10.1.0.1/24" {
		t.Errorf("gatewayOf = %s", got)
	}
}

func TestEveryInterfaceOfAContainerHasItsOwnNextHop(t *testing.T) {
	known := []uplink.Network{web, db, test, twin}
	at := func(vpc, name, sandbox, id string, hop uint8) endpoint.Endpoint {
		ref, err := endpoint.MakeRef(vpc, name)
		if err != nil {
			t.Fatal(err)
		}
		return endpoint.Endpoint{Request: endpoint.Request{Ref: ref, Docker: &endpoint.Docker{Sandbox: sandbox, Endpoint: id, Gateway: hop}}, State: endpoint.Up}
	}
	prod, other := at("acme/prod", "x", "s1", "e1", 0), at("acme/prod", "y", "s2", "e2", 0)
	leaving := prod
	leaving.State = endpoint.Leaving
	tests := []struct {
		name string
		have []endpoint.Endpoint
		vpc  string
		want uint8
		err  string
	}{
		{"the first one", nil, "acme/prod", 0, ""},
		{"beside another", []endpoint.Endpoint{prod, other}, "acme/test", 1, ""},
		{"another container's don't count", []endpoint.Endpoint{other}, "acme/prod", 0, ""},
		{"nor does one that leaves", []endpoint.Endpoint{leaving}, "acme/prod", 0, ""},
		{"VPCs that overlap", []endpoint.Endpoint{prod}, "globex/prod", 0, "overlaps"},
		{"the same VPC twice", []endpoint.Endpoint{prod}, "acme/prod", 0, "is in vpc acme/prod already"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := beside(tt.have, known, plugin.JoinRequest{SandboxKey: "s1", EndpointID: "new"}, tt.vpc)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("beside = %d, %v; want %d, %q", got, err, tt.want, tt.err)
			}
		})
	}
	if h := nextHop(maxInterfaces - 1).String(); h != "169.254.1.16" {
		t.Errorf("last next hop is %s", h)
	}
}

func TestGarbage(t *testing.T) {
	e := func(name, id string, s endpoint.State) endpoint.Endpoint {
		r := endpoint.Request{Ref: endpoint.Ref{Tenant: "acme", VPC: "prod", Name: name}}
		if id != "" {
			r.Docker = &endpoint.Docker{Endpoint: id}
		}
		return endpoint.Endpoint{Request: r, State: s}
	}
	have := []endpoint.Endpoint{
		e("lives", "1", endpoint.Up), e("gone", "2", endpoint.Up), e("attached-by-hand", "", endpoint.Up),
		e("comes", "3", endpoint.Reporting), e("goes", "4", endpoint.Leaving),
	}
	got := garbage(have, map[string]place{"1": {}})
	if len(got) != 1 || got[0].Name != "gone" {
		t.Errorf("garbage = %v; want the one that was up and is gone", got)
	}
}

func TestRoutesLeadToAllOfTheVPCOnce(t *testing.T) {
	got := routes([]uplink.Network{web, db, test, twin, web}, "acme/prod", nextHop(1))
	want := []plugin.StaticRoute{
		{Destination: "169.254.1.2/32", RouteType: plugin.OnLink},
		{Destination: "10.1.0.0/24", NextHop: "169.254.1.2"}, {Destination: "10.1.1.0/24", NextHop: "169.254.1.2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}
