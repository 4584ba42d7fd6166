package spec

import "gopkg.in/yaml.v3"

// link reads the spec of a Link.
func (s *source) link(n *yaml.Node, o *object) *Link {
	const endsRule = "a Link has two ends, as [{endpoint: NAME}, {group: NAME}]"
	l := &Link{VPC: MakeVPCID(o.tenant, o.vpc), Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a Link", "action", "between")
	if !ok {
		return l
	}
	if n, ok := m.required("action", "write connect or disconnect"); ok {
		action, _ := s.choice(n, "action", "connect", "disconnect")
		l.Connect = action == "connect"
	}
	n, ok = m.required("between", endsRule)
	if !ok {
		return l
	}
	if _, ok := s.list(n, "between"); !ok {
		return l
	}
	if len(n.Content) != 2 {
		s.err(s.pos(n), "between has %d ends, %s; %s", len(n.Content), shown(n), endsRule)
		return l
	}
	valid := true
	for i, e := range n.Content {
		l.Between[i], ok = s.end(e, l.VPC, &o.places.ends[i])
		valid = valid && ok
	}
	if valid {
		s.referEnds(o, l)
	}
	return l
}

// end reads one END of a Link of the VPC own.
func (s *source) end(n *yaml.Node, own VPCID, at *endPlaces) (End, bool) {
	const endRule = "write exactly one of endpoint or group, and vpc beside it if it is elsewhere"
	e := End{VPC: own, At: s.pos(n)}
	m, ok := s.mapping(n, "an end", "endpoint", "group", "vpc")
	if !ok {
		return e, false
	}
	switch {
	case len(n.Content) == 0:
		s.err(s.pos(n), "an end is {}; %s", endRule)
		return e, false
	case m.has("endpoint") && m.has("group"):
		s.err(s.pos(n), "an end has %s; %s", m.shown("endpoint", "group"), endRule)
		return e, false
	case !m.has("endpoint") && !m.has("group"):
		if m.has("vpc") {
			s.err(s.pos(n), "an end has %s alone; %s", m.shown("vpc"), endRule)
		} // Or its keys are unknown, which is said already.
		return e, false
	}
	valid := true
	if n, ok := m.value("endpoint"); ok {
		e.Endpoint, ok = s.name(n, "endpoint")
		valid = valid && ok
	}
	if n, ok := m.value("group"); ok {
		e.Group, ok = s.name(n, "group")
		at.group = s.pos(n)
		valid = valid && ok
	}
	if n, ok := m.value("vpc"); ok {
		e.VPC, ok = s.vpcID(n, "vpc")
		at.vpc = s.pos(n)
		valid = valid && ok
	}
	return e, valid && (e.Endpoint != "" || e.Group != "")
}

// referEnds notes the names in a Link whose ends are read.
func (s *source) referEnds(o *object, l *Link) {
	if l.Between[0].VPC.tenant() != o.tenant && l.Between[1].VPC.tenant() != o.tenant {
		if o.tenant != "" {
			s.warn(o.at, "neither vpc %q nor vpc %q is of tenant %q, so the Link has no effect; remove it, or name an end of its own",
				l.Between[0].VPC, l.Between[1].VPC, o.tenant)
		}
		return
	}
	for i, e := range l.Between {
		// An end is peered, or not, with where the other one is.
		own := scope{tenant: o.tenant, vpc: l.Between[1-i].VPC}
		if e.VPC != l.VPC {
			s.refer(reference{from: own, to: e.VPC, kind: vpcName, effect: linkEffect, at: o.places.ends[i].vpc})
		}
		if e.Group != "" {
			s.refer(reference{from: own, to: e.VPC, kind: groupName, effect: linkEffect, name: e.Group, at: o.places.ends[i].group})
		}
	}
}
