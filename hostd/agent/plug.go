package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/preflight"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// uplinkOwner names the uplink's port in the database.
const uplinkOwner = "uplink"

// uplinkPort is the uplink's ofport.
const uplinkPort openflow.PortNo = 1

// openFlowPort is where a controller listens for switches, as long as none said
// where they do (IANA: openflow).
const openFlowPort = 6653

// plug is the host's connection to the underlay through the bridge: the bridge
// itself, its uplink, the address on LOCAL.
type plug struct {
	log    *slog.Logger
	bridge *bridge.Bridge
	drop   *nic.Dropper // nil with the kernel datapath
	store  *store
	state  hostState
	accept []string // obstacles that are no reason to refuse
	runDir string   // of Open vSwitch
}

// newPlug returns the plug that state or else cfg describes.
func newPlug(cfg Config, s *store, state hostState) (*plug, error) {
	if state.Uplink != "" {
		if state.Bridge != cfg.Bridge || state.Datapath != cfg.Datapath {
			return nil, fmt.Errorf("the host has joined with bridge %s and datapath %s: leave first to change them", state.Bridge, state.Datapath)
		}
		if cfg.Uplink != "" && cfg.Uplink != state.parent() {
			return nil, fmt.Errorf("the host has joined with uplink %s: leave first to change it", state.parent())
		}
		if err := cfg.Wire.sameAs(state.Own); err != nil {
			return nil, err
		}
	}
	state.Bridge, state.Datapath = cfg.Bridge, cfg.Datapath
	if !state.Wire.Valid() {
		state.Wire = pipeline.DefaultWireRange
	}
	b, err := bridge.New(bridge.Config{Name: cfg.Bridge, Datapath: cfg.Datapath, RunDir: cfg.OVSRunDir, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	p := &plug{log: cfg.Logger, bridge: b, store: s, state: state, accept: cfg.Accept, runDir: cfg.OVSRunDir}
	if b.Userspace() {
		p.drop = &nic.Dropper{}
	}
	return p, nil
}

// join makes the host reach the underlay through the bridge, however far that
// has come already, and returns how.
func (p *plug) join(ctx context.Context, cfg Config) (uplink.Link, error) {
	if p.state.Own != nil || p.state.Uplink == "" && cfg.Wire.Address.IsValid() {
		return p.joinOwn(ctx, cfg)
	}
	dev, err := p.device(cfg)
	if err != nil {
		return uplink.Link{}, err
	}
	l, err := nic.Find(dev)
	if err != nil {
		return uplink.Link{}, err
	}
	addr, joined, err := p.address(ctx, dev)
	if err != nil {
		return uplink.Link{}, err
	}
	if !joined {
		if err := p.remember(ctx, dev); err != nil {
			return uplink.Link{}, err
		}
	}
	link := uplink.Link{Port: uint32(uplinkPort), MAC: l.MAC, Addr: addr, MTU: l.MTU}
	if err := p.build(ctx, cfg, link); err != nil {
		return uplink.Link{}, err
	}
	if err := p.renew(ctx, dev); err != nil {
		return uplink.Link{}, err
	}
	if err := p.move().Join(ctx); err != nil {
		return uplink.Link{}, fmt.Errorf("move %s from %q to %q: %w", addr, dev, p.bridge.Name(), err)
	}
	p.log.Info("uplink joined", slog.String("uplink", dev), slog.String("address", addr.String()))
	return link, nil
}

// build makes the bridge for link, with its base flows.
func (p *plug) build(ctx context.Context, cfg Config, link uplink.Link) error {
	targets := p.state.Controllers
	if len(targets) == 0 {
		targets = guessTargets(ctx, cfg.Controllers)
	}
	files := cfg.Identity.Files()
	setup := bridge.Setup{
		MAC: openflow.MAC(link.MAC), MTU: link.MTU, Controllers: targets,
		TLS: bridge.TLS{PrivateKey: files.Key, Certificate: files.Certificate, CA: files.CA},
	}
	if err := p.bridge.Ensure(ctx, setup); err != nil {
		return err
	}
	listeners, err := p.listeners()
	if err != nil {
		return err
	}
	return p.bridge.InstallBase(ctx, withConnections(p.base(link, listeners), p.log))
}

// renew takes the uplink's port away if the device is another one than it was:
// the userspace datapath goes on listening to the one that is gone.
func (p *plug) renew(ctx context.Context, dev string) error {
	index, _, err := nic.Carrier(dev)
	if err != nil || index == p.state.UplinkIndex {
		return err
	}
	if p.state.UplinkIndex != 0 {
		if err := p.bridge.DelPort(ctx, dev); err != nil {
			return err
		}
	}
	p.state.UplinkIndex = index
	return p.store.saveHost(p.state)
}

// device returns the uplink's name.
func (p *plug) device(cfg Config) (string, error) {
	dev := cfg.Uplink
	if p.state.Uplink != "" {
		dev = p.state.Uplink
	}
	if dev == "" {
		var err error
		if dev, err = nic.DefaultDevice(); err != nil {
			return "", err
		}
	}
	if dev == p.bridge.Name() {
		return "", fmt.Errorf("the default route goes through %s already: name the uplink by --uplink", dev)
	}
	return dev, nil
}

// address returns the host's underlay address, and whether it has left dev. One
// that was lost, since somebody deleted the bridge that had it, is given back
// to dev first.
func (p *plug) address(ctx context.Context, dev string) (addr netip.Prefix, joined bool, err error) {
	addr, err = nic.Address(dev)
	if err == nil {
		return addr, false, nil
	}
	if onBridge, berr := nic.Address(p.bridge.Name()); berr == nil {
		return onBridge, true, nil
	}
	if p.state.Uplink != dev || len(p.state.Kept.Addrs) == 0 {
		return addr, false, err
	}
	if err := p.revive(ctx, dev); err != nil {
		return addr, false, err
	}
	addr, err = nic.Address(dev)
	return addr, false, err
}

// remember keeps what leave needs, before anything changes. What a join that was
// interrupted had kept stays: the uplink may have lost some of it since.
func (p *plug) remember(ctx context.Context, dev string) error {
	if p.state.Uplink == dev {
		return nil
	}
	if err := p.refuse(ctx, preflight.Query{Device: dev}); err != nil {
		return err
	}
	o, err := p.moveOf(dev).Inspect()
	if err != nil {
		return err
	}
	kept, err := nic.Keep(dev)
	if err != nil {
		return err
	}
	p.state.Uplink, p.state.Original, p.state.Kept = dev, o, kept
	return p.store.saveHost(p.state)
}

// refuse looks for what keeps the host from joining as q says.
func (p *plug) refuse(ctx context.Context, q preflight.Query) error {
	q.Userspace, q.OVSRunDir = p.bridge.Userspace(), p.runDir
	facts, err := preflight.Collect(ctx, q)
	if err != nil {
		return err
	}
	return preflight.Refuse(preflight.Find(facts), p.accept)
}

func (p *plug) move() *nic.Move { return p.moveOf(p.state.Uplink) }

func (p *plug) moveOf(dev string) *nic.Move {
	return &nic.Move{
		Uplink: dev, Local: p.bridge.Name(), Drop: p.drop,
		Connect: func(ctx context.Context) error {
			return p.bridge.AddPort(ctx, dev, uint32(uplinkPort), uplinkOwner)
		},
		Disconnect: func(ctx context.Context) error { return p.bridge.DelPort(ctx, dev) },
	}
}

// giveBack gives the host's addresses and routes back, or the device of a wire
// address of its own.
func (p *plug) giveBack(ctx context.Context, bridgeExists bool) error {
	if p.state.Own != nil {
		return p.leaveOwn(ctx, bridgeExists)
	}
	_, err := nic.Address(p.bridge.Name())
	if bridgeExists && err == nil {
		if err := p.move().Leave(ctx, p.state.Original); err != nil {
			return fmt.Errorf("move back to %q: %w", p.state.Uplink, err)
		}
		return nil
	}
	if _, err := nic.Address(p.state.Uplink); err == nil {
		return nil
	}
	return p.revive(ctx, p.state.Uplink)
}

// revive gives dev the addresses and routes that the bridge had.
func (p *plug) revive(ctx context.Context, dev string) error {
	if p.drop != nil {
		if err := p.drop.Restore(ctx, dev); err != nil {
			return err
		}
	}
	p.log.Warn("addresses and routes were lost with the bridge: given back to the uplink", slog.String("uplink", dev))
	return p.state.Kept.Put(dev, p.state.Original.NoPrefixRoute)
}

// base returns what the host's base flows depend on, but for its connections.
func (p *plug) base(l uplink.Link, listeners []uplink.Listener) pipeline.HostConfig {
	c := pipeline.HostConfig{Uplink: uplinkPort, Addr: l.Addr.Addr(), MAC: openflow.MAC(l.MAC), Wire: p.state.Wire, OwnAddress: p.state.Own != nil}
	for _, s := range listeners {
		c.Listeners = append(c.Listeners, pipeline.Listener{Proto: uint8(s.Proto), Port: s.Port})
	}
	return c
}

// baseOf returns the flows that a host needs.
func baseOf(c pipeline.HostConfig) bridge.Base {
	meters, flows := pipeline.Base(c)
	return bridge.Base{Cookie: pipeline.BaseCookie, Meters: meters, Flows: flows}
}

// withConnections returns the flows that a host needs together with those for the
// connections that it has now. They have other cookies and end by themselves, so
// they are no part of what is kept.
func withConnections(c pipeline.HostConfig, log *slog.Logger) bridge.Base {
	found, err := nic.Connections(c.Addr)
	if err != nil {
		log.Warn("connections were not read", slog.Any("err", err))
	}
	for _, s := range found {
		c.Connections = append(c.Connections, pipeline.Connection{Proto: uint8(s.Proto), LocalPort: s.LocalPort, Remote: s.Remote})
	}
	return baseOf(c)
}

// listeners returns the host's own sockets from the wire range's start on. They
// are on another address than the wire's where that is its own.
func (p *plug) listeners() ([]uplink.Listener, error) {
	if p.state.Own != nil {
		return nil, nil
	}
	return listeners(p.state.Wire.Value)
}

func listeners(first uint16) ([]uplink.Listener, error) {
	found, err := nic.Listeners(first)
	if err != nil {
		return nil, err
	}
	out := make([]uplink.Listener, 0, len(found))
	for _, l := range found {
		out = append(out, uplink.Listener(l))
	}
	return out, nil
}

// plumb makes an endpoint's devices and its port.
func (p *plug) plumb(ctx context.Context, e endpoint.Endpoint, mtu int) error {
	n := nic.Endpoint{
		Device: e.Device(), Namespace: e.Namespace, Interface: e.Interface, IP: e.IP, MAC: e.MAC, MTU: mtu,
		Gateway: pipeline.GatewayIP(), GatewayMAC: endpoint.MAC(pipeline.GatewayMAC),
	}
	plumb := nic.Plumb
	if e.Namespace == "" {
		n.Interface, plumb = e.Peer(), nic.PlumbHere
	}
	if err := plumb(ctx, n, p.drop); err != nil {
		return err
	}
	return p.bridge.AddPort(ctx, e.Device(), e.Port, e.Ref.String())
}

// restore gives the endpoints that are up their ports again, should the bridge
// have been made anew. Those without a device are found soon.
func (p *plug) restore(ctx context.Context, saved []endpoint.Endpoint) error {
	for _, e := range saved {
		here, err := nic.Exists(e.Device())
		if err != nil {
			return err
		}
		if here && e.State == endpoint.Up {
			if err := p.bridge.AddPort(ctx, e.Device(), e.Port, e.Ref.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// unplumb deletes them, and the flows that name the port. A switch that is not
// there has no flows.
func (p *plug) unplumb(ctx context.Context, e endpoint.Endpoint) error {
	if err := p.bridge.DelPortFlows(ctx, e.Port); err != nil && p.bridge.State().Up {
		return err
	}
	if err := p.bridge.DelPort(ctx, e.Device()); err != nil {
		return err
	}
	return nic.Unplumb(ctx, e.Device(), p.drop)
}

// guessTargets returns where the controllers may listen for switches, until one
// says where they do. A bridge needs some from the start: OVS flushes all flows
// when it gets its first, and none when they change.
func guessTargets(ctx context.Context, controllers []string) []string {
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	var targets []string
	for _, c := range controllers {
		addrs, err := resolve(ctx, c)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			targets = append(targets, fmt.Sprintf("ssl:%s:%d", a, openFlowPort))
		}
	}
	if len(targets) == 0 {
		targets = []string{fmt.Sprintf("ssl:127.0.0.1:%d", openFlowPort)}
	}
	return targets
}

// bootID returns what changes with each start of the host.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
