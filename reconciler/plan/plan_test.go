package plan_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/plan"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

const (
	base = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]
  default: deny
`
	peering = `---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: other, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.2.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: both, tenant: acme}
spec: {vpcs: [acme/prod, acme/other]}
`
)

func compiled(t *testing.T, text string) *policy.Policy {
	t.Helper()
	n, problems := spec.Load(fstest.MapFS{"net.yaml": {Data: []byte(text)}})
	if n == nil {
		t.Fatal(problems)
	}
	p, err := policy.Compile("r", n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComputeNamesObjectsByWhereTheyStand(t *testing.T) {
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	moved := "# moved\n" + base
	for _, tt := range []struct {
		name, before, after string
		want                []plan.Object
	}{
		{"nothing", base, base, []plan.Object{}},
		{"only the place", base, moved, []plan.Object{}},
		{"two more", base, base + peering, []plan.Object{
			{Change: plan.Added, Kind: "Peering", Name: "acme/both", At: "net.yaml:20"},
			{Change: plan.Added, Kind: "VPC", Name: "acme/other", At: "net.yaml:15"},
		}},
		{"two less", base + peering, base, []plan.Object{
			{Change: plan.Removed, Kind: "Peering", Name: "acme/both", At: "net.yaml:20"},
			{Change: plan.Removed, Kind: "VPC", Name: "acme/other", At: "net.yaml:15"},
		}},
		{"a default", base, strings.Replace(moved, "default: deny", "default: same-vpc", 1), []plan.Object{
			{Change: plan.Changed, Kind: "VPC", Name: "acme/prod", At: "net.yaml:9"},
		}},
	} {
		p := plan.Compute(now, compiled(t, tt.before), compiled(t, tt.after), nil)
		if diff := cmp.Diff(tt.want, p.Objects); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if p.Changes() != (len(tt.want) > 0) {
			t.Errorf("%s: Changes = %v", tt.name, p.Changes())
		}
		if gains := len(p.Gained) > 0; gains != (tt.name == "a default") {
			t.Errorf("%s: gained %v", tt.name, p.Gained)
		}
	}
}

// TestMarkdownHoldsNoMarkupOfTheTree plans with names that would be markup.
func TestMarkdownHoldsNoMarkupOfTheTree(t *testing.T) {
	p := plan.Plan{Before: "a", After: "b", Objects: []plan.Object{{Change: plan.Added, Kind: "VPC", Name: "x", At: "```\n# owned.yaml:1"}}}
	var b strings.Builder
	if err := p.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "```"); n != 2 {
		t.Errorf("%d fences in\n%s\nwant 2", n, b.String())
	}
}
