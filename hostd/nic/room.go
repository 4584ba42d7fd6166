package nic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// Room is a network namespace of this process's own, without a name: when the
// process ends it is gone, with all that it holds.
type Room struct{ ns netns.NsHandle }

// NewRoom makes one, with loopback up and no IPv6.
func NewRoom() (*Room, error) {
	r := &Room{ns: netns.None()}
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		r.ns, err = netns.New()
		made <- err
	}()
	if err := <-made; err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	err := r.Do(func() error {
		for _, set := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
			if err := setSysctl(set, 1); err != nil {
				return err
			}
		}
		return setUp("lo")
	})
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Do runs fn in the room. Sockets that fn opens stay there; goroutines that it
// starts do not.
func (r *Room) Do(fn func() error) error { return inNamespace(r.ns, fn) }

// Close leaves the room. It is gone when the last socket in it is.
func (r *Room) Close() error { return r.ns.Close() }

// Door is a pair of devices, one of them in a Room.
type Door struct {
	Device string       // on the host; becomes a port of the bridge
	Inside string       // in the room
	Outer  endpoint.MAC // of Device
	MAC    endpoint.MAC // of Inside
	MTU    int          // bytes
	// Addr is the inner one's address. Whatever else arrives is for the room too, so
	// that a socket may answer for any address.
	Addr      netip.Addr
	Neighbors netip.Prefix // behind it; nobody is asked for their hardware addresses
}

// Open makes a door to the room, in the place of one that was left. drop is not
// nil where the datapath is in userspace. An error leaves nothing behind.
func (r *Room) Open(ctx context.Context, d Door, drop *Dropper) (err error) {
	if err := Unplumb(ctx, d.Device, drop); err != nil {
		return err
	}
	if err := addPair(Endpoint{Device: d.Device, Interface: d.Inside, MAC: d.MAC, MTU: d.MTU}, r.ns); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, Unplumb(context.WithoutCancel(ctx), d.Device, drop))
		}
	}()
	if err := setMAC(d.Device, d.Outer); err != nil {
		return err
	}
	if drop != nil {
		if err := drop.Drop(ctx, d.Device); err != nil {
			return err
		}
		if err := disableTxChecksum(d.Device); err != nil {
			return err
		}
		if err := r.Do(func() error { return disableTxChecksum(d.Inside) }); err != nil {
			return err
		}
	}
	if err := quiet(d.Device); err != nil {
		return err
	}
	if err := r.Do(func() error { return settle(d) }); err != nil {
		return fmt.Errorf("set up device %q: %w", d.Inside, err)
	}
	return setUp(d.Device)
}

func setMAC(dev string, mac endpoint.MAC) error {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return fmt.Errorf("find device %q: %w", dev, err)
	}
	if err := netlink.LinkSetHardwareAddr(l, net.HardwareAddr(mac[:])); err != nil {
		return fmt.Errorf("set address of device %q: %w", dev, err)
	}
	return nil
}

// settle sets up the inner device of a door.
func settle(d Door) error {
	l, err := netlink.LinkByName(d.Inside)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetARPOff(l); err != nil {
		return fmt.Errorf("set ARP off: %w", err)
	}
	if err := netlink.AddrReplace(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(d.Addr, 32))}); err != nil {
		return fmt.Errorf("add address %s: %w", d.Addr, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	near := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(d.Neighbors), Scope: netlink.SCOPE_LINK}
	if err := netlink.RouteReplace(near); err != nil {
		return fmt.Errorf("add route to %s: %w", d.Neighbors, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	local := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(all), Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Table: unix.RT_TABLE_MAIN}
	if err := netlink.RouteReplace(local); err != nil {
		return fmt.Errorf("take all addresses: %w", err)
	}
	return nil
}
