package nic

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// WireDevice is the name of the device that MakeWire makes.
const WireDevice = "daoli-wire"

// MakeWire makes the device WireDevice on top of parent for a wire address of
// its own: a VLAN sub-interface, or with vlan 0 a macvlan. The parent keeps its
// addresses and routes. One that is there already, as asked, stays.
func MakeWire(parent string, vlan int, addr netip.Addr) error {
	p, err := netlink.LinkByName(parent)
	if err != nil {
		return fmt.Errorf("find device %q: %w", parent, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.MTU = WireDevice, p.Attrs().Index, p.Attrs().MTU
	var l netlink.Link = &netlink.Vlan{LinkAttrs: attrs, VlanId: vlan, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if vlan == 0 {
		mac := wireMAC(p.Attrs().HardwareAddr, addr)
		attrs.HardwareAddr = net.HardwareAddr(mac[:])
		l = &netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}
	}
	err = netlink.LinkAdd(l)
	if errors.Is(err, os.ErrExist) {
		return checkWire(l)
	}
	if err != nil {
		return fmt.Errorf("make device %q on %q: %w", WireDevice, parent, err)
	}
	return nil
}

// wireMAC returns a locally administered address, the same each time: the
// switch's datapath id is made of it.
func wireMAC(parent net.HardwareAddr, addr netip.Addr) endpoint.MAC {
	sum := sha256.Sum256(append(addr.AsSlice(), parent...))
	var mac endpoint.MAC
	copy(mac[:], sum[:])
	mac[0] = 2
	return mac
}

// checkWire reports whether the device that has the name is the one wanted.
func checkWire(want netlink.Link) error {
	have, err := netlink.LinkByName(WireDevice)
	if err != nil {
		return fmt.Errorf("find device %q: %w", WireDevice, err)
	}
	same := have.Type() == want.Type() && have.Attrs().ParentIndex == want.Attrs().ParentIndex
	if v, isVLAN := have.(*netlink.Vlan); same && isVLAN {
		same = v.VlanId == want.(*netlink.Vlan).VlanId
	}
	if !same {
		return fmt.Errorf("device %q exists and is another one: delete it", WireDevice)
	}
	return nil
}

// DeleteWire deletes what MakeWire made, if it is there.
func DeleteWire() error {
	l, err := netlink.LinkByName(WireDevice)
	if notFound(err) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil {
		return fmt.Errorf("delete device %q: %w", WireDevice, err)
	}
	return nil
}

// WireState is how a device was before PrepareWire.
type WireState struct {
	Up          bool `json:"up"`
	DisableIPv6 int  `json:"disableIPv6"` // the sysctl's value; 0 too where the kernel has no IPv6
}

// InspectWire returns the state of dev, and refuses one with addresses: it will
// carry nothing of the host's own.
func InspectWire(dev string) (WireState, error) {
	var s WireState
	l, err := netlink.LinkByName(dev)
	if err != nil {
		return s, fmt.Errorf("find device %q: %w", dev, err)
	}
	addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return s, fmt.Errorf("list addresses of %q: %w", dev, err)
	}
	for _, a := range addrs {
		if a.IP.To4() != nil || !a.IP.IsLinkLocalUnicast() {
			return s, fmt.Errorf("device %q has the address %s, which would be cut off: remove it, or name another by --wire-device", dev, a.IPNet)
		}
	}
	s.Up = l.Attrs().Flags&net.FlagUp != 0
	s.DisableIPv6, err = sysctl("ipv6/conf/" + dev + "/disable_ipv6")
	return s, err
}

// PrepareWire keeps the host's stack off dev, which becomes a port of the bridge,
// and sets it up. drop is not nil where the datapath is in userspace.
func PrepareWire(ctx context.Context, dev string, drop *Dropper) error {
	if err := quiet(dev); err != nil {
		return err
	}
	if drop != nil {
		if err := drop.Drop(ctx, dev); err != nil {
			return err
		}
	}
	return setUp(dev)
}

// RestoreWire gives dev back as it was. One that is gone is no error.
func RestoreWire(ctx context.Context, dev string, s WireState, drop *Dropper) error {
	if drop != nil {
		if err := drop.Restore(ctx, dev); err != nil {
			return err
		}
	}
	l, err := netlink.LinkByName(dev)
	if notFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find device %q: %w", dev, err)
	}
	if err := setSysctl("ipv6/conf/"+dev+"/disable_ipv6", s.DisableIPv6); err != nil {
		return fmt.Errorf("restore IPv6 on %q: %w", dev, err)
	}
	if !s.Up {
		if err := netlink.LinkSetDown(l); err != nil {
			return fmt.Errorf("set down %q: %w", dev, err)
		}
	}
	return nil
}

// sysctl reads a number below /proc/sys/net; where the kernel has none it is 0.
func sysctl(path string) (int, error) {
	b, err := os.ReadFile("/proc/sys/net/" + path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read sysctl: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
