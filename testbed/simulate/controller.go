package simulate

import (
	"maps"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// controller is daoli-reconcile without its sockets: an engine, what its shell
// does around it, and what it keeps on disk.
type controller struct {
	*cluster
	up      bool
	life    int // counts its starts: what an earlier one began goes nowhere
	engine  *engine.Engine
	policy  *loaded
	links   map[uint64]*ofConn // by DPID; one the engine may not know of yet
	streams map[uint64]*stream
	heard   map[string]bool // hosts that reported to this life
	looked  time.Time       // when sessions were last judged for rules that ended
	settled bool            // it had a revision, all reports and all switches at once
	reports map[inventory.EndpointRef]reported
	cut     map[session.Key]bool // sessions that a revision cut in this life
	opened  []*session.Session   // by the running step
	drops   bool                 // denied for want of wire ports since somebody looked

	// On disk.
	epoch  uint16
	leases engine.Leases
}

// reported is where an endpoint was reported last.
type reported struct{ conn, seq uint64 }

func newController(c *cluster) *controller { return &controller{cluster: c} }

// How often the controller looks at the clock and at flows' counters
// (reconciler/controller).
const (
	tickEvery = 250 * milli
	pollEvery = 5 * second
)

func (k *controller) start() {
	k.up, k.policy = true, nil
	k.life++
	k.epoch++
	k.trace("controller starts, epoch %d", k.epoch)
	k.links, k.streams, k.heard = make(map[uint64]*ofConn), make(map[uint64]*stream), make(map[string]bool)
	k.settled, k.looked = false, k.now
	k.cut = make(map[session.Key]bool)
	k.reports = make(map[inventory.EndpointRef]reported)
	k.engine = engine.New(engine.Config{Slot: 1, Epoch: k.epoch, Wire: k.wire, Leases: cloneLeases(k.leases)})
	k.tick(k.life)
	k.later(k.delay(), func() { k.load() })
}

func cloneLeases(l engine.Leases) engine.Leases {
	out := make(engine.Leases, len(l))
	for vpc, m := range l {
		out[vpc] = maps.Clone(m)
	}
	return out
}

// kill ends the process. The kernel ends its connections.
func (k *controller) kill() {
	k.trace("controller is killed")
	k.up, k.engine = false, nil
	for _, h := range k.hosts {
		if h.conn != nil {
			h.conn.lost()
		}
		if h.stream != nil {
			h.stream.lost()
		}
	}
	k.beat(k.outage(), func() {
		if !k.up {
			k.start()
		}
	})
}

// later has run happen in this life.
func (k *controller) later(d int64, run func()) {
	life := k.life
	k.after(d, func() {
		if k.up && k.life == life {
			run()
		}
	})
}

func (k *controller) tick(life int) {
	k.beat(tickEvery, func() {
		if k.up && k.life == life {
			k.do(engine.Tick{})
			k.tick(life)
		}
	})
}

// load makes the desired revision the active one.
func (k *controller) load() {
	if k.policy != nil && k.policy.revision == k.desired && !k.chance(4) {
		return
	}
	k.policy = k.opt.Library.load(k.desired)
	k.trace("controller loads %s", k.desired.name)
	k.do(engine.RevisionLoaded{Policy: k.policy})
}

// do feeds the engine and performs what it says.
func (k *controller) do(ev engine.Event) {
	if k.tracing() {
		k.traceEvent(ev)
	}
	k.doAt(k.now, ev)
}

// doAt is do as at another time.
func (k *controller) doAt(now time.Time, ev engine.Event) {
	effects := k.engine.Step(now, ev)
	k.stats.Events++
	k.note(ev)
	for _, ef := range effects {
		k.perform(ef)
	}
	switch ev.(type) {
	case engine.RevisionLoaded:
		k.looked = k.now
		k.changed()
	case engine.HostUp, engine.HostChanged:
		k.changed()
	case engine.SwitchUp:
		k.markAll()
	case engine.Tick:
		k.ticked()
	}
	for _, s := range k.opened {
		if k.engine.Sessions().Get(s.ID) == s {
			k.checkSession(s)
		}
	}
	k.opened = k.opened[:0]
}

// note remembers what hosts said, and was not refused.
func (k *controller) note(ev engine.Event) {
	var eps []inventory.EndpointReport
	var at reported
	switch ev := ev.(type) {
	case engine.HostUp:
		k.heard[ev.Report.Name] = true
		eps, at = ev.Report.Endpoints, reported{ev.Conn, 0}
	case engine.HostChanged:
		eps, at = ev.Delta.Up, reported{ev.Conn, ev.Delta.Seq}
	}
	for ref := range k.reports { // of two that claim an address one is out, and in again when the other goes
		if k.engine.Snapshot().EndpointByName(ref) == nil {
			delete(k.reports, ref)
		}
	}
	for i := range eps {
		ref := inventory.EndpointRef{VPC: eps[i].VPCID(), Name: eps[i].Name}
		if e := k.engine.Snapshot().EndpointByName(ref); e != nil && e.MAC == eps[i].MAC && e.Port == eps[i].Port {
			k.reports[ref] = at
		}
	}
}

func (k *controller) perform(ef engine.Effect) {
	switch ef := ef.(type) {
	case engine.Send:
		k.send(ef.Batch)
	case engine.Decide:
		k.decide(ef.Ask)
	case engine.Ack:
		k.ack(ef)
	case engine.LeaseGiven:
		if s := k.streams[ef.Conn]; s != nil {
			s.answer(endpoint.Leased{ID: ef.ID, IP: ef.IP, MAC: endpoint.MAC(ef.MAC), Err: ef.Err})
		}
	case engine.SaveLeases:
		k.later(k.delay(), func() { k.leases = ef.Leases })
	case engine.SessionOpened:
		k.stats.Sessions++
		k.opened = append(k.opened, ef.Session)
	case engine.SessionEnded:
		if ef.Why == session.EndPolicy {
			k.cut[ef.Session.Key()] = true
		}
		if k.tracing() {
			k.trace("  session %s ended: %s", sessionText(ef.Session), ef.Why)
		}
	case engine.PacketDenied:
		k.denied(ef)
	case engine.Drift:
		k.stats.Drift += ef.Count
		if k.tracing() {
			k.trace("  drift of switch %d: %d %s, such as %s", ef.DPID, ef.Count, ef.Kind, ef.First)
		}
	case engine.SessionAdopted:
		k.stats.Adopted++
		k.opened = append(k.opened, ef.Session)
	case engine.BatchRefused:
		k.trace("  switch %d refused: %s", ef.DPID, ef.Err)
	}
}

// send sends a batch as the shell does: what was encoded is the engine's again.
func (k *controller) send(b *openflow.Batch) {
	if l := k.links[b.DPID]; l != nil {
		sent := *b
		sent.Flows, sent.Packets = slices.Clone(b.Flows), slices.Clone(b.Packets)
		l.toSwitch(k.spoil(l, sent))
	}
	if k.chance(2) {
		k.engine.Recycle(b)
	}
}

func (k *controller) batchDone(l *ofConn, token uint64, err string) {
	if k.links[l.host.sw.DPID] == l {
		k.do(engine.BatchDone{DPID: l.host.sw.DPID, Token: token, Err: err})
	}
}

// decide asks the policy, as another goroutine does: now or later.
func (k *controller) decide(a session.Decide) {
	answer := func() admission.Result { return admission.Decide(a.Snapshot, a.Policy, k.now, a.Request) }
	if k.opt.Bug == BugStaleDecision {
		k.decideStale(a)
		return
	}
	if k.chance(2) {
		r := answer()
		k.later(k.delay(), func() { k.do(engine.Decided{Decided: session.Decided{Ask: a, Result: r}}) })
		return
	}
	k.later(k.delay(), func() { k.do(engine.Decided{Decided: session.Decided{Ask: a, Result: answer()}}) })
}

func (k *controller) ack(a engine.Ack) {
	s := k.streams[a.Conn]
	if s == nil {
		return
	}
	refused := make(map[endpoint.Ref]string)
	for _, r := range a.Refused {
		if ref, err := endpoint.MakeRef(string(r.Ref.VPC), r.Ref.Name); err == nil {
			refused[ref] = r.Text
			k.trace("  refused %s: %s", ref, r.Text)
		}
	}
	k.checkAck(a)
	s.answer(endpoint.Acked{Seq: a.Seq, Problems: refused})
}

// traceEvent tells of an event.
func (k *controller) traceEvent(ev engine.Event) {
	switch ev := ev.(type) {
	case engine.Tick:
	case engine.PacketIn:
		k.trace("controller: PacketIn of switch %d port %d %s", ev.DPID, ev.In.InPort, frameText(ev.In.Frame))
	case engine.SwitchUp:
		k.trace("controller: SwitchUp %d with %d flows", ev.DPID, len(ev.Flows))
		for i := range ev.Flows {
			if pipeline.ParseCookie(ev.Flows[i].Cookie).Category == pipeline.CategorySession {
				k.trace("  %s", ev.Flows[i].Flow)
			}
		}
	case engine.FlowsCounted:
		k.trace("controller: FlowsCounted %d, %d flows", ev.DPID, len(ev.Flows))
	case engine.Decided:
		k.trace("controller: Decided %s %s ticket %d", ev.Result.Decision.Verdict, ev.Result.Decision.Reason, ev.Ask.Ticket)
	case engine.HostUp:
		k.trace("controller: HostUp %s conn %d, %s", ev.Report.Name, ev.Conn, reportText(ev.Report.Endpoints))
	case engine.HostChanged:
		k.trace("controller: HostChanged %s conn %d seq %d up %s down %v", ev.Host, ev.Conn, ev.Delta.Seq, reportText(ev.Delta.Up), ev.Delta.Down)
	case engine.RevisionLoaded:
		k.trace("controller: RevisionLoaded %s", ev.Policy.Revision())
	default:
		k.trace("controller: %T%+v", ev, ev)
	}
}

func reportText(eps []inventory.EndpointReport) string {
	text := "["
	for _, e := range eps {
		text += " " + string(e.VPCID()) + "/" + e.Name + "=" + e.IP.String()
	}
	return text + " ]"
}
