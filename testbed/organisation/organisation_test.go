package organisation_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/organisation"
)

func TestOrganisationsAreValid(t *testing.T) {
	for seed := range uint64(200) {
		g := organisation.New(seed)
		specs := fstest.MapFS{}
		for name, text := range g.Specs() {
			specs[name] = &fstest.MapFile{Data: []byte(text)}
		}
		net, problems := spec.Load(specs)
		sample, more := spec.LoadSample("sample.yaml", []byte(g.Sample()), net)
		for _, p := range append(problems, more...) {
			if !p.Warning {
				t.Errorf("seed %d: %s", seed, p)
			}
		}
		if sample == nil || len(sample.Endpoints) != organisation.Endpoints || len(sample.Ports) != 3 {
			t.Errorf("seed %d: sample %+v; want %d endpoints and 3 ports", seed, sample, organisation.Endpoints)
		}
	}
}

func TestASeedMakesOneOrganisation(t *testing.T) {
	a, b, c := organisation.New(7), organisation.New(7), organisation.New(8)
	specs, sample := a.Specs(), a.Sample()
	if d := cmp.Diff(specs, b.Specs()) + cmp.Diff(sample, b.Sample()); d != "" {
		t.Errorf("one seed makes two organisations:\n%s", d)
	}
	if cmp.Equal(specs, c.Specs()) {
		t.Error("two seeds make one organisation")
	}
}
