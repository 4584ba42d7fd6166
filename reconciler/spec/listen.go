package spec

import (
	"cmp"
	"net/netip"
	"slices"
)

// virtualAddresses reports Services whose vip is in no subnet of their VPC, or
// has a port that another listens on.
func (c *check) virtualAddresses() {
	type address struct {
		vpc VPCID
		vip netip.Addr
	}
	var order []address
	sharing := make(map[address][]*Service)
	for _, o := range c.objects {
		if o.service == nil || !o.service.VIP.IsValid() || o.tenant == "" || o.vpc == "" {
			continue
		}
		a := address{o.service.VPC, o.service.VIP}
		if sharing[a] == nil {
			order = append(order, a)
		}
		sharing[a] = append(sharing[a], o.service)
		_, found := c.ranges(a.vpc).overlapping(netip.PrefixFrom(a.vip, a.vip.BitLen()))
		if !found && c.hasVPC(a.vpc) && !c.flawed[key{kind: kindVPC, tenant: o.tenant, name: o.vpc}] {
			c.err(o.places.vip, "vip is %q, which is in no subnet of vpc %q; choose an address of one", a.vip, a.vpc)
		}
	}
	for _, a := range order {
		services := sharing[a]
		ok := c.collisions(servedBy(services), func(later, first taking) {
			s, other := services[later.listener], services[first.listener]
			c.err(s.At, "the Service %q has %s of vip %s, but the Service %q, at %s, listens there with %s; choose another port or vip",
				s.Path(), later.port, a.vip, other.Path(), other.At, first.port)
		})
		if !ok {
			return
		}
	}
}

// servedBy returns what Services of one virtual address listen on.
func servedBy(services []*Service) []listener {
	all := make([]listener, len(services))
	for i, s := range services {
		all[i] = listener{at: s.At, hosts: []string{"vip"}, ports: listened(s.Ports)}
	}
	return all
}

// listened returns the ports that are listened on.
func listened(maps []PortMap) []Port {
	ports := make([]Port, len(maps))
	for i, m := range maps {
		ports[i] = m.Listen
	}
	return ports
}

// entrance is an Ingress, or a Service with hosts or a Gateway.
type entrance struct {
	*object
	entry *Entry
	ports []PortMap
	hosts []string // the entry's, or its Gateway's
}

// listeners reports who listens where it must not: outside of what its tenant
// may take, or where another listens; and tenants that may take the same.
func (c *check) listeners() {
	c.tenantsListen()
	var tenants []string
	of := make(map[string][]entrance)
	for _, o := range c.objects {
		e := entrance{object: o}
		switch {
		case o.ingress != nil:
			e.entry, e.ports = &o.ingress.Entry, o.ingress.Ports
		case o.service != nil:
			e.entry, e.ports = &o.service.Entry, o.service.Ports
		default:
			continue
		}
		e.hosts = e.entry.Hosts
		if g := c.net.Gateways[e.entry.Gateway]; g != nil {
			e.hosts = g.Hosts
		}
		if len(e.hosts) == 0 {
			continue
		}
		if of[o.tenant] == nil {
			tenants = append(tenants, o.tenant)
		}
		of[o.tenant] = append(of[o.tenant], e)
	}
	for _, t := range tenants {
		if c.net.Tenants[t] == nil {
			continue
		}
		if !c.flawed[key{kind: kindTenant, name: t}] && !c.permitted(t, of[t]) || !c.apart(of[t]) {
			return
		}
	}
}

// tenantsListen reports tenants whose listen has a port of a host that another's
// has, so that no tenant can take what another one means to.
func (c *check) tenantsListen() {
	var tenants []*Tenant
	var all []listener
	for _, o := range c.objects {
		if t := o.tenantSpec; t != nil && len(t.Listen.Hosts) > 0 && len(t.Listen.Ports) > 0 {
			tenants = append(tenants, t)
			all = append(all, listener{t.At, t.Listen.Hosts, t.Listen.Ports})
		}
	}
	c.collisions(all, func(later, first taking) {
		t, other := tenants[later.listener], tenants[first.listener]
		c.err(t.At, "the listen of tenant %q has %s, but that of tenant %q, at %s, overlaps it with %s; give each hosts or ports of its own",
			t.Name, later, other.Name, other.At, first)
	})
}

// permitted reports what is outside of a tenant's listen. It returns false if
// there is too much to compare.
func (c *check) permitted(tenant string, all []entrance) bool {
	t := c.net.Tenants[tenant]
	hosts := make(map[string]bool, len(t.Listen.Hosts))
	for _, h := range t.Listen.Hosts {
		hosts[h] = true
	}
	ports := union(t.Listen.Ports)
	foreign := make(map[string]string) // by Gateway, a host of it that is not in hosts
	for _, e := range all {
		for _, m := range e.ports {
			if !within(ports, m.Listen) {
				c.err(m.At, "listen is %q, which is not within listen.ports of tenant %q; choose a port that is, or ask the operator for it", m.Listen, tenant)
			}
		}
		if hosts["*"] {
			continue
		}
		if e.entry.Gateway == "" {
			for i, h := range e.hosts {
				if !hosts[h] {
					c.err(e.places.hosts[i], "hosts has %s, which is not in listen.hosts of tenant %q; write one that is, or ask the operator for it", quote(h), tenant)
				}
			}
			continue
		}
		host, known := foreign[e.entry.Gateway]
		if !known {
			for i, h := range e.hosts {
				if !c.spend(workLookup, e.places.gateway) {
					return false
				}
				if !hosts[h] {
					host = e.hosts[i]
					break
				}
			}
			foreign[e.entry.Gateway] = host
		}
		if host != "" {
			c.err(e.places.gateway, "gateway is %q, whose host %s is not in listen.hosts of tenant %q; name another, or ask the operator for it",
				e.entry.Gateway, quote(host), tenant)
		}
	}
	return true
}

// apart reports what listens where another of its tenant does. It returns false
// if there is too much to compare.
func (c *check) apart(entrances []entrance) bool {
	all := make([]listener, len(entrances))
	for i, e := range entrances {
		all[i] = listener{e.at, e.hosts, listened(e.ports)}
	}
	return c.collisions(all, func(later, first taking) {
		e, other := entrances[later.listener], entrances[first.listener]
		c.err(e.at, "%s has %s%s, but %s, at %s, listens there with %s%s; choose another port or host",
			e.key, later, e.entry.via(), other.key, other.at, first, other.entry.via())
	})
}

// via names the Gateway whose hosts are listened on, where there is one, as the
// end of a problem's text about a host.
func (e *Entry) via() string {
	if e.Gateway == "" {
		return ""
	}
	return " of gateway " + quote(e.Gateway)
}

// union returns ports as ranges that are apart, in order.
func union(ports []Port) []Port {
	if len(ports) < 2 {
		return ports
	}
	sorted := slices.SortedFunc(slices.Values(ports), func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Lo, b.Lo))
	})
	var out []Port
	for _, p := range sorted {
		if n := len(out); n > 0 && out[n-1].Proto == p.Proto && int(p.Lo) <= int(out[n-1].Hi)+1 {
			out[n-1].Hi = max(out[n-1].Hi, p.Hi)
		} else {
			out = append(out, p)
		}
	}
	return out
}

// within reports whether all of p is in one of the ranges, as union makes them.
func within(ranges []Port, p Port) bool {
	i, found := slices.BinarySearchFunc(ranges, p, func(r, p Port) int {
		return cmp.Or(cmp.Compare(r.Proto, p.Proto), cmp.Compare(r.Lo, p.Lo))
	})
	if !found {
		i--
	}
	return i >= 0 && ranges[i].Proto == p.Proto && ranges[i].Lo <= p.Lo && p.Hi <= ranges[i].Hi
}
