package spec

import "gopkg.in/yaml.v3"

// tenant reads the spec of a Tenant.
func (s *source) tenant(n *yaml.Node, o *object) *Tenant {
	t := &Tenant{Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a Tenant", "hosts", "quota", "listen")
	if !ok {
		return t
	}
	if n, ok := m.value("hosts"); ok {
		t.Hosts, _ = s.globs(n, "hosts")
	}
	if n, ok := m.value("quota"); ok {
		t.Quota = s.quota(n)
	}
	if n, ok := m.value("listen"); ok {
		t.Listen = s.listen(n)
	}
	return t
}

const maxQuota = 999_999_999

func (s *source) quota(n *yaml.Node) Quota {
	var q Quota
	m, ok := s.mapping(n, "quota", "endpoints", "sessions", "newSessionsPerSecond")
	if !ok {
		return q
	}
	limit := func(key string) int {
		n, ok := m.value(key)
		if !ok {
			return 0
		}
		return s.number(n, "quota."+key, maxQuota, ", or leave it out for no limit")
	}
	q.Endpoints = limit("endpoints")
	q.Sessions = limit("sessions")
	q.NewSessionsPerSecond = limit("newSessionsPerSecond")
	return q
}

func (s *source) listen(n *yaml.Node) Listen {
	var l Listen
	m, ok := s.mapping(n, "listen", "hosts", "ports")
	if !ok {
		return l
	}
	if n, ok := m.value("hosts"); ok {
		l.Hosts, _ = s.globs(n, "listen.hosts")
	}
	if n, ok := m.value("ports"); ok {
		l.Ports = s.ports(n, "listen.ports")
		for _, e := range n.Content {
			if p, ok := parsePort(e.Value); ok && p.Proto == "icmp" {
				s.err(s.pos(e), "listen.ports has %s, on which nothing can listen; write tcp, udp or sctp ports", quote(e.Value))
			}
		}
	}
	return l
}
