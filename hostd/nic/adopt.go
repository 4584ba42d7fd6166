package nic

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// Found is an interface that stands in a network namespace.
type Found struct {
	Device string     // the other end, on the host
	Addr   netip.Addr // the first IPv4 address
	// Hops are the next hops that it has routes to, each as a route of its own to
	// that address alone.
	Hops []netip.Addr
}

// FindInterface returns the interface with a MAC in the network namespace of a
// file, one end of a pair whose other end is on the host.
func FindInterface(file string, mac endpoint.MAC) (Found, error) {
	var f Found
	var peer int
	err := atInterface(file, mac, func(h *netlink.Handle, l netlink.Link) error {
		peer = l.Attrs().ParentIndex
		addrs, err := h.AddrList(l, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list its addresses: %w", err)
		}
		if len(addrs) > 0 {
			p, _ := prefix(addrs[0].IPNet)
			f.Addr = p.Addr()
		}
		routes, err := h.RouteList(l, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list its routes: %w", err)
		}
		for _, r := range routes {
			if to, ok := prefix(r.Dst); ok && to.IsSingleIP() && r.Gw == nil && to.Addr() != f.Addr {
				f.Hops = append(f.Hops, to.Addr())
			}
		}
		return nil
	})
	if err != nil {
		return f, err
	}
	l, err := netlink.LinkByIndex(peer)
	if err != nil {
		return f, fmt.Errorf("find the other end of %s in %s: %w", mac, file, err)
	}
	f.Device = l.Attrs().Name
	return f, nil
}

// lateRoutes marks the routes that SetRoutes adds, so that it finds them again
// (rtm_protocol, rtnetlink(7); from 192 on nobody has registered any).
const lateRoutes = 218

// SetRoutes has the interface with a MAC in the network namespace of a file have
// routes through hop to the subnets. Those that it added before for others go;
// whoever's other routes stay.
func SetRoutes(file string, mac endpoint.MAC, hop netip.Addr, to []netip.Prefix) error {
	return atInterface(file, mac, func(h *netlink.Handle, l netlink.Link) error {
		routes, err := h.RouteList(l, netlink.FAMILY_V4)
		if err != nil {
			return fmt.Errorf("list its routes: %w", err)
		}
		want := make(map[netip.Prefix]bool, len(to))
		for _, p := range to {
			want[p] = true
		}
		for _, r := range routes {
			p, ok := prefix(r.Dst)
			switch {
			case !ok || addrOf(r.Gw) != hop:
			case want[p]:
				delete(want, p)
			case r.Protocol == lateRoutes:
				if err := h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
					return fmt.Errorf("delete its route to %s: %w", p, err)
				}
			}
		}
		for p := range want {
			r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(p), Gw: hop.AsSlice(), Protocol: lateRoutes}
			if err := h.RouteAdd(r); err != nil && !errors.Is(err, os.ErrExist) {
				return fmt.Errorf("add its route to %s: %w", p, err)
			}
		}
		return nil
	})
}

// atInterface calls do with the interface that has a MAC in a network namespace,
// which is not the host's own.
func atInterface(file string, mac endpoint.MAC, do func(*netlink.Handle, netlink.Link) error) error {
	ns, err := netns.GetFromPath(file)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", file, err)
	}
	defer ns.Close()
	if err := checkNamespace(ns, file); err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("look into network namespace %s: %w", file, err)
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list devices in %s: %w", file, err)
	}
	for _, l := range links {
		if l.Type() == "veth" && l.Attrs().HardwareAddr.String() == mac.String() {
			if err := do(h, l); err != nil {
				return fmt.Errorf("interface %q in %s: %w", l.Attrs().Name, file, err)
			}
			return nil
		}
	}
	return fmt.Errorf("no interface in %s has the MAC %s", file, mac)
}
