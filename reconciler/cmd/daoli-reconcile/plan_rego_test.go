package main

import (
	"strings"
	"testing"
)

// TestPlanAsksTenantsRego has the Rego of a tenant on both sides of a plan: it is asked
// for what was before as well, and what an edit of it changes is in the plan.
func TestPlanAsksTenantsRego(t *testing.T) {
	t.Chdir(t.TempDir())
	module := func(label string) []byte {
		return []byte("package tenants.acme.policy\n\ndeny if \"" + label + "\" in input.dst.groups\n")
	}
	write(t, "a/specs/net.yaml", []byte(planYAML))
	write(t, "a/policies/tenants/acme/p.rego", module("nobody"))
	write(t, "b/specs/net.yaml", []byte(strings.Replace(planYAML, "5432", "6432", 1)))
	write(t, "b/policies/tenants/acme/p.rego", module("nobody"))
	write(t, "c/specs/net.yaml", []byte(planYAML))
	write(t, "c/policies/tenants/acme/p.rego", module("db"))
	for _, test := range []struct {
		name, dir string
		want, not []string
	}{
		{"an edit of YAML", "b/specs", []string{"tcp/6432", "tcp/5432"}, []string{"policy-error", "tenants.acme.policy"}},
		{"an edit of Rego", "c/specs", []string{"tenants.acme.policy.deny", "tcp/5432"}, []string{"policy-error"}},
	} {
		stdout, stderr, code := runWith(t, nil, "plan", test.dir, "--against", "a/specs", "-o", "json")
		if code != exitFine {
			t.Fatalf("%s: exit %d\n%s%s", test.name, code, stdout, stderr)
		}
		for _, w := range test.want {
			if !strings.Contains(stdout, w) {
				t.Errorf("%s: the plan does not say %q:\n%s", test.name, w, stdout)
			}
		}
		for _, w := range test.not {
			if strings.Contains(stdout, w) {
				t.Errorf("%s: the plan says %q:\n%s", test.name, w, stdout)
			}
		}
	}
}
