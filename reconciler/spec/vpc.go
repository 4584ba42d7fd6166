package spec

import (
	"net/netip"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// Bounds and default of how long an idle TCP session lives. The default is
// that of RFC 5382 REQ-5.
const (
	minIdle     = time.Minute
	maxIdle     = 24 * time.Hour
	defaultIdle = 2*time.Hour + 4*time.Minute
)

// ownHost is the way out over the host that the endpoint lives on.
const ownHost = "own-host"

// reserved are the ranges in which no subnet may lie.
var reserved = []struct {
	prefix netip.Prefix
	use    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), `"this network"`},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("224.0.0.0/3"), "multicast and reserved"},
}

// vpc reads the spec of a VPC.
func (s *source) vpc(n *yaml.Node, o *object) *VPC {
	v := &VPC{
		ID: MakeVPCID(o.tenant, o.name), Tenant: o.tenant, Name: o.name, At: o.at,
		Default: SameSubnet, DefaultAt: o.at,
		Sessions: Sessions{TCP: PerService, UDP: PerConnection, Idle: defaultIdle},
	}
	m, ok := s.mapping(n, "the spec of a VPC", "subnets", "default", "egress", "sessions")
	if !ok {
		return v
	}
	const wayOut = "a VPC has at least one, as {name: NAME, cidr: 10.1.0.0/24}"
	if n, ok := m.required("subnets", wayOut); ok {
		elements, _ := s.filled(n, "subnets", wayOut)
		v.Subnets = s.subnets(elements)
	}
	if n, ok := m.value("default"); ok {
		d, _ := s.choice(n, "default", string(SameSubnet), string(SameVPC), string(Deny))
		v.Default, v.DefaultAt = Default(d), s.pos(n)
	}
	if n, ok := m.value("egress"); ok {
		v.Egress = s.vpcEgress(n, o.at)
	}
	if n, ok := m.value("sessions"); ok {
		s.sessions(n, &v.Sessions)
	}
	return v
}

func (s *source) subnets(elements []*yaml.Node) []Subnet {
	var subnets []Subnet
	first := make(map[string]Pos, len(elements))
	for _, e := range elements {
		sub, ok := s.subnet(e)
		if !ok {
			continue
		}
		if at, found := first[sub.Name]; found {
			s.err(sub.At, "the subnet %q is here twice, first at %s; give it a name of its own", sub.Name, at)
			continue
		}
		first[sub.Name] = sub.At
		subnets = append(subnets, sub)
	}
	s.overlaps(subnets)
	return subnets
}

// subnet reads one subnet, and reports whether it has a name. What has a name
// exists, though its cidr may be refused and is invalid then.
func (s *source) subnet(n *yaml.Node) (Subnet, bool) {
	const what, wayOut = "a subnet", "write it as {name: NAME, cidr: 10.1.0.0/24}"
	sub := Subnet{At: s.pos(n)}
	m, ok := s.mapping(n, what, "name", "cidr")
	if !ok {
		return sub, false
	}
	nameNode, okName := m.required("name", wayOut)
	if okName {
		sub.At = s.pos(nameNode)
		sub.Name, okName = s.name(nameNode, "the name of a subnet")
	}
	if n, ok := m.required("cidr", wayOut); ok {
		if p, ok := s.cidr(n, "cidr"); ok && s.unreserved(n, p) {
			sub.CIDR = p
		}
	}
	return sub, okName
}

// unreserved reports whether p is free for a subnet.
func (s *source) unreserved(n *yaml.Node, p netip.Prefix) bool {
	for _, r := range reserved {
		if p.Overlaps(r.prefix) {
			s.err(s.pos(n), "cidr is %q, which overlaps %s, %s; choose another range", p, r.prefix, r.use)
			return false
		}
	}
	return true
}

// overlaps reports subnets of a VPC that overlap, each at the one written later.
func (s *source) overlaps(subnets []Subnet) {
	var order []int
	for i := range subnets {
		if subnets[i].CIDR.IsValid() {
			order = append(order, i)
		}
	}
	// Ranges are disjoint or nested. In this order, what contains a range comes
	// before it, and nothing between the two lies beyond.
	slices.SortFunc(order, func(i, j int) int {
		a, b := subnets[i].CIDR, subnets[j].CIDR
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		if c := a.Bits() - b.Bits(); c != 0 {
			return c
		}
		return i - j
	})
	widest := -1
	for _, i := range order {
		if widest < 0 || !subnets[widest].CIDR.Overlaps(subnets[i].CIDR) {
			widest = i
			continue
		}
		a, b := subnets[min(i, widest)], subnets[max(i, widest)]
		s.err(b.At, "the subnet %q, %s, overlaps the subnet %q, %s, at %s; choose another range",
			b.Name, b.CIDR, a.Name, a.CIDR, a.At)
	}
}

// vpcEgress reads how a VPC's endpoints reach the outside. at is its
// place as long as no default is written: that of the VPC's name.
func (s *source) vpcEgress(n *yaml.Node, at Pos) *Egress {
	e := &Egress{Via: ownHost, Default: "deny", DefaultAt: at}
	m, ok := s.mapping(n, "egress", "via", "default")
	if !ok {
		return e
	}
	if n, ok := m.value("via"); ok {
		if v, ok := s.name(n, "egress.via"); ok {
			e.Via = v
			if v != ownHost {
				s.referGateway(v, "egress.via", s.pos(n))
			}
		}
	}
	if n, ok := m.value("default"); ok {
		e.Default, _ = s.choice(n, "egress.default", "allow", "deny")
		e.DefaultAt = s.pos(n)
	}
	return e
}

// sessions reads what differs from the defaults that are in to.
func (s *source) sessions(n *yaml.Node, to *Sessions) {
	m, ok := s.mapping(n, "sessions", "tcp", "udp", "idle")
	if !ok {
		return
	}
	if n, ok := m.value("tcp"); ok {
		to.TCP = s.granularity(n, "sessions.tcp")
	}
	if n, ok := m.value("udp"); ok {
		to.UDP = s.granularity(n, "sessions.udp")
	}
	if n, ok := m.value("idle"); ok {
		to.Idle, _ = s.duration(n, "sessions.idle", minIdle, maxIdle, "2h4m")
	}
}

func (s *source) granularity(n *yaml.Node, what string) Granularity {
	v, _ := s.choice(n, what, string(PerService), string(PerConnection))
	return Granularity(v)
}
