package tenants_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/bench/tenants"
)

// load counts tenants and rules of a tree that must be right.
func load(t *testing.T, dir string) (network *spec.Network, rules int) {
	t.Helper()
	network, problems := spec.Load(os.DirFS(dir))
	if len(problems) > 0 {
		t.Fatalf("the tree has problems: %v", problems)
	}
	for _, groups := range network.Groups {
		for _, g := range groups {
			rules += len(g.Ingress.Rules)
		}
	}
	return network, rules
}

func TestTenantsHaveAHundredRulesEach(t *testing.T) {
	dir := t.TempDir()
	if err := tenants.Write(dir, 3); err != nil {
		t.Fatal(err)
	}
	if n, rules := load(t, dir); len(n.Tenants) != 3 || rules != 300 {
		t.Errorf("%d tenants with %d rules; want 3 with 300", len(n.Tenants), rules)
	}
}

func TestEditChangesOneFileThereAndBack(t *testing.T) {
	dir := t.TempDir()
	if err := tenants.Write(dir, 3); err != nil {
		t.Fatal(err)
	}
	read := func() map[string]string {
		out := map[string]string{}
		for _, name := range []string{"tenants/t0/prod.yaml", "tenants/t1/prod.yaml", "all/t1.yaml"} {
			b, err := os.ReadFile(dir + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(b)
		}
		return out
	}
	before := read()
	if err := tenants.Edit(dir, 1); err != nil {
		t.Fatal(err)
	}
	edited := read()
	load(t, dir)
	for name := range before {
		if changed := edited[name] != before[name]; changed != (name == "tenants/t1/prod.yaml") {
			t.Errorf("%s changed: %t", name, changed)
		}
	}
	if err := tenants.Edit(dir, 1); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, read()); d != "" {
		t.Errorf("after a second edit (-before +after):\n%s", d)
	}
}

func TestErrorsNameTheTenant(t *testing.T) {
	if err := tenants.Edit(t.TempDir(), 7); err == nil {
		t.Error("an edit of no tenant gave no error")
	}
}
