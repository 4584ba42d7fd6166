package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Outside is a machine on the internet, beside the one that every testbed has.
type Outside struct {
	Name      string
	Namespace string
	Addr      netip.Addr
}

// AddOutside makes a machine with that address behind the underlay router, which
// knows the way to it alone (/32), whatever network the address is of. To an
// address that no machine can have (loopback, multicast), that another one has
// already, or that is the testbed's own (a host's, the controller's), nothing
// leads: the machine is there, and the underlay does not know it.
func (t *Testbed) AddOutside(ctx context.Context, name string, addr netip.Addr) (*Outside, error) {
	o := &Outside{Name: name, Namespace: t.Namespace(internetName + "." + name), Addr: addr}
	if err := t.run.ipBatch(ctx, "netns add "+o.Namespace+"\n"); err != nil {
		return nil, fmt.Errorf("add outside machine %s: %w", name, err)
	}
	if err := t.connectOutside(o); err != nil {
		return nil, errors.Join(fmt.Errorf("add outside machine %s: %w", name, err),
			t.run.ipBatch(context.WithoutCancel(ctx), "netns delete "+o.Namespace+"\n"))
	}
	t.mu.Lock()
	t.outside = append(t.outside, o)
	t.mu.Unlock()
	return o, t.save()
}

// RouteOutside makes the underlay router send what is for the endpoint's address
// to its host, as a neighbour would who wants in. Of several endpoints with one
// address the first counts, and an outside machine's route stays.
func (t *Testbed) RouteOutside(e *Endpoint) error {
	router, closeRouter, err := openLinks(t.Namespace(routerName))
	if err != nil {
		return err
	}
	defer closeRouter()
	route := &netlink.Route{Dst: netlink.NewIPNet(e.Addr.AsSlice()), Gw: t.Host(e.Host).Addr.Addr().AsSlice()}
	if err := router.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the router's route to %s: %w", e.Path(), err)
	}
	return nil
}

// OutsideMachines returns those that were added, in the order of that.
func (t *Testbed) OutsideMachines() []*Outside {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*Outside(nil), t.outside...)
}

// connectOutside lays the cable to the router. The machine's next hop is the
// router's address on the internet, on a cable that has no subnet.
func (t *Testbed) connectOutside(o *Outside) error {
	router, closeRouter, err := openLinks(t.Namespace(routerName))
	if err != nil {
		return err
	}
	defer closeRouter()
	own, closeOwn, err := openLinks(o.Namespace)
	if err != nil {
		return err
	}
	defer closeOwn()
	ns, err := vns.GetFromName(o.Namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	device := "o-" + randomText(8)
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: device}, PeerName: Uplink, PeerNamespace: netlink.NsFd(ns)}
	if err := router.LinkAdd(cable); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	far, err := switchOn(router, t.Namespace(routerName), device)
	if err != nil {
		return err
	}
	near, err := switchOn(own, o.Namespace, Uplink)
	if err != nil || !assignable(o.Addr) {
		return err
	}
	host := netlink.NewIPNet(o.Addr.AsSlice())
	if err := own.AddrAdd(near, &netlink.Addr{IPNet: host}); err != nil {
		return fmt.Errorf("give it %s: %w", o.Addr, err)
	}
	via := routerAddr(internetAddr)
	if o.Addr == via {
		return nil
	}
	err = own.RouteAdd(&netlink.Route{LinkIndex: near.Attrs().Index, Gw: via.AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
	if err != nil {
		return fmt.Errorf("add its default route: %w", err)
	}
	if slices.Contains(t.ownAddrs(), o.Addr) {
		return nil
	}
	err = router.RouteAdd(&netlink.Route{LinkIndex: far.Attrs().Index, Dst: host, Scope: netlink.SCOPE_LINK})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add the router's route to %s: %w", o.Addr, err)
	}
	return nil
}

// switchOn sets a device up without an address.
func switchOn(h *netlink.Handle, namespace, device string) (netlink.Link, error) {
	link, err := h.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("find device %s: %w", device, err)
	}
	if err := h.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("set up device %s: %w", device, err)
	}
	return link, inside.Do(namespace, func() error { return offloadOff(device) })
}

// assignable reports whether a machine can have the address on its uplink:
// loopback, link-local, multicast, 0.0.0.0/8 and 240.0.0.0/4 it can't.
func assignable(a netip.Addr) bool {
	b := a.As4()
	return b[0] != 0 && b[0] != 127 && b[0] < 224 && !a.IsLinkLocalUnicast()
}

// ownAddrs are the addresses of the underlay's machines that must be found where
// they are, and the router's. The machine on the internet is none of them: an
// outside machine may take its place.
func (t *Testbed) ownAddrs() []netip.Addr {
	list := []netip.Addr{controllerAddr.Addr(), routerAddr(controllerAddr), routerAddr(internetAddr)}
	for _, h := range t.Hosts {
		list = append(list, h.Addr.Addr(), h.Router)
	}
	return list
}
