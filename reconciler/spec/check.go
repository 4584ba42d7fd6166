package spec

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// check puts the objects of all files together, and reports what is wrong among
// them. What it costs is near to linear in their number; where it can't be, it
// is counted, and maxWork bounds it.
type check struct {
	*loader
	net     *Network
	objects []*object    // without those that are there twice, by file and line
	flawed  map[key]bool // objects whose specs have errors
	subnets map[VPCID]*ranges
	work    int

	groupsOf VPCID // the VPC whose groups were asked for last, and these
	groups   map[string]*SecurityGroup
}

// network returns the Network that the objects make, for what it is worth if
// there are errors.
func (l *loader) network() *Network {
	c := check{
		loader: l,
		net: &Network{
			Tenants:  make(map[string]*Tenant),
			VPCs:     make(map[VPCID]*VPC),
			Groups:   make(map[VPCID]map[string]*SecurityGroup),
			Gateways: make(map[string]*Gateway),
			Sites:    make(map[string]*Site),
			Peers:    make(map[VPCID][]VPCID),
			Named:    make(map[VPCID]map[string]bool),
		},
		flawed:  make(map[key]bool),
		subnets: make(map[VPCID]*ranges),
	}
	c.collect()
	c.sort()
	c.scopes()
	c.peerings()
	for _, refs := range l.named {
		c.resolveFile(refs)
	}
	for _, g := range l.vias {
		if _, found := c.net.Gateways[g.name]; !found {
			c.err(g.at, "%s is %q, and no Gateway has that name; add it or name another", g.what, g.name)
		}
	}
	c.name()
	c.virtualAddresses()
	c.listeners()
	return c.net
}

// collect enters the objects into net. One that is there twice counts once. An
// object whose spec is refused is there all the same, so that no reference to
// it is refused as well.
func (c *check) collect() {
	first := make(map[key]Pos, len(c.loader.objects))
	for _, o := range c.loader.objects {
		if at, found := first[o.key]; found {
			c.err(o.at, "%s is here twice, first at %s; remove one or rename it", o.key, at)
			continue
		}
		first[o.key] = o.at
		c.objects = append(c.objects, o)
		if o.flawed {
			c.flawed[o.key] = true
		}
		c.net.enter(o)
	}
}

// enter adds what o holds, which is nil if it has no spec.
func (n *Network) enter(o *object) {
	switch {
	case o.kind == kindTenant:
		n.Tenants[o.name] = o.tenantSpec
	case o.kind == kindVPC:
		n.VPCs[MakeVPCID(o.tenant, o.name)] = o.vpcSpec
	case o.kind == kindSecurityGroup:
		id := MakeVPCID(o.tenant, o.vpc)
		groups := n.Groups[id]
		if groups == nil {
			groups = make(map[string]*SecurityGroup)
			n.Groups[id] = groups
		}
		groups[o.name] = o.group
	case o.kind == kindGateway:
		n.Gateways[o.name] = o.gateway
	case o.kind == kindSite:
		n.Sites[o.name] = o.site
	case o.peering != nil:
		n.Peerings = append(n.Peerings, o.peering)
	case o.link != nil:
		n.Links = append(n.Links, o.link)
	case o.ingress != nil:
		n.Ingresses = append(n.Ingresses, o.ingress)
	case o.service != nil:
		n.Services = append(n.Services, o.service)
	case o.assertion != nil:
		n.Assertions = append(n.Assertions, o.assertion)
	}
}

// sort puts the lists into the order that Network promises.
func (c *check) sort() {
	n := c.net
	slices.SortFunc(n.Peerings, func(a, b *Peering) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(n.Links, func(a, b *Link) int { return compareNames(a.VPC, b.VPC, a.Name, b.Name) })
	slices.SortFunc(n.Ingresses, func(a, b *Ingress) int { return compareNames(a.VPC, b.VPC, a.Name, b.Name) })
	slices.SortFunc(n.Services, func(a, b *Service) int { return compareNames(a.VPC, b.VPC, a.Name, b.Name) })
	slices.SortFunc(n.Assertions, func(a, b *Assertion) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(c.operatorCIDRs, comparePrefixes)
	n.OperatorCIDRs = slices.Compact(c.operatorCIDRs)
}

// compareNames orders names by tenant, VPC and then as themselves.
func compareNames(a, b VPCID, aName, bName string) int {
	return cmp.Or(cmp.Compare(a.tenant(), b.tenant()), cmp.Compare(a.name(), b.name()), cmp.Compare(aName, bName))
}

// comparePrefixes orders what contains a range before it.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits())
}

// scopes reports objects whose tenant or VPC doesn't exist.
func (c *check) scopes() {
	for _, o := range c.loader.objects {
		if o.tenant == "" {
			continue
		}
		if _, found := c.net.Tenants[o.tenant]; !found {
			c.err(o.tenantAt, "the tenant %q doesn't exist; add a Tenant of that name outside %s/", o.tenant, tenantsDir)
			continue
		}
		if o.vpc == "" {
			continue
		}
		if _, found := c.net.VPCs[MakeVPCID(o.tenant, o.vpc)]; !found {
			c.err(o.vpcAt, "the vpc %q of tenant %q doesn't exist; add a VPC of that name", o.vpc, o.tenant)
		}
	}
}

// name enters the endpoints that objects name. A stranger's endpoint that can't
// be reached is left out: naming it must neither cost nor tell.
func (c *check) name() {
	enter := func(vpc VPCID, endpoint string) {
		if endpoint == "" {
			return
		}
		if c.net.Named[vpc] == nil {
			c.net.Named[vpc] = make(map[string]bool)
		}
		c.net.Named[vpc][endpoint] = true
	}
	for _, l := range c.net.Links {
		if !c.net.Holds(l) {
			continue
		}
		for _, e := range l.Between {
			enter(e.VPC, e.Endpoint)
		}
	}
	for _, i := range c.net.Ingresses {
		enter(i.VPC, i.Endpoint)
	}
	for _, a := range c.net.Assertions {
		for _, s := range []Subject{a.From, a.To} {
			if c.net.Within(a.Tenant, s.Peer.VPC) {
				enter(s.Peer.VPC, s.Endpoint)
			}
		}
	}
}

// Holds reports whether a Link can have an effect: its tenant owns one of the
// ends, and isolation lets the two ends through to each other.
func (n *Network) Holds(l *Link) bool {
	a, b := l.Between[0].VPC, l.Between[1].VPC
	owner := l.VPC.tenant()
	return (a.tenant() == owner || b.tenant() == owner) && (a == b || n.Peered(a, b))
}

// Within reports whether a tenant may speak of what is in a VPC: it is its own,
// or peered in force with one of its own.
func (n *Network) Within(tenant string, vpc VPCID) bool {
	if vpc == "" || vpc.tenant() == tenant {
		return vpc != ""
	}
	peers := n.Peers[vpc]
	i, _ := slices.BinarySearch(peers, VPCID(tenant+"/"))
	return i < len(peers) && strings.HasPrefix(string(peers[i]), tenant+"/")
}

// spend counts so much work, and reports whether it may be done. The work that
// exceeds the bound is reported, at the object that is in hand.
func (c *check) spend(work int, at Pos) bool {
	if c.work > maxWork {
		return false
	}
	if c.work += work; c.work > maxWork {
		c.abort(at, "the tree has more subnets of peered VPCs, or more hosts and ports to listen on, than can be compared; remove what it doesn't need")
		return false
	}
	return true
}
