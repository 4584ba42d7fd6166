package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// largeTree is a tree within the limits.
type largeTree struct {
	name      string
	make      func(t *testing.T, dir string)
	mayRefuse bool // by a limit of another kind
}

// writer fills files of up to 1 MiB with documents.
type writer struct {
	t   *testing.T
	dir string
	b   strings.Builder
	n   int
}

func (w *writer) add(document string) {
	if w.b.Len()+len(document)+4 > spec.MaxFileBytes {
		w.flush()
	}
	if w.b.Len() > 0 {
		w.b.WriteString("---\n")
	}
	w.b.WriteString(document)
}

func (w *writer) flush() {
	write(w.t, filepath.Join(w.dir, fmt.Sprintf("x%04d.yaml", w.n)), []byte(w.b.String()))
	w.b.Reset()
	w.n++
}

// many returns a function that writes base and n documents.
func many(n int, document func(i int) string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		w := &writer{t: t, dir: dir}
		w.add(base)
		for i := range n {
			w.add(document(i))
		}
		w.flush()
	}
}

func largeTrees() []largeTree {
	scoped := func(i int) string { return fmt.Sprintf("name: x%d, tenant: acme, vpc: prod", i) }
	const subject = "{subnet: web, vpc: acme/prod}"
	return []largeTree{
		{"links to directories, which nobody follows", looped, false},
		{"10,000 files", func(t *testing.T, dir string) { files(spec.MaxFiles, "")(t, dir) }, false},
		{"64 MiB", func(t *testing.T, dir string) { files(64, "x")(t, dir) }, false},
		{"200,000 ports in 20 rules", func(t *testing.T, dir string) {
			many(20, func(i int) string {
				return group(fmt.Sprintf("g%d", i), "{ingress: [{ports: ["+ports(spec.MaxEntries)+"]}]}")
			})(t, dir)
		}, false},
		{"10,000 different ports a rule, as many rules as fit", many(100, func(i int) string {
			return group(fmt.Sprintf("g%d", i), "{ingress: [{ports: ["+ports(spec.MaxEntries)+"]}]}")
		}), true},
		{"100,000 rules of 1,000 groups", many(1000, func(i int) string {
			return group(fmt.Sprintf("g%d", i), "{ingress: ["+strings.Repeat(fmt.Sprintf("{from: [{subnet: web}], ports: [tcp/%d]},", i+1), 100)+"]}")
		}), true},
		{"empty rules", many(20, func(i int) string {
			return group(fmt.Sprintf("g%d", i), "{ingress: ["+strings.Repeat("{},", 10_000)+"]}")
		}), true},
		{"Tenants", many(60_000, func(i int) string { return tenant(fmt.Sprintf("t%d", i), "{}") }), true},
		{"Tenants that listen", many(20_000, func(i int) string {
			return tenant(fmt.Sprintf("t%d", i), fmt.Sprintf("{listen: {hosts: [h%d], ports: [tcp]}}", i))
		}), true},
		{"Tenants that listen everywhere", many(20_000, func(i int) string {
			return tenant(fmt.Sprintf("t%d", i), fmt.Sprintf(`{listen: {hosts: ["*"], ports: [tcp/%d]}}`, i+1))
		}), true},
		{"a Tenant with 10,000 globs and another with as many", many(2, func(i int) string {
			var hosts strings.Builder
			for j := range 10_000 {
				fmt.Fprintf(&hosts, "\"*%d-%d*\",", i, j)
			}
			return tenant(fmt.Sprintf("t%d", i), fmt.Sprintf("{listen: {hosts: [%s], ports: [tcp/%d]}}", hosts.String(), i+1))
		}), true},
		{"Links", many(60_000, func(i int) string {
			return object("Link", scoped(i), fmt.Sprintf("{action: connect, between: [{endpoint: a%d}, {endpoint: b%d}]}", i, i))
		}), true},
		{"Links of one endpoint", many(60_000, func(i int) string {
			return object("Link", scoped(i), fmt.Sprintf("{action: disconnect, between: [{endpoint: a}, {endpoint: b%d}]}", i))
		}), true},
		{"Ingresses", many(40_000, func(i int) string {
			if i == 0 {
				return tenant("t", `{listen: {hosts: ["*"], ports: [tcp]}}`)
			}
			return object("Ingress", scoped(i), fmt.Sprintf(`{hosts: [h%d], ports: [{listen: tcp/%d}], to: {endpoint: e%d}}`, i, i%60_000+1, i))
		}), true},
		{"Ingresses within listen", listening(30_000), true},
		{"VPCs and Peerings of a ring", peered(12_000, func(i int) (int, int) { return i, (i + 1) % 12_000 }), true},
		{"Peerings of one VPC", peered(12_000, func(i int) (int, int) { return 0, i + 1 }), true},
		{"Assertions", many(40_000, func(i int) string {
			return object("Assertion", fmt.Sprintf("name: x%d, tenant: acme", i), "{never: {from: "+subject+", to: "+subject+", port: udp/1}}")
		}), true},
		{"Assertions over all ports", func(t *testing.T, dir string) {
			w := &writer{t: t, dir: dir}
			w.add(base)
			for i := range 50 {
				w.add(group(fmt.Sprintf("g%d", i), "{ingress: [{from: [{subnet: db}], ports: ["+ports(1000)+"]}]}"))
			}
			for i := range 1000 {
				w.add(object("Assertion", fmt.Sprintf("name: x%d, tenant: acme", i), "{never: {from: "+subject+", to: {vpc: acme/prod}}}"))
			}
			w.flush()
		}, true},
		{"an Assertion over many subnets, groups and labels", func(t *testing.T, dir string) {
			var subnets strings.Builder
			for i := range 5000 {
				fmt.Fprintf(&subnets, "{name: s%d, cidr: 10.%d.%d.0/24},", i, i/256, i%256)
			}
			w := &writer{t: t, dir: dir}
			w.add(tenant("acme", "{}"))
			w.add(object("VPC", "name: prod, tenant: acme", "{subnets: ["+subnets.String()+"]}"))
			for i := range 5000 {
				w.add(group(fmt.Sprintf("g%d", i), fmt.Sprintf("{ingress: [{from: [{labels: {a: b%d}}]}]}", i)))
			}
			w.add(object("Assertion", "name: x, tenant: acme", "{never: {from: {vpc: acme/prod}, to: {vpc: acme/prod}}}"))
			w.flush()
		}, true},
		{"Assertions that hold", many(40_000, func(i int) string {
			return object("Assertion", fmt.Sprintf("name: x%d, tenant: acme", i), "{never: {from: "+subject+", to: {subnet: db, vpc: acme/prod}, port: udp/1}}")
		}), true},
		{"groups of every endpoint", many(50_000, func(i int) string { return group(fmt.Sprintf("g%d", i), "{members: {all: true}, ingress: [{}]}") }), true},
		{"peers by label, all different", many(15, func(i int) string {
			var rules strings.Builder
			for j := range 10_000 {
				fmt.Fprintf(&rules, "{from: [{labels: {a%d: b%d}}]},", i, j)
			}
			return group(fmt.Sprintf("g%d", i), "{ingress: ["+rules.String()+"]}")
		}), true},
		{"Services", many(20_000, func(i int) string {
			return object("Service", scoped(i), fmt.Sprintf("{vip: 10.1.0.%d, ports: [{listen: tcp/%d}], backends: {subnet: db}}", i%200+1, i/200+1))
		}), true},
		{"subnets that overlap", many(1, func(int) string {
			var subnets strings.Builder
			for i := range 9999 {
				fmt.Fprintf(&subnets, "{name: s%d, cidr: 10.0.0.0/%d},", i, 8+i%2)
			}
			return object("VPC", "name: v, tenant: acme", "{subnets: ["+subnets.String()+"]}")
		}), true},
	}
}

// looped writes a tree with directories that lead to themselves.
func looped(t *testing.T, dir string) {
	write(t, filepath.Join(dir, "base.yaml"), []byte(base))
	for _, name := range []string{"loop", "tenants"} {
		if err := os.Symlink(".", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// listening returns a function that writes a tenant and n Ingresses on its hosts.
func listening(n int) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		w := &writer{t: t, dir: dir}
		w.add(strings.Replace(base, `{hosts: ["*"]}`, `{hosts: ["*"], listen: {hosts: ["*"], ports: [tcp]}}`, 1))
		for i := range n {
			w.add(object("Ingress", fmt.Sprintf("name: x%d, tenant: acme, vpc: prod", i),
				fmt.Sprintf(`{hosts: ["h*"], ports: [{listen: tcp/%d}], to: {endpoint: e%d}}`, i+1, i)))
		}
		w.flush()
	}
}

// peered returns a function that writes n+1 VPCs and n Peerings of the pairs.
func peered(n int, pair func(i int) (a, b int)) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		w := &writer{t: t, dir: dir}
		w.add(tenant("acme", "{}"))
		for i := range n + 1 {
			w.add(object("VPC", fmt.Sprintf("name: v%d, tenant: acme", i), fmt.Sprintf("{subnets: [{name: s, cidr: 10.%d.%d.0/24}]}", i/256, i%256)))
		}
		for i := range n {
			a, b := pair(i)
			w.add(object("Peering", fmt.Sprintf("name: p%d, tenant: acme", i), fmt.Sprintf("{vpcs: [acme/v%d, acme/v%d]}", a, b)))
		}
		w.flush()
	}
}

// ports returns n different ports with commas behind them.
func ports(n int) string {
	protocols := []string{"tcp", "udp", "sctp"}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s/%d,", protocols[i/65535%3], i%65535+1)
	}
	return b.String()
}
