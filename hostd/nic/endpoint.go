package nic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// Endpoint is an interface to plumb: a pair of devices, one on the host, the
// other in the network namespace of a container.
type Endpoint struct {
	Device     string // on the host; becomes a port of the bridge
	Namespace  string // file of the network namespace
	Interface  string // in the namespace
	IP         netip.Addr
	MAC        endpoint.MAC
	MTU        int        // bytes; at most the uplink's, or the switch drops silently
	Gateway    netip.Addr // on-link next hop of everything
	GatewayMAC endpoint.MAC
}

// Plumb makes e's devices with its addresses and routes. The address is a /32:
// whatever the container sends goes through the gateway, which the switch
// plays. drop is not nil where the datapath is in userspace. An error leaves
// nothing behind.
func Plumb(ctx context.Context, e Endpoint, drop *Dropper) (err error) {
	ns, err := netns.GetFromPath(e.Namespace)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", e.Namespace, err)
	}
	defer ns.Close()
	if err := checkNamespace(ns, e.Namespace); err != nil {
		return err
	}
	if err := addPair(e, ns); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Unplumb(context.WithoutCancel(ctx), e.Device, drop))
		}
	}()
	if drop != nil {
		if err := drop.Drop(ctx, e.Device); err != nil {
			return err
		}
		if err := disableTxChecksum(e.Device); err != nil {
			return err
		}
		if err := inNamespace(ns, func() error { return disableTxChecksum(e.Interface) }); err != nil {
			return fmt.Errorf("in %s: %w", e.Namespace, err)
		}
	}
	if err := quiet(e.Device); err != nil {
		return err
	}
	if err := configure(e, ns); err != nil {
		return fmt.Errorf("configure %q in %s: %w", e.Interface, e.Namespace, err)
	}
	return setUp(e.Device)
}

// Unplumb deletes the pair of devices of which dev is the host's, if it exists.
func Unplumb(ctx context.Context, dev string, drop *Dropper) error {
	l, err := netlink.LinkByName(dev)
	switch {
	case err == nil:
		if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("delete device %q: %w", dev, err)
		}
	case !notFound(err):
		return fmt.Errorf("find device %q: %w", dev, err)
	}
	if drop != nil {
		return drop.Restore(ctx, dev)
	}
	return nil
}

// checkNamespace refuses the host's own namespace: the pair's two ends would
// both be the host's.
func checkNamespace(ns netns.NsHandle, path string) error {
	own, err := netns.Get()
	if err != nil {
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer own.Close()
	if ns.Equal(own) {
		return fmt.Errorf("network namespace %s is the host's own", path)
	}
	return nil
}

func addPair(e Endpoint, ns netns.NsHandle) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = e.Device, e.MTU
	pair := netlink.NewVeth(attrs)
	pair.PeerName = e.Interface
	pair.PeerHardwareAddr = net.HardwareAddr(e.MAC[:])
	pair.PeerNamespace = netlink.NsFd(int(ns))
	pair.PeerMTU = uint32(e.MTU)
	err := netlink.LinkAdd(pair)
	if errors.Is(err, os.ErrExist) {
		if here, _ := Exists(e.Device); here {
			return fmt.Errorf("device %q exists on the host", e.Device)
		}
		return fmt.Errorf("interface %q exists in %s: choose another by --interface", e.Interface, e.Namespace)
	}
	if err != nil {
		return fmt.Errorf("make devices %q and %q: %w", e.Device, e.Interface, err)
	}
	return nil
}

// quiet keeps the host's stack from using its end of the pair.
func quiet(dev string) error {
	if err := setSysctl("ipv6/conf/"+dev+"/disable_ipv6", 1); err != nil {
		return fmt.Errorf("disable IPv6 on %q: %w", dev, err)
	}
	return nil
}

// configure gives the container's end its address, the gateway as a permanent
// neighbour, and the routes.
func configure(e Endpoint, ns netns.NsHandle) error {
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(e.Interface)
	if err != nil {
		return err
	}
	idx := l.Attrs().Index
	if err := h.AddrAdd(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.IP, 32))}); err != nil {
		return fmt.Errorf("add address %s: %w", e.IP, err)
	}
	if err := h.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	err = h.NeighSet(&netlink.Neigh{
		LinkIndex: idx, State: netlink.NUD_PERMANENT, IP: e.Gateway.AsSlice(), HardwareAddr: net.HardwareAddr(e.GatewayMAC[:]),
	})
	if err != nil {
		return fmt.Errorf("add neighbour %s: %w", e.Gateway, err)
	}
	onLink := &netlink.Route{LinkIndex: idx, Dst: ipNet(netip.PrefixFrom(e.Gateway, 32)), Scope: netlink.SCOPE_LINK}
	if err := h.RouteAdd(onLink); err != nil {
		return fmt.Errorf("add route to %s: %w", e.Gateway, err)
	}
	everything := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if err := h.RouteAdd(&netlink.Route{LinkIndex: idx, Dst: ipNet(everything), Gw: e.Gateway.AsSlice()}); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}

func setUp(dev string) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find device %q: %w", dev, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up device %q: %w", dev, err)
	}
	return nil
}
