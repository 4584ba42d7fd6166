package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/policies"
	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/world"
)

// TestLoaderLoadsWhatLoadLoads takes specs and policies through edits, and
// compares what a Loader makes of each with what Load makes, which knows nothing
// of the others: what OPA sees, what it decides, and what is wrong.
func TestLoaderLoadsWhatLoadLoads(t *testing.T) {
	system, err := policies.FS.ReadFile("system/admission.rego")
	if err != nil {
		t.Fatal(err)
	}
	const answer = `{"verdict": "allow", "reason": "MINE", "rule": "me", "at": "mine.rego:3", "log": true, "ends": []}`
	mine := func(reason string) string {
		return "package daoli.admission\n\ndecision := " + strings.Replace(answer, "MINE", reason, 1) + "\n"
	}
	files := map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}
	modules := map[string]string{}
	promise := strings.Replace(assertionYAML, "tcp/514", "tcp/22", 1)
	edits := []struct {
		name string
		edit func()
	}{
		{"nothing", func() {}},
		{"nothing again", func() {}},
		{"a rule", func() { files["globex.yaml"] = strings.Replace(globexYAML, "514", "515", 1) + peeringYAML }},
		{"a rule's name of a VPC", func() {
			files["globex.yaml"] = strings.Replace(globexYAML, "acme/prod", "acme/nosuch", 1) + peeringYAML
		}},
		{"a mistake", func() { files["acme.yaml"] = "kind: VPC\n" }},
		{"the mistake's repair", func() { files["acme.yaml"], files["globex.yaml"] = acmeYAML, globexYAML+peeringYAML }},
		{"a promise that is kept", func() { files["promise.yaml"] = promise }},
		{"one's own policy, that breaks it", func() { modules["system/admission.rego"] = mine("first") }},
		{"the promise gone", func() { delete(files, "promise.yaml") }},
		{"the policy, and its size stays", func() { modules["system/admission.rego"] = mine("other") }},
		{"the policy and a rule", func() {
			modules["system/admission.rego"] = mine("first")
			files["globex.yaml"] = strings.Replace(globexYAML, "514", "516", 1) + peeringYAML
		}},
		{"a policy that is none", func() { modules["system/admission.rego"] = "package" }},
		{"the repository's policy", func() { modules["system/admission.rego"] = string(system) }},
		{"the embedded one", func() { delete(modules, "system/admission.rego") }},
		{"a file's name", func() { files["g.yaml"] = files["globex.yaml"]; delete(files, "globex.yaml") }},
	}
	var loader Loader
	seen := map[string]bool{}
	for _, e := range edits {
		e.edit()
		r := revision(files)
		if len(modules) > 0 {
			tree := fstest.MapFS{}
			for name, text := range modules {
				tree[name] = &fstest.MapFile{Data: []byte(text)}
			}
			r.Policies = tree
		}
		want := outcome(t)(Load(world.Start, r, nil))
		got := outcome(t)(loader.Load(world.Start, r, nil))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after an edit of %s (-Load +Loader):\n%s", e.name, diff)
		}
		seen[strings.Join(want, "\n")] = true
	}
	if want := len(edits) - 4; len(seen) != want {
		t.Errorf("%d of the edits have an outcome of their own; want %d", len(seen), want)
	}
}

// outcome returns a function that writes down what a revision came to, with what
// it decides of web1 and log1.
func outcome(t *testing.T) func(*Loaded, []string) []string {
	return func(l *Loaded, errs []string) []string {
		if l.Policy == nil {
			return slices.Concat([]string{"refused"}, errs, lines(l.Warnings))
		}
		data, err := l.Policy.Data()
		if err != nil {
			t.Fatal(err)
		}
		log1 := world.Endpoint("globex", "log1", "log", "10.2.0.2", 17)
		log1.VPC = "shared"
		reports := []inventory.EndpointReport{world.Endpoint("acme", "web1", "web", "10.1.0.2", 16), log1}
		snap, _ := inventory.Imagine(inventory.NewInterner(), l.Policy.Network(), reports)
		client := snap.EndpointByAddr("acme/prod", reports[0].IP)
		server := snap.EndpointByAddr("globex/shared", log1.IP)
		decision := admission.Between(l.Policy, world.Start, client, server, packet.TCP, 514)
		return append(lines(l.Warnings), fmt.Sprintf("%+v", decision), string(data))
	}
}
