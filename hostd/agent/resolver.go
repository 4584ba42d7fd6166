package agent

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
	dns "github.com/daolinet/daolinet/hostd/names"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// resolverDevice is the port of the resolver, and its owner in the database.
const resolverDevice = "daoli-dns"

// outerMAC is the hardware address of that device, the same however often it is
// made: no frame is ever sent to it.
var outerMAC = endpoint.MAC{0x02, 0, 0, 0, 0, 0x03}

// Timing of the resolver's port.
const (
	portEvery   = 5 * time.Second        // somebody may have deleted it
	portSoon    = 100 * time.Millisecond // the switch is coming
	resolveFail = time.Second            // after something failed
)

// resolver is the host's resolver: a server in a network namespace of its own, the
// port of the bridge that leads there, and who asks by it.
type resolver struct {
	log    *slog.Logger
	bridge *bridge.Bridge
	drop   *nic.Dropper // nil with the kernel datapath
	mtu    int
	room   *nic.Room // to which the door leads; keepPort's
	server *dns.Server
	asks   nameAsks
	askers askers
}

func newResolver(cfg Config, p *plug, mtu int) *resolver {
	r := &resolver{log: cfg.Logger, bridge: p.bridge, drop: p.drop, mtu: mtu}
	r.server = dns.New(dns.Config{
		Ask: r.asks.ask, Who: r.askers.vpcOf, Self: pipeline.ResolverIP(), ResolvConf: cfg.resolvConf(),
	})
	return r
}

// resolvConf is the file with the host's name servers.
func (c *Config) resolvConf() string {
	if c.ResolvConf == "" {
		return dns.DefaultResolvConf
	}
	return c.ResolvConf
}

// run serves until ctx ends. Then the device is gone, and its port with it.
func (r *resolver) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.serve(ctx); err != nil && ctx.Err() == nil {
			r.log.Error("names are not served", slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(resolveFail):
		}
	}
}

func (r *resolver) serve(ctx context.Context) error {
	room, err := nic.NewRoom()
	if err != nil {
		return err
	}
	defer room.Close()
	var udp *net.UDPConn
	var tcp net.Listener
	err = room.Do(func() (err error) {
		if udp, err = dns.ListenUDP(pipeline.DNSPort); err == nil {
			tcp, err = dns.ListenTCP(pipeline.DNSPort)
		}
		return err
	})
	if err != nil {
		if udp != nil {
			udp.Close()
		}
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var port sync.WaitGroup
	defer port.Wait()
	port.Go(func() { r.keepPort(ctx, room) })
	err = r.server.Serve(ctx, udp, tcp)
	cancel(err)
	return err
}

// keepPort keeps a door to the room, and the bridge's port for it, until ctx ends.
// An earlier process took its own with it when it ended.
func (r *resolver) keepPort(ctx context.Context, room *nic.Room) {
	check := time.NewTicker(portEvery)
	defer check.Stop()
	for {
		open, err := r.openDoor(ctx, room)
		switch {
		case open:
			check.Reset(portEvery)
		case err == nil:
			check.Reset(portSoon)
		default:
			check.Reset(resolveFail)
			if ctx.Err() == nil {
				r.log.Warn("port of the resolver is not set up", slog.Any("err", err))
			}
		}
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveFail)
			defer cancel()
			if err := r.closeDoor(end); err != nil {
				r.log.Warn("port of the resolver was not deleted", slog.Any("err", err))
			}
			return
		case <-check.C:
		}
	}
}

// openDoor makes what is missing of the door, and reports whether nothing is. A
// switch that is not there gives no port.
func (r *resolver) openDoor(ctx context.Context, room *nic.Room) (open bool, err error) {
	here, err := nic.Exists(resolverDevice)
	if err != nil {
		return false, err
	}
	if !here || r.room != room {
		if err := r.bridge.DelPort(ctx, resolverDevice); err != nil {
			return false, err
		}
		door := nic.Door{
			Device: resolverDevice, Inside: "dns0", Outer: outerMAC, MAC: endpoint.MAC(pipeline.ResolverMAC), MTU: r.mtu,
			Addr: pipeline.ResolverIP(), Neighbors: pipeline.AliasRange(),
		}
		if err := room.Open(ctx, door, r.drop); err != nil {
			return false, err
		}
		r.room = room
		r.log.Info("port of the resolver set up")
	}
	if !r.bridge.State().Up {
		return false, nil
	}
	err = r.bridge.AddPort(ctx, resolverDevice, uint32(pipeline.ResolverPort), resolverDevice)
	return err == nil, err
}

func (r *resolver) closeDoor(ctx context.Context) error {
	return errors.Join(r.bridge.DelPort(ctx, resolverDevice), nic.Unplumb(ctx, resolverDevice, r.drop))
}

// handle takes what the stream brings for the resolver, and reports whether that
// was all. What it asks of a controller has its answers without the loop.
func (r *resolver) handle(ev uplink.Event) (done bool) {
	switch ev := ev.(type) {
	case uplink.Opened:
		r.asks.opened(ev.Session)
	case uplink.Acked:
		if ev.Seq == 0 && r.asks.acknowledged() {
			r.server.Unsettle()
		}
	case uplink.Closed:
		r.asks.opened(nil)
	case uplink.NameAnswered:
		r.asks.answered(ev.Answer)
		return true
	}
	return false
}

// saved and forgotten follow the host's endpoints.
func (r *resolver) saved(e endpoint.Endpoint) { r.askers.set(e) }

func (r *resolver) forgotten(ref endpoint.Ref) { r.server.Keep(r.askers.forget(ref)) }

// askers says whose alias is whose. Its methods may be called from any goroutine.
type askers struct {
	mu    sync.Mutex // guards the following fields
	vpcs  map[netip.Addr]string
	alias map[endpoint.Ref]netip.Addr
}

func (a *askers) vpcOf(alias netip.Addr) (vpc string, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	vpc, found = a.vpcs[alias]
	return vpc, found
}

func (a *askers) set(e endpoint.Endpoint) {
	if e.Port < hostpb.FirstEndpointPort || e.Port > hostpb.LastEndpointPort {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.vpcs == nil {
		a.vpcs, a.alias = map[netip.Addr]string{}, map[endpoint.Ref]netip.Addr{}
	}
	if old, found := a.alias[e.Ref]; found {
		delete(a.vpcs, old)
	}
	at := pipeline.Alias(openflow.PortNo(e.Port))
	a.vpcs[at], a.alias[e.Ref] = e.VPCID(), at
}

// forget forgets an endpoint and returns the VPCs that are left.
func (a *askers) forget(ref endpoint.Ref) map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, found := a.alias[ref]; found {
		delete(a.vpcs, at)
		delete(a.alias, ref)
	}
	left := make(map[string]bool)
	for _, v := range a.vpcs {
		left[v] = true
	}
	return left
}

var (
	errNoStream = errors.New("no controller is connected")
	errMany     = errors.New("too many questions wait for the controller")
)

// nameAsks asks the controller about names. Its methods may be called from any
// goroutine.
type nameAsks struct {
	mu      sync.Mutex      // guards the following fields
	session *uplink.Session // nil: none
	usable  bool            // it acknowledged the host's report
	last    uint64
	waiting map[uint64]chan<- dns.Answer // capacity 1; closed: the stream ended
}

// ask returns what a name means in a VPC.
func (a *nameAsks) ask(ctx context.Context, vpc, name string) (dns.Answer, error) {
	answer := make(chan dns.Answer, 1)
	id, err := a.send(vpc, name, answer)
	if err != nil {
		return dns.Answer{}, err
	}
	select {
	case got, ok := <-answer:
		if !ok {
			return dns.Answer{}, errNoStream
		}
		return got, nil
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.waiting, id)
		return dns.Answer{}, ctx.Err()
	}
}

func (a *nameAsks) send(vpc, name string, answer chan<- dns.Answer) (id uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.usable:
		return 0, errNoStream
	case len(a.waiting) >= hostpb.MaxQueries:
		return 0, errMany
	}
	a.last++
	a.waiting[a.last] = answer
	a.session.Send(uplink.NameQueryMsg(a.last, vpc, name))
	return a.last, nil
}

// opened takes a new stream, or nil; it is asked once it is acknowledged.
func (a *nameAsks) opened(s *uplink.Session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.waiting {
		close(w)
	}
	a.session, a.usable, a.waiting = s, false, map[uint64]chan<- dns.Answer{}
}

// acknowledged has the stream asked; it reports whether it was not before.
func (a *nameAsks) acknowledged() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.session != nil && !a.usable
	a.usable = a.session != nil
	return first
}

func (a *nameAsks) answered(m *hostpb.NameAnswer) {
	got := dns.Answer{Ours: m.GetOurs(), Target: m.GetTarget()}
	for _, b := range m.GetAddresses() {
		if ip, ok := netip.AddrFromSlice(b); ok && ip.Is4() {
			got.Addresses = append(got.Addresses, ip)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.waiting[m.GetId()]; w != nil {
		w <- got
		delete(a.waiting, m.GetId())
	}
}
