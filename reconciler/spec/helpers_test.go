package spec_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// base is a tree that is right, and that the tests' own files lean on.
const base = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"], listen: {hosts: ["edge-*", edge-1, "b-*"], ports: [tcp/443, tcp/20000-20999, udp]}}
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: globex}
spec: {}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: dev, tenant: acme}
spec: {subnets: [{name: all, cidr: 10.1.0.0/16}]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: shared, tenant: globex}
spec: {subnets: [{name: dns, cidr: 10.9.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: tools, tenant: acme, vpc: dev}
spec: {}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: dns, tenant: globex, vpc: shared}
spec: {}
---
apiVersion: daoli.net/v1
kind: Gateway
metadata: {name: edge}
spec: {hosts: ["edge-*"]}
---
apiVersion: daoli.net/v1
kind: Gateway
metadata: {name: far}
spec: {hosts: ["edge-*", far-1]}
`

// tree returns the file system of files given as path, content, path, content.
func tree(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

// tenant, vpc and group return an object whose spec, in line 4, is given.
func tenant(spec string) string {
	return "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: t}\nspec: " + spec + "\n"
}

func vpc(spec string) string {
	return "apiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: v, tenant: acme}\nspec: " + spec + "\n"
}

func group(spec string) string {
	return "apiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: g, tenant: acme, vpc: prod}\nspec: " + spec + "\n"
}

// rule returns a group with one ingress rule, in line 4.
func rule(rule string) string { return group("{ingress: [" + rule + "]}") }

// peer returns a group with one ingress rule that has one peer, in line 4.
func peer(peer string) string { return rule("{from: [" + peer + "]}") }

// withSubnets returns a VPC with a subnet and what else its spec has, in line 4.
func withSubnets(rest string) string {
	return vpc("{subnets: [{name: s, cidr: 10.0.0.0/24}], " + rest + "}")
}

// object returns an object of a kind of tenant acme whose spec, in line 4, is given.
func object(kind, metadata, spec string) string {
	return "apiVersion: daoli.net/v1\nkind: " + kind + "\nmetadata: {" + metadata + "}\nspec: " + spec + "\n"
}

func peering(spec string) string { return object("Peering", "name: x, tenant: acme", spec) }
func link(spec string) string    { return object("Link", "name: x, tenant: acme, vpc: prod", spec) }
func ingress(spec string) string { return object("Ingress", "name: x, tenant: acme, vpc: prod", spec) }
func service(spec string) string { return object("Service", "name: x, tenant: acme, vpc: prod", spec) }
func gateway(spec string) string { return object("Gateway", "name: x", spec) }
func site(spec string) string    { return object("Site", "name: x", spec) }
func assertion(spec string) string {
	return object("Assertion", "name: x, tenant: acme", spec)
}

// lines returns problems as they are printed.
func lines(problems []spec.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

// load returns the network of a tree that must have no problem.
func load(t *testing.T, files ...string) *spec.Network {
	t.Helper()
	net, problems := spec.Load(tree(files...))
	if net == nil || len(problems) > 0 {
		t.Fatalf("Load refuses the tree:\n%s", lines(problems))
	}
	return net
}
