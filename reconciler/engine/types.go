// Package engine is the controller without its sockets: a deterministic machine
// that owns the inventory, the sessions and what every switch should hold. Step
// takes one event and the time, and returns what is to be done. The same events
// give the same effects, so the whole control plane runs in a unit test, in the
// scenarios of testbed and under simulation exactly as it does in daoli-reconcile.
//
//	hosts' reports ─┐                             ┌─► batches for switches
//	revisions ──────┼─► Step(now, event) []Effect ┼─► answers to hosts
//	PacketIns ──────┘                             └─► records of what happened
package engine

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Config is what an Engine depends on beside events.
type Config struct {
	Slot   uint8  // of this controller among its peers
	Epoch  uint16 // never used before by this slot
	Wire   pipeline.WireRange
	Leases Leases // as saved by an earlier run
}

// Leases are the addresses that endpoints hold or held, by VPC.
type Leases map[spec.VPCID]map[netip.Addr]ipam.Lease

// Event is something that happened.
type Event interface{ event() }

// Policy is what a revision decides by.
type Policy interface {
	admission.Policy
	Network() *spec.Network
}

// RevisionLoaded makes a validated revision the active one.
type RevisionLoaded struct {
	Policy Policy
	Seen   time.Time // when its source had it; zero: now
}

// HostUp is a host's full report on a new stream.
type HostUp struct {
	Conn   uint64 // names the stream in answers
	Report inventory.HostReport
}

// HostChanged is a delta on a host's stream.
type HostChanged struct {
	Conn  uint64
	Host  string
	Delta inventory.HostDelta
}

// HostDown is the end of a host's stream. Its endpoints stay: flows go on.
type HostDown struct {
	Conn uint64
	Host string
}

// HostRevoked takes a host out: it is as if it had never reported. The sessions
// of its endpoints end on all other hosts, and its addresses rest.
type HostRevoked struct{ Host string }

// SessionKilled ends the live session with a cookie, as session.Killed says.
type SessionKilled struct{ ID uint64 }

// LeaseAsked asks for an endpoint's address.
type LeaseAsked struct {
	Conn                uint64
	ID                  uint64
	Host                string
	Tenant, VPC, Subnet string
	Name                string
	IP                  netip.Addr // invalid: any
	Hold                bool       // Name is made up: an endpoint takes the address over soon
	Held                string     // name, made up or not, under which the host has IP now: that ends
}

// LeaseReleased gives an address back.
type LeaseReleased struct {
	Host string
	VPC  spec.VPCID
	IP   netip.Addr
	Name string
}

// SwitchUp is a switch that finished its handshake, with the flows that it holds.
type SwitchUp struct {
	DPID  uint64
	Flows []openflow.FlowStats
}

// SwitchDown is a switch whose connection ended.
type SwitchDown struct{ DPID uint64 }

// PacketIn is a lifted packet. The engine keeps Frame.
type PacketIn struct {
	DPID uint64
	In   openflow.PacketIn
}

// Decided answers a Decide effect.
type Decided struct{ session.Decided }

// BatchDone says that a switch did all of a batch that had a token.
type BatchDone struct {
	DPID  uint64
	Token uint64
	Err   string // what of it the switch refused
}

// FlowsCounted is all flows of a switch, with their counters, or a part of them.
type FlowsCounted struct {
	DPID  uint64
	Flows []openflow.FlowStats
	Part  Part
	// Known says that Flows are only those with the cookies that Engine.Cookies
	// named: what nothing explains doesn't show.
	Known bool
}

// Part is the flows whose cookies, divided by Of, a power of two up to
// session.Shares, leave Index; the zero Part is all flows. A switch is counted and
// audited in parts, so that no step is long and packets are answered in between.
type Part struct{ Index, Of uint32 }

func (p Part) has(cookie uint64) bool { return p.Of == 0 || uint32(cookie)&(p.Of-1) == p.Index }

// Mask returns the bits of cookies that tell the part from the others.
func (p Part) Mask() uint64 {
	if p.Of == 0 {
		return 0
	}
	return uint64(p.Of - 1)
}

// Split returns the event in n parts, a power of two.
func (ev FlowsCounted) Split(n uint32) []FlowsCounted {
	out := make([]FlowsCounted, n)
	for i := range out {
		out[i] = FlowsCounted{DPID: ev.DPID, Part: Part{uint32(i), n}, Known: ev.Known}
	}
	for _, f := range ev.Flows {
		p := &out[uint32(f.Cookie)&(n-1)]
		p.Flows = append(p.Flows, f)
	}
	return out
}

// Tick lets time pass: once a few hundred milliseconds.
type Tick struct{}

func (RevisionLoaded) event() {}
func (HostUp) event()         {}
func (HostChanged) event()    {}
func (HostDown) event()       {}
func (HostRevoked) event()    {}
func (SessionKilled) event()  {}
func (LeaseAsked) event()     {}
func (LeaseReleased) event()  {}
func (SwitchUp) event()       {}
func (SwitchDown) event()     {}
func (PacketIn) event()       {}
func (Decided) event()        {}
func (BatchDone) event()      {}
func (FlowsCounted) event()   {}
func (Tick) event()           {}

// Effect is something to do.
type Effect interface{ effect() }

// Send tells a switch something. Effects to one switch keep their order. The batch
// is the receiver's until it gives it back with Recycle.
type Send struct{ Batch *openflow.Batch }

// Decide asks for session.Decided{Ask, admission.Decide(...)} with the
// arguments in Ask; it may run anywhere, since that is a pure function.
type Decide struct{ Ask session.Decide }

// Ack answers a host's report or delta (sequence number 0: the full report),
// when the flows of its endpoints are in the switch.
type Ack struct {
	Conn    uint64
	Host    string
	Seq     uint64
	Refused []inventory.Refusal
}

// LeaseGiven answers LeaseAsked.
type LeaseGiven struct {
	Conn uint64
	ID   uint64
	IP   netip.Addr
	MAC  packet.MAC
	Err  string // why not
}

// SaveLeases says that the leases changed and are to be kept.
type SaveLeases struct{ Leases Leases }

// SessionOpened records a session of which a lane was put on its path.
type SessionOpened struct{ Session *session.Session }

// SessionAdopted records a session that an earlier controller left in the switches.
type SessionAdopted struct{ Session *session.Session }

// SessionEnded records a session's end.
type SessionEnded struct {
	Session *session.Session
	Why     session.EndReason
}

// PacketDenied records a packet that was not let through.
type PacketDenied struct {
	DPID   uint64
	InPort uint32
	Result admission.Result
	Head   packet.Headers
}

// EndpointRefused records that a host claims endpoints that it may not have: any
// that it reports, and any of a tenant that it was not given as it asks for their
// address. It is told once of each, as long as that is why.
type EndpointRefused struct {
	First inventory.Refusal
	Count int // with the first, at the same moment
}

// BatchRefused records that a switch refused part of what it was told.
type BatchRefused struct {
	DPID uint64
	Err  string
}

func (Send) effect()            {}
func (Decide) effect()          {}
func (Ack) effect()             {}
func (LeaseGiven) effect()      {}
func (SaveLeases) effect()      {}
func (SessionOpened) effect()   {}
func (SessionAdopted) effect()  {}
func (SessionEnded) effect()    {}
func (PacketDenied) effect()    {}
func (Drift) effect()           {}
func (EndpointRefused) effect() {}
func (BatchRefused) effect()    {}

// Outcome is what became of a lifted packet.
type Outcome string

// Outcomes. A packet whose decision is awaited counts when that is made.
const (
	OutcomeAllow     Outcome = "allow"     // opened a session or a lane of one
	OutcomeContinue  Outcome = "continue"  // belonged to a live session
	OutcomeDrop      Outcome = "drop"      // denied
	OutcomeReject    Outcome = "reject"    // denied, and its sender told
	OutcomeMalformed Outcome = "malformed" // could not be decoded

	OutcomeTimeExceeded  Outcome = "time-exceeded"  // its TTL ended at a host, and its sender was told
	OutcomeUnderlayError Outcome = "underlay-error" // an ICMP error of the underlay, given to whom it is about
	OutcomePeerError     Outcome = "peer-error"     // one of a session's other end
)

// Counters count since the engine was made.
type Counters struct {
	PacketIns, FromEndpoints, FromWire uint64
	Outcomes                           map[Outcome]uint64
	Reasons                            map[policy.Reason]uint64
	Drift                              map[DriftKind]uint64 // flows mended
}
