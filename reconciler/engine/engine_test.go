package engine_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// bench is an engine in a world, with one flow table a switch, so that a test
// sees what switches would hold. Barriers are answered at once.
type bench struct {
	*testing.T
	w      *world.World
	e      *engine.Engine
	now    time.Time
	tables map[uint64]map[openflow.Key]openflow.Flow
	other  []engine.Effect // all but Send and Decide
	out    []openflow.PacketOut
	after  func() // called after each batch
	silent uint64 // switch that answers no barrier
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, w: world.New(), now: world.Start, tables: make(map[uint64]map[openflow.Key]openflow.Flow)}
	b.e = engine.New(engine.Config{Epoch: 7, Wire: pipeline.DefaultWireRange})
	return b
}

// started is a bench whose hosts, switches and revision are there.
func started(t *testing.T) *bench {
	b := newBench(t)
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	for i := range b.w.Hosts {
		b.hostUp(i)
		b.switchUp(b.w.Hosts[i].DPID)
	}
	b.other = nil
	return b
}

func (b *bench) hostUp(i int) {
	b.step(engine.HostUp{Conn: uint64(i + 1), Report: b.w.Hosts[i]})
}

func (b *bench) switchUp(dpid uint64) {
	if b.tables[dpid] == nil {
		b.tables[dpid] = make(map[openflow.Key]openflow.Flow)
	}
	b.step(engine.SwitchUp{DPID: dpid, Flows: b.stats(dpid)})
}

func (b *bench) stats(dpid uint64) []openflow.FlowStats {
	var out []openflow.FlowStats
	for _, f := range b.tables[dpid] {
		out = append(out, openflow.FlowStats{Flow: f, Known: true, Whole: true, Packets: 5})
	}
	return out
}

func (b *bench) step(ev engine.Event) {
	for _, ef := range b.e.Step(b.now, ev) {
		switch ef := ef.(type) {
		case engine.Send:
			b.send(*ef.Batch)
		case engine.Decide:
			r := admission.Decide(ef.Ask.Snapshot, ef.Ask.Policy, b.now, ef.Ask.Request)
			b.step(engine.Decided{Decided: session.Decided{Ask: ef.Ask, Result: r}})
		default:
			b.other = append(b.other, ef)
		}
	}
}

func (b *bench) send(batch openflow.Batch) {
	t := b.tables[batch.DPID]
	if t == nil {
		b.Fatalf("batch for switch %d, which is not connected", batch.DPID)
	}
	for _, m := range batch.Flows {
		switch m.Command {
		case openflow.FlowAdd:
			t[m.Flow.Key()] = m.Flow
		case openflow.FlowDeleteStrict:
			delete(t, m.Flow.Key())
		case openflow.FlowDelete:
			for k, f := range t {
				if f.Cookie&m.CookieMask == m.Flow.Cookie {
					delete(t, k)
				}
			}
		}
	}
	b.out = append(b.out, batch.Packets...)
	if b.after != nil {
		b.after()
	}
	if batch.Token != 0 && batch.DPID != b.silent {
		b.step(engine.BatchDone{DPID: batch.DPID, Token: batch.Token})
	}
}

func (b *bench) frame(from, to string, h packet.Headers) []byte {
	b.Helper()
	src := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: from})
	dst := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: to})
	h.EthSrc, h.EthDst, h.EthType, h.TTL, h.Src, h.Dst = src.MAC, packet.MAC(pipeline.GatewayMAC), 0x800, 64, src.IP, dst.IP
	return packet.Build(h, nil)
}

func (b *bench) lift(dpid uint64, port openflow.PortNo, frame []byte) {
	b.step(engine.PacketIn{DPID: dpid, In: openflow.PacketIn{InPort: port, Frame: frame}})
}

func (b *bench) category(dpid uint64, c pipeline.Category) int {
	n := 0
	for _, f := range b.tables[dpid] {
		if pipeline.ParseCookie(f.Cookie).Category == c {
			n++
		}
	}
	return n
}

func syn(dport uint16) packet.Headers {
	return packet.Headers{Proto: packet.TCP, SrcPort: 40000, DstPort: dport, Flags: packet.SYN}
}

// endpointFlows is how many flows an endpoint has while nobody talks: 5, and 3 to
// ask for names.
const endpointFlows = 5 + 3

func TestReportIsAcknowledgedOnlyWhenItsFlowsAreIn(t *testing.T) {
	b := newBench(t)
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	b.hostUp(0)
	if len(b.other) != 0 {
		t.Fatalf("effects before the switch is there: %#v; want none", b.other)
	}
	b.switchUp(1)
	if want := []engine.Effect{engine.Ack{Conn: 1, Host: "h1"}}; !cmp.Equal(b.other, want) {
		t.Errorf("effects = %#v; want the acknowledgement", b.other)
	}
	if n := b.category(1, pipeline.CategoryEndpoint); n != 3*endpointFlows {
		t.Errorf("endpoint flows = %d; want %d for each of 3 endpoints", n, endpointFlows)
	}
}

func TestReportBeforeAnyRevisionIsAcknowledgedWithTheFirst(t *testing.T) {
	b := newBench(t)
	b.hostUp(0)
	b.switchUp(1)
	if len(b.other) != 0 {
		t.Fatalf("effects without a revision: %#v; want none", b.other)
	}
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	if want := []engine.Effect{engine.Ack{Conn: 1, Host: "h1"}}; !cmp.Equal(b.other, want) {
		t.Errorf("effects = %#v; want the acknowledgement, nothing refused", b.other)
	}
}

func TestDeltaChangesOnlyItsEndpointsFlows(t *testing.T) {
	b := started(t)
	before := len(b.tables[2])
	up := world.Endpoint("acme", "new", "web", "10.1.0.9", 30)
	b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 4, Up: []inventory.EndpointReport{up}}})
	if got := len(b.tables[2]) - before; got != endpointFlows {
		t.Errorf("flows added = %d; want %d", got, endpointFlows)
	}
	if want := []engine.Effect{engine.Ack{Conn: 2, Host: "h2", Seq: 4}}; !cmp.Equal(b.other, want) {
		t.Errorf("effects = %#v; want ack of 4", b.other)
	}
	down := []inventory.EndpointRef{{VPC: "acme/prod", Name: "new"}}
	b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 5, Down: down}})
	if got := len(b.tables[2]); got != before {
		t.Errorf("flows = %d; want %d as before", got, before)
	}
}

// refusals counts those that were told, by the name of the first of each.
func (b *bench) refusals() map[string]int {
	names := make(map[string]int)
	for _, ef := range b.other {
		if r, ok := ef.(engine.EndpointRefused); ok {
			names[r.First.Ref.Name] += r.Count
		}
	}
	return names
}

// TestLeaseOfATenantThatTheHostWasNotGivenIsTold, and no other that is refused:
// an address may be somebody else's by mere chance.
func TestLeaseOfATenantThatTheHostWasNotGivenIsTold(t *testing.T) {
	b := started(t)
	b.w.Net.Tenants["globex"].Hosts = []string{"h1"}
	for _, tt := range []struct {
		tenant, ip string
		told       int
	}{
		{"globex", "10.1.0.9", 1}, {"nobody", "10.1.0.9", 1}, {"acme", "10.1.0.2", 0}, {"acme", "10.1.1.9", 0},
	} {
		b.other = nil
		b.step(engine.LeaseAsked{
			Conn: 2, ID: 1, Host: "h2", Tenant: tt.tenant, VPC: "prod", Subnet: "web", Name: "new", IP: netip.MustParseAddr(tt.ip),
		})
		given, ok := b.other[len(b.other)-1].(engine.LeaseGiven)
		if got := b.refusals()["new"]; !ok || given.Err == "" || got != tt.told {
			t.Errorf("%s %s: %+v, told %d times; want it refused, and told %d times", tt.tenant, tt.ip, given, got, tt.told)
		}
	}
}

func TestRefusedEndpointHasNoFlowsAndIsNamed(t *testing.T) {
	for name, ep := range map[string]inventory.EndpointReport{
		"address taken":         world.Endpoint("acme", "new", "web", "10.1.0.2", 30),
		"outside its subnet":    world.Endpoint("acme", "new", "web", "10.1.1.9", 30),
		"tenant not declared":   world.Endpoint("nobody", "new", "web", "10.1.0.9", 30),
		"name taken":            world.Endpoint("acme", "web1", "web", "10.1.0.9", 30),
		"port of another":       world.Endpoint("acme", "new", "web", "10.1.0.9", 16),
		"host not the tenant's": world.Endpoint("globex", "new", "web", "10.1.0.9", 30),
	} {
		t.Run(name, func(t *testing.T) {
			b := started(t)
			b.w.Net.Tenants["globex"].Hosts = []string{"h1"}
			before := len(b.tables[2])
			b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 1}}) // those of globex that it had
			b.other = nil
			b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 2, Up: []inventory.EndpointReport{ep}}})
			ack, ok := b.other[len(b.other)-1].(engine.Ack)
			named := func(r inventory.Refusal) bool { return r.Ref.Name == ep.Name }
			if !ok || !slices.ContainsFunc(ack.Refused, named) {
				t.Errorf("last effect = %#v; want an ack that names %q", b.other[len(b.other)-1], ep.Name)
			}
			if len(b.tables[2]) > before {
				t.Errorf("flows = %d; want no more than %d", len(b.tables[2]), before)
			}
			if got := b.refusals(); got[ep.Name] != 1 {
				t.Errorf("told of refusals: %v; want %q once", got, ep.Name)
			}
			b.other = nil
			b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Seq: 3}})
			if got := b.refusals(); len(got) != 0 {
				t.Errorf("told of %v once more", got)
			}
		})
	}
}

func TestSwitchThatLostEverythingGetsItBack(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	want := b.tables[1]
	b.step(engine.SwitchDown{DPID: 1})
	b.tables[1] = nil
	b.switchUp(1)
	if diff := cmp.Diff(want, b.tables[1]); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

// TestRestartWithoutARevisionTouchesNothing: a controller that starts while the
// specs are broken must not take the network down with it.
func TestRestartWithoutARevisionTouchesNothing(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	before := len(b.tables[1])
	restarted := newBench(t)
	restarted.tables = b.tables
	restarted.switchUp(1)
	restarted.hostUp(0)
	if n := len(b.tables[1]); n != before {
		t.Errorf("flows without a revision = %d; want %d as before", n, before)
	}
	restarted.step(engine.RevisionLoaded{Policy: restarted.w.AllowAll("r1")})
	if n := restarted.category(1, pipeline.CategorySession); n != 0 {
		t.Errorf("session flows of the earlier run = %d; want 0 once it is known what should be there", n)
	}
	if n := restarted.category(1, pipeline.CategoryEndpoint); n != 3*endpointFlows {
		t.Errorf("endpoint flows = %d; want %d", n, 3*endpointFlows)
	}
}

func TestStrayFlowsOfTheControllersGoOthersStay(t *testing.T) {
	b := started(t)
	keep := openflow.Flow{Table: 0, Priority: 5, Cookie: pipeline.BaseCookie}
	old := openflow.Flow{Table: 2, Priority: 201, Cookie: pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 6, Number: 1}.Bits()}
	b.step(engine.SwitchDown{DPID: 1})
	b.tables[1][keep.Key()], b.tables[1][old.Key()] = keep, old
	b.switchUp(1)
	if _, found := b.tables[1][old.Key()]; found {
		t.Error("a session flow of an earlier epoch is still there")
	}
	if _, found := b.tables[1][keep.Key()]; !found {
		t.Error("hostd's flow is gone")
	}
}

func TestSessionCutWhileASwitchIsAwayIsGoneWhenItComesBack(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	b.step(engine.SwitchDown{DPID: 2})
	held := b.tables[2]
	delete(b.tables, 2)
	b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Drop)})
	if n := b.category(1, pipeline.CategorySession); n != 0 {
		t.Errorf("session flows on the connected switch = %d; want 0", n)
	}
	b.tables[2] = held
	b.switchUp(2)
	if n := b.category(2, pipeline.CategorySession); n != 0 {
		t.Errorf("session flows on the returned switch = %d; want 0", n)
	}
}

func TestFirstPacketLeavesAtTheServersSwitchAfterItsFlows(t *testing.T) {
	b := started(t)
	var order []openflow.Batch
	for _, ef := range b.e.Step(b.now, engine.PacketIn{DPID: 1, In: openflow.PacketIn{InPort: 16, Frame: b.frame("web1", "web2", syn(80))}}) {
		ask := ef.(engine.Decide).Ask
		r := admission.Decide(ask.Snapshot, ask.Policy, b.now, ask.Request)
		for _, ef := range b.e.Step(b.now, engine.Decided{Decided: session.Decided{Ask: ask, Result: r}}) {
			if s, ok := ef.(engine.Send); ok {
				order = append(order, *s.Batch)
			}
		}
	}
	if len(order) != 2 || order[0].DPID != 1 || order[1].DPID != 2 {
		t.Fatalf("batches = %+v; want one for h1, then one for h2", order)
	}
	if len(order[0].Flows) != 3 || len(order[0].Packets) != 0 || len(order[1].Flows) != 3 || len(order[1].Packets) != 1 {
		t.Errorf("flows and packets: h1 %d %d, h2 %d %d; want 3 0, 3 1",
			len(order[0].Flows), len(order[0].Packets), len(order[1].Flows), len(order[1].Packets))
	}
}

// TestCutConnectionIsResetAtBothEnds: an end that waits for its peer sends
// nothing, so it would wait for ever if only senders were told.
func TestCutConnectionIsResetAtBothEnds(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	b.step(engine.RevisionLoaded{Policy: b.w.Deny("r2", policy.Reject)})
	b.out = nil
	data := syn(80)
	data.Flags, data.Seq, data.Ack = packet.ACK|packet.PSH, 700, 900
	b.lift(1, 16, b.frame("web1", "web2", data))
	got := make(map[string]uint32) // destination -> sequence number
	for _, out := range b.out {
		h, err := packet.Decode(out.Frame)
		if err != nil || h.Flags&packet.RST == 0 {
			t.Fatalf("put out %+v, %v; want resets", h, err)
		}
		got[h.Dst.String()] = h.Seq
	}
	if diff := cmp.Diff(map[string]uint32{"10.1.0.2": 900, "10.1.0.3": 700}, got); diff != "" {
		t.Errorf("resets by destination (-want +got):\n%s", diff)
	}
}

func TestHostWithAnothersDatapathIDIsRefused(t *testing.T) {
	b := started(t)
	r := b.w.Hosts[1]
	r.Name = "impostor"
	b.step(engine.HostUp{Conn: 9, Report: r})
	ack, ok := b.other[0].(engine.Ack)
	if !ok || len(ack.Refused) != 1 || b.e.Snapshot().Host("impostor") != nil {
		t.Errorf("effects = %#v; want a refusal, and no such host", b.other)
	}
}

func TestDeltaOfAReplacedStreamIsIgnored(t *testing.T) {
	b := started(t)
	b.step(engine.HostUp{Conn: 20, Report: b.w.Hosts[1]})
	b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: inventory.HostDelta{Down: []inventory.EndpointRef{{VPC: "acme/prod", Name: "web2"}}}})
	if b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web2"}) == nil {
		t.Error("the old stream removed an endpoint")
	}
}

func TestLeases(t *testing.T) {
	b := started(t)
	ask := func(name, ip string) engine.LeaseGiven {
		b.other = nil
		q := engine.LeaseAsked{Conn: 1, ID: 3, Host: "h1", Tenant: "acme", VPC: "prod", Subnet: "web", Name: name}
		if ip != "" {
			q.IP = netip.MustParseAddr(ip)
		}
		b.step(q)
		return b.other[len(b.other)-1].(engine.LeaseGiven)
	}
	first := ask("a", "")
	if first.Err != "" || first.IP != netip.MustParseAddr("10.1.0.4") {
		t.Fatalf("first lease = %+v; want 10.1.0.4, the lowest that no endpoint has", first)
	}
	if again := ask("a", ""); again.IP != first.IP || again.MAC != first.MAC {
		t.Errorf("same holder: %+v; want %+v", again, first)
	}
	if got := ask("b", first.IP.String()); got.Err == "" {
		t.Errorf("another holder got %s", got.IP)
	}
	if got := ask("c", "10.1.0.2"); got.Err == "" {
		t.Error("the address of an endpoint that is seen was given away")
	}
	b.step(engine.LeaseReleased{Host: "h2", VPC: "acme/prod", IP: first.IP, Name: "a"})
	b.now = b.now.Add(2 * time.Minute)
	if got := ask("b", first.IP.String()); got.Err == "" {
		t.Error("another host released the lease")
	}
	b.step(engine.LeaseReleased{Host: "h1", VPC: "acme/prod", IP: first.IP, Name: "a"})
	if got := ask("b", first.IP.String()); got.Err == "" {
		t.Error("the address had no rest")
	}
	b.now = b.now.Add(2 * time.Minute)
	if got := ask("b", first.IP.String()); got.Err != "" {
		t.Errorf("after its rest: %s", got.Err)
	}
}

func TestCountersReachTheSession(t *testing.T) {
	b := started(t)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	b.step(engine.FlowsCounted{DPID: 1, Flows: b.stats(1)})
	s := b.e.Sessions().Sessions()[0]
	if s.Lanes[0].Forward.Packets != 5 || s.Lanes[0].Reply.Packets != 5 {
		t.Errorf("lane counts %+v; want 5 packets each way", s.Lanes[0])
	}
}

func TestMovedEndpointKeepsItsAddressWithoutRest(t *testing.T) {
	b := started(t)
	ip := netip.MustParseAddr("10.1.0.40")
	ask := func(host, name string) engine.LeaseGiven {
		b.other = nil
		b.step(engine.LeaseAsked{Conn: 1, ID: 3, Host: host, Tenant: "acme", VPC: "prod", Subnet: "web", Name: name, IP: ip})
		return b.other[len(b.other)-1].(engine.LeaseGiven)
	}
	if got := ask("h1", "a"); got.Err != "" {
		t.Fatal(got.Err)
	}
	if got := ask("h2", "a"); got.Err == "" {
		t.Error("the address was given to another host while it was held")
	}
	b.step(engine.LeaseReleased{Host: "h1", VPC: "acme/prod", IP: ip, Name: "a"})
	if got := ask("h2", "aa"); got.Err == "" {
		t.Error("another endpoint got the address without a rest")
	}
	if got := ask("h2", "a"); got.Err != "" {
		t.Errorf("the same endpoint on another host: %s", got.Err)
	}
}

// TestEventsThatComeTwiceChangeNothing replays what switches and hosts say.
func TestEventsThatComeTwiceChangeNothing(t *testing.T) {
	b := started(t)
	frame := b.frame("web1", "web2", syn(80))
	b.lift(1, 16, frame)
	want := map[uint64]map[openflow.Key]openflow.Flow{}
	for dpid, table := range b.tables {
		want[dpid] = make(map[openflow.Key]openflow.Flow)
		for k, f := range table {
			want[dpid][k] = f
		}
	}
	for range 2 {
		for i := range b.w.Hosts {
			b.hostUp(i)
			b.switchUp(b.w.Hosts[i].DPID)
		}
		b.lift(1, 16, frame)
		b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	}
	if diff := cmp.Diff(want, b.tables); diff != "" {
		t.Errorf("tables after the same events again (-once +again):\n%s", diff)
	}
}
