package nic

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Kept is the IPv4 addresses and routes of a device, as text that can be put on
// another. LOCAL's are lost with the bridge, should somebody delete it.
type Kept struct {
	Addrs  []KeptAddr  `json:"addresses,omitempty"`
	Routes []KeptRoute `json:"routes,omitempty"`
}

// KeptAddr is an address.
type KeptAddr struct {
	Addr          netip.Prefix `json:"address"`
	Broadcast     netip.Addr   `json:"broadcast,omitzero"`
	Scope         int          `json:"scope,omitempty"`
	NoPrefixRoute bool         `json:"noPrefixRoute,omitempty"`
}

// KeptRoute is a unicast route with one next hop or none.
type KeptRoute struct {
	Dst      netip.Prefix `json:"to"`
	Via      netip.Addr   `json:"via,omitzero"`
	Src      netip.Addr   `json:"src,omitzero"`
	Table    int          `json:"table"`
	Metric   int          `json:"metric,omitempty"`
	Scope    int          `json:"scope,omitempty"`
	Protocol int          `json:"protocol,omitempty"`
	TOS      int          `json:"tos,omitempty"`
	OnLink   bool         `json:"onLink,omitempty"`
	MTU      int          `json:"mtu,omitempty"`
	AdvMSS   int          `json:"advMSS,omitempty"`
}

// Keep returns what dev has.
func Keep(dev string) (Kept, error) {
	var k Kept
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return k, fmt.Errorf("find device %q: %w", dev, err)
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return k, fmt.Errorf("list addresses of %q: %w", dev, err)
	}
	for _, a := range addrs {
		p, ok := prefix(a.IPNet)
		if !ok || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		k.Addrs = append(k.Addrs, KeptAddr{
			Addr: p, Broadcast: addrOf(a.Broadcast), Scope: a.Scope, NoPrefixRoute: a.Flags&unix.IFA_F_NOPREFIXROUTE != 0,
		})
	}
	routes, err := unicastRoutes(l)
	if err != nil {
		return k, err
	}
	for _, r := range routes {
		if len(r.MultiPath) > 0 {
			continue
		}
		to := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		if r.Dst != nil {
			to, _ = prefix(r.Dst)
		}
		k.Routes = append(k.Routes, KeptRoute{
			Dst: to, Via: addrOf(r.Gw), Src: addrOf(r.Src), Table: r.Table, Metric: r.Priority, Scope: int(r.Scope),
			Protocol: int(r.Protocol), TOS: r.Tos, OnLink: r.Flags&int(netlink.FLAG_ONLINK) != 0, MTU: r.MTU, AdvMSS: r.AdvMSS,
		})
	}
	return k, nil
}

// Equal reports whether both keep the same, in the same order.
func (k Kept) Equal(o Kept) bool {
	return slices.Equal(k.Addrs, o.Addrs) && slices.Equal(k.Routes, o.Routes)
}

// Put gives them to dev, which it sets up. What dev has already stays, and its
// addresses have their own routes unless noPrefixRoute names them (as in
// Original).
func (k Kept) Put(dev string, noPrefixRoute []string) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find device %q: %w", dev, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up %q: %w", dev, err)
	}
	for _, a := range k.Addrs {
		na := &netlink.Addr{IPNet: ipNet(a.Addr), Scope: a.Scope, Broadcast: net.IPv4zero}
		if a.Broadcast.IsValid() {
			na.Broadcast = a.Broadcast.AsSlice()
		}
		if slices.Contains(noPrefixRoute, a.Addr.String()) {
			na.Flags = unix.IFA_F_NOPREFIXROUTE
		}
		if err := netlink.AddrAdd(l, na); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("add address %s to %q: %w", a.Addr, dev, err)
		}
	}
	return k.putRoutes(l)
}

// putRoutes adds the routes, those to the subnets themselves first.
func (k Kept) putRoutes(l netlink.Link) error {
	there, err := unicastRoutes(l)
	if err != nil {
		return err
	}
	routes := slices.Clone(k.Routes)
	slices.SortStableFunc(routes, func(a, b KeptRoute) int { return a.Via.BitLen() - b.Via.BitLen() })
	for _, r := range routes {
		nr := netlink.Route{
			LinkIndex: l.Attrs().Index, Dst: ipNet(r.Dst), Table: r.Table, Priority: r.Metric, Scope: netlink.Scope(r.Scope),
			Protocol: netlink.RouteProtocol(r.Protocol), Tos: r.TOS, MTU: r.MTU, AdvMSS: r.AdvMSS,
		}
		if r.Via.IsValid() {
			nr.Gw = r.Via.AsSlice()
		}
		if r.Src.IsValid() {
			nr.Src = r.Src.AsSlice()
		}
		if r.OnLink {
			nr.Flags = int(netlink.FLAG_ONLINK)
		}
		if slices.ContainsFunc(there, func(t netlink.Route) bool { return sameRoute(t, nr) }) {
			continue
		}
		if err := netlink.RouteReplace(&nr); err != nil {
			return fmt.Errorf("add route %s to %q: %w", r.Dst, l.Attrs().Name, err)
		}
	}
	return nil
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}
