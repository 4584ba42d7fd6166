package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

var errManySubjects = fmt.Errorf("one of its ends may be more than %d different identities", maxAssertionSubjects)

// people are the identities that Assertions are checked over.
type people struct {
	network   *spec.Network
	owned     map[string][]spec.VPCID // by tenant
	observed  map[spec.VPCID][]*inventory.Identity
	labels    map[spec.VPCID]map[string]map[string]string // the sets that selectors name, by text
	addresses map[*inventory.Identity]netip.Addr          // of outside identities
	known     map[spec.VPCID][]*inventory.Identity        // as far as asked for: observed and invented
}

func newPeople(network *spec.Network, observed []*inventory.Identity) *people {
	p := &people{
		network:   network,
		owned:     map[string][]spec.VPCID{},
		observed:  map[spec.VPCID][]*inventory.Identity{},
		labels:    map[spec.VPCID]map[string]map[string]string{},
		addresses: map[*inventory.Identity]netip.Addr{},
		known:     map[spec.VPCID][]*inventory.Identity{},
	}
	for _, id := range observed {
		if !id.Outside {
			p.observed[id.VPC] = append(p.observed[id.VPC], id)
		}
	}
	for id, vpc := range network.VPCs {
		p.owned[vpc.Tenant] = append(p.owned[vpc.Tenant], id)
	}
	for _, groups := range network.Groups {
		for _, g := range groups {
			p.addGroup(g)
		}
	}
	for _, s := range network.Services {
		p.addLabels(s.VPC, s.Backends.Labels)
	}
	for _, a := range network.Assertions {
		for _, s := range []*spec.Subject{&a.From, &a.To} {
			p.addLabels(s.Peer.VPC, s.Peer.Labels)
		}
	}
	return p
}

func (p *people) addGroup(g *spec.SecurityGroup) {
	if g.Members != nil {
		p.addLabels(g.VPC, g.Members.Labels)
	}
	for _, s := range []*spec.Section{g.Ingress, g.Egress} {
		if s == nil {
			continue
		}
		for i := range s.Rules {
			for j := range s.Rules[i].Peers {
				peer := &s.Rules[i].Peers[j]
				p.addLabels(peer.VPC, peer.Labels)
			}
		}
	}
}

func (p *people) addLabels(vpc spec.VPCID, labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	if p.labels[vpc] == nil {
		p.labels[vpc] = map[string]map[string]string{}
	}
	p.labels[vpc][labelsText(labels)] = labels
}

// selectedBy reports whether an end of an Assertion selects an identity of its VPC.
func selectedBy(s *spec.Subject, id *inventory.Identity) bool {
	switch {
	case s.Endpoint != "":
		return id.Name == s.Endpoint
	case s.Peer.Group != "":
		return slices.Contains(id.Groups, s.Peer.Group)
	case s.Peer.Subnet != "":
		return id.Subnet == s.Peer.Subnet
	}
	return spec.HasLabels(id.Labels, s.Peer.Labels)
}

// of returns the identities of a VPC, if there is work enough left to make them.
func (c *checker) of(id spec.VPCID) ([]*inventory.Identity, error) {
	p := c.peopled
	vpc := p.network.VPCs[id]
	if vpc == nil {
		return nil, nil
	}
	if known, found := p.known[id]; found {
		return known, nil
	}
	in := p.inventing(vpc)
	resolving := len(vpc.Subnets) * (1 + len(p.labels[id]))
	making := resolving + len(vpc.Subnets)*len(in.claimable)
	if making > maxAssertionSubjects {
		return nil, errManySubjects
	}
	if !c.spend(workOfIdentity*making + resolving*len(in.resolved)/10) {
		return nil, errManyDecisions
	}
	found := slices.Clone(p.observed[id])
	for i := range vpc.Subnets {
		found = append(found, in.subnet(vpc.Subnets[i].Name)...)
	}
	p.known[id] = found
	return found, nil
}

// inventing makes identities of one VPC.
type inventing struct {
	*people
	vpc       *spec.VPC
	claimable []*spec.SecurityGroup
	resolved  []*spec.SecurityGroup // those with members
}

func (p *people) inventing(vpc *spec.VPC) inventing {
	in := inventing{people: p, vpc: vpc}
	for _, name := range slices.Sorted(maps.Keys(p.network.Groups[vpc.ID])) {
		if g := p.network.Groups[vpc.ID][name]; g.Members == nil {
			in.claimable = append(in.claimable, g)
		} else {
			in.resolved = append(in.resolved, g)
		}
	}
	return in
}

// anybody is the place of an end that is whoever it selects.
var anybody = []*inventory.Identity{nil}

// places returns where the endpoint that a deny names may come to be, one
// identity a subnet, if nobody has its name yet; else anybody.
func (c *checker) places(a *spec.Assertion, s *spec.Subject) []*inventory.Identity {
	vpc := c.p.network.VPCs[s.Peer.VPC]
	if a.Allow || s.Endpoint == "" || vpc == nil || !c.p.network.Within(a.Tenant, vpc.ID) ||
		slices.ContainsFunc(c.peopled.observed[vpc.ID], func(id *inventory.Identity) bool { return id.Name == s.Endpoint }) {
		return anybody
	}
	in := c.peopled.inventing(vpc)
	if !c.spend(len(vpc.Subnets) * (workOfIdentity + len(in.resolved)/10)) {
		return anybody
	}
	places := make([]*inventory.Identity, len(vpc.Subnets))
	for i := range vpc.Subnets {
		places[i] = in.identity(vpc.Subnets[i].Name, s.Endpoint, nil)
	}
	return places
}

// subnet returns the identities of a subnet: alone, with each claimable group,
// and with each set of labels.
func (in inventing) subnet(subnet string) []*inventory.Identity {
	alone := in.identity(subnet, "", nil)
	all := []*inventory.Identity{alone}
	for _, g := range in.claimable {
		claiming := *alone
		claiming.Groups = append(slices.Clone(alone.Groups), g.Name)
		slices.Sort(claiming.Groups)
		all = append(all, &claiming)
	}
	for _, text := range slices.Sorted(maps.Keys(in.labels[in.vpc.ID])) {
		all = append(all, in.identity(subnet, "", in.labels[in.vpc.ID][text]))
	}
	return all
}

func (in inventing) identity(subnet, name string, labels map[string]string) *inventory.Identity {
	id := &inventory.Identity{
		Tenant: in.vpc.Tenant, VPC: in.vpc.ID, Subnet: subnet, Name: name, Labels: labels,
	}
	for _, g := range in.resolved {
		if g.Members.Select(name, subnet, labels) {
			id.Groups = append(id.Groups, g.Name)
		}
	}
	return id
}

// labelsText returns labels as one text, the same for the same labels.
func labelsText(labels map[string]string) string {
	texts := make([]string, 0, len(labels))
	for name, value := range labels {
		texts = append(texts, fmt.Sprintf("%s=%q", name, value))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// outsides returns an outside address for each cell of the prefixes that vpc's
// rules and the peer name, of those that the peer selects.
func (c *checker) outsides(vpc spec.VPCID, peer *spec.Peer) []*inventory.Identity {
	words := c.p.words(vpc)
	if words == nil {
		return nil
	}
	inside := c.p.insideOf(vpc)
	var cuts cells
	for prefix, selectors := range words.peers.cidrs {
		cuts.add(prefix)
		for _, s := range selectors {
			for except := range s.except {
				cuts.add(except)
			}
		}
	}
	if peer.CIDR.IsValid() {
		cuts.add(peer.CIDR)
	}
	for _, prefix := range slices.Concat(peer.Except, inside) {
		cuts.add(prefix)
	}
	known := map[string]bool{}
	var found []*inventory.Identity
	starts := cuts.starts()
	if !c.spend(len(starts) * (workOfIdentity + len(inside))) {
		return nil
	}
	for _, addr := range starts {
		within := func(prefix netip.Prefix) bool { return prefix.Contains(addr) }
		if slices.ContainsFunc(inside, within) ||
			peer.CIDR.IsValid() && (!peer.CIDR.Contains(addr) || slices.ContainsFunc(peer.Except, within)) {
			continue
		}
		id := &inventory.Identity{Outside: true, CIDRs: c.p.OutsideCIDRs(addr)}
		key := strings.Join(words.peers.keys(id), " ")
		if !known[key] {
			known[key] = true
			c.peopled.addresses[id] = addr
			found = append(found, id)
		}
	}
	return found
}

// reserved are the ranges that are never outside: 0/8, 127/8, 169.254/16, and
// multicast, 240/4 and broadcast in one (SPEC, "Outside").
func reserved() []netip.Prefix {
	return []netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 3),
	}
}

// insideOf returns the ranges that are not outside for endpoints of a VPC: its
// own, those of its peers, and the reserved ones.
func (p *Policy) insideOf(vpc spec.VPCID) []netip.Prefix {
	inside := reserved()
	for _, id := range append([]spec.VPCID{vpc}, p.network.Peers[vpc]...) {
		if v := p.network.VPCs[id]; v != nil {
			for i := range v.Subnets {
				inside = append(inside, v.Subnets[i].CIDR)
			}
		}
	}
	return inside
}

// cells cuts the addresses where prefixes begin and where they have ended.
type cells struct{ cuts []netip.Addr }

func (c *cells) add(p netip.Prefix) {
	c.cuts = append(c.cuts, p.Masked().Addr())
	last := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	if next := netip.AddrFrom4(last).Next(); next.IsValid() {
		c.cuts = append(c.cuts, next)
	}
}

// starts returns the first address of each cell.
func (c *cells) starts() []netip.Addr {
	all := append(c.cuts, netip.AddrFrom4([4]byte{}))
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}
