package session

import (
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// packetArrived sorts a lifted packet: from the wire, of a session that lives,
// or one that must be decided about.
func (t *Table) packetArrived(now time.Time, p *Packet) []Effect {
	if t.snap == nil {
		return t.hold(p)
	}
	host := t.snap.HostByDPID(p.DPID)
	if host == nil {
		return t.hold(p)
	}
	if p.InPort == host.Uplink.Port {
		return []Effect{t.wireArrived(host, p)}
	}
	src := t.snap.EndpointAt(p.DPID, p.InPort)
	if src == nil {
		return t.hold(p)
	}
	if ef, found := t.peerError(src, p); found {
		return []Effect{ef}
	}
	if s, dir, found := t.sessionOf(src, &p.Headers); found {
		return []Effect{t.continued(now, s, dir, p)}
	}
	if effects, done := t.ofCutSession(now, src, p); done {
		return effects
	}
	return t.ask(now, src, p)
}

// sessionOf returns the live session that a packet of an endpoint belongs to,
// and which way it goes. A packet that opens is never a reply.
func (t *Table) sessionOf(src *inventory.Endpoint, h *packet.Headers) (*Session, Direction, bool) {
	if h.EthSrc != src.MAC || h.VLAN != 0 || h.Src != src.IP || h.LaterFragment {
		return nil, 0, false
	}
	dst := t.snap.EndpointSeen(src, h.Dst)
	if dst == nil {
		return nil, 0, false
	}
	if h.Proto == packet.ICMP {
		return t.echoSession(src, dst, h)
	}
	fwd := t.between(src, dst, h.Proto, h.DstPort)
	if fwd != nil && (h.Proto == packet.TCP || fwd.LaneOf(h.SrcPort) != nil) {
		return fwd, Forward, true
	}
	if h.Proto == packet.UDP || !h.Opener() {
		if rev := t.between(dst, src, h.Proto, h.SrcPort); rev != nil && rev.LaneOf(h.DstPort) != nil {
			return rev, Reply, true
		}
	}
	return fwd, Forward, fwd != nil
}

func (t *Table) echoSession(src, dst *inventory.Endpoint, h *packet.Headers) (*Session, Direction, bool) {
	if h.ICMPCode != 0 {
		return nil, 0, false
	}
	switch h.ICMPType {
	case 8:
		s := t.between(src, dst, packet.ICMP, admission.EchoRequest)
		return s, Forward, s != nil
	case 0:
		s := t.between(dst, src, packet.ICMP, admission.EchoRequest)
		return s, Reply, s != nil
	}
	return nil, 0, false
}

// continued brings a packet of a live session to its end: either its flows are
// on their way, or the switch lost them and they are put back, or it is the
// first of another connection or lane.
func (t *Table) continued(now time.Time, s *Session, dir Direction, p *Packet) Effect {
	port, from := p.Headers.SrcPort, s.Client
	if dir == Reply {
		port, from = p.Headers.DstPort, s.Server
	}
	if diesHere(s.Bridged, &p.Headers) {
		return TimeExceeded{Packet: p, To: from}
	}
	lane := s.LaneOf(port)
	if lane == nil {
		if t.astray(s) {
			return Ignored{p, IgnoreSwitch}
		}
		if lane = t.addLane(now, s, port); lane == nil {
			return exhausted(s, p)
		}
	}
	d := Delivery{Session: s, Lane: lane, Packet: p, Direction: dir, WireHop: -1}
	at := s.age(now)
	if time.Duration(at-lane.installed) < reinstallAfter {
		return Deliver{d}
	}
	lane.installed, lane.ending = at, false
	return Install{d}
}

// wireArrived brings on a wire packet whose flows are not there yet, or drops it:
// nothing from the wire ever opens a session.
func (t *Table) wireArrived(host *inventory.Host, p *Packet) Effect {
	h := &p.Headers
	switch {
	case h.LaterFragment || h.VLAN != 0:
		return Ignored{p, IgnoreWireUnknown}
	case h.IsICMPError():
		return t.underlayError(host, p)
	case h.Dst != host.Uplink.Addr.Addr():
		return Ignored{p, IgnoreWireUnknown}
	}
	o, found := t.laneOnWire(headOf(h))
	if !found || (o.dir == Reply && h.Proto == packet.TCP && h.Opener()) {
		return Ignored{p, IgnoreWireUnknown}
	}
	if diesHere(o.session.Bridged, h) {
		return o.expired(p)
	}
	hop := 0
	if o.dir == Forward {
		hop = o.session.HopCount() - 1
	}
	return Deliver{Delivery{Session: o.session, Lane: o.lane, Packet: p, Direction: o.dir, WireHop: int8(hop)}}
}

// hold keeps a packet whose sender is not known yet: its host's report may be
// on the way.
func (t *Table) hold(p *Packet) []Effect {
	if len(t.held) >= maxHeld {
		return []Effect{Ignored{p, IgnoreBusy}}
	}
	t.held = append(t.held, p.clone())
	return nil
}

// ask has a packet decided about: at once if the policy has the decision at hand,
// else others of the same session wait with it.
func (t *Table) ask(now time.Time, src *inventory.Endpoint, p *Packet) []Effect {
	if effects, waits := t.waitsToo(p); waits {
		return effects
	}
	if r, found := t.memory.AtHand(t.snap, now, src, &p.Headers); found {
		return t.act(now, &r, []*Packet{p})
	}
	if len(t.pending) >= MaxPending {
		return []Effect{Ignored{p, IgnoreBusy}}
	}
	t.lastTicket++
	k := p.pendingKey()
	t.pending[k] = &pending{packets: []*Packet{p.clone()}, ticket: t.lastTicket}
	t.tickets[t.lastTicket] = k
	return []Effect{t.decide(t.lastTicket, p)}
}

// waitsToo has a packet wait if another of its session does.
func (t *Table) waitsToo(p *Packet) ([]Effect, bool) {
	if len(t.pending) == 0 {
		return nil, false
	}
	w := t.pending[p.pendingKey()]
	if w == nil {
		return nil, false
	}
	if len(w.packets) >= maxPendingEach {
		return []Effect{Ignored{p, IgnoreBusy}}, true
	}
	w.packets = append(w.packets, p.clone())
	return nil, true
}

func (p *Packet) clone() *Packet {
	c := *p
	return &c
}

func (p *Packet) pendingKey() pendingKey {
	h := &p.Headers
	k := pendingKey{p.DPID, p.InPort, h.Src, h.Dst, h.Proto, 0, h.DstPort}
	if h.Proto == packet.ICMP {
		k.port = uint16(h.ICMPType)<<8 | uint16(h.ICMPCode)
	}
	if h.Proto == packet.TCP && !h.Opener() {
		k.sport = h.SrcPort
	}
	return k
}

func (p *Packet) request() admission.Request {
	return admission.Request{DPID: p.DPID, InPort: p.InPort, Headers: p.Headers}
}

func (t *Table) decide(ticket uint64, p *Packet) Decide {
	return Decide{Snapshot: t.snap, Policy: t.pol, Request: p.request(), Ticket: ticket}
}

// decided acts on a decision, unless the world has changed since it was asked
// for: then it is asked for again.
func (t *Table) decided(now time.Time, ev Decided) []Effect {
	k, found := t.tickets[ev.Ask.Ticket]
	if !found {
		return nil
	}
	w := t.pending[k]
	if ev.Ask.Policy != t.pol || ev.Ask.Snapshot != t.snap || ev.Result.Decision.Ended(now) {
		return []Effect{t.decide(ev.Ask.Ticket, w.packets[0])}
	}
	delete(t.tickets, ev.Ask.Ticket)
	delete(t.pending, k)
	return t.act(now, &ev.Result, w.packets)
}

// act does what was decided about the first of some packets of one session.
func (t *Table) act(now time.Time, r *admission.Result, packets []*Packet) []Effect {
	if r.Decision.Verdict == policy.Allow {
		return t.open(now, r, packets)
	}
	return t.denied(now, r, packets)
}

// open makes the session that a decision allows and brings its first packets on.
func (t *Table) open(now time.Time, r *admission.Result, packets []*Packet) []Effect {
	dir := Forward
	if r.Reverse {
		dir = Reply
	}
	out, packets := expired(r, packets)
	if len(packets) == 0 {
		return out
	}
	s := t.between(r.Client, r.Server, r.Proto, r.Port)
	if s == nil {
		if t.scanning(now, r.Client, r.Server) {
			return append(out, t.scanned(now, r, packets)...)
		}
		if t.overQuota(now, r.Client) {
			over := *r
			over.Decision = policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonQuota, Revision: r.Decision.Revision}
			return append(out, eachDenied(&over, packets)...)
		}
		s = t.add(now, r)
	}
	for _, p := range packets {
		out = append(out, t.continued(now, s, dir, p))
	}
	if len(s.Lanes) == 0 { // no label was left: there is no session
		t.forget(s)
	}
	return out
}

func (t *Table) add(now time.Time, r *admission.Result) *Session {
	s := &Session{
		ID: t.nextCookie(), Client: r.Client, Server: r.Server, Proto: r.Proto, Port: r.Port, Decision: t.shared(r.Decision), Opened: now,
		Bridged: bridged(r.Client, r.Server),
	}
	vpc := t.snap.VPCOf(r.Client)
	s.Granularity, s.idle = granularity(vpc, s.Proto), idleAge(vpc, s.Proto, s.Port)
	t.enter(s)
	return s
}

// shared returns a decision that sessions share: they are mostly opened by the same
// few rules.
func (t *Table) shared(d policy.Decision) *policy.Decision {
	if t.decision == nil || *t.decision != d {
		own := d // allocated only here
		t.decision = &own
	}
	return t.decision
}

func (t *Table) enter(s *Session) {
	t.clientOf(s.Client).sessions[s.service()] = s
	t.byID.put(s)
	t.pardon(s)
	t.watch(s)
	t.tenantOf(s.Client).sessions++
}

// nextCookie returns a cookie that no live session has.
func (t *Table) nextCookie() uint64 {
	for {
		t.lastID++
		if c := t.cookies | uint64(t.lastID); t.byID.get(c) == nil {
			return c
		}
	}
}

func (t *Table) forget(s *Session) {
	s.ended = true
	if !s.Adopted.IsZero() {
		t.disowned[s.ID] = true
	}
	t.freeLanes(s.Client, len(s.Lanes))
	delete(t.clientOf(s.Client).sessions, s.service())
	t.dropIdle(s.Client.AddrID)
	t.byID.remove(s.ID)
	delete(t.watched, s)
	t.tenantOf(s.Client).sessions--
}

func bridged(a, b *inventory.Endpoint) bool { return a.VPC == b.VPC && a.Subnet == b.Subnet }

func idleAge(vpc *spec.VPC, proto packet.Proto, port uint16) time.Duration {
	switch {
	case proto == packet.TCP && vpc.Sessions.Idle > 0:
		return vpc.Sessions.Idle
	case proto == packet.TCP:
		return defaultTCPAge
	case proto == packet.UDP && port == 53:
		return dnsAge
	case proto == packet.UDP:
		return udpAge
	}
	return icmpAge
}

// addLane gives a session a lane for a client port, or nil if no label is left,
// or the session has as many lanes as one may have.
func (t *Table) addLane(now time.Time, s *Session, port uint16) *Lane {
	if !t.roomFor(s) {
		return nil
	}
	set := s.setFor(port)
	var label wireLabel
	if s.CrossHost() {
		if label = t.label(now, s, s.Proto != packet.ICMP && port < 0x8000); label == 0 {
			return nil
		}
	}
	l := newLane(now, s, set, label)
	t.putLane(s, l)
	return l
}

// setFor returns the client ports that share a lane with port.
func (s *Session) setFor(port uint16) PortSet {
	switch {
	case s.Proto == packet.ICMP:
		return AnyPort
	case s.Granularity == spec.PerConnection:
		return OnePort(port)
	case !s.CrossHost():
		return AnyPort
	case port < 0x8000:
		return LowHalf
	}
	return HighHalf
}

// label returns the session's label for one half of the client's ports, taking
// one if it has none yet; 0 when none is left.
func (t *Table) label(now time.Time, s *Session, low bool) wireLabel {
	have := &s.high
	if low {
		have = &s.low
	}
	if *have == 0 {
		*have = t.labels.take(now, s, low, func(l wireLabel) bool {
			return listens(s.Client.Host, s.Proto, uint16(l)) || listens(s.Server.Host, s.Proto, uint16(l))
		})
	}
	return *have
}

func (s *Session) pair() pair {
	return pairOf(s.Client.Host.Uplink.Addr.Addr(), s.Server.Host.Uplink.Addr.Addr(), s.Proto)
}

func listens(h *inventory.Host, proto packet.Proto, port uint16) bool {
	return slices.Contains(h.Listeners, inventory.Listener{Proto: proto, Port: port})
}

func exhausted(s *Session, p *Packet) Effect {
	d := policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonWirePorts, Revision: s.Decision.Revision}
	return Denied{Packet: p, Result: admission.Result{
		Decision: d, Client: s.Client, Server: s.Server, Proto: s.Proto, Port: s.Port,
	}}
}
