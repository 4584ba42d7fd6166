package conformance_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// cluster is what a matrix knows nothing of: where hosts and controllers are.
// The hosts' range is 172.31.1.0/24.
var cluster = inventory.HostReport{
	Name: "h1", DPID: 1, Uplink: inventory.Uplink{Port: 1, Addr: netip.MustParsePrefix("172.31.1.1/24"), MTU: 1500},
	Endpoints: []inventory.EndpointReport{{
		Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", IP: netip.MustParseAddr("10.1.0.2"), MAC: packet.MAC{2, 0, 0, 0, 0, 2}, Port: 16,
	}},
	AddressLists: inventory.AddressLists{
		Addresses:   []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("172.31.1.9"), netip.MustParseAddr("10.1.0.77")},
		Controllers: []netip.Addr{netip.MustParseAddr("172.31.250.1"), netip.MustParseAddr("172.31.1.250")},
	},
}

// TestSpecificationOfHostsAndControllers has the rows of SPEC 3, "Outside", that
// need hosts: each asks about an address, its twin about another or with another
// operator's rule.
func TestSpecificationOfHostsAndControllers(t *testing.T) {
	const (
		reserved = "drop address-reserved"
		allowed  = "allow default"
		rule     = "allow rule"
		entered  = "allow open"
		vacant   = "drop no-endpoint"
	)
	type asked struct{ addr, cidr, to, from string }
	for _, tt := range []struct {
		name      string
		row, twin asked
	}{
		{"a host's address is never outside", asked{"172.31.1.1", "", reserved, reserved}, asked{"172.31.1.2", "", allowed, entered}},
		{"nor is another address of a host", asked{"192.0.2.1", "", reserved, reserved}, asked{"192.0.2.2", "", allowed, entered}},
		{"nor is a controller's", asked{"172.31.250.1", "", reserved, reserved}, asked{"172.31.250.2", "", allowed, entered}},
		{"what lies in a subnet is that, whoever has it too", asked{"10.1.0.77", "", vacant, vacant}, asked{"192.0.2.1", "", reserved, reserved}},
		{"the operator opens a host's address, and no way in", asked{"172.31.1.1", "172.31.1.1/32", rule, reserved}, asked{"172.31.1.1", "172.31.1.2/32", reserved, reserved}},
		{"and another of a host in the hosts' range", asked{"172.31.1.9", "172.31.1.0/24", rule, reserved}, asked{"172.31.1.9", "172.31.0.0/16", reserved, reserved}},
		{"and a controller's there", asked{"172.31.1.250", "172.31.1.128/25", rule, reserved}, asked{"172.31.1.250", "172.31.1.0/25", reserved, reserved}},
		{"but none elsewhere", asked{"172.31.250.1", "172.31.250.1/32", reserved, reserved}, asked{"172.31.250.2", "172.31.250.2/32", rule, entered}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for which, a := range map[string]asked{"row": tt.row, "twin": tt.twin} {
				if to, from := verdicts(t, a.addr, a.cidr); to != a.to || from != a.from {
					t.Errorf("%s: to %s %s, from it %s; want %s and %s", which, a.addr, to, from, a.to, a.from)
				}
			}
		})
	}
}

// verdicts says what comes of web1 towards an address and of the address towards
// web1, with an operator's egress rule of that cidr unless it is "".
func verdicts(t *testing.T, addr, cidr string) (to, from string) {
	t.Helper()
	base := map[string]string{}
	for _, f := range readArchive(t, "testdata/base.txtar") {
		base[f.Name] = string(f.Data)
	}
	r := row{base: base, now: "2026-01-01T00:00:00Z", own: map[string]string{
		"tenants/acme/prod.yaml": "VPC acme/prod: {subnets: [{name: web, cidr: 10.1.0.0/24}], egress: {default: allow}}\n",
		"x.yaml":                 "Ingress acme/prod/shop: {hosts: [gw], ports: [{listen: tcp/443}], to: {endpoint: web1}}\n",
	}}
	if cidr != "" {
		r.own["x.yaml"] += fmt.Sprintf("SecurityGroup acme/prod/all: {members: {all: true}, egress: [{to: [{cidr: %s}]}]}\n", cidr)
	}
	now, err := r.time()
	if err != nil {
		t.Fatal(err)
	}
	loaded, problems := load(now, r.tree())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	snap, refused := inventory.Build(inventory.NewInterner(), loaded.Policy.Network(), []inventory.HostReport{cluster})
	web1 := snap.EndpointByName(inventory.EndpointRef{VPC: spec.MakeVPCID("acme", "prod"), Name: "web1"})
	if web1 == nil {
		t.Fatalf("web1 is refused: %v", refused)
	}
	a := netip.MustParseAddr(addr)
	out, _ := admission.ToAddress(snap, loaded.Policy, now, web1, a, packet.TCP, 443)
	in := admission.FromAddress(snap, loaded.Policy, now, a, web1, packet.TCP, 443)
	return fmt.Sprintf("%s %s", out.Verdict, out.Reason), fmt.Sprintf("%s %s", in.Verdict, in.Reason)
}
