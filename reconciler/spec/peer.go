package spec

import (
	"net/netip"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const peerRule = "write exactly one of group, subnet, labels, vpc, cidr or any"

// peers reads the PEERs of a rule.
func (s *source) peers(n *yaml.Node, sec section) []Peer {
	elements, _ := s.list(n, sec.peers)
	var peers []Peer
	for _, e := range elements {
		p, ok := s.peer(e, scope{tenant: sec.vpc.tenant(), vpc: sec.vpc})
		if !ok {
			continue
		}
		peers = append(peers, p)
	}
	return peers
}

// opens notes the ranges that an operator's rule lets out to.
func (s *source) opens(r *Rule, sec section) {
	if sec.peers != "to" || r.Action != Allow || strings.HasPrefix(s.file, tenantsDir+"/") {
		return
	}
	for i := range r.Peers {
		if r.Peers[i].CIDR.IsValid() {
			s.operatorCIDRs = append(s.operatorCIDRs, r.Peers[i].CIDR)
		}
	}
}

// scope is where a name stands that means another object.
type scope struct {
	tenant string
	vpc    VPCID // "": an Assertion, which is in none
}

// peer reads one PEER that stands in own.
func (s *source) peer(n *yaml.Node, own scope) (Peer, bool) {
	p := Peer{At: s.pos(n)}
	m, ok := s.mapping(n, "a peer", "group", "subnet", "labels", "vpc", "cidr", "except", "any")
	if !ok || !s.oneSelector(m, peerRule) {
		return p, false
	}
	s.selectors(m, &p, own)
	return p, true
}

// selectors reads what a peer selects.
func (s *source) selectors(m mapping, p *Peer, own scope) {
	if n, ok := m.value("cidr"); ok {
		p.CIDR, _ = s.cidr(n, "cidr")
	}
	if n, ok := m.value("except"); ok {
		p.Except = s.except(n, p.CIDR)
	}
	if n, ok := m.value("any"); ok {
		p.Any = s.isTrue(n, "any")
	}
	if !m.has("cidr") && !m.has("any") {
		s.insidePeer(m, p, own)
	}
}

// oneSelector reports whether a peer has exactly one selector, beside which a
// vpc may stand if it selects endpoints. The way out is rule.
func (s *source) oneSelector(m mapping, rule string) bool {
	at := s.pos(m.node)
	selectors := slices.DeleteFunc([]string{"group", "subnet", "labels", "endpoint", "cidr", "any"},
		func(k string) bool { return !m.has(k) })
	switch {
	case len(selectors) == 0 && m.has("except"):
		s.err(at, "%s has %s without cidr; add the cidr that it takes from", m.what, m.shown("except"))
	case len(m.node.Content) == 0:
		s.err(at, "%s is {}; %s", m.what, rule)
	case len(selectors) == 0 && !m.has("vpc"):
		// Its keys are unknown, which is said already.
	case len(selectors) > 1:
		s.err(at, "%s has %s; %s", m.what, m.shown(selectors...), rule)
	case m.has("except") && !m.has("cidr"):
		s.err(at, "%s has %s beside %s; except goes with cidr alone", m.what, m.shown("except"), m.shown(selectors[0]))
	case m.has("vpc") && (m.has("cidr") || m.has("any")):
		s.err(at, "%s has %s beside %s; vpc goes with group, subnet or labels, or alone", m.what, m.shown("vpc"), m.shown(selectors[0]))
	default:
		return true
	}
	return false
}

// except reads the ranges that a cidr doesn't cover.
func (s *source) except(n *yaml.Node, cidr netip.Prefix) []netip.Prefix {
	elements, _ := s.list(n, "except")
	var except []netip.Prefix
	for _, e := range elements {
		p, ok := s.cidr(e, "except")
		if !ok {
			continue
		}
		if cidr.IsValid() && !(cidr.Contains(p.Addr()) && cidr.Bits() <= p.Bits()) {
			s.err(s.pos(e), "except has %q, which is not within cidr %q; remove it", p, cidr)
			continue
		}
		except = append(except, p)
	}
	return except
}

// insidePeer reads a peer that selects endpoints.
func (s *source) insidePeer(m mapping, p *Peer, own scope) {
	p.VPC = own.vpc
	if n, ok := m.value("vpc"); ok {
		p.VPC, ok = s.vpcID(n, "vpc")
		if ok {
			s.refer(reference{from: own, to: p.VPC, kind: vpcName, effect: peerEffect, at: s.pos(n)})
		}
	}
	if n, ok := m.value("group"); ok {
		p.Group, ok = s.name(n, "group")
		if ok {
			s.refer(reference{from: own, to: p.VPC, kind: groupName, effect: peerEffect, name: p.Group, at: s.pos(n)})
		}
	}
	if n, ok := m.value("subnet"); ok {
		p.Subnet, ok = s.name(n, "subnet")
		if ok {
			s.refer(reference{from: own, to: p.VPC, kind: subnetName, effect: peerEffect, name: p.Subnet, at: s.pos(n)})
		}
	}
	if n, ok := m.value("labels"); ok {
		p.Labels, _ = s.labels(n)
	}
}
