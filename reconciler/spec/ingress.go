package spec

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// places are where in a spec those values stand that are judged when all files
// are read, and whose types don't say where.
type places struct {
	vpcs    [2]Pos // of a Peering
	ends    [2]endPlaces
	hosts   []Pos // one each
	gateway Pos
	vip     Pos
}

// endPlaces are where the names of a Link's end stand.
type endPlaces struct {
	vpc, group Pos
}

// ingress reads the spec of an Ingress.
func (s *source) ingress(n *yaml.Node, o *object) *Ingress {
	in := &Ingress{VPC: MakeVPCID(o.tenant, o.vpc), Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of an Ingress", "hosts", "gateway", "ports", "to", "sources")
	if !ok {
		return in
	}
	if s.oneOf(m, "hosts", "gateway") {
		in.Entry = s.entrance(m, o)
	}
	in.Ports = s.portMaps(m)
	if n, ok := m.required("to", "write it as {endpoint: NAME}"); ok {
		in.Endpoint = s.target(n)
	}
	return in
}

// target reads the endpoint that an Ingress leads to.
func (s *source) target(n *yaml.Node) string {
	m, ok := s.mapping(n, "to", "endpoint")
	if !ok {
		return ""
	}
	n, ok = m.required("endpoint", "write it as {endpoint: NAME}")
	if !ok {
		return ""
	}
	name, _ := s.name(n, "to.endpoint")
	return name
}

// oneOf reports whether m has exactly one of the keys.
func (s *source) oneOf(m mapping, keys ...string) bool {
	count := 0
	for _, k := range keys {
		if m.has(k) {
			count++
		}
	}
	switch count {
	case 0:
		s.err(s.pos(m.node), "%s has none of %s; write one", m.what, strings.Join(keys, ", "))
	case 1:
		return true
	default:
		s.err(s.pos(m.node), "%s has %s; write exactly one of %s", m.what, m.shown(keys...), strings.Join(keys, ", "))
	}
	return false
}

// entrance reads on which hosts an Ingress or Service listens, and for whom.
func (s *source) entrance(m mapping, o *object) Entry {
	e := Entry{Anybody: !m.has("sources")}
	if n, ok := m.value("hosts"); ok {
		e.Hosts, o.places.hosts = s.globs(n, "hosts")
	}
	if n, ok := m.value("gateway"); ok {
		if e.Gateway, ok = s.name(n, "gateway"); ok {
			o.places.gateway = s.pos(n)
			s.referGateway(e.Gateway, "gateway", s.pos(n))
		}
	}
	if n, ok := m.value("sources"); ok {
		elements, _ := s.list(n, "sources")
		for _, n := range elements {
			if src, ok := s.source(n); ok {
				e.Sources = append(e.Sources, src)
			}
		}
	}
	return e
}

// source reads one range of addresses that may come in.
func (s *source) source(n *yaml.Node) (Source, bool) {
	src := Source{At: s.pos(n)}
	m, ok := s.mapping(n, "a source", "cidr", "except")
	if !ok {
		return src, false
	}
	n, ok = m.required("cidr", "write it as {cidr: 203.0.113.0/24}")
	if ok {
		src.CIDR, ok = s.cidr(n, "cidr")
	}
	if n, ok := m.value("except"); ok {
		src.Except = s.except(n, src.CIDR)
	}
	return src, ok
}
