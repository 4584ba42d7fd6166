package controller

import (
	"slices"
	"testing"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/testbed/world"
)

// TestNetworksOfAHostAreThoseOfTenantsThatItMayServe: sorted, so that what did not
// change is not told again.
func TestNetworksOfAHostAreThoseOfTenantsThatItMayServe(t *testing.T) {
	net := world.New().AllowAll("r1").Network()
	for _, tenant := range net.Tenants {
		tenant.Hosts = []string{"h1"}
	}
	net.Tenants["acme"].Hosts = []string{"h?"}
	snap, _ := inventory.Build(inventory.NewInterner(), net, nil)
	list := func(host string) (out []string) {
		for _, n := range networksOf(snap, host) {
			out = append(out, n.Tenant+"/"+n.VPC+"/"+n.Subnet+" "+n.CIDR.String())
		}
		return out
	}
	all, some := list("h1"), list("h2")
	if !slices.IsSorted(all) || len(all) == 0 || len(some) == 0 || len(some) >= len(all) {
		t.Fatalf("networks are %v and %v; want all and some, sorted", all, some)
	}
	for _, n := range some {
		if n[:5] != "acme/" || !slices.Contains(all, n) {
			t.Errorf("h2 has %s; want acme's", n)
		}
	}
	if other := list("x1"); other != nil {
		t.Errorf("x1 has %v; want none", other)
	}
}
