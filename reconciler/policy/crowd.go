package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// crowd are the persons of two networks, made a VPC at a time.
type crowd struct {
	before, after *Policy
	was, is       *people
	seen          [2]*inventory.Snapshot
	reported      map[spec.VPCID][]inventory.EndpointReport
	known         map[spec.VPCID][]*Person
	outside       map[spec.VPCID][]*Person
}

func newCrowd(before, after *Policy, reported []inventory.EndpointReport) *crowd {
	c := &crowd{
		before: before, after: after,
		was: newPeople(before.network, nil), is: newPeople(after.network, nil),
		reported: map[spec.VPCID][]inventory.EndpointReport{},
		known:    map[spec.VPCID][]*Person{}, outside: map[spec.VPCID][]*Person{},
	}
	for i, p := range []*Policy{before, after} {
		c.seen[i], _ = inventory.Imagine(inventory.NewInterner(), p.network, reported)
	}
	for _, r := range reported {
		c.reported[r.VPCID()] = append(c.reported[r.VPCID()], r)
	}
	return c
}

// around returns the VPC, those that it is or was peered with, and the outside.
func (c *crowd) around(vpc spec.VPCID) []spec.VPCID {
	all := []spec.VPCID{vpc, outsideVPC}
	for _, id := range slices.Concat(c.before.network.Peers[vpc], c.after.network.Peers[vpc]) {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all
}

// of returns the persons of a VPC: who is there, then who may be.
func (c *crowd) of(id spec.VPCID) []*Person {
	if known, found := c.known[id]; found {
		return known
	}
	var all []*Person
	for _, r := range c.reported[id] {
		p := &Person{Name: string(id) + "/" + r.Name, VPC: id, Subnet: r.Subnet, Labels: r.Labels}
		p.before, p.after = numberless(c.seen[0], id, r.Name), numberless(c.seen[1], id, r.Name)
		all = append(all, p.grouped())
	}
	all = append(all, c.invented(id)...)
	c.known[id] = all
	return all
}

func numberless(s *inventory.Snapshot, vpc spec.VPCID, name string) *inventory.Identity {
	e := s.EndpointByName(inventory.EndpointRef{VPC: vpc, Name: name})
	if e == nil {
		return nil
	}
	id := *e.Identity
	id.ID = 0 // no cache keeps what is decided about it
	id.Name = e.Identity.Name
	return &id
}

// grouped sets the groups that are shown: those after, where there is an after.
func (p *Person) grouped() *Person {
	if p.after != nil {
		p.Groups = p.after.Groups
	} else if p.before != nil {
		p.Groups = p.before.Groups
	}
	return p
}

// bare is the name within the VPC.
func (p *Person) bare() string {
	if p.Name != "" {
		return p.Name[strings.LastIndexByte(p.Name, '/')+1:]
	}
	for _, id := range []*inventory.Identity{p.after, p.before} {
		if id != nil {
			return id.Name
		}
	}
	return ""
}

// kind is a sort of endpoint that there may be in a subnet.
type kind struct {
	name, claim string
	labels      map[string]string
}

// invented returns, for each subnet of the VPC before or after, an endpoint alone,
// with each claimable group, with each set of labels, and with each name that
// anything names.
func (c *crowd) invented(id spec.VPCID) []*Person {
	kinds := map[string]kind{"": {}}
	subnets := map[string]bool{}
	sides := []*people{c.was, c.is}
	inventings := make([]*inventing, len(sides))
	for i, side := range sides {
		vpc := side.network.VPCs[id]
		if vpc == nil {
			continue
		}
		in := side.inventing(vpc)
		inventings[i] = &in
		for _, g := range in.claimable {
			kinds["g"+g.Name] = kind{claim: g.Name}
		}
		for text, labels := range side.labels[id] {
			kinds["l"+text] = kind{labels: labels}
		}
		for name := range side.network.Named[id] {
			if c.seen[i].EndpointByName(inventory.EndpointRef{VPC: id, Name: name}) == nil {
				kinds["n"+name] = kind{name: name}
			}
		}
		for j := range vpc.Subnets {
			subnets[vpc.Subnets[j].Name] = true
		}
	}
	var all []*Person
	for _, subnet := range union(subnets, nil) {
		for _, key := range union(kinds, nil) {
			k := kinds[key]
			p := &Person{VPC: id, Subnet: subnet, Labels: k.labels}
			p.before, p.after = inventings[0].person(subnet, k), inventings[1].person(subnet, k)
			if k.name != "" {
				p.Name = string(id) + "/" + k.name
			}
			all = append(all, p.grouped())
		}
	}
	return all
}

// person is nil where the VPC or its subnet is not there.
func (in *inventing) person(subnet string, k kind) *inventory.Identity {
	if in == nil || in.vpc.Subnet(subnet) == nil {
		return nil
	}
	id := in.identity(subnet, k.name, k.labels)
	if g := in.network.Groups[in.vpc.ID][k.claim]; g != nil && g.Members == nil {
		id.Groups = append(id.Groups, g.Name)
		slices.Sort(id.Groups)
	}
	return id
}

// outsides returns an outside address for each cell of the prefixes that the VPC's
// rules name, before or after.
func (c *crowd) outsides(vpc spec.VPCID) []*Person {
	if known, found := c.outside[vpc]; found {
		return known
	}
	var cuts cells
	sides := []*Policy{c.before, c.after}
	for _, p := range sides {
		for _, prefix := range p.insideOf(vpc) {
			cuts.add(prefix)
		}
		words := p.words(vpc)
		if words == nil {
			continue
		}
		for prefix, selectors := range words.peers.cidrs {
			cuts.add(prefix)
			for _, s := range selectors {
				for except := range s.except {
					cuts.add(except)
				}
			}
		}
	}
	known := map[string]bool{}
	var all []*Person
	for _, addr := range cuts.starts() {
		p := &Person{Addr: addr}
		p.before, p.after = outsideIn(c.before, vpc, addr), outsideIn(c.after, vpc, addr)
		if p.before == nil && p.after == nil {
			continue
		}
		key := outsideKey(c.before, vpc, p.before) + "\n" + outsideKey(c.after, vpc, p.after)
		if !known[key] {
			known[key] = true
			all = append(all, p)
		}
	}
	c.outside[vpc] = all
	return all
}

// outsideIn returns the identity of an address that is outside for a VPC, or nil.
func outsideIn(p *Policy, vpc spec.VPCID, addr netip.Addr) *inventory.Identity {
	if slices.ContainsFunc(p.insideOf(vpc), func(prefix netip.Prefix) bool { return prefix.Contains(addr) }) {
		return nil
	}
	return &inventory.Identity{Outside: true, CIDRs: p.OutsideCIDRs(addr)}
}

func outsideKey(p *Policy, vpc spec.VPCID, id *inventory.Identity) string {
	if id == nil {
		return "inside"
	}
	if words := p.words(vpc); words != nil {
		return strings.Join(words.peers.keys(id), " ")
	}
	return ""
}
