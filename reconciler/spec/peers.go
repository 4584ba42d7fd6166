package spec

import (
	"net/netip"
	"slices"
	"strings"
)

// pair is two VPCs in the order of their ids.
type pair struct{ a, b VPCID }

func makePair(a, b VPCID) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// ranges are the subnets of a VPC: those that have a valid range, in the order
// of their addresses; and the names of all.
type ranges struct {
	subnets []Subnet
	names   map[string]bool
}

// ranges returns the subnets of a VPC, of which none need be there.
func (c *check) ranges(id VPCID) *ranges {
	if r := c.subnets[id]; r != nil {
		return r
	}
	r := &ranges{names: make(map[string]bool)}
	c.subnets[id] = r
	vpc := c.net.VPCs[id]
	if vpc == nil {
		return r
	}
	for _, s := range vpc.Subnets {
		r.names[s.Name] = true
		if s.CIDR.IsValid() {
			r.subnets = append(r.subnets, s)
		}
	}
	slices.SortFunc(r.subnets, func(a, b Subnet) int { return comparePrefixes(a.CIDR, b.CIDR) })
	return r
}

// overlapping returns a subnet that overlaps p.
func (r *ranges) overlapping(p netip.Prefix) (Subnet, bool) {
	i, _ := slices.BinarySearchFunc(r.subnets, p, func(s Subnet, p netip.Prefix) int { return comparePrefixes(s.CIDR, p) })
	// Subnets are disjoint: the next may be within p, the last before contain it.
	for _, j := range []int{i, i - 1} {
		if j >= 0 && j < len(r.subnets) && r.subnets[j].CIDR.Overlaps(p) {
			return r.subnets[j], true
		}
	}
	return Subnet{}, false
}

// peerings finds out which Peerings are in force, and reports what is wrong
// with each and among them.
func (c *check) peerings() {
	owners := make(map[pair]map[string]bool) // that have a Peering of the pair
	came := make(map[pair]Pos)               // into force
	for _, o := range c.objects {
		p := o.peering
		if p == nil || p.VPCs[0] == "" || p.VPCs[1] == "" || p.VPCs[0] == p.VPCs[1] || !p.owned() {
			continue
		}
		id := makePair(p.VPCs[0], p.VPCs[1])
		if owners[id] == nil {
			owners[id] = make(map[string]bool, 2)
		}
		owners[id][p.Tenant] = true
		_, isIn := came[id]
		if !isIn && c.hasVPC(id.a) && c.hasVPC(id.b) && owners[id][id.a.tenant()] && owners[id][id.b.tenant()] {
			came[id] = o.at
			c.net.Peers[id.a] = append(c.net.Peers[id.a], id.b)
			c.net.Peers[id.b] = append(c.net.Peers[id.b], id.a)
		}
	}
	for _, peers := range c.net.Peers {
		slices.Sort(peers)
	}
	for _, o := range c.objects {
		if o.peering != nil {
			c.peering(o)
		}
	}
	c.pairOverlaps()
	c.peerOverlaps(came)
}

// hasVPC reports whether there is a VPC of that id, be its spec refused.
func (c *check) hasVPC(id VPCID) bool {
	_, found := c.net.VPCs[id]
	return found
}

// owned reports whether one of the VPCs is of the Peering's own tenant.
func (p *Peering) owned() bool {
	return p.VPCs[0].tenant() == p.Tenant || p.VPCs[1].tenant() == p.Tenant
}

// peering says whether one Peering is in force, and what keeps it from that.
func (c *check) peering(o *object) {
	p := o.peering
	if p.VPCs[0] == "" || p.VPCs[1] == "" || p.VPCs[0] == p.VPCs[1] {
		return // which is reported
	}
	if !p.owned() {
		c.warn(o.at, "neither vpc %q nor vpc %q is of tenant %q, so the Peering has no effect; remove it, or name a vpc of its own",
			p.VPCs[0], p.VPCs[1], p.Tenant)
		return
	}
	p.InForce = c.net.Peered(p.VPCs[0], p.VPCs[1])
	for i, id := range p.VPCs {
		switch {
		case id.tenant() != p.Tenant:
			if !p.InForce {
				c.warn(o.places.vpcs[i], "vpc %q doesn't exist or its tenant has no Peering of the two, so this one is not in force; remove it, or ask for theirs", id)
			}
		case !c.hasVPC(id):
			c.err(o.places.vpcs[i], "vpc %q doesn't exist; add the VPC or name another", id)
		}
	}
}

// overlap is a range of each of two VPCs, which overlap.
type overlap map[VPCID]netip.Prefix

// pairOverlaps reports Peerings of VPCs that overlap, in force or not. What a
// stranger's ranges are, one that is not in force doesn't tell.
func (c *check) pairOverlaps() {
	known := make(map[pair]overlap)
	for _, o := range c.objects {
		p := o.peering
		if p == nil || p.VPCs[0] == p.VPCs[1] || !p.owned() {
			continue
		}
		id := makePair(p.VPCs[0], p.VPCs[1])
		found, isKnown := known[id]
		if !isKnown {
			var ok bool
			if found, ok = c.overlap(id, o.at); !ok {
				return
			}
			known[id] = found
		}
		if found == nil {
			continue
		}
		var shown []string
		for _, vpc := range p.VPCs {
			if p.InForce || vpc.tenant() == p.Tenant {
				shown = append(shown, found[vpc].String()+" of "+quote(string(vpc)))
			}
		}
		c.err(o.at, "vpc %q and vpc %q can't be peered, since their ranges overlap: %s; choose another range for one, or remove the Peering",
			p.VPCs[0], p.VPCs[1], strings.Join(shown, " and "))
	}
}

// overlap returns where two VPCs overlap, or nil if they don't. ok is false if
// there is too much to compare.
func (c *check) overlap(id pair, at Pos) (found overlap, ok bool) {
	if len(c.ranges(id.a).subnets) > len(c.ranges(id.b).subnets) {
		id.a, id.b = id.b, id.a
	}
	few, many := c.ranges(id.a), c.ranges(id.b)
	if !c.spend(workSubnet*(1+len(few.subnets)), at) {
		return nil, false
	}
	for _, s := range few.subnets {
		if other, isIn := many.overlapping(s.CIDR); isIn {
			return overlap{id.a: s.CIDR, id.b: other.CIDR}, true
		}
	}
	return nil, true
}

// peerOverlaps reports VPCs that are peered in force with two that overlap each
// other, at the Peering that came into force later: an address would mean two
// endpoints.
func (c *check) peerOverlaps(came map[pair]Pos) {
	ids := make([]VPCID, 0, len(c.net.Peers))
	for id := range c.net.Peers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if len(c.net.Peers[id]) > 1 && !c.ambiguous(id, came) {
			return
		}
	}
}

// ownedSubnet is a subnet and whose it is.
type ownedSubnet struct {
	vpc VPCID
	Subnet
}

// ambiguous reports the overlaps among the peers of one VPC. It returns false
// if there is too much to compare.
func (c *check) ambiguous(id VPCID, came map[pair]Pos) bool {
	var all []ownedSubnet
	for _, peer := range c.net.Peers[id] {
		subnets := c.ranges(peer).subnets
		if !c.spend(workSubnet*(1+len(subnets)), came[makePair(id, peer)]) {
			return false
		}
		for _, s := range subnets {
			all = append(all, ownedSubnet{peer, s})
		}
	}
	slices.SortStableFunc(all, func(a, b ownedSubnet) int { return comparePrefixes(a.CIDR, b.CIDR) })
	widest := -1
	said := make(map[pair]bool)
	for i, s := range all {
		if widest < 0 || !all[widest].CIDR.Overlaps(s.CIDR) {
			widest = i
			continue
		}
		w := all[widest]
		both := makePair(w.vpc, s.vpc)
		if w.vpc == s.vpc || said[both] {
			continue
		}
		said[both] = true
		first, later := came[makePair(id, w.vpc)], came[makePair(id, s.vpc)]
		if first.compare(later) > 0 {
			first, later = later, first
		}
		c.err(later, "vpc %q is peered with both %q and %q (see %s), whose ranges overlap, %s and %s; choose another range for one, or remove a Peering",
			id, both.a, both.b, first, w.CIDR, s.CIDR)
	}
	return true
}
