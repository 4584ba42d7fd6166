package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// relation is what the policy can tell apart between the endpoints of two VPCs,
// or of one and the outside.
type relation struct {
	src, dst spec.VPCID
	*checker
}

func ingressOf(g *spec.SecurityGroup) *spec.Section { return g.Ingress }
func egressOf(g *spec.SecurityGroup) *spec.Section  { return g.Egress }

// seen returns a text that is the same for identities that the policy treats
// alike towards endpoints of another VPC: of the embedded policy it is known
// what it reads, of an operator's and tenants' own it is not.
func (r relation) seen(id *inventory.Identity, other spec.VPCID, section func(*spec.SecurityGroup) *spec.Section) string {
	var texts []string
	if !r.p.embedded || r.p.guarded() || r.p.tenants.modules[tenantOf(r.src)] != nil || r.p.tenants.modules[tenantOf(r.dst)] != nil {
		texts = append(texts, id.Subnet, labelsText(id.Labels), "|"+strings.Join(id.Groups, " ")+"|")
	}
	if words := r.p.words(other); words != nil {
		texts = append(texts, words.peers.keys(id)...)
	}
	if r.p.parts[id.VPC] != nil && !id.Outside {
		texts = append(texts, "self")
		texts = append(texts, r.p.selfKeys(id)...)
		texts = append(texts, "groups")
		for _, name := range id.Groups {
			if g := r.p.network.Groups[id.VPC][name]; g != nil && section(g) != nil {
				texts = append(texts, name)
			}
		}
		if r.src == r.dst {
			texts = append(texts, "name", id.Name) // for it is never asked about itself
			if r.p.network.VPCs[id.VPC].Default == spec.SameSubnet {
				texts = append(texts, "subnet", id.Subnet)
			}
		}
	}
	return strings.Join(texts, "\n")
}

// ports returns a port for each of the cells into which the rules that could
// match between two identities cut what the Assertion is about.
func (r relation) ports(from, to *inventory.Identity, a *spec.Assertion) []protoPort {
	starts := map[packet.Proto]map[uint16]bool{}
	about := asked(a)
	for _, p := range about {
		starts[protoNumber(p.Proto)] = map[uint16]bool{p.Lo: true}
	}
	cut := func(ports []spec.Port) {
		r.spend(len(ports))
		for _, p := range ports {
			if found := starts[protoNumber(p.Proto)]; found != nil {
				found[p.Lo] = true
				found[p.Hi+1] = true // of the last port 0, which nothing is about
			}
		}
	}
	r.rules(from, to, egressOf, cut)
	r.rules(to, from, ingressOf, cut)
	if from.Outside {
		for _, e := range r.p.inward[to.VPC] {
			cut(e.ports)
		}
	}
	var found []protoPort
	for _, p := range about {
		proto := protoNumber(p.Proto)
		for _, start := range slices.Sorted(maps.Keys(starts[proto])) {
			if p.Lo <= start && start <= p.Hi {
				found = append(found, protoPort{proto, start})
			}
		}
	}
	if a.AnyPort {
		found = append(found, protoPort{proto: otherProto})
	}
	return found
}

// otherProto stands for the protocols that rules have no name for: GRE.
const otherProto packet.Proto = 47

// asked returns the ports that a is about, but for otherProto.
func asked(a *spec.Assertion) []spec.Port {
	ports := []spec.Port{a.Port}
	if a.AnyPort {
		ports = []spec.Port{{Proto: "tcp", Hi: 1<<16 - 1}, {Proto: "udp", Hi: 1<<16 - 1}, {Proto: "sctp", Hi: 1<<16 - 1}, {Proto: "icmp", Hi: 255}}
	}
	for i := range ports {
		if ports[i].Proto != "icmp" {
			ports[i].Lo = max(ports[i].Lo, 1)
		} else {
			ports[i].Hi = min(ports[i].Hi, 255)
		}
	}
	return ports
}

// rules calls cut with the ports of the rules of self's groups whose peers
// select other; with an operator's policy, of all groups of self's VPC.
func (r relation) rules(
	self, other *inventory.Identity, section func(*spec.SecurityGroup) *spec.Section, cut func([]spec.Port),
) {
	words := r.p.words(self.VPC)
	if words == nil || self.Outside {
		return
	}
	groups := self.Groups
	if !r.p.embedded {
		groups = slices.Collect(maps.Keys(r.p.network.Groups[self.VPC]))
	}
	keys := words.peers.keys(other)
	r.spend(len(groups) + len(keys))
	for _, name := range groups {
		g := r.p.network.Groups[self.VPC][name]
		if g == nil || section(g) == nil {
			continue
		}
		rules := r.rulesByPeer(section(g))
		for _, key := range keys {
			for _, rule := range rules[key] {
				cut(rule.Ports)
			}
		}
	}
}

// rulesByPeer returns the rules of a section for each peer.
func (r relation) rulesByPeer(s *spec.Section) map[string][]*spec.Rule {
	if found := r.sections[s]; found != nil {
		return found
	}
	found := map[string][]*spec.Rule{}
	for i := range s.Rules {
		for _, peer := range peersOf(&s.Rules[i]) {
			key := peerKey(&peer)
			found[key] = append(found[key], &s.Rules[i])
		}
	}
	r.sections[s] = found
	return found
}
