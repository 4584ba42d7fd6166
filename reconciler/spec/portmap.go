package spec

import (
	"cmp"
	"slices"

	"gopkg.in/yaml.v3"
)

const portMapRule = "write it as {listen: tcp/443, target: tcp/8443}"

// portMaps reads the ports of an Ingress or a Service.
func (s *source) portMaps(m mapping) []PortMap {
	n, ok := m.required("ports", portMapRule+" in a list")
	if !ok {
		return nil
	}
	elements, _ := s.list(n, "ports")
	var maps []PortMap
	for _, e := range elements {
		pm, ok := s.portMap(e)
		if !ok {
			continue
		}
		maps = append(maps, pm)
	}
	s.listenedTwice(maps)
	return maps
}

// listenedTwice reports ports of one object that overlap, each at the one
// written later.
func (s *source) listenedTwice(maps []PortMap) {
	order := make([]int, len(maps))
	for i := range maps {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := maps[i].Listen, maps[j].Listen
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Lo, b.Lo), i-j)
	})
	widest := -1 // the one that reaches farthest so far
	for _, i := range order {
		if widest >= 0 && maps[widest].Listen.overlaps(maps[i].Listen) {
			a, b := maps[min(i, widest)], maps[max(i, widest)]
			s.err(b.At, "listen is %q, and %q at %s overlaps it; listen on each port once", b.Listen, a.Listen, a.At)
		}
		if widest < 0 || maps[widest].Listen.Proto != maps[i].Listen.Proto || maps[widest].Listen.Hi < maps[i].Listen.Hi {
			widest = i
		}
	}
}

// portMap reads one pair of ports.
func (s *source) portMap(n *yaml.Node) (PortMap, bool) {
	pm := PortMap{At: s.pos(n)}
	m, ok := s.mapping(n, "a port", "listen", "target")
	if !ok {
		return pm, false
	}
	n, ok = m.required("listen", portMapRule)
	if !ok {
		return pm, false
	}
	if pm.Listen, ok = s.numberedPort(n, "listen"); !ok {
		return pm, false
	}
	pm.Target = pm.Listen
	if !m.has("target") {
		return pm, true
	}
	n, ok = m.value("target")
	if !ok {
		return pm, false
	}
	if pm.Target, ok = s.numberedPort(n, "target"); !ok {
		return pm, false
	}
	switch l, t := pm.Listen, pm.Target; {
	case l.Proto != t.Proto:
		s.err(s.pos(n), "target is %q and listen %q; write the same protocol in both", t, l)
		return pm, false
	case l.Hi-l.Lo != t.Hi-t.Lo:
		s.err(s.pos(n), "target is %q and listen %q; write ranges of the same size", t, l)
		return pm, false
	}
	return pm, true
}

// numberedPort returns the port or range of ports that n is.
func (s *source) numberedPort(n *yaml.Node, what string) (Port, bool) {
	text, ok := s.text(n, what)
	if !ok {
		return Port{}, false
	}
	p, ok := parsePort(text)
	if !ok || p.Proto == "icmp" || p.Lo == 0 {
		s.err(s.pos(n), "%s is %s; write tcp, udp or sctp with /N or /N-M from 1 to 65535", what, quote(text))
		return Port{}, false
	}
	return p, true
}
