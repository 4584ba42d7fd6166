package nic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Move is how an uplink's addresses and routes go to a bridge's LOCAL device
// and come back, without an established connection of the host losing a packet.
// The order is what makes it lossless: each address is on both devices while
// the routes change, so that deleting the first copy takes no route with it.
// Both directions look at what is there, so an interrupted one can be repeated.
type Move struct {
	Uplink string
	Local  string
	Drop   *Dropper // nil with the kernel datapath
	// Connect adds the uplink to the bridge, Disconnect takes it away.
	Connect    func(context.Context) error
	Disconnect func(context.Context) error
}

// Original is what Leave can't see on the bridge any more.
type Original struct {
	// NoPrefixRoute holds the addresses that had no route of the kernel's own.
	NoPrefixRoute []string
	LinkLocal     []string // IPv6 addresses that the uplink had
}

// Inspect returns what Leave needs of the uplink before Join, and refuses one
// whose address must not be moved.
func (m *Move) Inspect() (Original, error) {
	var o Original
	up, err := netlink.LinkByName(m.Uplink)
	if err != nil {
		return o, fmt.Errorf("find uplink %q: %w", m.Uplink, err)
	}
	addrs, err := netlink.AddrList(up, netlink.FAMILY_ALL)
	if err != nil {
		return o, fmt.Errorf("list addresses of %q: %w", m.Uplink, err)
	}
	for _, a := range addrs {
		switch {
		case a.IP.To4() == nil && a.IP.IsLinkLocalUnicast():
			o.LinkLocal = append(o.LinkLocal, a.IPNet.String())
		case a.IP.To4() == nil:
			return o, fmt.Errorf("uplink %q has the IPv6 address %s, which would not be moved: remove it or name another uplink", m.Uplink, a.IPNet)
		case a.Flags&unix.IFA_F_NOPREFIXROUTE != 0:
			o.NoPrefixRoute = append(o.NoPrefixRoute, a.IPNet.String())
		}
	}
	return o, nil
}

// Join moves everything from the uplink to the bridge. The bridge must be there
// with its base flows, and LOCAL with the uplink's MAC and MTU.
func (m *Move) Join(ctx context.Context) error {
	up, local, err := m.links()
	if err != nil {
		return err
	}
	// A packet may come in on either device for a moment: strict filtering of
	// the path back would drop it.
	if err := setSysctl("ipv4/conf/"+m.Local+"/rp_filter", 2); err != nil {
		return fmt.Errorf("loosen rp_filter of %q: %w", m.Local, err)
	}
	for _, l := range []netlink.Link{local, up} { // one that vanished comes back down
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set up %q: %w", l.Attrs().Name, err)
		}
	}
	addrs, err := copyAddrs(up, local, func(a *netlink.Addr) { a.Flags |= unix.IFA_F_NOPREFIXROUTE })
	if err != nil {
		return err
	}
	if err := copyNeighbours(up, local); err != nil {
		return err
	}
	if err := m.Connect(ctx); err != nil {
		return err
	}
	if m.Drop != nil {
		if err := m.Drop.Drop(ctx, m.Uplink); err != nil {
			return err
		}
	}
	if err := moveRoutes(up, local); err != nil {
		return err
	}
	return errors.Join(delAddrs(up, addrs), delLinkLocal(up))
}

// Leave moves everything back. o is what Inspect returned before Join.
func (m *Move) Leave(ctx context.Context, o Original) error {
	up, local, err := m.links()
	if err != nil {
		return err
	}
	addrs, err := copyAddrs(local, up, func(a *netlink.Addr) {
		a.Flags &^= unix.IFA_F_NOPREFIXROUTE
		if slices.Contains(o.NoPrefixRoute, a.IPNet.String()) {
			a.Flags |= unix.IFA_F_NOPREFIXROUTE
		}
	})
	if err != nil {
		return err
	}
	if err := copyNeighbours(local, up); err != nil {
		return err
	}
	if m.Drop != nil {
		if err := m.Drop.Restore(ctx, m.Uplink); err != nil {
			return err
		}
	}
	if err := moveRoutes(local, up); err != nil {
		return err
	}
	if err := delAddrs(local, addrs); err != nil {
		return err
	}
	return errors.Join(addLinkLocal(up, o.LinkLocal), m.Disconnect(ctx))
}

func (m *Move) links() (up, local netlink.Link, err error) {
	if up, err = netlink.LinkByName(m.Uplink); err != nil {
		return nil, nil, fmt.Errorf("find uplink %q: %w", m.Uplink, err)
	}
	if local, err = netlink.LinkByName(m.Local); err != nil {
		return nil, nil, fmt.Errorf("find LOCAL device %q: %w", m.Local, err)
	}
	return up, local, nil
}

// forever is the lifetime of an address that has no end (INFINITY_LIFE_TIME).
const forever = 1<<32 - 1

// copyAddrs gives to the IPv4 addresses of from, bent by bend, and returns them.
func copyAddrs(from, to netlink.Link, bend func(*netlink.Addr)) ([]netlink.Addr, error) {
	addrs, err := netlink.AddrList(from, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %q: %w", from.Attrs().Name, err)
	}
	for _, a := range addrs {
		a.LinkIndex, a.Label = to.Attrs().Index, ""
		a.ValidLft, a.PreferedLft = forever, forever            // who leased it would not find it to renew
		a.Flags &^= unix.IFA_F_PERMANENT | unix.IFA_F_SECONDARY // the kernel's to say
		bend(&a)
		if a.Broadcast == nil {
			a.Broadcast = net.IPv4zero // or the library makes one up
		}
		if err := netlink.AddrAdd(to, &a); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("add address %s to %q: %w", a.IPNet, to.Attrs().Name, err)
		}
	}
	return addrs, nil
}

// delAddrs deletes addresses, the secondary ones of a subnet before its primary
// one, which would take them with it.
func delAddrs(l netlink.Link, addrs []netlink.Addr) error {
	for _, a := range slices.Backward(addrs) {
		a.Flags = 0
		if err := netlink.AddrDel(l, &a); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return fmt.Errorf("delete address %s of %q: %w", a.IPNet, l.Attrs().Name, err)
		}
	}
	return nil
}

// copyNeighbours makes to know whom from knows, so that the first packets out
// of it don't wait for ARP.
func copyNeighbours(from, to netlink.Link) error {
	known, err := netlink.NeighList(from.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list neighbours of %q: %w", from.Attrs().Name, err)
	}
	const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	for _, n := range known {
		if n.State&usable == 0 || len(n.HardwareAddr) == 0 {
			continue
		}
		state := netlink.NUD_STALE
		if n.State&netlink.NUD_PERMANENT != 0 {
			state = netlink.NUD_PERMANENT
		}
		e := &netlink.Neigh{LinkIndex: to.Attrs().Index, State: state, IP: n.IP, HardwareAddr: n.HardwareAddr}
		if err := netlink.NeighSet(e); err != nil {
			return fmt.Errorf("add neighbour %s to %q: %w", n.IP, to.Attrs().Name, err)
		}
	}
	return nil
}

// moveRoutes turns the routes through from into routes through to, those to
// the subnets themselves first, since the others' next hops lie in them.
func moveRoutes(from, to netlink.Link) error {
	routes, err := unicastRoutes(from)
	if err != nil {
		return err
	}
	there, err := unicastRoutes(to)
	if err != nil {
		return err
	}
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return len(a.Gw) - len(b.Gw) })
	for _, r := range routes {
		if len(r.MultiPath) > 0 {
			return fmt.Errorf("route %s has several next hops: it can't be moved to %q", r.Dst, to.Attrs().Name)
		}
		twin := slices.ContainsFunc(there, func(t netlink.Route) bool { return sameRoute(t, r) })
		if err := moveRoute(r, to, twin); err != nil {
			return fmt.Errorf("move route %s from %q to %q: %w", r.Dst, from.Attrs().Name, to.Attrs().Name, err)
		}
	}
	return nil
}

// moveRoute replaces the device of r in place. Where to has a twin of r already,
// the kernel's own for an address, deleting r is all.
func moveRoute(r netlink.Route, to netlink.Link, twin bool) error {
	if twin {
		err := netlink.RouteDel(&r)
		if errors.Is(err, unix.ESRCH) {
			return nil
		}
		return err
	}
	r.LinkIndex = to.Attrs().Index
	r.Flags &= int(netlink.FLAG_ONLINK)
	return netlink.RouteReplace(&r)
}

// unicastRoutes returns the IPv4 routes through l in all tables but the kernel's
// table of local addresses.
func unicastRoutes(l netlink.Link) ([]netlink.Route, error) {
	filter := &netlink.Route{LinkIndex: l.Attrs().Index, Table: unix.RT_TABLE_UNSPEC}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes of %q: %w", l.Attrs().Name, err)
	}
	return slices.DeleteFunc(routes, func(r netlink.Route) bool {
		return r.Table == unix.RT_TABLE_LOCAL || r.Type != unix.RTN_UNICAST
	}), nil
}

// sameRoute reports whether the kernel takes a and b for the same key.
func sameRoute(a, b netlink.Route) bool {
	key := func(n *net.IPNet) string {
		if n == nil {
			return "0.0.0.0/0"
		}
		return n.String()
	}
	return key(a.Dst) == key(b.Dst) && a.Table == b.Table && a.Priority == b.Priority && a.Tos == b.Tos && a.Gw.Equal(b.Gw)
}

// delLinkLocal takes the uplink's IPv6 link-local addresses away, which LOCAL
// has now, since it has the same MAC.
func delLinkLocal(up netlink.Link) error {
	addrs, err := netlink.AddrList(up, netlink.FAMILY_V6)
	if err != nil {
		return fmt.Errorf("list addresses of %q: %w", up.Attrs().Name, err)
	}
	for _, a := range addrs {
		if !a.IP.IsLinkLocalUnicast() {
			continue
		}
		if err := netlink.AddrDel(up, &a); err != nil {
			return fmt.Errorf("delete address %s of %q: %w", a.IPNet, up.Attrs().Name, err)
		}
	}
	return nil
}

func addLinkLocal(up netlink.Link, addrs []string) error {
	for _, s := range addrs {
		a, err := netlink.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("address %q: %w", s, err)
		}
		a.Scope = unix.RT_SCOPE_LINK
		if err := netlink.AddrAdd(up, a); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("add address %s to %q: %w", s, up.Attrs().Name, err)
		}
	}
	return nil
}
