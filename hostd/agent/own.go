package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/preflight"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Timing of the wire address of its own.
const (
	probeWait = 600 * time.Millisecond // for another host that has the address
	hopAgain  = time.Second            // while the next hop does not answer
)

const (
	highestVLAN = 4094 // IEEE 802.1Q
	longestWire = 31   // bits of a subnet that has room for the next hop
)

// WireConfig asks for a wire address of its own: the host's own interface,
// addresses, routes and firewall stay as they are. The zero value moves the
// host's address onto the bridge.
type WireConfig struct {
	Address netip.Prefix // in the underlay's subnet; no other host has it
	Device  string       // that becomes the bridge's port; empty: one made on the uplink
	VLAN    int          // 1-4094: what is made is a VLAN sub-interface; 0: a macvlan
	Gateway netip.Addr   // invalid: the default route's, if the subnet has it
}

// validate reports the first thing wrong with w alone.
func (w WireConfig) validate() error {
	a := w.Address
	switch {
	case !a.IsValid():
		if w.Device != "" || w.VLAN != 0 || w.Gateway.IsValid() {
			return errors.New("--wire-device, --wire-vlan and --wire-gateway belong to --wire-address ADDRESS/LENGTH")
		}
		return nil
	case !a.Addr().Is4() || a.Bits() > longestWire || a.Addr() == a.Masked().Addr() && a.Bits() < longestWire:
		return fmt.Errorf("wire address %s is no IPv4 address of a host with its subnet", a)
	case w.VLAN < 0 || w.VLAN > highestVLAN:
		return fmt.Errorf("VLAN %d is not in 1-%d", w.VLAN, highestVLAN)
	case w.VLAN != 0 && w.Device != "":
		return errors.New("--wire-vlan makes a device: it does not go with --wire-device")
	case w.Gateway.IsValid() && (!a.Contains(w.Gateway) || w.Gateway == a.Addr()):
		return fmt.Errorf("wire gateway %s is not another address of %s", w.Gateway, a.Masked())
	}
	return nil
}

// sameAs reports what w would change of a host that has joined with have.
func (w WireConfig) sameAs(have *ownWire) error {
	if !w.Address.IsValid() {
		return nil // nothing is said: what was joined stays
	}
	if have == nil {
		return errors.New("the host has joined with its own address: leave first to give the wire another")
	}
	if w.Address != have.Address || w.VLAN != have.VLAN || w.Device != "" && w.Device != have.Device ||
		w.Gateway.IsValid() && w.Gateway != have.Gateway {
		return fmt.Errorf("the host has joined with wire address %s on %s, gateway %s: leave first to change it", have.Address, have.Device, have.Gateway)
	}
	return nil
}

// ownWire is a wire address of its own, as joined.
type ownWire struct {
	Address netip.Prefix  `json:"address"`
	Gateway netip.Addr    `json:"gateway"`
	Device  string        `json:"device"`           // the bridge's port
	Parent  string        `json:"parent,omitempty"` // Device was made on it; empty: it was there
	VLAN    int           `json:"vlan,omitempty"`
	Before  nic.WireState `json:"before"` // of a device that was there
}

// parent returns the device that the host was told to use, or chose.
func (h *hostState) parent() string {
	if h.Own != nil && h.Own.Parent != "" {
		return h.Own.Parent
	}
	return h.Uplink
}

// joinOwn is join for a wire address of its own.
func (p *plug) joinOwn(ctx context.Context, cfg Config) (uplink.Link, error) {
	if p.state.Own == nil {
		if err := p.chooseOwn(ctx, cfg); err != nil {
			return uplink.Link{}, err
		}
	}
	o := p.state.Own
	if o.Parent != "" {
		if err := nic.MakeWire(o.Parent, o.VLAN, o.Address.Addr()); err != nil {
			return uplink.Link{}, err
		}
	}
	if err := nic.PrepareWire(ctx, o.Device, p.drop); err != nil {
		return uplink.Link{}, err
	}
	l, err := nic.Find(o.Device)
	if err != nil {
		return uplink.Link{}, err
	}
	link := uplink.Link{Port: uint32(uplinkPort), MAC: l.MAC, Addr: o.Address, MTU: l.MTU}
	if err := p.build(ctx, cfg, link); err != nil {
		return uplink.Link{}, err
	}
	if err := p.renew(ctx, o.Device); err != nil {
		return uplink.Link{}, err
	}
	if err := p.bridge.AddPort(ctx, o.Device, uint32(uplinkPort), uplinkOwner); err != nil {
		return uplink.Link{}, err
	}
	p.log.Info("wire address joined", slog.String("uplink", o.Device), slog.String("address", o.Address.String()))
	return link, nil
}

// wrongWire says that joining again would not help: the flags have to change.
type wrongWire struct{ error }

func (w *wrongWire) Unwrap() error { return w.error }

// chooseOwn decides which device carries the address, looks whether it may, and
// keeps what leave needs before anything changes.
func (p *plug) chooseOwn(ctx context.Context, cfg Config) (err error) {
	w := cfg.Wire
	o := ownWire{Address: w.Address, Device: w.Device, VLAN: w.VLAN}
	if o.Gateway, err = wireGateway(w); err != nil {
		return &wrongWire{err}
	}
	if o.Device == "" {
		o.Device = nic.WireDevice
		if o.Parent, err = p.device(cfg); err != nil {
			return err
		}
		err = p.refuse(ctx, preflight.Query{Device: o.Parent, OwnAddress: true})
	} else {
		if o.Before, err = nic.InspectWire(o.Device); err == nil {
			err = p.refuse(ctx, preflight.Query{Device: o.Device, OwnAddress: true, Given: true})
		}
	}
	if err != nil {
		return err
	}
	if err := free(o); err != nil {
		return &wrongWire{err}
	}
	p.state.Uplink, p.state.Own = o.Device, &o
	return p.store.saveHost(p.state)
}

// wireGateway returns the next hop of the wire's packets.
func wireGateway(w WireConfig) (netip.Addr, error) {
	if w.Gateway.IsValid() {
		return w.Gateway, nil
	}
	if dev, err := nic.DefaultDevice(); err == nil {
		hop, err := nic.FindNextHop(dev)
		if err == nil && w.Address.Contains(hop.IP) && hop.IP != w.Address.Addr() {
			return hop.IP, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("the default route's next hop is not in %s: name a router there by --wire-gateway", w.Address.Masked())
}

// free refuses an address that this host or another one has. A device that is
// down can't be asked on; that it is not free shows when it is up.
func free(o ownWire) error {
	own, err := nic.Addresses()
	if err != nil {
		return err
	}
	for _, a := range own {
		if a == o.Address.Addr() {
			return fmt.Errorf("wire address %s is this host's own: choose one that nobody has, or leave --wire-address out", a)
		}
	}
	dev := o.Device
	if o.Parent != "" {
		dev = o.Parent
	}
	if l, err := nic.Find(dev); err != nil || !l.Up || o.VLAN != 0 {
		return err
	}
	mac, err := nic.Resolve(dev, netip.Addr{}, o.Address.Addr(), time.Now().Add(probeWait))
	if err != nil {
		return err
	}
	if !mac.IsZero() {
		return fmt.Errorf("wire address %s is in use by %s: choose another", o.Address.Addr(), mac)
	}
	return nil
}

// leaveOwn takes the wire's device from the bridge and gives it back.
func (p *plug) leaveOwn(ctx context.Context, bridgeExists bool) error {
	o := p.state.Own
	if bridgeExists {
		if err := p.bridge.DelPort(ctx, o.Device); err != nil {
			return err
		}
	}
	if o.Parent == "" {
		return nic.RestoreWire(ctx, o.Device, o.Before, p.drop)
	}
	if p.drop != nil {
		if err := p.drop.Restore(ctx, o.Device); err != nil {
			return err
		}
	}
	return nic.DeleteWire()
}

// wireHop keeps asking for the next hop's hardware address, since no stack does,
// and hears when it says another one.
func (s *senses) wireHop(ctx context.Context, l *loop) {
	hop := nic.NextHop{IP: s.wire.Gateway}
	for ctx.Err() == nil {
		err := s.askHop(ctx, l, &hop)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("next hop was not found", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(hopAgain):
		}
	}
}

// askHop asks until something breaks, a device that went for instance.
func (s *senses) askHop(ctx context.Context, l *loop, hop *nic.NextHop) error {
	arp, err := nic.OpenARP(s.wire.Device, s.wire.Gateway)
	if err != nil {
		return err
	}
	defer arp.Close()
	stop := context.AfterFunc(ctx, func() { arp.Close() })
	defer stop()
	for {
		if err := arp.Ask(s.wire.Address.Addr()); err != nil {
			return err
		}
		next := time.Now().Add(hopAgain)
		for {
			mac, err := arp.Hear(next)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return err
			}
			next = time.Now().Add(nextHopEvery) // it is there: ask less often, hear all the time
			if mac != hop.MAC {
				hop.MAC = mac
				l.post(ctx, nextHopChanged{*hop})
			}
		}
	}
}
