// Package organisation makes random organisations: tenants that may and may not
// talk, and the endpoints that they have, all from one seed. What they mean is
// for others to say; this package only writes YAML.
package organisation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
)

// The tenants have the VPCs x and y each, of subnets s and t.
var (
	tenants = [2]string{"ran", "dom"}
	vpcs    = [4]string{"ran/x", "ran/y", "dom/x", "dom/y"}
	groups  = [4]string{"g0", "g1", "g2", "g3"} // the first two are claimed, the others have members
)

// Generator makes valid organisations of whatever its randomness says.
type Generator struct{ *rand.Rand }

// New returns the generator of a seed.
func New(seed uint64) Generator { return Generator{rand.New(rand.NewPCG(seed, seed))} }

// Specs returns the specs of an organisation: texts by the files' paths.
func (g Generator) Specs() map[string]string {
	specs := map[string]string{"random.yaml": g.tenants()}
	for i, t := range tenants {
		specs["tenants/"+t+"/all.yaml"] = g.tenant(i)
	}
	return specs
}

func (g Generator) pick(list ...string) string { return list[g.IntN(len(list))] }

// often reports true in that many of 100 cases.
func (g Generator) often(percent int) bool { return g.IntN(100) < percent }

func (g Generator) tenants() string {
	text := ""
	for _, t := range tenants {
		text += Object("Tenant", "name: "+t, `  hosts: ["*"]`)
	}
	return text
}

// Object is one document of a file of specs, with the lines of its spec.
func Object(kind, metadata string, lines ...string) string {
	return fmt.Sprintf("---\napiVersion: daoli.net/v1\nkind: %s\nmetadata: {%s}\nspec:\n%s\n", kind, metadata, strings.Join(lines, "\n"))
}

// tenant is the file of tenant i.
func (g Generator) tenant(i int) string {
	tenant, other := tenants[i], tenants[1-i]
	text := ""
	for v, vpc := range []string{"x", "y"} {
		text += g.vpc(tenant, vpc, 2*i+v)
		for _, name := range groups {
			text += g.group(tenant, vpc, name)
		}
		for l := range 2 {
			text += g.link(tenant, vpc, fmt.Sprintf("l%d", l))
		}
	}
	for n, pair := range []string{tenant + "/x, " + tenant + "/y", tenant + "/x, " + other + "/x", other + "/y, " + tenant + "/x"} {
		if g.often(85) {
			text += Object("Peering", fmt.Sprintf("name: p%d, tenant: %s", n, tenant), "  vpcs: ["+pair+"]")
		}
	}
	return text
}

func (g Generator) vpc(tenant, name string, number int) string {
	lines := []string{
		fmt.Sprintf("  subnets: [{name: s, cidr: 10.%d.0.0/24}, {name: t, cidr: 10.%d.1.0/24}]", 60+number, 60+number),
		"  default: " + g.pick("same-subnet", "same-subnet", "same-vpc", "same-vpc", "deny"),
	}
	if g.often(50) {
		lines = append(lines, "  egress: {default: "+g.pick("allow", "deny")+"}")
	}
	return Object("VPC", "name: "+name+", tenant: "+tenant, lines...)
}

func (g Generator) group(tenant, vpc, name string) string {
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
	return Object("SecurityGroup", "name: "+name+", tenant: "+tenant+", vpc: "+vpc, lines...)
}

func (g Generator) rule(section string) string {
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

func (g Generator) peer() string {
	what := g.pick("any: true", "any: true", "cidr: 0.0.0.0/0", "cidr: 203.0.113.0/24, except: [203.0.113.128/25]", "vpc", "vpc", "select", "select", "select")
	vpc := vpcs[g.IntN(len(vpcs))]
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

func (g Generator) link(tenant, vpc, name string) string {
	end := func() string {
		e := g.pick("group: g0", "group: g1", "group: g2", fmt.Sprintf("endpoint: r%d", g.IntN(10)))
		if g.often(40) {
			e += ", vpc: " + vpcs[g.IntN(len(vpcs))]
		}
		return "{" + e + "}"
	}
	return Object("Link", "name: "+name+", tenant: "+tenant+", vpc: "+vpc,
		"  action: "+g.pick("connect", "connect", "connect", "disconnect"), "  between: ["+end()+", "+end()+"]")
}

// Endpoints is how many endpoints an organisation has.
const Endpoints = 10

// Endpoint is one of an organisation.
type Endpoint struct {
	Name, Tenant, VPC, Subnet string
	IP                        netip.Addr
	Groups                    []string // that it claims
	Labels                    map[string]string
	Host                      int // from 1 to 3
}

// Endpoint returns endpoint i, from 0: always in the same VPC, of which x has
// more than y, and otherwise of whatever randomness says.
func (g Generator) Endpoint(i int) Endpoint {
	vpc := []int{0, 0, 0, 0, 2, 2, 2, 1, 1, 3}[i]
	e := Endpoint{Name: fmt.Sprintf("r%d", i)}
	e.Tenant, e.VPC, _ = strings.Cut(vpcs[vpc], "/")
	subnet := g.IntN(2)
	e.Subnet, e.IP = []string{"s", "t"}[subnet], netip.AddrFrom4([4]byte{10, byte(60 + vpc), byte(subnet), byte(10 + i)})
	if g.often(60) {
		e.Groups = strings.Split(g.pick("g0", "g1", "g0, g1", "g2"), ", ")
	}
	if g.often(60) {
		e.Labels = map[string]string{"role": g.pick("a", "b"), "tier": g.pick("c", "d")}
	}
	e.Host = 1 + g.IntN(3)
	return e
}

// String is the endpoint's line in an endpoints file.
func (e Endpoint) String() string {
	text := fmt.Sprintf("  - {name: %s, tenant: %s, vpc: %s, subnet: %s, ip: %s", e.Name, e.Tenant, e.VPC, e.Subnet, e.IP)
	if len(e.Groups) > 0 {
		text += ", groups: [" + strings.Join(e.Groups, ", ") + "]"
	}
	if len(e.Labels) > 0 {
		text += fmt.Sprintf(", labels: {role: %s, tier: %s}", e.Labels["role"], e.Labels["tier"])
	}
	return text + fmt.Sprintf(", host: %d}\n", e.Host)
}

// Ports is the last line of an endpoints file: what a probe of it asks about.
const Ports = "ports: [tcp/80, udp/53, icmp/echo]\n"

// Sample returns the endpoints file of all endpoints and of two names outside.
func (g Generator) Sample() string {
	text := "endpoints:\n"
	for i := range Endpoints {
		text += g.Endpoint(i).String()
	}
	return text + "outside:\n  - {name: rin, ip: 203.0.113.33}\n  - {name: rout, ip: 203.0.113.222}\n" + Ports
}
