package spec

import (
	"strings"
	"time"
	"unicode"

	"gopkg.in/yaml.v3"
)

// Bounds and defaults of a Service's check.
const (
	minEvery, maxEvery, defaultEvery = 100 * time.Millisecond, time.Hour, 2 * time.Second
	maxInRow                         = 100
	defaultFall, defaultRise         = 3, 2
	maxCheckPath                     = 1024 // bytes
)

// service reads the spec of a Service.
func (s *source) service(n *yaml.Node, o *object) *Service {
	svc := &Service{VPC: MakeVPCID(o.tenant, o.vpc), Name: o.name, At: o.at, Algorithm: RoundRobin}
	m, ok := s.mapping(n, "the spec of a Service", "vip", "hosts", "gateway", "ports", "backends", "algorithm", "check", "sources")
	if !ok {
		return svc
	}
	if s.oneOf(m, "vip", "hosts", "gateway") {
		s.front(m, svc, o)
	}
	svc.Ports = s.portMaps(m)
	if n, ok := m.required("backends", "select some, as {group: NAME}"); ok {
		svc.Backends, _ = s.backends(n, o)
	}
	if n, ok := m.value("algorithm"); ok {
		v, _ := s.choice(n, "algorithm", string(RoundRobin), string(LeastSessions), string(SourceHash))
		svc.Algorithm = Algorithm(v)
	}
	if n, ok := m.value("check"); ok {
		svc.Check = s.lifeCheck(n)
	}
	return svc
}

// front reads under which address a Service is found.
func (s *source) front(m mapping, svc *Service, o *object) {
	if !m.has("vip") {
		svc.Entry = s.entrance(m, o)
		return
	}
	if n, ok := m.value("vip"); ok {
		svc.VIP, _ = s.address(n, "vip")
		o.places.vip = s.pos(n)
	}
	if key, _, _ := m.entry("sources"); key != nil {
		s.err(s.pos(key), "the spec of a Service has %s beside %s, which admits nobody from outside; remove sources, or write hosts or gateway", m.shown("sources"), m.shown("vip"))
	}
}

// backends reads which endpoints of its own VPC a Service has.
func (s *source) backends(n *yaml.Node, o *object) (Peer, bool) {
	own := scope{tenant: o.tenant, vpc: MakeVPCID(o.tenant, o.vpc)}
	p := Peer{At: s.pos(n), VPC: own.vpc}
	m, ok := s.mapping(n, "backends", "group", "subnet", "labels", "vpc")
	if !ok || !s.oneSelector(m, "write exactly one of group, subnet, labels or vpc") {
		return p, false
	}
	if n, ok := m.value("vpc"); ok {
		v, ok := s.vpcID(n, "vpc")
		if !ok {
			return p, false
		}
		if v != own.vpc && o.tenant != "" && o.vpc != "" {
			s.err(s.pos(n), "vpc is %q, and a Service has backends in its own, %q, alone; write that, or leave vpc out", v, own.vpc)
			return p, false
		}
	}
	s.insidePeer(m, &p, own)
	return p, true
}

// lifeCheck reads how a Service finds out which backends live.
func (s *source) lifeCheck(n *yaml.Node) *Check {
	c := &Check{Every: defaultEvery, Fall: defaultFall, Rise: defaultRise}
	m, ok := s.mapping(n, "check", "http", "tcp", "every", "fall", "rise")
	if !ok || !s.oneOf(m, "http", "tcp") {
		return c
	}
	if n, ok := m.value("http"); ok {
		c.HTTP = s.checkPath(n)
	}
	if n, ok := m.value("tcp"); ok {
		s.isTrue(n, "check.tcp")
	}
	if n, ok := m.value("every"); ok {
		c.Every, _ = s.duration(n, "check.every", minEvery, maxEvery, "2s")
	}
	if n, ok := m.value("fall"); ok {
		c.Fall = s.number(n, "check.fall", maxInRow, "")
	}
	if n, ok := m.value("rise"); ok {
		c.Rise = s.number(n, "check.rise", maxInRow, "")
	}
	return c
}

// checkPath returns the path of an HTTP request that n is. It must be a path as
// it is sent (RFC 9112 3.2.1), so that nothing can be smuggled into the request.
func (s *source) checkPath(n *yaml.Node) string {
	v, ok := s.text(n, "check.http")
	if !ok {
		return ""
	}
	isOdd := func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII || r == '#' }
	if !strings.HasPrefix(v, "/") || len(v) > maxCheckPath || strings.ContainsFunc(v, isOdd) {
		s.err(s.pos(n), "check.http is %s; write a path of printable ASCII from /, such as /healthz", quote(v))
		return ""
	}
	return v
}
