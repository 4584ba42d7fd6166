package spec_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/daolinet/daolinet/reconciler/spec"
)

var update = flag.Bool("update", false, "rewrite specs/schema.json")

// TestSchemaIsPublished compares specs/schema.json with Schema.
func TestSchemaIsPublished(t *testing.T) {
	const file = "../../specs/schema.json"
	want := spec.Schema()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what Schema() gives; run `make generate`", file)
	}
}

// schemaBase is what the documents of schemaCorpus lean on.
const schemaBase = `
--- {apiVersion: daoli.net/v1, kind: Tenant, metadata: {name: acme}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: Tenant, metadata: {name: globex}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: Tenant, metadata: {name: listener}, spec: {listen: {hosts: ["*"], ports: [tcp, udp]}}}
--- {apiVersion: daoli.net/v1, kind: VPC, metadata: {name: prod, tenant: acme}, spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}}
--- {apiVersion: daoli.net/v1, kind: VPC, metadata: {name: dev, tenant: acme}, spec: {subnets: [{name: all, cidr: 10.2.0.0/16}]}}
--- {apiVersion: daoli.net/v1, kind: VPC, metadata: {name: shared, tenant: globex}, spec: {subnets: [{name: dns, cidr: 10.9.0.0/24}]}}
--- {apiVersion: daoli.net/v1, kind: VPC, metadata: {name: v, tenant: listener}, spec: {subnets: [{name: a, cidr: 10.1.0.0/24}]}}
--- {apiVersion: daoli.net/v1, kind: SecurityGroup, metadata: {name: web, tenant: acme, vpc: prod}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: SecurityGroup, metadata: {name: tools, tenant: acme, vpc: dev}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: SecurityGroup, metadata: {name: tools, tenant: acme, vpc: prod}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: SecurityGroup, metadata: {name: g, tenant: listener, vpc: v}, spec: {}}
--- {apiVersion: daoli.net/v1, kind: Gateway, metadata: {name: edge}, spec: {hosts: [e]}}
`

// schemaCorpus are documents that use every key there is, by kind and spec.
var schemaCorpus = []struct{ kind, metadata, spec string }{
	{"Tenant", "{name: t}", `{}`},
	{"Tenant", "{name: t}", `{hosts: ["t-*", a], quota: {endpoints: 500, sessions: 20000, newSessionsPerSecond: 500}, listen: {hosts: ["t-*"], ports: [sctp, sctp/443, sctp/20000-20999]}}`},
	{"VPC", "{name: x, tenant: acme}", `{subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}], default: same-vpc, egress: {via: edge, default: allow}, sessions: {tcp: service, udp: connection, idle: 2h4m}}`},
	{"VPC", "{name: x, tenant: acme}", `{subnets: [{name: web, cidr: 10.1.0.0/24}], egress: {}, sessions: {idle: 60s}}`},
	{"SecurityGroup", "{name: x, tenant: acme, vpc: prod}", `{members: {subnets: [db], labels: {tier: data}, endpoints: [db1]}, ingress: [], egress: []}`},
	{"SecurityGroup", "{name: x, tenant: acme, vpc: prod}", `{members: {all: true}, ingress: [{from: [{group: web}, {subnet: web}, {labels: {role: api}}, {vpc: acme/prod}, {any: true}, {cidr: 192.0.2.0/24, except: [192.0.2.0/25]}], ports: [tcp, udp/53, sctp/1-65535, icmp, icmp/echo, icmp/255], action: reject, log: true, until: "2026-12-24T18:00:00Z"}]}`},
	{"SecurityGroup", "{name: x, tenant: acme, vpc: prod}", `{egress: [{}, {to: [], ports: [], until: "2026-12-24t18:00:00.5+01:00"}, {to: [{group: web, vpc: acme/prod}, {subnet: db, vpc: acme/prod}, {labels: {a: ""}, vpc: acme/prod}]}]}`},
	{"Peering", "{name: x, tenant: acme}", `{vpcs: [acme/prod, globex/shared]}`},
	{"Link", "{name: x, tenant: acme, vpc: prod}", `{action: disconnect, between: [{endpoint: web1}, {group: web}]}`},
	{"Link", "{name: x, tenant: acme, vpc: prod}", `{action: connect, between: [{endpoint: web1, vpc: acme/prod}, {group: tools, vpc: acme/dev}]}`},
	{"Ingress", "{name: x, tenant: listener, vpc: v}", `{hosts: ["edge-*"], ports: [{listen: tcp/443, target: tcp/8443}, {listen: udp/1-2}], to: {endpoint: web1}, sources: [{cidr: 203.0.113.0/24, except: [203.0.113.7/32]}]}`},
	{"Ingress", "{name: x, tenant: listener, vpc: v}", `{gateway: edge, ports: [], to: {endpoint: web1}, sources: []}`},
	{"Service", "{name: x, tenant: listener, vpc: v}", `{vip: 10.1.0.200, ports: [{listen: tcp/80, target: tcp/8080}], backends: {group: g}, algorithm: source, check: {http: /healthz, every: 2s, fall: 3, rise: 2}}`},
	{"Service", "{name: x, tenant: listener, vpc: v}", `{hosts: [h], ports: [{listen: tcp/80}], backends: {labels: {a: b}, vpc: listener/v}, check: {tcp: true}, sources: [{cidr: 0.0.0.0/0}]}`},
	{"Service", "{name: x, tenant: listener, vpc: v}", `{gateway: edge, ports: [{listen: tcp/80}], backends: {vpc: listener/v}}`},
	{"Service", "{name: x, tenant: listener, vpc: v}", `{gateway: edge, ports: [{listen: tcp/80}], backends: {subnet: a}}`},
	{"Gateway", "{name: x}", `{hosts: [edge-1, edge-2]}`},
	{"Site", "{name: x}", `{hosts: ["b-*"], gateways: [{host: b-gw1, address: 198.51.100.7}], trusted: true}`},
	{"Assertion", "{name: x, tenant: acme}", `{never: {from: {group: web, vpc: acme/prod}, to: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}, port: tcp}}`},
	{"Assertion", "{name: x, tenant: acme}", `{from: {endpoint: web1, vpc: acme/prod}, to: {labels: {a: b}, vpc: acme/prod}, port: icmp/echo, expect: allow}`},
	{"Assertion", "{name: x, tenant: acme}", `{from: {subnet: web, vpc: acme/prod}, to: {any: true}, expect: deny}`},
	{"Assertion", "{name: x, tenant: acme}", `{from: {vpc: acme/prod}, to: {vpc: acme/dev}, expect: deny}`},
}

// TestSchemaAndLoadRefuseTheSame changes each value of each document of the
// corpus in all ways that the schema's words can tell, and asks both.
func TestSchemaAndLoadRefuseTheSame(t *testing.T) {
	root := decoded(t, spec.Schema())
	said, kinds := 0, map[string]bool{}
	for _, c := range schemaCorpus {
		kinds[c.kind] = true
		text := fmt.Sprintf("{apiVersion: daoli.net/v1, kind: %s, metadata: %s, spec: %s}", c.kind, c.metadata, c.spec)
		var doc any
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		compare(t, root, "as it is", doc)
		if problems := refusals(t, doc); problems != "" {
			t.Errorf("Load refuses the corpus' own %s:\n%s", text, problems)
		}
		mutate(doc, "", func(what string) {
			said++
			compare(t, root, what, doc)
		})
	}
	if len(kinds) != 10 || said < 1000 {
		t.Errorf("the corpus has %d kinds and %d mutations; want 10 and at least 1000", len(kinds), said)
	}
}

// compare asks both about doc, which was mutated as what says.
func compare(t *testing.T, root map[string]any, what string, doc any) {
	t.Helper()
	problems := refusals(t, doc)
	refused := refusal(t, root, root, doc)
	if (problems != "") != (refused != "") {
		t.Errorf("%s: Load says %q and the schema %q of\n%s", what, problems, refused, encoded(t, doc))
	}
}

// refusals returns the errors that Load has for a tree with doc.
func refusals(t *testing.T, doc any) string {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("Load panics with %v over\n%s", r, encoded(t, doc))
		}
	}()
	_, problems := spec.Load(tree("base.yaml", schemaBase, "x.yaml", encoded(t, doc)))
	return lines(slices.DeleteFunc(problems, func(p spec.Problem) bool { return p.Warning }))
}

// encoded returns doc as JSON, which YAML reads as it is.
func encoded(t *testing.T, doc any) string {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func decoded(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// mutate changes doc, one thing at a time, and calls f while it is changed.
func mutate(doc any, path string, f func(what string)) {
	switch v := doc.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			was, at := v[k], path+"."+k
			delete(v, k)
			f(at + " removed")
			v[k+"x"] = was
			f(at + " renamed")
			delete(v, k+"x")
			for _, other := range others(was) {
				v[k] = other
				f(fmt.Sprintf("%s is %v", at, other))
			}
			v[k] = was
			mutate(was, at, f)
		}
		v["extra"] = 1
		f(path + " with a key more")
		delete(v, "extra")
	case []any:
		for i, was := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			for _, other := range others(was) {
				v[i] = other
				f(fmt.Sprintf("%s is %v", at, other))
			}
			v[i] = was
			mutate(was, at, f)
		}
	}
}

// others are values of other types, and a string that is nothing anywhere.
func others(was any) []any {
	all := []any{nil, 7.5, -1, true, "No such thing!", map[string]any{}, map[string]any{"a": []any{}}, []any{map[string]any{}}, "", "a_b"}
	if list, is := was.([]any); is {
		return append(all, []any{}, append(slices.Clone(list), nil), append(slices.Clone(list), 7))
	}
	return all
}

// TestSchemaHasTheKeysThatLoadNames adds an unknown key to each mapping of the
// corpus, and compares the keys that Load offers instead with the schema's.
func TestSchemaHasTheKeysThatLoadNames(t *testing.T) {
	known := map[string]bool{}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if p, is := v["properties"].(map[string]any); is {
				for k := range p {
					known[k] = true
				}
			}
			for _, e := range v {
				collect(e)
			}
		case []any:
			for _, e := range v {
				collect(e)
			}
		}
	}
	collect(decoded(t, spec.Schema()))
	offered := map[string]bool{}
	keys := regexp.MustCompile(`its keys are (.*)`)
	for _, c := range schemaCorpus {
		var doc any
		text := fmt.Sprintf("{apiVersion: daoli.net/v1, kind: %s, metadata: %s, spec: %s}", c.kind, c.metadata, c.spec)
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		mutate(doc, "", func(what string) {
			if !strings.HasSuffix(what, "with a key more") {
				return
			}
			for _, m := range keys.FindAllStringSubmatch(refusals(t, doc), -1) {
				for k := range strings.SplitSeq(m[1], ", ") {
					offered[k] = true
				}
			}
		})
	}
	for k := range offered {
		if !known[k] {
			t.Errorf("Load has the key %q, the schema not", k)
		}
	}
	for k := range known {
		if !offered[k] {
			t.Errorf("the schema has the key %q, Load not", k)
		}
	}
}
