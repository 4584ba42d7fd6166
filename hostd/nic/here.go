package nic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// PlumbHere makes a pair of devices of which both ends are the host's: e.Device,
// and e.Interface with e's MAC, which somebody else moves into a container and
// addresses there. Of e, IP, Namespace and the gateway don't count. drop is not
// nil where the datapath is in userspace. An error leaves nothing behind.
//
// Checksum offload is switched off here: the setting outlives the move.
func PlumbHere(ctx context.Context, e Endpoint, drop *Dropper) (err error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = e.Device, e.MTU
	pair := netlink.NewVeth(attrs)
	pair.PeerName, pair.PeerHardwareAddr, pair.PeerMTU = e.Interface, net.HardwareAddr(e.MAC[:]), uint32(e.MTU)
	if err := netlink.LinkAdd(pair); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("device %q or %q exists on the host", e.Device, e.Interface)
		}
		return fmt.Errorf("make devices %q and %q: %w", e.Device, e.Interface, err)
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
		for _, dev := range []string{e.Device, e.Interface} {
			if err := disableTxChecksum(dev); err != nil {
				return err
			}
		}
	}
	if err := quiet(e.Device); err != nil {
		return err
	}
	return setUp(e.Device)
}
