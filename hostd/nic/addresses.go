package nic

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// maxDumps is how often a list is asked for that changes while the kernel gives
// it.
const maxDumps = 5

// Addresses returns the IPv4 addresses of all devices, loopback too, sorted, each
// once.
func Addresses() ([]netip.Addr, error) {
	var list []netlink.Addr
	var err error
	for range maxDumps {
		if list, err = netlink.AddrList(nil, netlink.FAMILY_V4); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	out := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		if p, ok := prefix(a.IPNet); ok {
			out = append(out, p.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out), nil
}
