package gitsource_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// TestSampleTreeLoads reads specs/ of this repository as the controller does.
func TestSampleTreeLoads(t *testing.T) {
	r, err := gitsource.ReadDir("../../specs", "")
	must(t, err)
	net, problems := spec.Load(r.Specs)
	for _, p := range problems {
		t.Error(p)
	}
	if net == nil {
		t.Fatal("specs/ is refused")
	}
	acme, globex := net.VPCs["acme/prod"], net.VPCs["globex/prod"]
	if acme == nil || globex == nil {
		t.Fatalf("specs/ has the VPCs %v; want acme/prod and globex/prod", net.VPCs)
	}
	if !acme.Subnets[0].CIDR.Overlaps(globex.Subnets[0].CIDR) {
		t.Error("the example's tenants don't overlap; they should show that they may")
	}
	rule := net.Groups["acme/prod"]["db"].Ingress.Rules[0]
	if got, want := rule.ID+" "+rule.At.String(), "acme/prod/db/ingress/0 tenants/acme/prod.yaml:27"; got != want {
		t.Errorf("the example's rule is %s; want %s", got, want)
	}
}
