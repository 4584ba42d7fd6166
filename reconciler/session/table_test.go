package session_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

// bench is a table in a world, with the time and the policy that rule.
type bench struct {
	*testing.T
	w     *world.World
	snap  *inventory.Snapshot
	pol   *world.Verdicts
	table *session.Table
	now   time.Time
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, w: world.New(), now: world.Start}
	b.table = session.NewTable(session.Config{WireFirst: 16384, WireCount: 8192})
	b.pol = b.w.AllowAll("r1")
	b.revise()
	return b
}

// revise shows the table the world as it is now.
func (b *bench) revise() []session.Effect {
	b.snap = b.w.Snapshot()
	return b.table.Step(b.now, session.Revised{Snapshot: b.snap, Policy: b.pol})
}

func (b *bench) after(d time.Duration) []session.Effect {
	b.now = b.now.Add(d)
	b.table.CheckWatched(b.T, b.now)
	return b.table.Step(b.now, session.Tick{})
}

func (b *bench) endpoint(name string) *inventory.Endpoint {
	b.Helper()
	e := b.snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: name})
	if e == nil {
		b.Fatalf("no endpoint %q", name)
	}
	return e
}

// packet returns what from's port lifts.
func (b *bench) packet(from, to string, h packet.Headers) session.Packet {
	b.Helper()
	src, dst := b.endpoint(from), b.endpoint(to)
	h.EthSrc, h.EthType, h.TTL, h.Src, h.Dst = src.MAC, 0x800, 64, src.IP, dst.IP
	return session.Packet{DPID: src.Host.DPID, InPort: src.Port, Headers: h, Received: b.now}
}

func syn(sport, dport uint16) packet.Headers {
	return packet.Headers{Proto: packet.TCP, SrcPort: sport, DstPort: dport, Flags: packet.SYN}
}

func udp(sport, dport uint16) packet.Headers {
	return packet.Headers{Proto: packet.UDP, SrcPort: sport, DstPort: dport}
}

// arrive lets the table have a packet and answers what it asks of the policy.
func (b *bench) arrive(p session.Packet) []session.Effect {
	return b.settle(b.lift(p))
}

// lift lets the table have a packet.
func (b *bench) lift(p session.Packet) []session.Effect {
	return b.table.Step(b.now, session.PacketArrived{Packet: &p})
}

// settle answers each Decide among effects, until there is none.
func (b *bench) settle(effects []session.Effect) []session.Effect {
	var out []session.Effect
	for _, ef := range effects {
		ask, ok := ef.(session.Decide)
		if !ok {
			out = append(out, ef)
			continue
		}
		r := admission.Decide(ask.Snapshot, ask.Policy, b.now, ask.Request)
		out = append(out, b.settle(b.table.Step(b.now, session.Decided{Ask: ask, Result: r}))...)
	}
	return out
}

// only returns the one effect that is expected, of type T.
func only[T session.Effect](b *bench, effects []session.Effect) T {
	b.Helper()
	got := all[T](effects)
	if len(effects) != 1 || len(got) != 1 {
		b.Fatalf("effects = %#v; want one %T", effects, *new(T))
	}
	return got[0]
}

func all[T session.Effect](effects []session.Effect) []T {
	var out []T
	for _, e := range effects {
		if t, ok := e.(T); ok {
			out = append(out, t)
		}
	}
	return out
}

func TestPacketsOfOneNewSessionShareOneDecision(t *testing.T) {
	b := newBench(t)
	p := b.packet("web1", "web2", syn(40000, 80))
	ask := only[session.Decide](b, b.lift(p))
	for range 3 {
		if got := b.lift(p); len(got) != 0 {
			t.Fatalf("retry while undecided: effects = %#v; want none", got)
		}
	}
	in := b.settle([]session.Effect{ask})
	if n := len(all[session.Install](in)); n != 1 {
		t.Errorf("installs = %d; want 1", n)
	}
	if delivered := 1 + len(all[session.Deliver](in)); delivered != 4 {
		t.Errorf("packets delivered = %d; want all 4", delivered)
	}
}

func TestStaleDecisionIsAskedForAgain(t *testing.T) {
	b := newBench(t)
	ask := only[session.Decide](b, b.lift(b.packet("web1", "web2", syn(40000, 80))))
	allowed := admission.Decide(ask.Snapshot, ask.Policy, b.now, ask.Request)
	b.pol = b.w.Deny("r2", policy.Drop)
	b.revise()
	again := only[session.Decide](b, b.table.Step(b.now, session.Decided{Ask: ask, Result: allowed}))
	if again.Policy.Revision() != "r2" || b.table.Len() != 0 {
		t.Fatalf("asked with revision %q, %d sessions; want r2 and none", again.Policy.Revision(), b.table.Len())
	}
	got := b.settle([]session.Effect{again})
	if n := len(all[session.Denied](got)); n != 1 || b.table.Len() != 0 {
		t.Errorf("denied = %d, sessions = %d; want 1 and 0", n, b.table.Len())
	}
}

func TestNewRevisionCutsWhatItForbidsAndNothingElse(t *testing.T) {
	b := newBench(t)
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	b.pol = b.w.AllowAll("r2")
	if got := b.revise(); len(got) != 0 {
		t.Errorf("revision that allows the same: effects = %#v; want none", got)
	}
	b.pol = b.w.Deny("r3", policy.Drop)
	if cut := only[session.Remove](b, b.revise()); cut.Why != session.EndPolicy {
		t.Errorf("cut because of %q; want %q", cut.Why, session.EndPolicy)
	}
	if b.table.Len() != 0 {
		t.Errorf("sessions = %d; want 0", b.table.Len())
	}
}

// onlyFrom allows what one endpoint opens, and denies the rest.
type onlyFrom struct {
	*world.Verdicts
	id inventory.IdentityID
}

func (p *onlyFrom) Decide(now time.Time, q policy.Query) policy.Decision {
	if q.Src.ID != p.id {
		return policy.Decision{Verdict: policy.Reject, Reason: policy.ReasonIngressDefault}
	}
	return p.Verdicts.Decide(now, q)
}

// TestCutConnectionDoesNotComeBackAsAReplyOfItsReverse has a revision cut
// web1 > db2:80 while db2 may still open towards web1: neither end's next packet
// may pass as one of a session that db2 opened. A new connection of db2's may.
func TestCutConnectionDoesNotComeBackAsAReplyOfItsReverse(t *testing.T) {
	b := newBench(t)
	b.arrive(b.packet("web1", "db2", syn(40000, 80)))
	only[session.Remove](b, b.table.Step(b.now, session.Revised{
		Snapshot: b.snap, Policy: &onlyFrom{b.w.AllowAll("r2"), b.endpoint("db2").Identity.ID},
	}))
	data := syn(40000, 80)
	data.Flags = packet.ACK | packet.PSH
	back := syn(80, 40000)
	back.Flags = packet.ACK
	for range 2 {
		only[session.Denied](b, b.arrive(b.packet("web1", "db2", data)))
		only[session.Denied](b, b.arrive(b.packet("db2", "web1", back)))
	}
	if in := all[session.Install](b.arrive(b.packet("db2", "web1", syn(80, 50000)))); len(in) != 1 {
		t.Error("a new connection from db2 is not admitted")
	}
	b.table.Step(b.now, session.Revised{Snapshot: b.snap, Policy: b.pol})
	if in := all[session.Install](b.arrive(b.packet("web1", "db2", data))); len(in) != 1 {
		t.Error("the connection does not go on once its session is allowed again")
	}
}

func TestEndpointGoneMovedOrReplacedEndsItsSessions(t *testing.T) {
	for name, change := range map[string]func(*world.World){
		"gone":     func(w *world.World) { w.Hosts[1].Endpoints = w.Hosts[1].Endpoints[1:] },
		"replaced": func(w *world.World) { w.Hosts[1].Endpoints[0].Name = "other" },
		"port":     func(w *world.World) { w.Hosts[1].Endpoints[0].Port = 40 },
		"moved": func(w *world.World) {
			w.Hosts[2].Endpoints = append(w.Hosts[2].Endpoints, w.Hosts[1].Endpoints[0])
			w.Hosts[1].Endpoints = w.Hosts[1].Endpoints[1:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.arrive(b.packet("web1", "web2", syn(40000, 80)))
			change(b.w)
			if cut := only[session.Remove](b, b.revise()); cut.Why != session.EndEndpoint {
				t.Errorf("cut because of %q; want %q", cut.Why, session.EndEndpoint)
			}
		})
	}
}

// TestRoutersNewMACLeavesTheFlows since it stands in a group, which is not the
// table's matter.
func TestRoutersNewMACLeavesTheFlows(t *testing.T) {
	b := newBench(t)
	in := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40000, 80))))
	b.w.Hosts[0].Uplink.NextHopMAC = packet.MAC{0xa, 0xff}
	if effects := b.revise(); len(effects) > 0 {
		t.Errorf("effects = %+v; want none", effects)
	}
	path := in.Session.Path(in.Lane)
	if got := path.Legs()[1].Near.Peer; got != (packet.MAC{0xa, 0xff}) {
		t.Errorf("wire leg leaves to %v; want the new router", got)
	}
}

func TestWirePortComesBackOnlyAfterConfirmationAndRest(t *testing.T) {
	b := newBench(t)
	b.table = session.NewTable(session.Config{WireFirst: 16384, WireCount: 64}) // one client may have all
	b.revise()
	first := b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	high, _ := all[session.Install](first)[0].Session.WirePorts()
	taken := func() bool { // whether any other owner can get the port
		for port := range uint16(100) {
			b.arrive(b.packet("web1", "web2", syn(40000, 1000+port)))
		}
		for _, s := range b.table.Sessions() {
			if h, _ := s.WirePorts(); h == high && s.Port != 80 {
				return true
			}
		}
		return false
	}
	b.pol = b.w.Deny("r2", policy.Drop)
	cut := only[session.Remove](b, b.revise())
	b.pol = b.w.AllowAll("r3")
	b.revise()
	b.after(2 * time.Minute)
	if taken() {
		t.Fatal("wire port was given again before the switches confirmed")
	}
	b.table.Step(b.now, session.Confirmed{DPID: 1, Token: cut.Token})
	if taken() {
		t.Fatal("wire port was given again before the second switch confirmed")
	}
	b.table.Step(b.now, session.Confirmed{DPID: 2, Token: cut.Token})
	b.after(59 * time.Second)
	if taken() {
		t.Fatal("wire port was given again before its rest was over")
	}
	b.after(time.Second)
	if !taken() {
		t.Error("wire port was not given again after its rest")
	}
}

func TestSameSessionGetsTheSameWirePortAgain(t *testing.T) {
	b := newBench(t)
	open := func() uint16 {
		in := all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 80))))
		high, _ := in[0].Session.WirePorts()
		return high
	}
	first := open()
	b.pol = b.w.Deny("r2", policy.Drop)
	cut := only[session.Remove](b, b.revise())
	for dpid := range uint64(3) {
		b.table.Step(b.now, session.Confirmed{DPID: dpid, Token: cut.Token})
	}
	b.pol = b.w.AllowAll("r3")
	b.revise()
	if again := open(); again != first {
		t.Errorf("wire port = %d; want %d as before, without a rest", again, first)
	}
}

// unhurried is how long after another a client may open sessions to one server
// for any time.
const unhurried = time.Second / 32

func TestOneClientCannotTakeAllWirePortsOfAPair(t *testing.T) {
	b := newBench(t)
	for port := range uint16(6000) {
		b.now = b.now.Add(unhurried)
		b.arrive(b.packet("web1", "web2", syn(40000, 1+port)))
	}
	if n := b.table.Len(); n != 8192/8 {
		t.Errorf("one client has %d sessions; want an eighth of the range, 1024", n)
	}
	denied := all[session.Denied](b.arrive(b.packet("web1", "web2", syn(40000, 9000))))
	if len(denied) != 1 || denied[0].Result.Decision.Reason != policy.ReasonWirePorts {
		t.Errorf("over its share: %#v; want wire-ports-exhausted", denied)
	}
	if in := all[session.Install](b.arrive(b.packet("db1", "web2", syn(40000, 80)))); len(in) != 1 {
		t.Error("another client of the host gets no wire port")
	}
}

// TestRestingWirePortsCountTowardsTheirClientsShare: or who opens and closes fast
// would use up the range though it holds little of it.
func TestRestingWirePortsCountTowardsTheirClientsShare(t *testing.T) {
	b := newBench(t)
	scan := func() (opened int) {
		for port := range uint16(6000) {
			b.now = b.now.Add(unhurried)
			opened += len(all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 1+port)))))
		}
		for _, s := range b.table.Sessions() { // nobody answers
			b.table.Step(b.now.Add(11*time.Second), session.Counted{Session: s.ID, Set: session.HighHalf, Count: session.Count{Packets: 1}})
		}
		for _, ef := range b.after(11 * time.Second) {
			cut := ef.(session.Remove)
			for dpid := range uint64(3) {
				b.table.Step(b.now, session.Confirmed{DPID: dpid, Token: cut.Token})
			}
		}
		return opened
	}
	if n := scan(); n != 1024 {
		t.Fatalf("first scan opened %d sessions; want its share, 1024", n)
	}
	if n := scan(); n > 1024 { // the same sessions, with the wire ports that they had
		t.Errorf("second scan opened %d sessions; want no more than before", n)
	}
	other := b.packet("web1", "web2", syn(40000, 7000))
	if in := all[session.Install](b.arrive(other)); len(in) != 0 {
		t.Error("a further session was opened while the share rests")
	}
	b.after(2 * time.Minute)
	if in := all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 7001)))); len(in) != 1 {
		t.Error("no session was opened though nothing rests any more")
	}
}

func TestHostListenersPortIsNoWirePort(t *testing.T) {
	b := newBench(t)
	in := all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 80))))
	high, _ := in[0].Session.WirePorts()
	b = newBench(t)
	b.w.Hosts[1].Listeners = []inventory.Listener{{Proto: packet.TCP, Port: high}}
	b.revise()
	in = all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 80))))
	if got, _ := in[0].Session.WirePorts(); got == high {
		t.Errorf("wire port %d is a port that the host listens on", got)
	}
}

func TestNothingFromTheWireOpensASession(t *testing.T) {
	b := newBench(t)
	h := syn(40000, 17000)
	h.EthType, h.TTL, h.Src, h.Dst = 0x800, 60, netip.MustParseAddr("172.31.1.1"), netip.MustParseAddr("172.31.2.1")
	got := only[session.Ignored](b, b.arrive(session.Packet{DPID: 2, InPort: world.UplinkPort, Headers: h}))
	if got.Why != session.IgnoreWireUnknown {
		t.Errorf("ignored because of %q; want %q", got.Why, session.IgnoreWireUnknown)
	}
}

func TestWirePacketThatOvertookItsFlowsIsBroughtOn(t *testing.T) {
	for _, tt := range []struct {
		name     string
		dpid     uint64
		src, dst string
		flags    uint8
		dir      session.Direction
		hop      int8
		found    bool
	}{
		{"forward at the server's host", 2, "172.31.1.1", "172.31.2.1", packet.SYN, session.Forward, 1, true},
		{"reply at the client's host", 1, "172.31.2.1", "172.31.1.1", packet.SYN | packet.ACK, session.Reply, 0, true},
		{"bare SYN is never a reply", 1, "172.31.2.1", "172.31.1.1", packet.SYN, session.Reply, 0, false},
		{"forward from a host that is not its client's", 2, "172.31.3.1", "172.31.2.1", packet.SYN, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			in := all[session.Install](b.arrive(b.packet("web1", "web2", syn(40000, 80))))
			w, _ := in[0].Session.WirePorts()
			h := packet.Headers{EthType: 0x800, TTL: 60, Proto: packet.TCP, Flags: tt.flags, SrcPort: 40000, DstPort: w}
			if tt.dir == session.Reply {
				h.SrcPort, h.DstPort = w, 40000
			}
			h.Src, h.Dst = netip.MustParseAddr(tt.src), netip.MustParseAddr(tt.dst)
			got := b.arrive(session.Packet{DPID: tt.dpid, InPort: world.UplinkPort, Headers: h})
			if !tt.found {
				only[session.Ignored](b, got)
				return
			}
			d := only[session.Deliver](b, got)
			if d.Direction != tt.dir || d.WireHop != tt.hop {
				t.Errorf("delivered in direction %d at hop %d; want %d at %d", d.Direction, d.WireHop, tt.dir, tt.hop)
			}
		})
	}
}

func TestLowClientPortGetsALaneAndWirePortOfItsOwn(t *testing.T) {
	b := newBench(t)
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	in := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(999, 80))))
	high, low := in.Session.WirePorts()
	if b.table.Len() != 1 || len(in.Session.Lanes) != 2 || low == 0 || low == high {
		t.Errorf("sessions %d, lanes %d, wire ports %d and %d; want 1, 2 and two different ones", b.table.Len(), len(in.Session.Lanes), high, low)
	}
}

func TestUDPConnectionsShareTheirSessionsWirePort(t *testing.T) {
	b := newBench(t)
	for port := range uint16(5) {
		b.arrive(b.packet("web1", "web2", udp(40000+port, 9)))
	}
	s := b.table.Sessions()[0]
	if b.table.Len() != 1 || len(s.Lanes) != 5 {
		t.Fatalf("sessions %d, lanes %d; want 1 and 5", b.table.Len(), len(s.Lanes))
	}
	high, _ := s.WirePorts()
	for _, l := range s.Lanes {
		path := s.Path(l)
		if got := path.Legs()[1].Near.View.DstPort; got != high {
			t.Errorf("lane %v has wire port %d; want the session's", l.Set, got)
		}
	}
}

func TestServerOpeningTowardsClientIsDecidedAsItself(t *testing.T) {
	b := newBench(t)
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	b.pol = b.w.AllowAll("r1")
	ask := only[session.Decide](b, b.lift(b.packet("web2", "web1", syn(80, 40000))))
	if ask.Request.Headers.DstPort != 40000 {
		t.Errorf("asked about port %d; want 40000", ask.Request.Headers.DstPort)
	}
}

func TestReplyWhoseFlowsAreLostIsBroughtOnAndTheyComeBack(t *testing.T) {
	b := newBench(t)
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	b.after(2 * time.Second)
	h := syn(80, 40000)
	h.Flags = packet.ACK
	in := only[session.Install](b, b.arrive(b.packet("web2", "web1", h)))
	if in.Direction != session.Reply {
		t.Errorf("delivery = %+v; want a reply", in.Delivery)
	}
}

func TestMidStreamPacketMakesItsSessionAgain(t *testing.T) {
	b := newBench(t)
	h := syn(80, 40000)
	h.Flags = packet.ACK | packet.PSH
	in := all[session.Install](b.arrive(b.packet("web2", "web1", h)))
	if len(in) != 1 {
		t.Fatal("a packet without SYN, allowed either way, opened nothing")
	}
}

func TestDropIsCachedBoundedAndTakenBack(t *testing.T) {
	b := newBench(t)
	b.pol = b.w.Deny("r1", policy.Drop)
	b.revise()
	flows := 0
	for port := range uint16(400) {
		flows += len(all[session.InstallDrop](b.arrive(b.packet("web1", "web2", syn(40000, 1+port)))))
	}
	if flows != 256 {
		t.Errorf("drop flows = %d; want 256 at one port", flows)
	}
	b.pol = b.w.AllowAll("r2")
	if got := len(all[session.RemoveDrop](b.revise())); got != 256 {
		t.Errorf("drop flows taken back = %d; want all 256", got)
	}
}

func TestRejectIsNotCached(t *testing.T) {
	b := newBench(t)
	b.pol = b.w.Deny("r1", policy.Reject)
	b.revise()
	only[session.Denied](b, b.arrive(b.packet("web1", "web2", syn(40000, 80))))
}

func TestUnknownSenderIsHeldForItsReport(t *testing.T) {
	b := newBench(t)
	p := b.packet("web2", "web1", syn(40000, 80))
	eps := b.w.Hosts[1].Endpoints
	b.w.Hosts[1].Endpoints = nil
	b.revise()
	if got := b.arrive(p); len(got) != 0 {
		t.Fatalf("effects = %#v; want the packet held", got)
	}
	b.w.Hosts[1].Endpoints = eps
	if in := all[session.Install](b.settle(b.revise())); len(in) != 1 {
		t.Error("the report came and the packet was not admitted")
	}
	b.w.Hosts[1].Endpoints = nil
	b.revise()
	p.Received = b.now
	b.arrive(p)
	denied := all[session.Denied](b.after(501 * time.Millisecond))
	if len(denied) != 1 || denied[0].Result.Decision.Reason != policy.ReasonUnknownEndpoint {
		t.Errorf("after the hold: %#v; want unknown-endpoint", denied)
	}
}

func TestAges(t *testing.T) {
	count := func(b *bench, packets uint64, dir session.Direction) {
		for _, s := range b.table.Sessions() {
			for _, l := range s.Lanes {
				b.table.Step(b.now, session.Counted{Session: s.ID, Set: l.Set, Direction: dir, Count: session.Count{Packets: packets}})
			}
		}
	}
	for _, tt := range []struct {
		name string
		h    packet.Headers
		age  time.Duration
		why  session.EndReason
	}{
		{"udp", udp(40000, 9), 60 * time.Second, session.EndIdle},
		{"dns", udp(40000, 53), 10 * time.Second, session.EndIdle},
		{"ping", packet.Headers{Proto: packet.ICMP, ICMPType: 8}, 30 * time.Second, session.EndIdle},
		{"tcp", syn(40000, 80), 2*time.Hour + 4*time.Minute, session.EndIdle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			b.arrive(b.packet("web1", "web2", tt.h))
			count(b, 2, session.Forward)
			count(b, 2, session.Reply)
			b.now = b.now.Add(tt.age)
			count(b, 2, session.Reply)
			if got := b.after(0); len(got) != 0 {
				t.Fatalf("at its age: effects = %#v; want none", got)
			}
			b.now = b.now.Add(time.Second)
			count(b, 2, session.Reply)
			if cut := only[session.Remove](b, b.after(0)); cut.Why != tt.why {
				t.Errorf("ended because of %q; want %q", cut.Why, tt.why)
			}
		})
	}
	t.Run("half-open", func(t *testing.T) {
		b := newBench(t)
		b.arrive(b.packet("web1", "web2", syn(40000, 80)))
		count(b, 1, session.Reply) // a reset, say: a port scan must not keep wire ports
		b.now = b.now.Add(11 * time.Second)
		count(b, 3, session.Forward)
		if cut := only[session.Remove](b, b.after(0)); cut.Why != session.EndHalfOpen {
			t.Errorf("ended because of %q; want %q", cut.Why, session.EndHalfOpen)
		}
	})
	t.Run("not counted, not aged", func(t *testing.T) {
		b := newBench(t)
		b.arrive(b.packet("web1", "web2", udp(40000, 9)))
		if got := b.after(time.Hour); len(got) != 0 {
			t.Errorf("a session whose switch is away ended: %#v", got)
		}
	})
}

func TestDecisionsUntilIsJudgedAgain(t *testing.T) {
	b := newBench(t)
	b.pol.Decision.Until = b.now.Add(time.Minute)
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	b.pol.Decision = policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonIngressDefault}
	if got := b.after(59 * time.Second); len(got) != 0 {
		t.Fatalf("before its end: effects = %#v; want none", got)
	}
	if cut := only[session.Remove](b, b.after(time.Second)); cut.Why != session.EndPolicy {
		t.Errorf("ended because of %q; want %q", cut.Why, session.EndPolicy)
	}
}

// TestTicksLookAtWhatBecameDue when neither a packet nor a count came since.
func TestTicksLookAtWhatBecameDue(t *testing.T) {
	t.Run("by a shorter idle timeout", func(t *testing.T) {
		b := newBench(t)
		s := only[session.Install](b, b.arrive(b.packet("web1", "web2", syn(40000, 80)))).Session
		for _, packets := range []uint64{2, 2} {
			b.now = b.now.Add(time.Minute)
			b.table.Step(b.now, session.Counted{Session: s.ID, Set: s.Lanes[0].Set, Direction: session.Reply, Count: session.Count{Packets: packets}})
		}
		b.after(0)
		b.w.Net.VPCs["acme/prod"].Sessions.Idle, b.pol = 30*time.Second, b.w.AllowAll("r2")
		b.revise()
		if cut := only[session.Remove](b, b.after(0)); cut.Why != session.EndIdle {
			t.Errorf("ended because of %q; want %q", cut.Why, session.EndIdle)
		}
	})
	endsAtItsTime := func(b *bench) {
		b.Helper()
		b.pol.Decision = policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonIngressDefault}
		if cut := only[session.Remove](b, b.after(time.Minute)); cut.Why != session.EndPolicy {
			b.Errorf("ended because of %q; want %q", cut.Why, session.EndPolicy)
		}
	}
	t.Run("by the end of a rule of a later revision", func(t *testing.T) {
		b := newBench(t)
		b.arrive(b.packet("web1", "web2", syn(40000, 80)))
		b.after(0)
		b.pol = b.w.AllowAll("r2")
		b.pol.Decision.Until = b.now.Add(time.Minute)
		b.revise()
		endsAtItsTime(b)
	})
	claim := func(b *bench) session.Claim {
		web1, server := b.endpoint("web1"), b.endpoint("db1")
		return session.Claim{
			Cookie: 7, DPID: web1.Host.DPID, ClientPort: web1.Port, Client: web1.IP, Server: server.IP,
			Proto: packet.TCP, Port: 80, Set: session.AnyPort, ServerPort: server.Port,
		}
	}
	t.Run("by the end of a rule that let it be adopted", func(t *testing.T) {
		b := newBench(t)
		b.pol.Decision.Until = b.now.Add(time.Minute)
		if a, _ := b.table.Adopt(b.now, []session.Claim{claim(b)}); len(a.Adopted) != 1 {
			t.Fatalf("adopted %d sessions; want 1", len(a.Adopted))
		}
		endsAtItsTime(b)
	})
	t.Run("by a lane that is adopted late", func(t *testing.T) {
		b := newBench(t)
		c := claim(b)
		c.Set = session.PortSet{Value: 40000, Mask: 0xffff}
		b.table.Adopt(b.now, []session.Claim{c})
		b.after(time.Minute)
		c.Set.Value++
		c.Age = time.Minute
		b.table.Adopt(b.now, []session.Claim{c})
		only[session.RemoveLane](b, b.after(0)) // which no server answered
	})
}

func TestQuotaOfSessions(t *testing.T) {
	b := newBench(t)
	b.w.Net.Tenants["acme"].Quota = spec.Quota{Sessions: 2}
	b.revise()
	for port := range uint16(2) {
		b.arrive(b.packet("web1", "web2", syn(40000, 1+port)))
	}
	denied := all[session.Denied](b.arrive(b.packet("web1", "web2", syn(40000, 3))))
	if len(denied) != 1 || denied[0].Result.Decision.Reason != policy.ReasonQuota {
		t.Errorf("third session: %#v; want quota", denied)
	}
}

func TestQuotaOfNewSessionsPerSecond(t *testing.T) {
	b := newBench(t)
	b.w.Net.Tenants["acme"].Quota = spec.Quota{NewSessionsPerSecond: 3}
	b.revise()
	for second, want := range []int{3, 6, 9} {
		for port := range uint16(20) {
			b.arrive(b.packet("web1", "web2", syn(40000, 1+port)))
		}
		if n := b.table.Len(); n != want {
			t.Errorf("sessions after second %d = %d; want %d", second, n, want)
		}
		b.now = b.now.Add(time.Second)
	}
}

func TestPingsThatDifferInCodeAreDecidedApart(t *testing.T) {
	b := newBench(t)
	odd := b.packet("web1", "web2", packet.Headers{Proto: packet.ICMP, ICMPType: 8, ICMPCode: 5})
	ask := only[session.Decide](b, b.lift(odd))
	honest := b.packet("web1", "web2", packet.Headers{Proto: packet.ICMP, ICMPType: 8})
	if in := all[session.Install](b.arrive(honest)); len(in) != 1 {
		t.Error("an honest ping waits for the decision about an odd one")
	}
	only[session.Denied](b, b.settle([]session.Effect{ask}))
}

// TestLanesAreBounded of one session, and of one client over all its sessions;
// what aged makes room again, and another client is not concerned.
func TestLanesAreBounded(t *testing.T) {
	b := newBench(t)
	flood := func(from string, ports int) {
		for _, dport := range []uint16{7, 8, 9} {
			for port := range ports {
				b.arrive(b.packet(from, "web2", udp(uint16(10000+port), dport)))
			}
		}
	}
	lanes := func() (all, most int) {
		for _, s := range b.table.Sessions() {
			all, most = all+len(s.Lanes), max(most, len(s.Lanes))
		}
		return all, most
	}
	flood("web1", 5000)
	if all, most := lanes(); all != 8192 || most != 4096 {
		t.Errorf("lanes = %d, %d of one session; want 8192 and 4096", all, most)
	}
	flood("db1", 100)
	if all, _ := lanes(); all != 8192+300 {
		t.Errorf("lanes = %d; want 300 more of another client", all)
	}
	for _, s := range b.table.Sessions() {
		for i, l := range s.Lanes {
			if i%2 == 0 { // one of two was not used since
				b.table.Step(b.now.Add(2*time.Minute), session.Counted{Session: s.ID, Set: l.Set})
			}
			if s.LaneOf(l.Set.Value) != l {
				t.Fatalf("lane of port %d is not found", l.Set.Value)
			}
		}
	}
	b.after(2 * time.Minute)
	if all, _ := lanes(); all != (8192+300)/2 {
		t.Errorf("lanes = %d; want half of them", all)
	}
	flood("web1", 5000)
	if all, _ := lanes(); all != 8192+150 {
		t.Errorf("lanes = %d; want the client's share in use again", all)
	}
}

// TestOrderOfArrivalDoesNotMatter opens the same sessions in many orders: their
// paths, wire ports included, come out the same.
func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	ports := []uint16{80, 81, 443, 5432, 8080, 9000}
	var want []uint16
	for rotate := range len(ports) {
		b := newBench(t)
		order := slices.Concat(ports[rotate:], ports[:rotate])
		for _, p := range order {
			b.arrive(b.packet("web1", "web2", syn(40000, p)))
		}
		var got []uint16
		for _, p := range ports {
			s := b.table.Find(session.Key{
				Client: inventory.AddrKey{VPC: "acme/prod", IP: b.endpoint("web1").IP},
				Server: inventory.AddrKey{VPC: "acme/prod", IP: b.endpoint("web2").IP}, Proto: packet.TCP, Port: p,
			})
			high, _ := s.WirePorts()
			got = append(got, high)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("order %v: wire ports %v; want %v", order, got, want)
		}
	}
}
