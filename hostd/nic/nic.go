// Package nic owns a host's network devices, addresses, routes and neighbours:
// it plumbs endpoints, moves the uplink's address onto the bridge and back, and
// reads what the host reports of itself. Everything happens in the network
// namespace of the calling thread, which is the process's.
package nic

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// Link is what a host says of one of its devices.
type Link struct {
	Name string
	MAC  endpoint.MAC
	MTU  int // bytes
	Up   bool
}

// Find returns the device called name.
func Find(name string) (Link, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return Link{}, fmt.Errorf("find device %q: %w", name, err)
	}
	a := l.Attrs()
	out := Link{Name: a.Name, MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
	if len(a.HardwareAddr) != len(out.MAC) {
		return Link{}, fmt.Errorf("device %q has no Ethernet address", name)
	}
	copy(out.MAC[:], a.HardwareAddr)
	return out, nil
}

// Exists reports whether there is a device called name.
func Exists(name string) (bool, error) {
	_, err := netlink.LinkByName(name)
	if notFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find device %q: %w", name, err)
	}
	return true, nil
}

// Carrier returns the index of the device called name, which another device of
// the same name does not have, and whether it has a carrier. The index is 0 where
// there is none.
func Carrier(name string) (index int, carrier bool, err error) {
	l, err := netlink.LinkByName(name)
	if notFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("find device %q: %w", name, err)
	}
	a := l.Attrs()
	return a.Index, a.RawFlags&unix.IFF_LOWER_UP != 0, nil
}

// Names returns the names of all devices.
func Names() (map[string]bool, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	names := make(map[string]bool, len(links))
	for _, l := range links {
		names[l.Attrs().Name] = true
	}
	return names, nil
}

// DefaultDevice returns the device of the default route with the lowest metric.
func DefaultDevice() (string, error) {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return "", fmt.Errorf("list routes: %w", err)
	}
	r := defaultRoute(routes, 0)
	if r == nil {
		return "", errors.New("there is no default route: name the uplink by --uplink")
	}
	l, err := netlink.LinkByIndex(r.LinkIndex)
	if err != nil {
		return "", fmt.Errorf("find device of the default route: %w", err)
	}
	return l.Attrs().Name, nil
}

// Address returns the first IPv4 address of dev that is not link-local, with
// its subnet.
func Address(dev string) (netip.Prefix, error) {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("find device %q: %w", dev, err)
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("list addresses of %q: %w", dev, err)
	}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("device %q has no IPv4 address", dev)
}

// defaultRoute returns the default route with a next hop and the lowest metric,
// through the device with index link unless that is 0.
func defaultRoute(routes []netlink.Route, link int) *netlink.Route {
	var best *netlink.Route
	for i := range routes {
		r := &routes[i]
		if r.Dst != nil && !isDefault(r.Dst) || link != 0 && r.LinkIndex != link || r.LinkIndex == 0 {
			continue
		}
		if best == nil || r.Priority < best.Priority {
			best = r
		}
	}
	return best
}

func isDefault(n *net.IPNet) bool {
	ones, _ := n.Mask.Size()
	return ones == 0
}

// prefix converts an IPv4 network.
func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP.To4())
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ip, ones), ok
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func notFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

// setSysctl writes a number below /proc/sys/net. A kernel without it is no error.
func setSysctl(path string, value int) error {
	err := os.WriteFile("/proc/sys/net/"+path, []byte(strconv.Itoa(value)), 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
