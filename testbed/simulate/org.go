package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Start is when every run begins.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// org is an organisation: what a revision's YAML says, as plain values.
type org struct {
	name   string
	vpcs   []orgVPC
	peered bool // acme/prod with globex/shared, by both tenants
	groups []orgGroup
}

type orgVPC struct {
	tenant, name string
	subnets      []orgSubnet
	byDefault    string
	udp          string // sessions.udp
}

type orgSubnet struct{ name, cidr string }

func (v *orgVPC) id() string { return v.tenant + "/" + v.name }

// orgGroup is a SecurityGroup. One without subnet and role has the endpoints
// that claim it.
type orgGroup struct {
	vpc, name    string
	subnet, role string
	in, out      *orgSection // nil: none
}

type orgSection struct{ rules []orgRule }

type orgRule struct {
	peers  []orgPeer // empty: any
	ports  []orgPort // empty: every
	action string
	until  time.Time // zero: always
}

// orgPeer is one of its fields.
type orgPeer struct{ group, subnet, role, vpc string }

type orgPort struct {
	proto packet.Proto
	port  uint16 // 0: all; of ICMP the type
}

// who is what a rule can see of an endpoint.
type who struct {
	vpc, subnet, role string
	claims            []string
}

// allows reports whether the organisation lets a open a session to b at a time,
// read rule by rule from SPEC, section 3.
func (o *org) allows(at time.Time, a, b *who, proto packet.Proto, port uint16) bool {
	home := o.vpc(a.vpc)
	if home == nil || o.vpc(b.vpc) == nil || !o.joined(a.vpc, b.vpc) {
		return false
	}
	q := question{at, proto, port}
	out := q.side(o, a, b, func(g *orgGroup) *orgSection { return g.out })
	in := q.side(o, b, a, func(g *orgGroup) *orgSection { return g.in })
	if out.denied || in.denied {
		return false
	}
	byDefault := a.vpc == b.vpc && (home.byDefault == "same-vpc" || home.byDefault == "same-subnet" && a.subnet == b.subnet)
	return (in.allowed || !in.isolated && byDefault) && (out.allowed || !out.isolated)
}

func (o *org) vpc(id string) *orgVPC {
	for i := range o.vpcs {
		if o.vpcs[i].id() == id {
			return &o.vpcs[i]
		}
	}
	return nil
}

// joined reports whether isolation lets through what goes between two VPCs.
func (o *org) joined(a, b string) bool {
	return a == b || o.peered && (a == acmeProd && b == globexShared || a == globexShared && b == acmeProd)
}

type question struct {
	at    time.Time
	proto packet.Proto
	port  uint16
}

type opinion struct{ denied, allowed, isolated bool }

// side asks the rules of self's groups about other.
func (q question) side(o *org, self, other *who, section func(*orgGroup) *orgSection) (op opinion) {
	for i := range o.groups {
		g := &o.groups[i]
		s := section(g)
		if s == nil || !o.in(self, g) {
			continue
		}
		if len(s.rules) == 0 {
			op.isolated = true
		}
		for j := range s.rules {
			r := &s.rules[j]
			op.isolated = op.isolated || r.action == "allow"
			if !q.matches(o, g, r, other) {
				continue
			}
			if r.action == "allow" {
				op.allowed = true
			} else {
				op.denied = true
			}
		}
	}
	return op
}

// in reports whether w is a member of g.
func (o *org) in(w *who, g *orgGroup) bool {
	if w.vpc != g.vpc {
		return false
	}
	if g.subnet == "" && g.role == "" {
		return slices.Contains(w.claims, g.name)
	}
	return (g.subnet == "" || g.subnet == w.subnet) && (g.role == "" || g.role == w.role)
}

func (q question) matches(o *org, g *orgGroup, r *orgRule, other *who) bool {
	if !r.until.IsZero() && !q.at.Before(r.until) {
		return false
	}
	port := len(r.ports) == 0 || slices.ContainsFunc(r.ports, func(p orgPort) bool {
		return p.proto == q.proto && (p.port == 0 || p.port == q.port)
	})
	peer := len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p orgPeer) bool { return o.selects(g.vpc, p, other) })
	return port && peer
}

func (o *org) selects(vpc string, p orgPeer, w *who) bool {
	switch {
	case p.vpc != "":
		return w.vpc == p.vpc
	case w.vpc != vpc:
		return false
	case p.subnet != "":
		return w.subnet == p.subnet
	case p.role != "":
		return w.role == p.role
	}
	return slices.ContainsFunc(o.groups, func(g orgGroup) bool { return g.vpc == vpc && g.name == p.group && o.in(w, &g) })
}

// ends returns the times at which a rule of the organisation ends, sorted.
func (o *org) ends() []time.Time {
	var out []time.Time
	for _, g := range o.groups {
		for _, s := range []*orgSection{g.in, g.out} {
			if s == nil {
				continue
			}
			for _, r := range s.rules {
				if !r.until.IsZero() {
					out = append(out, r.until)
				}
			}
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// yaml is the organisation as files would say it.
func (o *org) yaml() []byte {
	var b strings.Builder
	object := func(kind, meta, spec string) {
		fmt.Fprintf(&b, "---\napiVersion: daoli.net/v1\nkind: %s\nmetadata: {%s}\nspec: {%s}\n", kind, meta, spec)
	}
	object("Tenant", "name: acme", `hosts: ["*"]`)
	object("Tenant", "name: globex", `hosts: ["*"]`)
	for _, v := range o.vpcs {
		var subnets []string
		for _, s := range v.subnets {
			subnets = append(subnets, fmt.Sprintf("{name: %s, cidr: %s}", s.name, s.cidr))
		}
		object("VPC", fmt.Sprintf("name: %s, tenant: %s", v.name, v.tenant),
			fmt.Sprintf("subnets: [%s], default: %s, sessions: {udp: %s}", strings.Join(subnets, ", "), v.byDefault, v.udp))
	}
	if o.peered {
		for _, t := range []string{"acme", "globex"} {
			object("Peering", "name: shared, tenant: "+t, fmt.Sprintf("vpcs: [%s, %s]", acmeProd, globexShared))
		}
	}
	for i := range o.groups {
		g := &o.groups[i]
		tenant, vpc, _ := strings.Cut(g.vpc, "/")
		object("SecurityGroup", fmt.Sprintf("name: %s, tenant: %s, vpc: %s", g.name, tenant, vpc), g.spec())
	}
	return []byte(b.String())
}

func (g *orgGroup) spec() string {
	var parts, members []string
	if g.subnet != "" {
		members = append(members, "subnets: ["+g.subnet+"]")
	}
	if g.role != "" {
		members = append(members, "labels: {role: "+g.role+"}")
	}
	if members != nil {
		parts = append(parts, "members: {"+strings.Join(members, ", ")+"}")
	}
	if g.in != nil {
		parts = append(parts, "ingress: ["+g.in.text("from")+"]")
	}
	if g.out != nil {
		parts = append(parts, "egress: ["+g.out.text("to")+"]")
	}
	return strings.Join(parts, ", ")
}

func (s *orgSection) text(peers string) string {
	var rules []string
	for _, r := range s.rules {
		parts := []string{"action: " + r.action}
		if len(r.peers) > 0 {
			var ps []string
			for _, p := range r.peers {
				ps = append(ps, p.text())
			}
			parts = append(parts, fmt.Sprintf("%s: [%s]", peers, strings.Join(ps, ", ")))
		}
		if len(r.ports) > 0 {
			var ps []string
			for _, p := range r.ports {
				ps = append(ps, p.text())
			}
			parts = append(parts, fmt.Sprintf("ports: [%s]", strings.Join(ps, ", ")))
		}
		if !r.until.IsZero() {
			parts = append(parts, fmt.Sprintf("until: %q", r.until.Format(time.RFC3339)))
		}
		rules = append(rules, "{"+strings.Join(parts, ", ")+"}")
	}
	return strings.Join(rules, ", ")
}

func (p orgPeer) text() string {
	switch {
	case p.vpc != "":
		return "{vpc: " + p.vpc + "}"
	case p.subnet != "":
		return "{subnet: " + p.subnet + "}"
	case p.role != "":
		return "{labels: {role: " + p.role + "}}"
	}
	return "{group: " + p.group + "}"
}

func (p orgPort) text() string {
	name := p.proto.String()
	switch {
	case p.port == 0:
		return name
	case p.proto == packet.ICMP:
		return "icmp/echo"
	}
	return fmt.Sprintf("%s/%d", name, p.port)
}

// The VPCs of every organisation. The first two have the same addresses.
const (
	acmeProd     = "acme/prod"
	globexProd   = "globex/prod"
	globexShared = "globex/shared"
)

// services are the ports that containers talk to.
var services = []orgPort{
	{packet.TCP, 80}, {packet.TCP, 5432}, {packet.TCP, 40000}, {packet.UDP, 53}, {packet.UDP, 40000}, {packet.ICMP, 8},
}

// clientPorts are those that they talk from: some below 32768, some in the wire
// range, some that are also services, and few, so that connections meet.
var clientPorts = []uint16{80, 5432, 1025, 16385, 20000, 32768, 40000, 40001, 50000, 65535}

// randomOrg makes an organisation up.
func randomOrg(r *rand.Rand, name string) *org {
	prod := []orgSubnet{{"web", "10.1.0.0/28"}, {"db", "10.1.1.0/28"}}
	defaults := []string{"same-subnet", "same-vpc", "same-vpc", "same-vpc", "same-vpc", "deny"}
	o := &org{name: name, peered: r.IntN(2) == 0, vpcs: []orgVPC{
		{"acme", "prod", prod, pick(r, defaults), "connection"},
		{"globex", "prod", prod, pick(r, defaults), "service"},
		{"globex", "shared", []orgSubnet{{"log", "10.2.0.0/28"}}, pick(r, defaults), "service"},
	}}
	for _, vpc := range []string{acmeProd, globexProd, globexShared} {
		for _, g := range []orgGroup{{name: "web", subnet: "web"}, {name: "db", subnet: "db"}, {name: "x", role: "x"}, {name: "ops"}} {
			if vpc == globexShared && g.subnet != "" || r.IntN(3) == 0 {
				continue
			}
			g.vpc = vpc
			if r.IntN(3) == 0 {
				g.in = randomSection(r, o, vpc)
			}
			if r.IntN(6) == 0 {
				g.out = randomSection(r, o, vpc)
			}
			o.groups = append(o.groups, g)
		}
	}
	return o
}

func randomSection(r *rand.Rand, o *org, vpc string) *orgSection {
	s := &orgSection{}
	for range min(r.IntN(5), 3) {
		rule := orgRule{action: pick(r, []string{"allow", "allow", "allow", "allow", "allow", "allow", "deny", "reject"})}
		for range r.IntN(3) {
			rule.peers = append(rule.peers, randomPeer(r, o, vpc))
		}
		for range r.IntN(3) {
			p := pick(r, services)
			if r.IntN(4) == 0 && p.proto != packet.ICMP {
				p.port = 0
			}
			rule.ports = append(rule.ports, p)
		}
		if r.IntN(6) == 0 {
			rule.until = Start.Add(time.Duration(1+r.IntN(60)) * time.Second)
		}
		s.rules = append(s.rules, rule)
	}
	return s
}

// randomPeer names groups only that are there already.
func randomPeer(r *rand.Rand, o *org, vpc string) orgPeer {
	switch r.IntN(5) {
	case 0:
		if vpc == globexShared {
			return orgPeer{subnet: "log"}
		}
		return orgPeer{subnet: pick(r, []string{"web", "db"})}
	case 1:
		return orgPeer{role: pick(r, []string{"x", "y"})}
	case 2:
		return orgPeer{vpc: pick(r, []string{acmeProd, globexShared})}
	case 3:
		var names []string
		for _, g := range o.groups {
			if g.vpc == vpc {
				names = append(names, g.name)
			}
		}
		if names != nil {
			return orgPeer{group: pick(r, names)}
		}
	}
	return orgPeer{vpc: vpc}
}

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }
