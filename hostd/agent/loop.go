package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

const (
	maxEvents   = 256 // that wait for the loop; who posts more waits
	maxPlumbing = 4   // endpoints that are plumbed at once

	welcomeAgain = time.Second // after the controllers could not be set
)

// loop owns the host's endpoints. Only its goroutine touches the fields after
// events.
type loop struct {
	cfg      Config
	plug     *plug
	keeper   *keeper
	senses   *senses
	plumber  chan struct{} // one token a running plumbing
	events   chan any
	docker   *docker.Docker // nil: left alone
	ended    chan struct{}  // closed when run has returned
	resolver *resolver

	host    uplink.Host
	own     []netip.Addr // of all devices
	told    []netip.Addr // of the controllers that the host was told
	given   []netip.Addr // name servers of the host's
	live    netip.Addr   // of the last stream's other end
	machine *endpoint.Machine
	session *uplink.Session // nil: none
	ready   bool            // the session's hello is acknowledged
	askers  map[uint64]chan<- endpoint.Answer
	token   uint64
	unsaved map[endpoint.Ref]error // why the last Save failed
	timer   *time.Timer
}

func newLoop(cfg Config, p *plug, host uplink.Host, m *endpoint.Machine) *loop {
	return &loop{
		cfg: cfg, plug: p, host: host, machine: m,
		keeper:  newKeeper(p.bridge, cfg.Logger, p.base(host.Link, host.Listeners)),
		senses:  newSenses(p.bridge.Name(), p.state.Wire.Value, cfg.Logger, cfg.Controllers, p.state.Own),
		plumber: make(chan struct{}, maxPlumbing),
		events:  make(chan any, maxEvents),
		ended:   make(chan struct{}),
		askers:  map[uint64]chan<- endpoint.Answer{},
		unsaved: map[endpoint.Ref]error{},
	}
}

// post hands the loop an event, unless ctx ends first.
func (l *loop) post(ctx context.Context, ev any) {
	select {
	case l.events <- ev:
	case <-ctx.Done():
	}
}

// What the API asks of the loop.
type (
	attachRequest struct {
		request  endpoint.Request
		deadline time.Time              // zero: as configured
		answer   chan<- endpoint.Answer // capacity 1
	}
	detachRequest struct {
		ref    endpoint.Ref
		answer chan<- endpoint.Answer // capacity 1
	}
	viewRequest struct{ answer chan<- view } // capacity 1
)

// view is what the loop shows of itself.
type view struct {
	host       uplink.Host
	device     string // the uplink
	endpoints  []endpoint.Endpoint
	controller string // of the stream; empty: none
	ready      bool
	wire       pipeline.WireRange
	parent     string   // device that the host's own uplink was made on, or the uplink
	own        bool     // the wire has an address of its own
	kept       nic.Kept // what LOCAL had when it was saved last
}

// run handles events until ctx ends. What is being plumbed then is finished; the
// next start takes it down.
func (l *loop) run(ctx context.Context) {
	defer close(l.ended)
	l.timer = time.NewTimer(0) // the machine begins with a Tick
	defer l.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			for range maxPlumbing {
				l.plumber <- struct{}{}
			}
			return
		case <-l.timer.C:
			l.step(ctx, endpoint.Tick{})
		case ev := <-l.events:
			l.handle(ctx, ev)
		}
	}
}

func (l *loop) handle(ctx context.Context, ev any) {
	switch ev := ev.(type) {
	case endpoint.Event:
		l.step(ctx, ev)
	case uplink.Event:
		l.stream(ctx, ev)
	case listenersChanged:
		l.listenersChanged(ev.listeners)
	case addressesChanged:
		l.own = ev.own
		l.addressesChanged()
	case controllersFound:
		l.told = ev.told
		l.addressesChanged()
	case resolversChanged:
		l.given = ev.given
		l.addressesChanged()
	case keptChanged:
		l.keptChanged(ev.kept)
	case nextHopChanged:
		l.nextHopChanged(ev.hop)
	case devicesSeen:
		l.devicesSeen(ctx, ev.names)
	case attachRequest:
		deadline := ev.deadline
		if deadline.IsZero() {
			deadline = time.Now().Add(l.cfg.AttachTimeout)
		}
		l.step(ctx, endpoint.Attach{Request: ev.request, Token: l.ask(ev.answer), Deadline: deadline})
	case detachRequest:
		l.step(ctx, endpoint.Detach{Ref: ev.ref, Token: l.ask(ev.answer)})
	case holdRequest:
		ev.hold.Token = l.ask(ev.answer)
		l.step(ctx, ev.hold)
	case unholdRequest:
		l.step(ctx, ev.unhold)
	case identifyRequest:
		ev.identify.Token = l.ask(ev.answer)
		l.step(ctx, ev.identify)
	case adoptRequest:
		ev.adopt.Token = l.ask(ev.answer)
		l.step(ctx, ev.adopt)
	case viewRequest:
		ev.answer <- l.view()
	}
}

func (l *loop) ask(answer chan<- endpoint.Answer) uint64 {
	l.token++
	l.askers[l.token] = answer
	return l.token
}

// step feeds the machine and performs what it says.
func (l *loop) step(ctx context.Context, ev endpoint.Event) {
	for _, e := range l.machine.Step(time.Now(), ev) {
		l.perform(ctx, e)
	}
	if d := l.machine.Deadline(); !d.IsZero() {
		l.timer.Reset(time.Until(d))
	}
}

func (l *loop) perform(ctx context.Context, e endpoint.Effect) {
	switch e := e.(type) {
	case endpoint.AskLease:
		l.send(uplink.LeaseRequestMsg(e))
	case endpoint.SendRelease:
		l.send(uplink.LeaseReleaseMsg(e))
	case endpoint.SendHello:
		l.send(uplink.HelloMsg(l.host, e.Endpoints))
	case endpoint.SendDelta:
		l.send(uplink.EndpointsMsg(e.Seq, e.Up, e.Down))
	case endpoint.Save:
		l.save(e.Endpoint)
		l.resolver.saved(e.Endpoint)
	case endpoint.Forget:
		l.resolver.forgotten(e.Ref)
		if err := l.plug.store.forgetEndpoint(e.Ref); err != nil {
			l.cfg.Logger.Error("endpoint was not forgotten", slog.String("endpoint", e.Ref.String()), slog.Any("err", err))
		}
	case endpoint.Plumb:
		l.plumb(ctx, e.Endpoint)
	case endpoint.Unplumb:
		l.background(ctx, func(ctx context.Context) endpoint.Event {
			return endpoint.Unplumbed{Ref: e.Endpoint.Ref, Err: l.plug.unplumb(ctx, e.Endpoint)}
		})
	case endpoint.Answer:
		l.answer(e)
	}
}

func (l *loop) send(m *hostpb.HostMsg) {
	if l.session != nil {
		l.session.Send(m)
	}
}

// save keeps the endpoint, and the next port's number where it has moved on.
func (l *loop) save(e endpoint.Endpoint) {
	err := l.plug.store.saveEndpoint(e)
	if next := l.machine.NextPort(); err == nil && next != l.plug.state.NextPort {
		l.plug.state.NextPort = next
		err = l.plug.store.saveHost(l.plug.state)
	}
	delete(l.unsaved, e.Ref)
	if err != nil {
		l.cfg.Logger.Error("endpoint was not saved", slog.String("endpoint", e.Ref.String()), slog.Any("err", err))
		l.unsaved[e.Ref] = err
	}
}

// plumb starts to plumb e. One that is not saved is not plumbed: nobody would
// know of it after a restart.
func (l *loop) plumb(ctx context.Context, e endpoint.Endpoint) {
	unsaved, mtu := l.unsaved[e.Ref], l.host.Link.MTU
	l.background(ctx, func(ctx context.Context) endpoint.Event {
		if unsaved != nil {
			return endpoint.Plumbed{Ref: e.Ref, Err: unsaved}
		}
		return endpoint.Plumbed{Ref: e.Ref, Err: l.plug.plumb(ctx, e, mtu)}
	})
}

// background does work beside the loop, with a few at once, and posts its event.
// It goes on when ctx ends: half-plumbed endpoints help nobody.
func (l *loop) background(ctx context.Context, work func(context.Context) endpoint.Event) {
	go func() {
		select {
		case l.plumber <- struct{}{}:
		case <-ctx.Done():
			return
		}
		ev := work(context.WithoutCancel(ctx))
		<-l.plumber
		l.post(ctx, ev)
	}()
}

func (l *loop) answer(a endpoint.Answer) {
	if c := l.askers[a.Token]; c != nil {
		c <- a
		delete(l.askers, a.Token)
	}
	if a.Err == nil && a.Endpoint.State == endpoint.Up {
		l.cfg.Logger.Info("endpoint attached", slog.String("endpoint", a.Endpoint.Ref.String()),
			slog.String("ip", a.Endpoint.IP.String()), slog.Uint64("port", uint64(a.Endpoint.Port)))
	}
}

// stream handles what happens to the controller's stream.
func (l *loop) stream(ctx context.Context, ev uplink.Event) {
	switch ev := ev.(type) {
	case uplink.Opened:
		l.session, l.ready = ev.Session, false
		l.step(ctx, endpoint.StreamUp{})
	case uplink.Closed:
		l.session, l.ready = nil, false
		l.step(ctx, endpoint.StreamDown{})
	case uplink.Welcomed:
		if ev.From.IsValid() {
			l.live = ev.From
		}
		l.welcomed(ctx, ev.Welcome)
		l.addressesChanged()
	case uplink.Acked:
		l.ready = l.ready || ev.Seq == 0
		l.logProblems(ev.Problems)
		l.step(ctx, endpoint.Acked{Seq: ev.Seq, Problems: ev.Problems})
	case uplink.Leased:
		leased, err := uplink.ParseLease(ev.Lease)
		if err != nil {
			leased.Err = err.Error()
		}
		l.step(ctx, leased)
	case uplink.Networks:
		l.networks(ev)
	}
}

func (l *loop) logProblems(problems map[endpoint.Ref]string) {
	for ref, text := range problems {
		l.cfg.Logger.Warn("endpoint refused", slog.String("endpoint", ref.String()), slog.String("reason", text))
	}
}

// welcomed takes what the controller says of the cluster.
func (l *loop) welcomed(ctx context.Context, w *hostpb.Welcome) {
	state := &l.plug.state
	wire := pipeline.WireRange{Value: uint16(w.GetWireValue()), Mask: uint16(w.GetWireMask())}
	if !wire.Valid() || w.GetWireValue() > 0xffff || w.GetWireMask() > 0xffff {
		l.cfg.Logger.Error("wire range of the controller is not valid", slog.Any("range", wire))
		wire = state.Wire
	}
	targets := w.GetControllers()
	if len(targets) == 0 { // it knows none: those that the bridge has stay
		targets = state.Controllers
	}
	if slices.Equal(targets, state.Controllers) && wire == state.Wire {
		return
	}
	if !slices.Equal(targets, state.Controllers) {
		if err := l.plug.bridge.SetControllers(ctx, targets); err != nil {
			l.cfg.Logger.Error("controllers were not set", slog.Any("err", err))
			time.AfterFunc(welcomeAgain, func() { l.post(ctx, uplink.Welcomed{Welcome: w}) })
			return
		}
	}
	state.Controllers, state.Wire = targets, wire
	if err := l.plug.store.saveHost(*state); err != nil {
		l.cfg.Logger.Error("host was not saved", slog.Any("err", err))
	}
	l.senses.first.Store(uint32(wire.Value))
	l.keeper.set(l.plug.base(l.host.Link, l.host.Listeners))
}

func (l *loop) listenersChanged(ls []uplink.Listener) {
	if slices.Equal(ls, l.host.Listeners) {
		return
	}
	l.host.Listeners = ls
	l.keeper.set(l.plug.base(l.host.Link, ls))
	if l.session != nil {
		l.send(uplink.ListenersMsg(l.machine.NextSeq(), ls))
	}
}

func (l *loop) nextHopChanged(hop nic.NextHop) {
	if hop == (nic.NextHop{IP: l.host.Link.NextHop, MAC: l.host.Link.NextHopMAC}) {
		return
	}
	l.host.Link.NextHop, l.host.Link.NextHopMAC = hop.IP, hop.MAC
	if l.session != nil {
		l.send(uplink.LinkMsg(l.machine.NextSeq(), l.host.Link))
	}
}

// devicesSeen finds the endpoints whose devices went while nobody looked.
func (l *loop) devicesSeen(ctx context.Context, names map[string]bool) {
	for _, e := range l.machine.Endpoints() {
		if !names[e.Device()] {
			l.step(ctx, endpoint.DeviceGone{Device: e.Device()})
		}
	}
}

func (l *loop) view() view {
	v := view{
		host: l.host, device: l.plug.state.Uplink, endpoints: l.machine.Endpoints(), ready: l.ready, wire: l.plug.state.Wire,
		parent: l.plug.state.parent(), own: l.plug.state.Own != nil, kept: l.plug.state.Kept,
	}
	if l.session != nil {
		v.controller = l.session.Controller
	}
	return v
}
