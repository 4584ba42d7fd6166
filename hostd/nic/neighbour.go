package nic

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// NextHop is the router through which a device reaches other subnets.
type NextHop struct {
	IP  netip.Addr   // invalid: there is none
	MAC endpoint.MAC // zero: not known
}

// FindNextHop returns the next hop of dev's default route. If the kernel doesn't
// know its MAC, or has not asked for long, it is made to ask.
func FindNextHop(dev string) (NextHop, error) {
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return NextHop{}, fmt.Errorf("find device %q: %w", dev, err)
	}
	routes, err := unicastRoutes(l)
	if err != nil {
		return NextHop{}, err
	}
	r := defaultRoute(routes, l.Attrs().Index)
	if r == nil || r.Gw.To4() == nil {
		return NextHop{}, nil
	}
	ip, _ := netip.AddrFromSlice(r.Gw.To4())
	hop := NextHop{IP: ip}
	known, err := netlink.NeighList(l.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		return hop, fmt.Errorf("list neighbours of %q: %w", dev, err)
	}
	fresh := false
	for _, n := range known {
		const answered = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
		if n.IP.Equal(r.Gw) && n.State&answered != 0 && len(n.HardwareAddr) == len(hop.MAC) {
			copy(hop.MAC[:], n.HardwareAddr)
			fresh = n.State&(netlink.NUD_STALE) == 0
		}
	}
	if fresh {
		return hop, nil
	}
	return hop, ask(l, ip)
}

// ask makes the kernel resolve a neighbour as if there were a packet for it.
func ask(l netlink.Link, ip netip.Addr) error {
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: unix.AF_INET, State: netlink.NUD_NONE, Flags: netlink.NTF_USE, IP: ip.AsSlice(),
	})
	if err != nil {
		return fmt.Errorf("resolve neighbour %s on %q: %w", ip, l.Attrs().Name, err)
	}
	return nil
}

// Events tells what changes among the host's devices and neighbours.
type Events struct {
	Begin      func() // nothing is missed from here on
	DeviceGone func(name string)
	Neighbour  func() // some neighbour's MAC or state changed
	LinkChange func() // some device came, went, or changed
}

// Watch calls the functions of e until ctx ends or the kernel dropped events,
// which is the error. Whoever calls it again looks at everything first.
func Watch(ctx context.Context, e Events) error {
	done := make(chan struct{})
	failed := make(chan error, 2)
	report := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	links, neighbours := make(chan netlink.LinkUpdate, 256), make(chan netlink.NeighUpdate, 256)
	defer close(done)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: report}); err != nil {
		return fmt.Errorf("watch devices: %w", err)
	}
	defer drain(links)
	if err := netlink.NeighSubscribeWithOptions(neighbours, done, netlink.NeighSubscribeOptions{ErrorCallback: report}); err != nil {
		return fmt.Errorf("watch neighbours: %w", err)
	}
	defer drain(neighbours)
	e.Begin()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return fmt.Errorf("watch devices and neighbours: %w", err)
		case u, ok := <-links:
			if !ok {
				return fmt.Errorf("watch devices: closed")
			}
			if u.Header.Type == unix.RTM_DELLINK {
				e.DeviceGone(u.Link.Attrs().Name)
			}
			e.LinkChange()
		case u, ok := <-neighbours:
			if !ok {
				return fmt.Errorf("watch neighbours: closed")
			}
			if u.Family == unix.AF_INET {
				e.Neighbour()
			}
		}
	}
}

// drain takes what is left in c, so that who sends can see that it is over and
// close it.
func drain[T any](c <-chan T) {
	go func() {
		for range c {
		}
	}()
}
