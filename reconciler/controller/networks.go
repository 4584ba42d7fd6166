package controller

import (
	"cmp"
	"slices"

	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
)

// networksOf returns the subnets whose endpoints a host may have, sorted.
func networksOf(snap *inventory.Snapshot, host string) []hostlink.Network {
	var out []hostlink.Network
	for _, v := range snap.Net.VPCs {
		for _, sub := range v.Subnets {
			if _, err := snap.MayClaim(host, v.Tenant, v.Name, sub.Name); err == nil {
				out = append(out, hostlink.Network{Tenant: v.Tenant, VPC: v.Name, Subnet: sub.Name, CIDR: sub.CIDR.Masked()})
			}
		}
	}
	slices.SortFunc(out, func(a, b hostlink.Network) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.VPC, b.VPC), cmp.Compare(a.Subnet, b.Subnet))
	})
	return out
}

// tellNetworks tells a host the networks that it may have, once its report is in
// force; what was told before is not told again.
func (c *Controller) tellNetworks(conn *hostlink.Conn) {
	now := networksOf(c.engine.Snapshot(), conn.Host())
	told, ever := c.networks[conn.ID()]
	if ever && slices.Equal(now, told) {
		return
	}
	c.networks[conn.ID()] = now
	conn.Networks(now)
}

// networksChanged tells all hosts that were told before what is others now.
func (c *Controller) networksChanged() {
	for id, conn := range c.hosts {
		if _, ever := c.networks[id]; ever {
			c.tellNetworks(conn)
		}
	}
}
