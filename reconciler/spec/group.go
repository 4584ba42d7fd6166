package spec

import (
	"strconv"

	"gopkg.in/yaml.v3"
)

// group reads the spec of a SecurityGroup.
func (s *source) group(n *yaml.Node, o *object) *SecurityGroup {
	g := &SecurityGroup{VPC: MakeVPCID(o.tenant, o.vpc), Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a SecurityGroup", "members", "ingress", "egress")
	if !ok {
		return g
	}
	if n, ok := m.value("members"); ok {
		g.Members = s.members(n, scope{tenant: o.tenant, vpc: g.VPC})
	}
	id := string(g.VPC) + "/" + g.Name
	if key, n, ok := m.entry("ingress"); ok {
		g.Ingress = s.section(n, section{vpc: g.VPC, at: s.pos(key), id: id + "/ingress/", peers: "from"})
	}
	if key, n, ok := m.entry("egress"); ok {
		g.Egress = s.section(n, section{vpc: g.VPC, at: s.pos(key), id: id + "/egress/", peers: "to"})
	}
	return g
}

// members reads which endpoints of its own VPC a group has.
func (s *source) members(n *yaml.Node, own scope) *Members {
	const wayOut = "select some, write {all: true}, or leave members out for those that claim the group"
	members := &Members{}
	m, ok := s.mapping(n, "members", "subnets", "labels", "endpoints", "all")
	if !ok {
		return members
	}
	if len(n.Content) == 0 {
		s.err(s.pos(n), "members is {}; %s", wayOut)
		return members
	}
	if n, ok := m.value("subnets"); ok {
		var nodes []*yaml.Node
		members.Subnets, nodes = s.names(n, "members.subnets")
		for i, name := range members.Subnets {
			s.refer(reference{from: own, to: own.vpc, kind: subnetName, name: name, at: s.pos(nodes[i])})
		}
	}
	if n, ok := m.value("labels"); ok {
		members.Labels, _ = s.labels(n)
	}
	if n, ok := m.value("endpoints"); ok {
		members.Endpoints, _ = s.names(n, "members.endpoints")
	}
	if n, ok := m.value("all"); ok {
		members.All = s.isTrue(n, "members.all")
		if others := m.shown("subnets", "labels", "endpoints"); others != "" {
			s.err(s.pos(n), "members has all beside %s; write {all: true} alone", others)
		}
	}
	return members
}

// isTrue reads a value that has no other than true.
func (s *source) isTrue(n *yaml.Node, what string) bool {
	v, ok := s.boolean(n, what)
	if ok && !v {
		s.err(s.pos(n), "%s is %s; write true or leave it out", what, quote(n.Value))
	}
	return v
}

// section is what the rules of a group's section need to know of it.
type section struct {
	vpc   VPCID
	at    Pos
	id    string // of its rules, up to the index
	peers string // the key of a rule's peers: from or to
}

// section reads the rules of an ingress or egress section.
func (s *source) section(n *yaml.Node, sec section) *Section {
	what := "egress"
	if sec.peers == "from" {
		what = "ingress"
	}
	out := &Section{At: sec.at}
	if _, ok := s.list(n, what); !ok {
		return out
	}
	for i, e := range n.Content {
		if s.rules++; s.rules == MaxRules+1 {
			s.abort(s.pos(e), "the tree has more than %d rules; remove some, or let one rule have several peers and ports", MaxRules)
		}
		if s.rules > MaxRules {
			break
		}
		if rule, ok := s.rule(e, sec, sec.id+strconv.Itoa(i)); ok {
			out.Rules = append(out.Rules, rule)
		}
	}
	return out
}

// rule reads one RULE.
func (s *source) rule(n *yaml.Node, sec section, id string) (Rule, bool) {
	r := Rule{ID: id, At: s.pos(n), Action: Allow}
	m, ok := s.mapping(n, "a rule", sec.peers, "ports", "action", "log", "until")
	if !ok {
		return r, false
	}
	r.AnyPeer, r.AnyPort = !m.has(sec.peers), !m.has("ports")
	if n, ok := m.value(sec.peers); ok {
		r.Peers = s.peers(n, sec)
	}
	if n, ok := m.value("ports"); ok {
		r.Ports = s.ports(n, "ports")
	}
	if n, ok := m.value("action"); ok {
		action, _ := s.choice(n, "action", string(Allow), string(DenyRule), string(Reject))
		r.Action = Action(action)
	}
	if n, ok := m.value("log"); ok {
		r.Log, _ = s.boolean(n, "log")
	}
	if n, ok := m.value("until"); ok {
		r.Until = s.instant(n, "until")
	}
	s.opens(&r, sec)
	return r, true
}
