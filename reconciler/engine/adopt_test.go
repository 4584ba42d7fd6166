package engine_test

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// busy is a started bench with a session of each kind.
func busy(t *testing.T) *bench {
	b := started(t)
	low := syn(80)
	low.SrcPort = 999
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))                                                                              // between hosts
	b.lift(1, 16, b.frame("web1", "web2", low))                                                                                  // and its low lane
	b.lift(1, 16, b.frame("web1", "db1", syn(5432)))                                                                             // on one host
	b.lift(1, 16, b.frame("web1", "db2", packet.Headers{Proto: packet.UDP, SrcPort: 40001, DstPort: 53}))                        // by connection
	b.lift(1, 16, b.frame("web1", "db2", packet.Headers{Proto: packet.UDP, SrcPort: 40002, DstPort: 53}))                        // of one wire port
	b.lift(1, 16, b.frame("web1", "db2", packet.Headers{Proto: packet.ICMP, ICMPType: 8}))                                       // by tag
	b.lift(2, 16, b.frame("web2", "web1", packet.Headers{Proto: packet.TCP, SrcPort: 17000, DstPort: 16500, Flags: packet.SYN})) // whose server's port looks like a wire port
	if n := b.e.Sessions().Len(); n != 5 {
		t.Fatalf("sessions = %d; want 5", n)
	}
	b.other = nil
	return b
}

// restart is a controller that ends, and a new one in its place: the switches
// keep what they hold.
func (b *bench) restart() {
	b.e = engine.New(engine.Config{Epoch: 8, Wire: pipeline.DefaultWireRange})
	b.other = nil
}

// sessionFlows are a switch's session flows.
func (b *bench) sessionFlows(dpid uint64) map[openflow.Key]openflow.Flow {
	out := maps.Clone(b.tables[dpid])
	maps.DeleteFunc(out, func(_ openflow.Key, f openflow.Flow) bool {
		return pipeline.ParseCookie(f.Cookie).Category != pipeline.CategorySession
	})
	return out
}

// labelled are the sessions' names and what stands for them between hosts.
func (b *bench) labelled() map[string]string {
	out := make(map[string]string)
	for _, s := range b.e.Sessions().Sessions() {
		high, low := s.WirePorts()
		out[fmt.Sprintf("%s>%s %d/%d", s.Client.Name, s.Server.Name, s.Proto, s.Port)] =
			fmt.Sprintf("%#x %d %d lanes %d", s.ID, high, low, len(s.Lanes))
	}
	return out
}

// orders are the ways in which three hosts' reports, three switches and the
// revision may come back.
func orders() [][]string {
	return [][]string{
		{"r", "h1", "h2", "h3", "s1", "s2", "s3"},
		{"s1", "s2", "s3", "h1", "h2", "h3", "r"},
		{"s1", "h1", "r", "s2", "h2", "s3", "h3"},
		{"s2", "h2", "r", "s1", "h1", "s3", "h3"},
		{"r", "h1", "s1", "h2", "s2", "h3", "s3"},
		{"r", "h2", "s2", "h1", "s1", "h3", "s3"},
		{"h2", "h1", "r", "s2", "s1", "s3", "h3"},
		{"r", "s1", "h1", "s2", "s3", "h3", "h2"},
		{"r", "s2", "s1", "h2", "h3", "s3", "h1"},
	}
}

func (b *bench) comeBack(order []string, pol engine.Policy) {
	for _, what := range order {
		switch n := what[len(what)-1] - '0'; what[0] {
		case 'r':
			b.step(engine.RevisionLoaded{Policy: pol})
		case 'h':
			b.hostUp(int(n) - 1)
		case 's':
			b.switchUp(uint64(n))
		}
	}
}

func TestRestartedControllerAdoptsWhatTheSwitchesHold(t *testing.T) {
	for _, order := range orders() {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := busy(t)
			sessions := b.labelled()
			flows := map[uint64]map[openflow.Key]openflow.Flow{1: b.sessionFlows(1), 2: b.sessionFlows(2), 3: b.sessionFlows(3)}
			b.restart()
			b.comeBack(order, b.w.AllowAll("r1"))
			if diff := cmp.Diff(sessions, b.labelled()); diff != "" {
				t.Errorf("sessions (-before +after):\n%s", diff)
			}
			for dpid, want := range flows {
				if diff := cmp.Diff(want, b.sessionFlows(dpid)); diff != "" {
					t.Errorf("session flows of switch %d (-before +after):\n%s", dpid, diff)
				}
			}
		})
	}
}

func TestAdoptedSessionIsNotWrittenAgain(t *testing.T) {
	b := busy(t)
	b.restart()
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	for i := range b.w.Hosts {
		b.hostUp(i)
	}
	for dpid := uint64(1); dpid <= 3; dpid++ {
		for _, ef := range b.e.Step(b.now, engine.SwitchUp{DPID: dpid, Flows: b.stats(dpid)}) {
			s, ok := ef.(engine.Send)
			if !ok {
				continue
			}
			for _, f := range s.Batch.Flows {
				if pipeline.ParseCookie(f.Flow.Cookie).Category == pipeline.CategorySession {
					t.Errorf("switch %d is told %s", dpid, f.String())
				}
			}
		}
	}
}

// TestAdoptionAsksThePolicy: what the revision of the new start forbids is cut,
// whichever switch comes first, and its wire port rests.
func TestAdoptionAsksThePolicy(t *testing.T) {
	for _, order := range orders() {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := busy(t)
			b.restart()
			b.comeBack(order, b.w.Deny("r2", policy.Drop))
			if n := b.e.Sessions().Len(); n != 0 {
				t.Errorf("sessions = %v; want none", b.labelled())
			}
			cut := 0
			for _, r := range b.e.Receipts() {
				if cut += r.Count; r.Cause != engine.CauseRevision || r.Revision != "r2" || r.Host != "" || !r.Done() {
					t.Errorf("receipt %+v; want one of revision r2, done", r)
				}
			}
			if cut != 5 {
				t.Errorf("%d sessions are in receipts; want 5", cut)
			}
			for dpid := uint64(1); dpid <= 3; dpid++ {
				if got := b.sessionFlows(dpid); len(got) != 0 {
					t.Errorf("switch %d still holds %v", dpid, got)
				}
			}
		})
	}
}

// TestAdoptionBelievesNothingThatTheInventoryDenies: a session whose end is gone,
// moved or another is not adopted, and its flows go.
func TestAdoptionBelievesNothingThatTheInventoryDenies(t *testing.T) {
	for name, change := range map[string]func(b *bench){
		"client gone":      func(b *bench) { b.w.Hosts[0].Endpoints = b.w.Hosts[0].Endpoints[1:] },
		"client elsewhere": func(b *bench) { b.w.Hosts[0].Endpoints[0].Port = 40 },
		"client's address": func(b *bench) { b.w.Hosts[0].Endpoints[0].IP = openflow.AddrFrom32(0x0a010063) },
	} {
		t.Run(name, func(t *testing.T) {
			b := started(t)
			b.lift(1, 16, b.frame("web1", "web2", syn(80)))
			change(b)
			b.restart()
			b.comeBack(orders()[0], b.w.AllowAll("r1"))
			for dpid := uint64(1); dpid <= 3; dpid++ {
				if got := b.sessionFlows(dpid); len(got) != 0 {
					t.Errorf("session flows of switch %d = %v; want none", dpid, got)
				}
			}
		})
	}
}

// TestHostsNewAddressRedrawsWhatIsAdopted, and what is left under the old one
// goes when nobody has reported it for long.
func TestHostsNewAddressRedrawsWhatIsAdopted(t *testing.T) {
	for _, order := range orders() {
		b := started(t)
		b.lift(1, 16, b.frame("web1", "web2", syn(80)))
		old := b.w.Hosts[0].Uplink.Addr
		b.w.Hosts[0].Uplink.Addr = netip.PrefixFrom(netip.MustParseAddr("172.31.1.77"), old.Bits())
		b.restart()
		b.comeBack(order, b.w.AllowAll("r1"))
		if n := b.e.Sessions().Len(); n != 1 {
			t.Fatalf("%v: sessions = %d; want the adopted one", order, n)
		}
		b.now = b.now.Add(time.Hour)
		b.step(engine.Tick{})
		for _, f := range b.sessionFlows(2) {
			if f.Match.IPSrc == openflow.IPv4(old.Addr()) || f.Match.IPDst == openflow.IPv4(old.Addr()) {
				t.Errorf("%v: switch 2 holds %s", order, f.String())
			}
		}
	}
}

// TestAlteredFlowsAreMended: a flow that bears a session's cookie but does
// something else is made to do what the session's flow does.
func TestAlteredFlowsAreMended(t *testing.T) {
	for name, alter := range map[string]func(f *openflow.Flow) bool{
		"sent elsewhere": func(f *openflow.Flow) bool {
			if f.Priority != pipeline.PrioForward || f.Match.InPort != 1 {
				return false
			}
			for i := range f.Actions {
				if f.Actions[i].Kind == openflow.ActionOutput {
					f.Actions[i].Value = 17
				}
			}
			return true
		},
		"another address": func(f *openflow.Flow) bool {
			if f.Priority != pipeline.PrioReply || f.Match.InPort != 1 {
				return false
			}
			for i := range f.Actions {
				if f.Actions[i].Field == openflow.FieldIPSrc {
					f.Actions[i].Value++
				}
			}
			return true
		},
		"openers pass as replies": func(f *openflow.Flow) bool {
			if f.Priority != pipeline.PrioReply {
				return false
			}
			f.Match.Metadata = openflow.Bits[uint64]{}
			return true
		},
		"a guard is gone": func(f *openflow.Flow) bool {
			if f.Priority != pipeline.PrioGuard {
				return false
			}
			f.Table = 200
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := started(t)
			b.lift(1, 16, b.frame("web1", "web2", syn(80)))
			want := map[uint64]map[openflow.Key]openflow.Flow{1: b.sessionFlows(1), 2: b.sessionFlows(2)}
			altered := 0
			for dpid := uint64(1); dpid <= 2; dpid++ {
				for k, f := range b.sessionFlows(dpid) {
					if g := f; alter(&g) {
						altered++
						delete(b.tables[dpid], k)
						b.tables[dpid][g.Key()] = g
					}
				}
			}
			if altered == 0 {
				t.Fatal("nothing was altered")
			}
			b.restart()
			b.comeBack(orders()[0], b.w.AllowAll("r1"))
			for dpid, flows := range want {
				if diff := cmp.Diff(flows, b.sessionFlows(dpid)); diff != "" {
					t.Errorf("session flows of switch %d (-want +got):\n%s", dpid, diff)
				}
			}
		})
	}
}

// TestNoSessionIsOpenedToASwitchThatIsAway: flows of an old session may stand
// there for the wire port that the new one would get.
func TestNoSessionIsOpenedToASwitchThatIsAway(t *testing.T) {
	b := started(t)
	b.step(engine.SwitchDown{DPID: 2})
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	if n := b.e.Sessions().Len(); n != 0 {
		t.Fatalf("sessions = %d; want none while the server's switch is away", n)
	}
	b.lift(1, 16, b.frame("web1", "db1", syn(5432)))
	if n := b.e.Sessions().Len(); n != 1 {
		t.Errorf("sessions = %d; want the one on one host", n)
	}
	b.switchUp(2)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	if n := b.e.Sessions().Len(); n != 2 {
		t.Errorf("sessions = %d; want 2 when the switch is back", n)
	}
}

// TestLeftFlowsOfALostClientAreGoneBeforeTheirWirePortIsGiven: the client's
// switch lost its flows while no controller was there, the server's did not.
func TestLeftFlowsOfALostClientAreGoneBeforeTheirWirePortIsGiven(t *testing.T) {
	for _, order := range orders() {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			b := busy(t)
			b.tables[1] = make(map[openflow.Key]openflow.Flow)
			b.restart()
			b.comeBack(order, b.w.AllowAll("r1"))
			for _, f := range b.sessionFlows(2) {
				if s := b.e.Sessions().Get(f.Cookie); s == nil {
					t.Errorf("switch 2 holds %s of no session", f.String())
				}
			}
			if n := b.e.Sessions().Len(); n != 1 {
				t.Errorf("sessions = %v; want only the one whose client's switch still knows it", b.labelled())
			}
		})
	}
}

// TestWirePortOfWhatNobodyAdoptedRests, since packets of the old session may be on
// their way: only that session has it again at once, as if it had ended, whichever of
// its flows told. Of whose flows nobody can tell, nobody has it: see the next test.
func TestWirePortOfWhatNobodyAdoptedRests(t *testing.T) {
	for name, spoil := range map[string]func(b *bench){
		"the client's switch still had it": func(b *bench) { b.tables[2] = make(map[openflow.Key]openflow.Flow) },
		"the server's switch still had it": func(b *bench) { b.tables[1] = make(map[openflow.Key]openflow.Flow) },
	} {
		for _, p := range []packet.Headers{syn(80), {Proto: packet.UDP, SrcPort: 40001, DstPort: 53}, {Proto: packet.ICMP, ICMPType: 8}} {
			t.Run(fmt.Sprintf("%s, protocol %d", name, p.Proto), func(t *testing.T) {
				label := func(b *bench) uint16 {
					b.lift(1, 16, b.frame("web1", "web2", p))
					for s := range b.e.Sessions().All {
						high, low := s.WirePorts()
						return max(high, low)
					}
					t.Fatal("no session was opened")
					return 0
				}
				b := started(t)
				was := label(b)
				spoil(b)
				for k, f := range b.tables[1] { // which then says nothing that can be adopted
					if f.Priority == pipeline.PrioForward && pipeline.ParseCookie(f.Cookie).Category == pipeline.CategorySession {
						delete(b.tables[1], k)
					}
				}
				b.restart()
				b.comeBack(orders()[0], b.w.AllowAll("r1"))
				if n := b.e.Sessions().Len(); n != 0 {
					t.Fatalf("%d sessions were adopted; want none", n)
				}
				if is := label(b); is != was || was == 0 {
					t.Errorf("the session has label %d when it comes again, and had %d; want the same", is, was)
				}
			})
		}
	}
}

// TestAHostTellsOnlyOfItsOwnWirePorts: what its switch holds may be made up, and
// would keep two other hosts from talking to each other, or fill the memory.
func TestAHostTellsOnlyOfItsOwnWirePorts(t *testing.T) {
	label := func(told func(b *bench, from, to netip.Addr)) uint16 {
		b := started(t)
		told(b, b.w.Hosts[0].Uplink.Addr.Addr(), b.w.Hosts[1].Uplink.Addr.Addr())
		b.lift(1, 16, b.frame("web1", "web2", syn(80)))
		high, _ := b.e.Sessions().Sessions()[0].WirePorts()
		return high
	}
	free := label(func(*bench, netip.Addr, netip.Addr) {})
	for dpid, rests := range map[uint64]bool{1: true, 3: false} {
		is := label(func(b *bench, from, to netip.Addr) {
			f := openflow.Flow{
				Table: pipeline.TableSession, Priority: pipeline.PrioReply,
				Cookie: pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 3, Number: 1}.Bits(),
				Match: openflow.Match{
					InPort: openflow.PortNo(b.w.Hosts[dpid-1].Uplink.Port), EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(uint8(packet.TCP)),
					IPSrc: openflow.IPv4(to), IPDst: openflow.IPv4(from), L4Src: openflow.Exact(free),
				},
			}
			b.tables[dpid][f.Key()] = f
			b.switchUp(dpid)
		})
		if is == 0 || (is != free) != rests {
			t.Errorf("told by switch %d: the session has label %d, which was %d else; want another: %t", dpid, is, free, rests)
		}
	}
}

func TestAdoptedSessionGoesOnAgeing(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "db2", packet.Headers{Proto: packet.UDP, SrcPort: 40001, DstPort: 9}))
	b.restart()
	b.comeBack(orders()[1], b.w.AllowAll("r1"))
	if n := b.e.Sessions().Len(); n != 1 {
		t.Fatalf("sessions = %d; want the adopted one", n)
	}
	for range 15 {
		b.now = b.now.Add(5 * time.Second)
		for dpid := uint64(1); dpid <= 3; dpid++ {
			b.step(engine.FlowsCounted{DPID: dpid, Flows: b.stats(dpid)})
		}
		b.step(engine.Tick{})
	}
	ended := false
	for _, ef := range b.other {
		if e, ok := ef.(engine.SessionEnded); ok && e.Why == session.EndIdle {
			ended = true
		}
	}
	if !ended || b.e.Sessions().Len() != 0 {
		t.Errorf("sessions = %v; want the idle one ended", b.labelled())
	}
}

// TestCutSessionThatWasAdoptedIsNotWaitedFor when its server's switch comes back
// before its client's. Found by reading for the simulation.
func TestCutSessionThatWasAdoptedIsNotWaitedFor(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	b.restart()
	b.comeBack(orders()[0], b.w.AllowAll("r1"))
	b.step(engine.SwitchDown{DPID: 2})
	b.step(engine.SwitchDown{DPID: 1})
	b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Drop)})
	b.switchUp(2)
	if got := b.sessionFlows(2); len(got) != 0 {
		t.Errorf("switch 2 still holds %v", got)
	}
}

// TestRedrawWaitsForALostSwitch: what stands there for the label that it would
// take is not known. Found by simulation.
func TestRedrawWaitsForALostSwitch(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	s := b.e.Sessions().Sessions()[0]
	high, _ := s.WirePorts()
	b.step(engine.SwitchDown{DPID: 2})
	ls := []inventory.Listener{{Proto: packet.TCP, Port: high}}
	b.step(engine.HostChanged{Conn: 1, Host: "h1", Delta: inventory.HostDelta{Seq: 1, Listeners: &ls}})
	if got := b.e.Sessions().Sessions()[0]; got != s {
		t.Fatal("redrawn while its server's switch is away")
	}
	b.switchUp(2)
	b.step(engine.Tick{})
	if got, _ := b.e.Sessions().Sessions()[0].WirePorts(); got == high {
		t.Errorf("wire port is still %d; want another, now that the switch is there", got)
	}
}

// TestLostDeletionIsMadeUpThoughTheClientsSwitchIsAway: all switches were compared
// in this life, so what is left of an earlier one is nobody's. Found by simulation.
func TestLostDeletionIsMadeUpThoughTheClientsSwitchIsAway(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	left := b.sessionFlows(2)
	b.tables[1] = make(map[openflow.Key]openflow.Flow)
	b.restart()
	b.comeBack(orders()[0], b.w.AllowAll("r1"))
	b.step(engine.SwitchDown{DPID: 2})
	b.step(engine.SwitchDown{DPID: 1})
	maps.Copy(b.tables[2], left) // as if the deletion had been lost with the connection
	b.switchUp(2)
	if got := b.sessionFlows(2); len(got) != 0 {
		t.Errorf("switch 2 still holds %v", got)
	}
}
