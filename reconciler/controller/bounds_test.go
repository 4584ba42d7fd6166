package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// holds records what is held, as an inbox would do it.
type holds map[portRef]bool

func (h holds) Hold(dpid uint64, port openflow.PortNo)    { h[portRef{dpid, port}] = true }
func (h holds) Release(dpid uint64, port openflow.PortNo) { delete(h, portRef{dpid, port}) }

// Ports of world.New's host h1.
var (
	acmeWeb   = portRef{1, 16}
	acmeDB    = portRef{1, 17}
	globexWeb = portRef{1, 18}
	h1Uplink  = portRef{1, world.UplinkPort}
	stranger  = portRef{1, 99}
)

// asker makes questions of ports, numbered.
func asker() func(p portRef) session.Decide {
	snap, ticket := world.New().Snapshot(), uint64(0)
	return func(p portRef) session.Decide {
		ticket++
		return session.Decide{Snapshot: snap, Ticket: ticket, Request: admission.Request{DPID: p.dpid, InPort: uint32(p.port)}}
	}
}

func TestDecidersServeTenantsInTurn(t *testing.T) {
	a, ask := newAsks(holds{}), asker()
	fifo := make(chan session.Decide, session.MaxPending) // the guard out
	add := func(p portRef) {
		d := ask(p)
		a.add(d)
		fifo <- d
	}
	for range 1000 {
		add(acmeWeb)
		add(acmeDB)
	}
	for range 10 {
		add(globexWeb)
	}
	isGlobex := func(d session.Decide) bool { return d.Request.InPort == uint32(globexWeb.port) }
	for turn := range 20 {
		d, ok := a.peek()
		a.taken()
		if !ok || isGlobex(d) != (turn%2 == 1) {
			t.Fatalf("turn %d: a question of port %d; want the tenants in turn", turn, d.Request.InPort)
		}
	}
	waited := 0
	for !isGlobex(<-fifo) {
		waited++
	}
	if waited != 2000 {
		t.Errorf("without the guard the other tenant waits for %d questions; the hazard is not there", waited)
	}
}

func TestPortWithItsShareOfQuestionsIsHeld(t *testing.T) {
	held := holds{}
	a, ask := newAsks(held), asker()
	var open []session.Decide
	for i := range maxAsksOfPort {
		if held[acmeWeb] {
			t.Fatalf("held with %d questions; want %d", i, maxAsksOfPort)
		}
		open = append(open, ask(acmeWeb))
		a.add(open[i])
	}
	if !held[acmeWeb] || len(held) != 1 {
		t.Fatalf("held: %v; want only %v", held, acmeWeb)
	}
	delete(held, acmeWeb) // its switch came again
	open = append(open, ask(acmeWeb))
	if a.add(open[len(open)-1]); !held[acmeWeb] {
		t.Error("a port that asks on is not held again")
	}
	for len(open) > maxAsksOfPort/2+1 {
		a.answered(&open[0])
		open = open[1:]
	}
	if !held[acmeWeb] {
		t.Errorf("released with %d questions open; want %d", len(open), maxAsksOfPort/2)
	}
	if a.answered(&open[0]); held[acmeWeb] {
		t.Errorf("still held with %d questions open", len(open)-1)
	}
}

func TestTenantWithItsShareOfQuestionsIsHeldAndOthersAreNot(t *testing.T) {
	held := holds{}
	a := newAsks(held)
	w := world.New()
	for i := range uint32(100) {
		w.Hosts[0].Endpoints = append(w.Hosts[0].Endpoints, world.Endpoint("acme", fmt.Sprintf("e%d", i), "web", fmt.Sprintf("10.1.0.%d", 100+i), 1000+i))
	}
	snap := w.Snapshot()
	ask := func(port uint32) session.Decide {
		return session.Decide{Snapshot: snap, Request: admission.Request{DPID: 1, InPort: port}}
	}
	var open []session.Decide
	for i := range uint32(maxAsksOfTenant - 1) {
		d := ask(1000 + i%100)
		a.add(d)
		open = append(open, d)
	}
	if len(held) != 0 {
		t.Fatalf("held before the tenant has its share: %v", held)
	}
	for port := range uint32(100) {
		d := ask(1000 + port)
		a.add(d)
		open = append(open, d)
	}
	a.add(ask(18))
	if len(held) != 100 || held[globexWeb] {
		t.Fatalf("%d ports are held, the other tenant's: %v; want all 100 of one", len(held), held[globexWeb])
	}
	for i := range open {
		a.answered(&open[i])
		if left := len(open) - i - 1; (len(held) == 0) != (left <= maxAsksOfTenant/2) {
			t.Fatalf("%d ports are held with %d questions open", len(held), left)
		}
	}
}

func TestPortHeldForItselfAndItsTenantIsReleasedByBoth(t *testing.T) {
	held := holds{}
	a, ask := newAsks(held), asker()
	var web, db []session.Decide
	for range maxAsksOfTenant {
		db = append(db, ask(acmeDB))
		a.add(db[len(db)-1])
	}
	for range maxAsksOfPort {
		web = append(web, ask(acmeWeb))
		a.add(web[len(web)-1])
	}
	for i := range web {
		if a.answered(&web[i]); !held[acmeWeb] {
			t.Fatalf("released with %d questions of the tenant open", a.tenants["acme"].n)
		}
	}
	for i := range db {
		a.answered(&db[i])
		left := len(db) - i - 1 // of the port and by now of the tenant
		if held[acmeWeb] != (left > maxAsksOfTenant/2) || held[acmeDB] != (left > maxAsksOfPort/2) {
			t.Fatalf("%d questions are open, held: %v", left, held)
		}
	}
	if len(held) != 0 {
		t.Errorf("held: %v; want nothing", held)
	}
}

func TestUplinkIsNeverHeld(t *testing.T) {
	held := holds{}
	a, ask := newAsks(held), asker()
	for range session.MaxPending - 1 {
		a.add(ask(h1Uplink))
	}
	if d := ask(h1Uplink); len(held) != 0 || len(a.ports) != 0 {
		t.Errorf("held: %v, counted: %v; want nothing", held, a.ports)
	} else if a.answered(&d); len(a.ports) != 0 {
		t.Errorf("counted: %v", a.ports)
	}
}

// TestHoldsEndWithTheQuestions asks and answers at random: what is open is held or
// not as its numbers say, and nothing is left when all is answered.
func TestHoldsEndWithTheQuestions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 5))
	ports := []portRef{acmeWeb, acmeDB, globexWeb, stranger, {2, 16}, {2, 17}, {2, 18}}
	for range 20 {
		held := holds{}
		a, ask := newAsks(held), asker()
		var open []session.Decide
		for range 5000 {
			if p := ports[random.IntN(len(ports))]; random.IntN(100) < 52 && !held[p] {
				open = append(open, ask(p))
				a.add(open[len(open)-1])
			} else if len(open) > 0 {
				i := random.IntN(len(open))
				a.answered(&open[i])
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
			}
			for _, p := range ports {
				n := 0
				if o := a.ports[p]; o != nil {
					n = o.n
				}
				if n > maxAsksOfPort || n == maxAsksOfPort && !held[p] || n == 0 && held[p] {
					t.Fatalf("port %v has %d questions open, held: %v", p, n, held[p])
				}
			}
		}
		for i := range open {
			a.answered(&open[i])
		}
		if len(held) != 0 || len(a.ports) != 0 || len(a.tenants) != 0 {
			t.Fatalf("all is answered, but held: %v, ports: %v, tenants: %v", held, a.ports, a.tenants)
		}
	}
}

// still returns a controller whose parts don't run: the test is its loop.
func still(t *testing.T) (c *Controller, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := newController(ctx, Config{
		StateDir: t.TempDir(), Wire: pipeline.DefaultWireRange, Logger: slog.New(slog.NewJSONHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

// TestScanLeavesRoomForTheQuestionsOfOthers has two ports of a tenant scan while
// nobody decides, then another tenant's packet come.
func TestScanLeavesRoomForTheQuestionsOfOthers(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		c, _ := still(t)
		if !guarded {
			c.asks.inbox = holds{} // which holds nothing
		}
		w := world.New()
		c.step(engine.RevisionLoaded{Policy: w.AllowAll("r1")})
		for i := range w.Hosts {
			c.step(engine.HostUp{Conn: uint64(i + 1), Report: w.Hosts[i]})
		}
		lift := func(from inventory.EndpointReport, to netip.Addr, port uint16) {
			frame := packet.Build(packet.Headers{
				EthSrc: from.MAC, EthDst: packet.MAC(pipeline.GatewayMAC), EthType: 0x800, TTL: 64, Src: from.IP, Dst: to,
				Proto: packet.TCP, SrcPort: 40000, DstPort: port, Flags: packet.SYN,
			}, nil)
			c.inbox.Add(1, openflow.PacketIn{InPort: openflow.PortNo(from.Port), Frame: frame})
			for c.round(nil) {
			}
		}
		acme, globex := w.Hosts[0].Endpoints[:2], w.Hosts[0].Endpoints[2]
		for i := range session.MaxPending + 10 {
			lift(acme[i%2], w.Hosts[1].Endpoints[i%2].IP, uint16(1+i))
		}
		lift(globex, w.Hosts[1].Endpoints[2].IP, 80)
		asked, busy := 0, c.engine.Counters().Outcomes[engine.Outcome(session.IgnoreBusy)]
		if o := c.asks.tenants["globex"]; o != nil {
			asked = o.n
		}
		if (asked == 1) != guarded || (busy == 0) != guarded {
			t.Errorf("guarded: %v: the other tenant has %d questions open, and %d packets found no room", guarded, asked, busy)
		}
		if n := c.asks.ports[acmeWeb].n; guarded && n != maxAsksOfPort {
			t.Errorf("the scanning port has %d questions open; want %d", n, maxAsksOfPort)
		}
		if guarded {
			served(t, c, session.MaxPending+11)
		}
	}
}

// served has a decider work until each of n packets was served or dropped.
func served(t *testing.T, c *Controller, n uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- c.decider(ctx) }()
	for c.engine.Counters().PacketIns+c.inbox.Dropped() < n || len(c.asks.ports) > 0 {
		if !c.round(nil) {
			c.wait(ctx, nil)
		}
		if ctx.Err() != nil {
			t.Fatalf("%d of %d packets were served and %d dropped, %d ports have questions", c.engine.Counters().PacketIns, n, c.inbox.Dropped(), len(c.asks.ports))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStepGivesDecidersWhatItAsked(t *testing.T) {
	c, _ := still(t)
	c.asks.add(asker()(acmeWeb))
	if c.step(engine.Tick{}); len(c.work) != 1 {
		t.Errorf("%d questions wait for deciders; want 1", len(c.work))
	}
}

func TestPacketsOfASwitchThatIsGoneAreForgotten(t *testing.T) {
	c, _ := still(t)
	gone := new(ofswitch.Switch)
	c.inbox.Add(gone.DPID(), openflow.PacketIn{InPort: 1})
	(*switchHandler)(c).SwitchDown(gone, ofswitch.ErrClosed)
	if l, ok := c.inbox.Next(); ok {
		t.Errorf("packet %+v is still there", l)
	}
}

func TestFloodOfPacketsStarvesNoEvent(t *testing.T) {
	c, _ := still(t)
	for i := range 10_000 {
		c.inbox.Add(uint64(1+i%3), openflow.PacketIn{InPort: openflow.PortNo(i % 40)})
	}
	tick := make(chan time.Time, 1)
	tick <- time.Time{}
	called := false
	c.do(func() { called = true })
	c.answers <- session.Decided{}
	if !c.round(tick) || !called || len(tick) != 0 || len(c.answers) != 0 {
		t.Errorf("one round left called %v, %d ticks, %d answers", called, len(tick), len(c.answers))
	}
	if n := c.engine.Counters().PacketIns; n != packetsARound {
		t.Errorf("a round served %d packets; want %d", n, packetsARound)
	}
}

func TestFloodOfEventsStarvesNoPacket(t *testing.T) {
	c, _ := still(t)
	var again func()
	again = func() { c.calls <- again } // as many as there were, for ever
	for range maxCalls / 2 {
		c.do(again)
	}
	c.inbox.Add(1, openflow.PacketIn{InPort: 1})
	if c.round(nil); c.engine.Counters().PacketIns != 1 {
		t.Error("the packet waits behind events that never end")
	}
}

func TestQuietLoopWaitsForWhateverComes(t *testing.T) {
	c, _ := still(t)
	if c.round(nil) {
		t.Fatal("a round with nothing to do did something")
	}
	c.inbox.Add(1, openflow.PacketIn{InPort: 1})
	c.wait(c.ctx, nil)
	if !c.round(nil) || c.engine.Counters().PacketIns != 1 {
		t.Error("the packet that woke the loop was not served")
	}
	ask := asker()
	for range cap(c.work) + 1 {
		c.asks.add(ask(acmeWeb))
	}
	c.feed()
	got := make(chan uint64, cap(c.work)+1)
	go func() {
		for range cap(got) {
			got <- (<-c.work).Ticket
		}
	}()
	c.wait(c.ctx, nil) // until a decider has room for the last
	for i := range cap(got) {
		if n := <-got; n != uint64(i+1) {
			t.Errorf("decider got question %d; want %d", n, i+1)
		}
	}
}

func TestOverfullQueueIsLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := still(t)
		for range inboxLimits().PerKey + 300 {
			c.inbox.Add(0xabc, openflow.PacketIn{InPort: 16})
		}
		for range 5 {
			c.tick(time.Time{})
		}
		if n := strings.Count(log.String(), "packets dropped from full queues"); n != 1 || !strings.Contains(log.String(), `"count":300,"switch":"0000000000000abc","port":16}`) {
			t.Errorf("log:\n%s\nwant one line with 300 packets of switch abc, port 16", log)
		}
		time.Sleep(time.Second)
		c.tick(time.Time{})
		if n := strings.Count(log.String(), "packets dropped from full queues"); n != 1 {
			t.Errorf("a second without drops was logged:\n%s", log)
		}
	})
}

func TestPanicCostsOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := still(t)
		for range 100 {
			c.step(nil) // which the engine doesn't know
			c.call(func() { panic("call") })
		}
		answered := make(chan error)
		go func() { answered <- c.ask(context.Background(), func() { panic("query") }) }()
		c.wait(c.ctx, nil)
		if err := <-answered; err == nil {
			t.Error("a query that panicked was answered")
		}
		c.inbox.Add(1, openflow.PacketIn{InPort: 1})
		if c.round(nil); c.engine.Counters().PacketIns != 1 {
			t.Error("no packet is served after panics")
		}
		if n := strings.Count(log.String(), "engine step panicked"); n != 1 {
			t.Errorf("201 panics were logged %d times in one second; want once", n)
		}
		eng := c.engine
		c.engine = nil
		c.step(engine.PacketIn{})
		if c.engine = eng; c.panicked != 1 {
			t.Errorf("%d packets are counted that panicked; want 1", c.panicked)
		}
	})
}

// broken is a policy that panics.
type broken struct{}

func (broken) Decide(time.Time, policy.Query) policy.Decision { panic("policy") }
func (broken) OutsideCIDRs(netip.Addr) []netip.Prefix         { panic("policy") }
func (broken) Revision() string                               { return "r1" }

func TestDecisionThatPanicsIsDeniedAndStopsNoDecider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := still(t)
		d := session.Decide{Policy: broken{}} // without a snapshot admission can't even start
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- c.decider(ctx) }()
		for range 100 {
			c.work <- d
			got := (<-c.answers).Result.Decision
			if got.Verdict != policy.Drop || got.Reason != policy.ReasonPolicyError || got.Revision != "r1" {
				t.Fatalf("decision %+v; want a drop with reason policy-error", got)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "decision panicked"); n != 1 {
			t.Errorf("100 panics were logged %d times in one second; want once", n)
		}
	})
}

func TestOnceASecondCountsTheRest(t *testing.T) {
	var l onceASecond
	logged := 0
	for i := range 100 {
		if _, ok := l.allow(world.Start.Add(time.Duration(i) * time.Millisecond)); ok {
			logged++
		}
	}
	if logged != 1 {
		t.Errorf("logged in a tenth of a second = %d; want 1", logged)
	}
	if missed, ok := l.allow(world.Start.Add(time.Second)); !ok || missed != 99 {
		t.Errorf("next second: %d missed, ok %v; want 99, true", missed, ok)
	}
}

func TestQueueErrorsAreNotLoggedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, log := still(t)
		for range 100 {
			c.logUnsent(7, errors.New("closed"))
			c.record(engine.BatchRefused{DPID: 7, Err: "table full"})
		}
		for _, msg := range []string{"batch not sent", "switch refused part of a batch"} {
			if n := strings.Count(log.String(), msg); n != 1 {
				t.Errorf("%q was logged %d times in one second; want once", msg, n)
			}
		}
	})
}
