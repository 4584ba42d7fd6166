package spec

import "gopkg.in/yaml.v3"

const assertionRule = "write {never: {from, to, port}}, or from, to, port and expect: allow or deny"

// assertion reads the spec of an Assertion.
func (s *source) assertion(n *yaml.Node, o *object) *Assertion {
	a := &Assertion{Tenant: o.tenant, Name: o.name, At: o.at, AnyPort: true}
	m, ok := s.mapping(n, "the spec of an Assertion", "never", "from", "to", "port", "expect")
	if !ok {
		return a
	}
	if !m.has("never") {
		if n, ok := m.required("expect", assertionRule); ok {
			expect, _ := s.choice(n, "expect", "allow", "deny")
			a.Allow = expect == "allow"
		}
		s.claim(m, a)
		return a
	}
	for _, k := range []string{"from", "to", "port", "expect"} {
		if key, _, _ := m.entry(k); key != nil {
			s.err(s.pos(key), "the spec of an Assertion has %s beside never; %s", m.shown(k), assertionRule)
		}
	}
	if n, ok := m.value("never"); ok {
		if m, ok := s.mapping(n, "never", "from", "to", "port"); ok {
			s.claim(m, a)
		}
	}
	return a
}

// claim reads which packets an Assertion is about.
func (s *source) claim(m mapping, a *Assertion) {
	before := s.errors
	if n, ok := m.required("from", "name a peer, as {group: NAME, vpc: TENANT/VPC}"); ok {
		a.From = s.subject(n, "from", a.Tenant)
	}
	if n, ok := m.required("to", "name a peer, as {group: NAME, vpc: TENANT/VPC}"); ok {
		a.To = s.subject(n, "to", a.Tenant)
	}
	a.AnyPort = !m.has("port")
	if n, ok := m.value("port"); ok {
		text, ok := s.text(n, "port")
		if !ok {
			return
		}
		if a.Port, ok = parsePort(text); !ok {
			s.err(s.pos(n), "port is %s; %s", quote(text), portRule)
		}
	}
	if s.errors == before && a.Tenant != "" && !a.From.mayBeOf(a.Tenant) && !a.To.mayBeOf(a.Tenant) {
		s.warn(a.At, "neither %s nor %s is in a vpc of tenant %q, so the Assertion promises nothing; remove it, or name a vpc of its own",
			m.shown("from"), m.shown("to"), a.Tenant)
	}
}

// mayBeOf reports whether a subject can have an endpoint of the tenant.
func (s *Subject) mayBeOf(tenant string) bool {
	return s.Peer.Any || s.Peer.VPC.tenant() == tenant
}

// subject reads one side of an Assertion of a tenant. An Assertion is in no VPC,
// so that what selects endpoints must say in which.
func (s *source) subject(n *yaml.Node, what, tenant string) Subject {
	sub := Subject{Peer: Peer{At: s.pos(n)}}
	m, ok := s.mapping(n, what, "group", "subnet", "labels", "endpoint", "vpc", "cidr", "except", "any")
	if !ok || !s.oneSelector(m, "write exactly one of group, subnet, labels, endpoint, vpc, cidr or any") {
		return sub
	}
	if !m.has("cidr") && !m.has("any") && !m.has("vpc") {
		s.err(s.pos(n), "%s is %s, without vpc, and an Assertion is in none; add vpc: TENANT/VPC", what, shown(n))
		return sub
	}
	if n, ok := m.value("endpoint"); ok {
		sub.Endpoint, _ = s.name(n, what+".endpoint")
	}
	s.selectors(m, &sub.Peer, scope{tenant: tenant})
	return sub
}
