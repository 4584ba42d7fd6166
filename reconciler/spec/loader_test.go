package spec_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// TestLoaderSaysWhatLoadSays takes one tree through edits and compares what a
// Loader says of each with what Load says, which knows nothing of the others.
func TestLoaderSaysWhatLoadSays(t *testing.T) {
	const other = "tenants/globex/net.yaml"
	own := func(subnets ...string) string {
		for i, name := range subnets {
			subnets[i] = fmt.Sprintf("{name: %s, cidr: 10.8.%d.0/24}", name, i)
		}
		return object("VPC", "name: own, tenant: acme", "{subnets: ["+strings.Join(subnets, ", ")+"]}")
	}
	const ofOwn = "name: g, tenant: acme, vpc: own"
	names := object("Peering", "name: own, tenant: acme", "{vpcs: [acme/own, acme/prod]}") + "---\n" + object("SecurityGroup", ofOwn, `
  ingress:
    - from: [{subnet: b}]
    - from: [{subnet: a}, {subnet: c}, {subnet: b}]
    - from: [{subnet: c}, {group: g}]
    - from: [{subnet: web, vpc: acme/prod}, {subnet: web}, {subnet: g}]
`)
	away := object("SecurityGroup", strings.Replace(ofOwn, "g", "h", 1), "{ingress: [{from: [{vpc: acme/prod}]}]}") + "---\n" +
		object("SecurityGroup", "name: h, tenant: acme, vpc: dev", "{ingress: [{from: [{vpc: acme/prod}]}]}")
	stranger := bytes.ReplaceAll([]byte(base), []byte("acme"), []byte("globex"))
	fsys := tree("base.yaml", base, "x.yaml", rule("{from: [{subnet: web}]}"), "y.yaml", peering("{vpcs: [acme/prod, globex/x]}"),
		"own.yaml", own("a", "b", "c", "g", "web"), "names.yaml", names, "away.yaml", away)
	edits := []struct {
		name string
		edit func()
	}{
		{"the tree", func() {}},
		{"nothing", func() {}},
		{"a rule", func() { fsys["x.yaml"] = &fstest.MapFile{Data: []byte(rule("{from: [{subnet: db}]}"))} }},
		{"a rule, and its size stays", func() { fsys["x.yaml"] = &fstest.MapFile{Data: []byte(rule("{from: [{any:  true}]}"))} }},
		{"names that a file has in many places", func() { fsys["own.yaml"] = &fstest.MapFile{Data: []byte(own("a", "g", "web"))} }},
		{"one of them back", func() { fsys["own.yaml"] = &fstest.MapFile{Data: []byte(own("a", "b", "g", "web"))} }},
		{"a name that is a group's too", func() { fsys["own.yaml"] = &fstest.MapFile{Data: []byte(own("a", "b", "c", "web"))} }},
		{"a name that is in another VPC too", func() { fsys["own.yaml"] = &fstest.MapFile{Data: []byte(own("a", "b", "c", "g"))} }},
		{"all back", func() { fsys["own.yaml"] = &fstest.MapFile{Data: []byte(own("a", "b", "c", "g", "web"))} }},
		{"a mistake", func() { fsys["x.yaml"] = &fstest.MapFile{Data: []byte(rule("{from: [{subnet: nosuch}]}"))} }},
		{"no YAML", func() { fsys["x.yaml"] = &fstest.MapFile{Data: []byte("a: [")} }},
		{"a warning", func() { fsys["x.yaml"] = &fstest.MapFile{Data: []byte(rule("{from: [{vpc: globex/x}]}"))} }},
		{"a file more", func() { fsys[other] = &fstest.MapFile{Data: stranger} }},
		{"a Peering less", func() { delete(fsys, "y.yaml") }},
		{"the Peering again", func() { fsys["y.yaml"] = &fstest.MapFile{Data: []byte(peering("{vpcs: [globex/x, acme/prod]}"))} }},
		{"what all rests on", func() { delete(fsys, "base.yaml") }},
		{"and back", func() { fsys["base.yaml"] = &fstest.MapFile{Data: []byte(base)}; delete(fsys, other) }},
	}
	var loader spec.Loader
	accepted := 0
	for _, e := range edits {
		e.edit()
		want, wantProblems := spec.Load(fsys)
		got, problems := loader.Load(fsys)
		if diff := cmp.Diff(wantProblems, problems); diff != "" {
			t.Errorf("after %s the Loader says another thing (-Load +Loader):\n%s", e.name, diff)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("after %s the Loader gives another network (-Load +Loader):\n%s", e.name, diff)
		}
		if got != nil {
			accepted++
		}
	}
	if accepted < 4 || accepted == len(edits) {
		t.Errorf("%d of %d trees were accepted; want some and not all", accepted, len(edits))
	}
}

// TestLoaderKeepsWhatIsUnchanged has the objects of a file that nobody touched
// be the same, and those of an earlier Network stay as they were.
func TestLoaderKeepsWhatIsUnchanged(t *testing.T) {
	fsys := tree("base.yaml", base, "x.yaml", rule("{from: [{subnet: web}]}"), "y.yaml", peering("{vpcs: [acme/prod, globex/x]}"))
	var loader spec.Loader
	first, problems := loader.Load(fsys)
	if first == nil {
		t.Fatal(lines(problems))
	}
	fsys["x.yaml"] = &fstest.MapFile{Data: []byte(rule("{from: [{subnet: db}]}"))}
	delete(fsys, "base.yaml")
	if net, _ := loader.Load(fsys); net != nil {
		t.Fatal("a tree without its VPCs was accepted")
	}
	fsys["base.yaml"] = &fstest.MapFile{Data: []byte(base)}
	second, problems := loader.Load(fsys)
	if second == nil {
		t.Fatal(lines(problems))
	}
	third, _ := loader.Load(fsys)
	if second.VPCs["acme/prod"] != third.VPCs["acme/prod"] || second.Groups["acme/prod"]["g"] != third.Groups["acme/prod"]["g"] {
		t.Error("an object of an unchanged file is another one in the next network")
	}
	if first.Groups["acme/prod"]["g"] == second.Groups["acme/prod"]["g"] {
		t.Error("the group of a changed file is the same as before")
	}
	if first.Peerings[0] == second.Peerings[0] {
		t.Error("two networks share a Peering, which each says of whether it is in force")
	}
}
