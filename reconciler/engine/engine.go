package engine

import (
	"fmt"
	"maps"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Engine owns the state of one controller. It has one owner goroutine.
type Engine struct {
	cfg      Config
	interner *inventory.Interner
	sessions *session.Table

	pol     Policy // nil: no revision yet
	net     *spec.Network
	hosts   map[string]*host
	order   []string // of hosts, by arrival: earlier claims stand
	snap    *inventory.Snapshot
	refused map[string][]inventory.Refusal // by host
	leases  Leases
	holds   holds
	early   []early // questions for addresses, before the first revision

	switches  map[uint64]*switchState // connected ones
	compared  map[uint64]bool         // DPIDs of switches whose sessions were adopted
	redraws   map[uint64]*redrawing   // by cookie of the new session
	lastToken uint64
	spare     spare
	room      [2]*openflow.Batch // of what install sends: sessions have two hops at most
	lifted    session.Packet     // by the PacketIn of this Step
	cuts      receipts
	count     Counters // but for those below
	outcomes  tally[Outcome]
	reasons   tally[policy.Reason]
}

// host is what a host said last, and on which stream.
type host struct {
	report  inventory.HostReport
	conn    uint64 // 0: not connected
	lastSeq uint64 // of its last delta on this stream
}

// New returns an engine that knows nothing: it denies everything until the
// first RevisionLoaded.
func New(c Config) *Engine {
	e := &Engine{
		cfg: c, interner: inventory.NewInterner(), net: &spec.Network{},
		sessions: newTable(c),
		hosts:    make(map[string]*host), refused: make(map[string][]inventory.Refusal),
		leases: c.Leases, holds: make(holds), switches: make(map[uint64]*switchState),
		compared: make(map[uint64]bool), redraws: make(map[uint64]*redrawing),
		cuts: newReceipts(), count: Counters{Drift: make(map[DriftKind]uint64)},
	}
	if e.leases == nil {
		e.leases = make(Leases)
	}
	e.snap, _ = inventory.Build(e.interner, e.net, nil)
	return e
}

// Step takes one event and returns what is to be done, in that order.
func (e *Engine) Step(now time.Time, ev Event) []Effect {
	e.cuts.begin(ev)
	out := e.handle(now, ev)
	e.cuts.finish()
	return out
}

func (e *Engine) handle(now time.Time, ev Event) []Effect {
	switch ev := ev.(type) {
	case RevisionLoaded:
		return e.revisionLoaded(now, ev.Policy)
	case HostUp:
		return e.hostUp(now, ev)
	case HostChanged:
		return e.hostChanged(now, ev)
	case HostDown:
		if h := e.hosts[ev.Host]; h != nil && h.conn == ev.Conn {
			h.conn = 0
		}
		return nil
	case HostRevoked:
		return e.hostRevoked(now, ev.Host)
	case SessionKilled:
		return e.step(now, session.Killed{ID: ev.ID})
	case LeaseAsked:
		return e.leaseAsked(now, ev)
	case LeaseReleased:
		return e.leaseReleased(now, ev)
	case SwitchUp:
		return e.switchUp(now, ev)
	case SwitchDown:
		return e.switchDown(now, ev.DPID)
	case PacketIn:
		return e.packetIn(now, ev)
	case Decided:
		return e.step(now, ev.Decided)
	case BatchDone:
		return e.batchDone(now, ev)
	case FlowsCounted:
		return e.flowsCounted(now, ev)
	case Tick:
		return append(e.step(now, session.Tick{}), append(e.dropLeft(now), e.answerEarly(now)...)...)
	}
	panic(fmt.Sprintf("engine: unknown event %T", ev))
}

// Counters returns a copy of the counters.
func (e *Engine) Counters() Counters {
	c := e.count
	c.Outcomes, c.Reasons, c.Drift = e.outcomes.counts(), e.reasons.counts(), maps.Clone(c.Drift)
	return c
}

// Snapshot returns the network as desired and seen now.
func (e *Engine) Snapshot() *inventory.Snapshot { return e.snap }

// Policy returns the active revision's policy, or nil.
func (e *Engine) Policy() Policy { return e.pol }

// Sessions returns the table of live sessions; the caller only reads it.
func (e *Engine) Sessions() *session.Table { return e.sessions }

// Interner numbers the identities of this engine's snapshots; it is safe for
// concurrent use.
func (e *Engine) Interner() *inventory.Interner { return e.interner }

// HostConnected reports whether a host's stream, and its switch, are connected.
func (e *Engine) HostConnected(name string) (stream, bridge bool) {
	h := e.hosts[name]
	if h == nil {
		return false, false
	}
	return h.conn != 0, e.switches[h.report.DPID] != nil
}

// packetIn decodes a lifted packet and lets the session table sort it.
func (e *Engine) packetIn(now time.Time, ev PacketIn) []Effect {
	e.count.PacketIns++
	if h := e.snap.HostByDPID(ev.DPID); h != nil && openflow.PortNo(h.Uplink.Port) == ev.In.InPort {
		e.count.FromWire++
	} else {
		e.count.FromEndpoints++
	}
	h, err := packet.Decode(ev.In.Frame)
	if err != nil {
		e.outcomes.add(OutcomeMalformed)
		return nil
	}
	e.lifted = session.Packet{DPID: ev.DPID, InPort: uint32(ev.In.InPort), Headers: h, Frame: ev.In.Frame, Received: now}
	return e.step(now, session.PacketArrived{Packet: &e.lifted})
}

// step feeds the session table and turns its effects into the engine's.
func (e *Engine) step(now time.Time, ev session.Event) []Effect {
	effects := e.sessions.Step(now, ev)
	if len(effects) == 1 { // as most packets have
		return e.perform(now, effects[0])
	}
	var out []Effect
	for _, ef := range effects {
		out = append(out, e.perform(now, ef)...)
	}
	return out
}

// cookie names an owner of flows of this controller and epoch.
func (e *Engine) cookie(c pipeline.Category, number uint32) uint64 {
	return pipeline.Cookie{Category: c, Slot: e.cfg.Slot, Epoch: e.cfg.Epoch, Number: number}.Bits()
}

func newTable(c Config) *session.Table {
	cookies := pipeline.Cookie{Category: pipeline.CategorySession, Slot: c.Slot, Epoch: c.Epoch}
	return session.NewTable(session.Config{WireFirst: c.Wire.Value, WireCount: c.Wire.Size(), Cookies: cookies.Bits()})
}
