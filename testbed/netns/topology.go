package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Parts of the underlay beside the hosts, by the names of their namespaces.
const (
	routerName     = "rt"
	controllerName = "ct"
	internetName   = "in"
)

// Uplink is the name of every machine's one device, that of hosts included.
const Uplink = "eth0"

var (
	controllerAddr = netip.MustParsePrefix("172.31.250.1/24")
	internetAddr   = netip.MustParsePrefix("203.0.113.9/24")
)

// hostAddr is the underlay address of host i, from 1.
func hostAddr(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, byte(i), 1}), 24)
}

// routerAddr is the router's address in the subnet of p.
func routerAddr(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	b[3] = 254
	return netip.AddrFrom4(b)
}

// machine is one namespace on the underlay.
type machine struct {
	name string // without the run's prefix
	addr netip.Prefix
}

// buildUnderlay makes the router and the machines, each with one cable to it.
func (r *run) buildUnderlay(ctx context.Context, machines []machine) error {
	var batch strings.Builder
	fmt.Fprintf(&batch, "netns add %s\n", r.namespace(routerName))
	for _, m := range machines {
		fmt.Fprintf(&batch, "netns add %s\n", r.namespace(m.name))
	}
	if err := r.ipBatch(ctx, batch.String()); err != nil {
		return err
	}
	if err := setSysctl(r.namespace(routerName), "net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	for _, m := range machines {
		if err := r.connect(m); err != nil {
			return fmt.Errorf("connect %s to the router: %w", m.name, err)
		}
	}
	return nil
}

// connect lays the cable between m, where it is eth0, and the router, where it
// has m's name.
func (r *run) connect(m machine) error {
	router, closeRouter, err := openLinks(r.namespace(routerName))
	if err != nil {
		return err
	}
	defer closeRouter()
	own, closeOwn, err := openLinks(r.namespace(m.name))
	if err != nil {
		return err
	}
	defer closeOwn()

	ns, err := vns.GetFromName(r.namespace(m.name))
	if err != nil {
		return err
	}
	defer ns.Close()
	cable := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: m.name}, PeerName: Uplink, PeerNamespace: netlink.NsFd(ns)}
	if err := router.LinkAdd(cable); err != nil {
		return fmt.Errorf("add veth: %w", err)
	}
	gateway := routerAddr(m.addr)
	if err := plug(router, r.namespace(routerName), m.name, netip.PrefixFrom(gateway, m.addr.Bits())); err != nil {
		return err
	}
	if err := plug(own, r.namespace(m.name), Uplink, m.addr); err != nil {
		return err
	}
	return own.RouteAdd(&netlink.Route{Gw: gateway.AsSlice()})
}

// plug gives a device its address and sets it up. Checksum offload is off on
// every end: what a packet socket (OVS' userspace datapath) reads from a veth
// otherwise has no checksums yet, and is lost as broken further on.
func plug(h *netlink.Handle, namespace, device string, addr netip.Prefix) error {
	link, err := h.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	ip, err := netlink.ParseAddr(addr.String())
	if err != nil {
		return err
	}
	if err := errors.Join(h.AddrAdd(link, ip), h.LinkSetUp(link)); err != nil {
		return fmt.Errorf("set up device %s: %w", device, err)
	}
	return inside.Do(namespace, func() error { return offloadOff(device) })
}

// setRouteMTU gives the router's routes to what lies behind its device of that
// name an MTU.
func (r *run) setRouteMTU(device string, n int) error {
	router, done, err := openLinks(r.namespace(routerName))
	if err != nil {
		return err
	}
	defer done()
	link, err := router.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find device %s: %w", device, err)
	}
	routes, err := router.RouteList(link, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for i := range routes {
		routes[i].MTU = n
		if err := router.RouteReplace(&routes[i]); err != nil {
			return fmt.Errorf("set mtu of the route to %s: %w", routes[i].Dst, err)
		}
	}
	return nil
}

// openLinks returns a netlink handle of a namespace, with its loopback up.
func openLinks(namespace string) (*netlink.Handle, func(), error) {
	ns, err := vns.GetFromName(namespace)
	if err != nil {
		return nil, nil, fmt.Errorf("open namespace %s: %w", namespace, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, nil, fmt.Errorf("open netlink in %s: %w", namespace, err)
	}
	lo, err := h.LinkByName("lo")
	if err == nil {
		err = h.LinkSetUp(lo)
	}
	if err != nil {
		h.Close()
		return nil, nil, fmt.Errorf("set up loopback in %s: %w", namespace, err)
	}
	return h, h.Close, nil
}

// offloadOff turns transmit checksum offload of a device of this thread's
// namespace off (ethtool -K DEVICE tx off), and with it segmentation offload.
func offloadOff(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_STXCSUM}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return fmt.Errorf("turn tx checksum offload of %s off: %w", device, errno)
	}
	return nil
}

// setSysctl writes a value below /proc/sys, where net/ is the writing thread's
// namespace's.
func setSysctl(namespace, name, value string) error {
	return inside.Do(namespace, func() error {
		return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
	})
}

// namespace returns the full name of a namespace of the run.
func (r *run) namespace(name string) string { return r.id + "-" + name }
