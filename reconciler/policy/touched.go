package policy

import (
	"maps"
	"slices"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// touch is a set of pairs that a changed object may have changed the verdict of: an
// end in a VPC, and others.
type touch struct {
	vpc             spec.VPCID
	self            func(*Person) bool
	other           func(*Person) bool  // nil: everybody
	otherVPC        map[spec.VPCID]bool // nil: all around
	ports           []spec.Port         // nil: all
	inward, outward bool                // to self, from self
}

func everybody(*Person) bool { return true }

// touches returns what the differences of two networks, or of the Rego, touch.
func touches(before, after *Policy) []touch {
	var found []touch
	whole := func(vpc spec.VPCID) {
		found = append(found, touch{vpc: vpc, self: everybody, inward: true, outward: true})
	}
	a, b := before.network, after.network
	rego := !slices.Equal(before.evaluator.modules, after.evaluator.modules)
	for _, id := range union(a.VPCs, b.VPCs) {
		was, is := a.VPCs[id], b.VPCs[id]
		if rego || before.hookHash(tenantOf(id)) != after.hookHash(tenantOf(id)) || was == nil || is == nil || !spec.Same(was.Subnets, is.Subnets) || was.Default != is.Default || !spec.Same(was.Egress, is.Egress) {
			whole(id)
			continue
		}
		if joined := changedPeers(a.Peers[id], b.Peers[id]); len(joined) > 0 {
			found = append(found, touch{vpc: id, self: everybody, otherVPC: joined, inward: true, outward: true})
		}
		if spec.Same(a.Groups[id], b.Groups[id]) {
			continue
		}
		found = append(found, touch{vpc: id, self: regrouped, inward: true, outward: true})
		for _, name := range union(a.Groups[id], b.Groups[id]) {
			found = append(found, groupTouches(a.Groups[id][name], b.Groups[id][name])...)
		}
	}
	found = append(found, linkTouches(a, b)...)
	return append(found, entryTouches(a, b)...)
}

func union[K ~string, V any](a, b map[K]V) []K {
	all := map[K]bool{}
	for k := range a {
		all[k] = true
	}
	for k := range b {
		all[k] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func changedPeers(a, b []spec.VPCID) map[spec.VPCID]bool {
	changed := map[spec.VPCID]bool{}
	for _, lists := range [][2][]spec.VPCID{{a, b}, {b, a}} {
		for _, id := range lists[0] {
			if !slices.Contains(lists[1], id) {
				changed[id] = true
			}
		}
	}
	return changed
}

// regrouped reports whether a person is in other groups than before.
func regrouped(p *Person) bool {
	return p.before == nil || p.after == nil || !slices.Equal(p.before.Groups, p.after.Groups)
}

// groupTouches returns what a changed group touches. Either may be nil.
func groupTouches(was, is *spec.SecurityGroup) []touch {
	either := is
	if is == nil {
		either = was
	}
	var found []touch
	for i, section := range []func(*spec.SecurityGroup) *spec.Section{ingressOf, egressOf} {
		var a, b *spec.Section
		if was != nil {
			a = section(was)
		}
		if is != nil {
			b = section(is)
		}
		if t, touched := sectionTouch(a, b); touched {
			t.vpc, t.inward, t.outward = either.VPC, i == 0, i == 1
			t.self = inGroup(either.Name)
			found = append(found, t)
		}
	}
	return found
}

func inGroup(name string) func(*Person) bool {
	return func(p *Person) bool {
		return p.before != nil && slices.Contains(p.before.Groups, name) || p.after != nil && slices.Contains(p.after.Groups, name)
	}
}

// sectionTouch returns whom a changed section touches: the peers of its changed
// rules at their ports, or everybody if it isolates now and did not, or reverse.
func sectionTouch(a, b *spec.Section) (touch, bool) {
	if a.Isolating() != b.Isolating() {
		return touch{}, true
	}
	changed := slices.Concat(rulesBeyond(a, b), rulesBeyond(b, a))
	if len(changed) == 0 {
		return touch{}, false
	}
	var peers []spec.Peer
	var ports []spec.Port
	anyPort := false
	for _, r := range changed {
		peers = append(peers, peersOf(r)...)
		ports = append(ports, r.Ports...)
		anyPort = anyPort || r.AnyPort
	}
	if anyPort {
		ports = nil
	} else if ports == nil {
		ports = []spec.Port{}
	}
	return touch{ports: ports, other: func(p *Person) bool {
		return slices.ContainsFunc(peers, func(peer spec.Peer) bool { return p.selectedBy(&peer) })
	}}, true
}

// rulesBeyond returns the rules of a that b does not have, wherever they stand.
func rulesBeyond(a, b *spec.Section) []*spec.Rule {
	if a == nil {
		return nil
	}
	have := map[string][]*spec.Rule{}
	if b != nil {
		for i := range b.Rules {
			have[ruleText(&b.Rules[i])] = append(have[ruleText(&b.Rules[i])], &b.Rules[i])
		}
	}
	var beyond []*spec.Rule
	for i := range a.Rules {
		if r := &a.Rules[i]; len(have[ruleText(r)]) == 0 {
			beyond = append(beyond, r)
		}
	}
	return beyond
}

func ruleText(r *spec.Rule) string {
	peers, ports := peersText(r), portsText(r)
	if r.AnyPeer {
		peers = "anybody"
	}
	if r.AnyPort {
		ports = "any port"
	}
	return peers + "|" + ports + "|" + string(r.Action) + "|" + r.Until.String()
}

// selectedBy reports whether a peer selects the person, before or after.
func (p *Person) selectedBy(peer *spec.Peer) bool {
	switch {
	case peer.Any:
		return true
	case peer.CIDR.IsValid():
		return p.Addr.IsValid() && peer.CIDR.Contains(p.Addr)
	case p.VPC != peer.VPC:
		return false
	case peer.Group != "":
		return inGroup(peer.Group)(p)
	case peer.Subnet != "":
		return p.Subnet == peer.Subnet
	}
	return spec.HasLabels(p.Labels, peer.Labels)
}

// linkTouches returns the pairs of changed Links.
func linkTouches(a, b *spec.Network) []touch {
	var found []touch
	for _, l := range changed(a.Links, b.Links, (*spec.Link).Path) {
		self, other := atEnd(&l.Between[0]), atEnd(&l.Between[1])
		found = append(found, touch{vpc: l.Between[0].VPC, self: self, other: other, inward: true, outward: true})
	}
	return found
}

func atEnd(e *spec.End) func(*Person) bool {
	return func(p *Person) bool {
		if p.VPC != e.VPC {
			return false
		}
		if e.Endpoint != "" {
			return p.bare() == e.Endpoint
		}
		return inGroup(e.Group)(p)
	}
}

// entryTouches returns the pairs of changed Ingresses and Services.
func entryTouches(a, b *spec.Network) []touch {
	var found []touch
	outside := map[spec.VPCID]bool{outsideVPC: true}
	for _, i := range changed(a.Ingresses, b.Ingresses, (*spec.Ingress).Path) {
		found = append(found, touch{vpc: i.VPC, otherVPC: outside, inward: true,
			self: func(p *Person) bool { return p.bare() == i.Endpoint }})
	}
	for _, s := range changed(a.Services, b.Services, (*spec.Service).Path) {
		found = append(found, touch{vpc: s.VPC, otherVPC: outside, inward: true,
			self: func(p *Person) bool { return p.selectedBy(&s.Backends) }})
	}
	return found
}

// changed returns the objects, of both lists, that the other doesn't have as they are.
func changed[T any](a, b []*T, path func(*T) string) []*T {
	index := func(list []*T) map[string]*T {
		m := make(map[string]*T, len(list))
		for _, o := range list {
			m[path(o)] = o
		}
		return m
	}
	was, is := index(a), index(b)
	var found []*T
	for _, p := range union(was, is) {
		if spec.Same(was[p], is[p]) {
			continue
		}
		for _, o := range []*T{was[p], is[p]} {
			if o != nil {
				found = append(found, o)
			}
		}
	}
	return found
}
