//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sampleText is an endpoints file with one line an entry, so that several can be
// joined.
type sampleText struct {
	endpointLines, outsideLines []string
}

func readSampleText(t *testing.T, file string) (s sampleText) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var section *[]string
	for line := range strings.Lines(string(text)) {
		switch {
		case line == "endpoints:\n":
			section = &s.endpointLines
		case line == "outside:\n":
			section = &s.outsideLines
		case strings.HasPrefix(line, "  - {name: "):
			*section = append(*section, line)
		}
	}
	return s
}

func (s sampleText) endpoints() int { return len(s.endpointLines) }

func (s sampleText) outsideNames() (names []string) {
	for _, line := range s.outsideLines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "  - {name: "), ",")
		names = append(names, name)
	}
	return names
}

// joinSamples is the endpoints file of all organisations.
func joinSamples(orgs []organisation) string {
	var endpoints, outside strings.Builder
	for _, o := range orgs {
		endpoints.WriteString(strings.Join(o.sample.endpointLines, ""))
		outside.WriteString(strings.Join(o.sample.outsideLines, ""))
	}
	return "endpoints:\n" + endpoints.String() + "outside:\n" + outside.String() + "ports: [tcp/80]\n"
}

// fixedOrganisations are those in testdata/orgs.
func fixedOrganisations(t *testing.T) (orgs []organisation) {
	t.Helper()
	files, err := filepath.Glob("testdata/orgs/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("organisations in testdata/orgs: %v, %v; want 5 at least", files, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		orgs = append(orgs, organisation{name, f, readSampleText(t, f)})
	}
	return orgs
}

// randomOrganisation writes two tenants into specs, and their endpoints file
// into dir, all made from the seed.
func randomOrganisation(t *testing.T, dir, specs string) organisation {
	t.Helper()
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("random organisation: repeat it by -seed %d", n)
	g := generator{rand.New(rand.NewPCG(n, n))}
	writeFile(t, filepath.Join(specs, "random.yaml"), g.tenants())
	for i, tenant := range randomTenants {
		writeFile(t, filepath.Join(specs, "tenants", tenant, "all.yaml"), g.tenant(i))
	}
	file := filepath.Join(dir, "random.yaml")
	writeFile(t, file, g.sample())
	return organisation{"random", file, readSampleText(t, file)}
}

// randomTenants have the VPCs x and y each, of subnets s and t.
var (
	randomTenants = [2]string{"ran", "dom"}
	randomVPCs    = [4]string{"ran/x", "ran/y", "dom/x", "dom/y"}
	randomGroups  = [4]string{"g0", "g1", "g2", "g3"} // the first two are claimed, the others have members
)

// generator makes a valid organisation of whatever its randomness says.
type generator struct{ *rand.Rand }

func (g generator) pick(list ...string) string { return list[g.IntN(len(list))] }

// often reports true in that many of 100 cases.
func (g generator) often(percent int) bool { return g.IntN(100) < percent }

func (g generator) tenants() string {
	text := ""
	for _, t := range randomTenants {
		text += object("Tenant", "name: "+t, `  hosts: ["*"]`)
	}
	return text
}

func object(kind, metadata string, lines ...string) string {
	return fmt.Sprintf("---\napiVersion: daoli.net/v1\nkind: %s\nmetadata: {%s}\nspec:\n%s\n", kind, metadata, strings.Join(lines, "\n"))
}

// tenant is the file of tenant i.
func (g generator) tenant(i int) string {
	tenant, other := randomTenants[i], randomTenants[1-i]
	text := ""
	for v, vpc := range []string{"x", "y"} {
		text += g.vpc(tenant, vpc, 2*i+v)
		for _, name := range randomGroups {
			text += g.group(tenant, vpc, name)
		}
		for l := range 2 {
			text += g.link(tenant, vpc, fmt.Sprintf("l%d", l))
		}
	}
	for n, pair := range []string{tenant + "/x, " + tenant + "/y", tenant + "/x, " + other + "/x", other + "/y, " + tenant + "/x"} {
		if g.often(85) {
			text += object("Peering", fmt.Sprintf("name: p%d, tenant: %s", n, tenant), "  vpcs: ["+pair+"]")
		}
	}
	return text
}

func (g generator) vpc(tenant, name string, number int) string {
	lines := []string{
		fmt.Sprintf("  subnets: [{name: s, cidr: 10.%d.0.0/24}, {name: t, cidr: 10.%d.1.0/24}]", 60+number, 60+number),
		"  default: " + g.pick("same-subnet", "same-subnet", "same-vpc", "same-vpc", "deny"),
	}
	if g.often(50) {
		lines = append(lines, "  egress: {default: "+g.pick("allow", "deny")+"}")
	}
	return object("VPC", "name: "+name+", tenant: "+tenant, lines...)
}

func (g generator) group(tenant, vpc, name string) string {
	var lines []string
	if name >= "g2" {
		lines = append(lines, "  members: "+g.pick("{subnets: [s]}", "{all: true}", "{labels: {role: a}}",
			"{labels: {role: b, tier: c}}", "{subnets: [t], labels: {role: b}}", "{endpoints: [r0, r3, r5, r9]}"))
	}
	for _, section := range []string{"ingress", "egress"} {
		switch k := g.IntN(10); {
		case k < 5 && section == "ingress" || k < 2:
			lines = append(lines, "  "+section+":")
			for range 1 + g.IntN(4) {
				lines = append(lines, "    - "+g.rule(section))
			}
		case k == 9 && g.often(30):
			lines = append(lines, "  "+section+": []")
		}
	}
	if len(lines) == 0 {
		lines = []string{"  {}"}
	}
	return object("SecurityGroup", "name: "+name+", tenant: "+tenant+", vpc: "+vpc, lines...)
}

func (g generator) rule(section string) string {
	parts := []string{"action: " + g.pick("allow", "allow", "allow", "allow", "allow", "allow", "deny", "reject")}
	if g.often(75) {
		var peers []string
		for range 1 + g.IntN(2) {
			peers = append(peers, g.peer())
		}
		key := map[string]string{"ingress": "from", "egress": "to"}[section]
		parts = append(parts, key+": ["+strings.Join(peers, ", ")+"]")
	}
	if g.often(70) {
		parts = append(parts, "ports: ["+g.pick("tcp", "tcp/70-80", "tcp/80", "udp", "udp/53, icmp", "icmp/echo", "icmp/13, udp/54", "tcp/81, udp/53", "sctp")+"]")
	}
	if g.often(20) {
		parts = append(parts, "until: "+g.pick("2020-02-02T00:00:00Z", "2098-01-01T00:00:00+02:00"))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (g generator) peer() string {
	what := g.pick("any: true", "any: true", "cidr: 0.0.0.0/0", "cidr: 203.0.113.0/24, except: [203.0.113.128/25]", "vpc", "vpc", "select", "select", "select")
	vpc := randomVPCs[g.IntN(len(randomVPCs))]
	switch what {
	case "vpc":
		return "{vpc: " + vpc + "}"
	case "select":
		selector := g.pick("group: g0", "group: g1", "group: g2", "group: g3", "subnet: s", "subnet: t", "labels: {role: a}", "labels: {role: b}", "labels: {tier: c}")
		if g.often(50) {
			selector += ", vpc: " + vpc
		}
		return "{" + selector + "}"
	}
	return "{" + what + "}"
}

func (g generator) link(tenant, vpc, name string) string {
	end := func() string {
		e := g.pick("group: g0", "group: g1", "group: g2", fmt.Sprintf("endpoint: r%d", g.IntN(10)))
		if g.often(40) {
			e += ", vpc: " + randomVPCs[g.IntN(len(randomVPCs))]
		}
		return "{" + e + "}"
	}
	return object("Link", "name: "+name+", tenant: "+tenant+", vpc: "+vpc,
		"  action: "+g.pick("connect", "connect", "connect", "disconnect"), "  between: ["+end()+", "+end()+"]")
}

// sample has ten endpoints, more in the VPCs x than in y.
func (g generator) sample() string {
	text := "endpoints:\n"
	for i := range 10 {
		vpc := []int{0, 0, 0, 0, 2, 2, 2, 1, 1, 3}[i]
		tenant, name, _ := strings.Cut(randomVPCs[vpc], "/")
		k := g.IntN(2)
		text += fmt.Sprintf("  - {name: r%d, tenant: %s, vpc: %s, subnet: %s, ip: 10.%d.%d.%d", i, tenant, name, []string{"s", "t"}[k], 60+vpc, k, 10+i)
		if g.often(60) {
			text += ", groups: [" + g.pick("g0", "g1", "g0, g1", "g2") + "]"
		}
		if g.often(60) {
			text += ", labels: {role: " + g.pick("a", "b") + ", tier: " + g.pick("c", "d") + "}"
		}
		text += fmt.Sprintf(", host: %d}\n", 1+g.IntN(3))
	}
	return text + "outside:\n  - {name: rin, ip: 203.0.113.33}\n  - {name: rout, ip: 203.0.113.222}\n" +
		"ports: [tcp/80, udp/53, icmp/echo]\n"
}
