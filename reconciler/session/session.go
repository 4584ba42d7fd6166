// Package session is the table of live sessions: what is open, over which path,
// under which decision, and when it ends.
//
// Table.Step takes what happened and returns what should be done; it does no
// I/O and reads no clock, so the same events give the same effects. Who talks
// to switches turns effects into flows (package flows) and sends them.
package session

import (
	"math"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Key names a session: client, server, protocol, the server's port (for ICMP
// the type). Addresses count only together with their VPC.
type Key struct {
	Client, Server inventory.AddrKey
	Proto          packet.Proto
	Port           uint16
}

// Session is one admitted Key, with one lane for each kind of client port that
// showed up. Only the Table changes it.
type Session struct {
	ID             uint64 // cookie of all its flows, on all its hops
	Client, Server *inventory.Endpoint
	Proto          packet.Proto
	Port           uint16           // the server's; for ICMP the type
	Decision       *policy.Decision // shared; nobody changes it
	Granularity    spec.Granularity
	Bridged        bool // one subnet: looks like L2, the TTL is kept
	Lanes          []*Lane
	Opened         time.Time
	Adopted        time.Time // from an earlier controller's flows; zero: opened by this one

	idle      time.Duration // of a lane that was answered
	high, low wireLabel     // 0: none yet
	ended     bool          // no longer live; its labels may still be held

	places [2]neighbours     // in the lists of the client's and of the server's switch
	bySet  map[PortSet]*Lane // of many lanes; nil: few
	uses   [2]int            // lanes of each label: high, low
	first  firstLane
}

// firstLane is room for the first lane of a session and the list of it: most
// sessions have no other.
type firstLane struct {
	lane  Lane
	list  [1]*Lane
	taken bool
}

// Key returns what names the session.
func (s *Session) Key() Key { return keyOf(s.Client, s.Server, s.Proto, s.Port) }

// Lane is the flows of a session for one set of client ports, along one path
// (Session.Path): three flows on each of two hosts, two on one host.
type Lane struct {
	Set PortSet

	Forward, Reply Count // at the client's switch

	opened    age
	busy      age // when its flows last took packets, as far as polls saw
	installed age // when its flows were last sent to the switches
	polled    age // when its flows were last counted
	seen      [maxHops]hopCount
	label     wireLabel // on its wire leg, if it has one
	ending    bool      // the switches saw a FIN or RST of its one connection
	// answered is set once a server went on after its first answer, which may have
	// been a reset. A lane that ends too early is made again by its next packet.
	answered bool
}

// age is a time as that since the session was opened, which takes a third of the
// room and nothing to scan for the garbage collector.
type age time.Duration

// never is an age before all others.
const never age = math.MinInt64 / 2

func (s *Session) age(at time.Time) age { return age(at.Sub(s.Opened)) }

// Busy returns when the session's flows last took packets, as far as polls saw.
func (s *Session) Busy() time.Time {
	var last age
	for _, l := range s.Lanes {
		last = max(last, l.busy)
	}
	return s.Opened.Add(time.Duration(last))
}

// Count is what flows counted.
type Count struct{ Packets, Bytes uint64 }

type hopCount struct{ forward, reply uint64 }

// Direction tells the two ways on a path.
type Direction uint8

// Directions.
const (
	Forward Direction = iota // client to server
	Reply
)

// WirePorts returns the labels that stand for the session between its hosts: a
// wire port for high client ports and one for low ones, or an ICMP tag; zero
// where there is none.
func (s *Session) WirePorts() (high, low uint16) { return uint16(s.high), uint16(s.low) }

// CrossHost reports whether the session's ends are on different hosts.
func (s *Session) CrossHost() bool { return s.Client.Host != s.Server.Host }

// Drop is a denial that stands in a switch as a flow for a while, so that its
// repetition costs the controller nothing.
type Drop struct {
	ID      uint32
	Request admission.Request
	Result  admission.Result
	Expires time.Time
	// AllPorts says that it stands for all packets that would open a session of the
	// protocol from the one address to the other.
	AllPorts bool
}

// Packet is a lifted packet. Nobody changes it as long as the effects of its
// arrival are being done, which share it; the table keeps copies, and the Frame.
type Packet struct {
	DPID     uint64
	InPort   uint32
	Headers  packet.Headers
	Frame    []byte
	Received time.Time
}

// Delivery is a lifted packet that must still reach its end of the path.
type Delivery struct {
	Session   *Session
	Lane      *Lane
	Packet    *Packet
	Direction Direction
	// WireHop is the hop whose uplink lifted it, when it wears wire headers; -1
	// when an endpoint's port did.
	WireHop int8
}

// Event is something that happened.
type Event interface{ event() }

// PacketArrived is a lifted packet.
type PacketArrived struct{ Packet *Packet }

// Decided answers a Decide effect.
type Decided struct {
	Ask    Decide
	Result admission.Result
}

// Revised is a new view of the world: another policy, or other hosts and endpoints.
// All snapshots of a table are made with one inventory.Interner.
type Revised struct {
	Snapshot *inventory.Snapshot
	Policy   admission.Policy
}

// Confirmed says that a switch did all it was told under a token.
type Confirmed struct {
	DPID  uint64
	Token uint64
}

// Resynced says that a switch holds no session flow but those of live sessions.
type Resynced struct{ DPID uint64 }

// SwitchLost says that it is not known what a switch holds, until it is Resynced:
// a flow of an earlier session may stand there for any label.
type SwitchLost struct{ DPID uint64 }

// SwitchGone says that a switch will not come back: nobody waits for what it would
// confirm. No live session may pass it.
type SwitchGone struct{ DPID uint64 }

// Counted is what the flows of one lane counted on one hop.
type Counted struct {
	Session   uint64
	Set       PortSet
	Hop       int
	Direction Direction
	Count     Count
	Ending    bool // the switch saw the end of the flow's connection
}

// Tick lets time pass.
type Tick struct{}

func (PacketArrived) event() {}
func (Decided) event()       {}
func (Revised) event()       {}
func (Confirmed) event()     {}
func (Resynced) event()      {}
func (SwitchLost) event()    {}
func (SwitchGone) event()    {}
func (Counted) event()       {}
func (Tick) event()          {}

// Effect is something to do.
type Effect interface{ effect() }

// Decide asks for admission.Decide with just these arguments, and for the
// Decided event with its result.
type Decide struct {
	Snapshot *inventory.Snapshot
	Policy   admission.Policy
	Request  admission.Request
	Ticket   uint64
}

// Install puts a lane's flows on all its hops, then delivers the packet.
type Install struct{ Delivery }

// Deliver sends a packet on to where its session's flows would have brought it.
type Deliver struct{ Delivery }

// Remove deletes a session's flows on all its hops; each switch's barrier comes
// back as Confirmed with the token.
type Remove struct {
	Session *Session
	Token   uint64
	Why     EndReason
}

// RemoveLane deletes the flows of one lane of a session that lives on. Last says
// that no other lane of the session has its label.
type RemoveLane struct {
	Session *Session
	Lane    *Lane
	Last    bool
}

// InstallDrop puts a drop flow where the packet came in; RemoveDrop takes it away.
type InstallDrop struct{ Drop *Drop }

// RemoveDrop takes a drop flow away before its time.
type RemoveDrop struct{ Drop *Drop }

// Denied is a packet that is not let through; a Reject verdict asks for an
// answer to its sender, and where the packet is of a session that was cut, to
// the other end as well: it may have nothing to send and so never ask.
type Denied struct {
	Packet *Packet
	Result admission.Result
	Cut    bool // of a session that a revision cut
}

// TimeExceeded tells an endpoint that a packet of its own came to the end of its
// TTL at a host. Sent is the packet as the endpoint sent it, where it was lifted
// from the wire; nil where it is just that.
type TimeExceeded struct {
	Packet *Packet
	To     *inventory.Endpoint
	Sent   *packet.Inner
}

// UnderlayError tells an endpoint what the underlay says of a packet of its own:
// that it was too large for the way, could not be delivered, or came to the end
// of its TTL at a router. Packet is the ICMP error as it came.
type UnderlayError struct {
	Packet *Packet
	To     *inventory.Endpoint
	Sent   packet.Inner // the packet as the endpoint sent it
}

// PeerError tells an endpoint what the other end of a session says of a packet of
// its own. Packet is the ICMP error as it came.
type PeerError struct {
	Packet *Packet
	To     *inventory.Endpoint
	Sent   packet.Inner // the packet, as both ends see it
}

// Ignored is a lifted packet that nothing is done about.
type Ignored struct {
	Packet *Packet
	Why    IgnoreReason
}

func (Decide) effect()        {}
func (Install) effect()       {}
func (Deliver) effect()       {}
func (Remove) effect()        {}
func (RemoveLane) effect()    {}
func (InstallDrop) effect()   {}
func (RemoveDrop) effect()    {}
func (Denied) effect()        {}
func (TimeExceeded) effect()  {}
func (UnderlayError) effect() {}
func (PeerError) effect()     {}
func (Ignored) effect()       {}

// EndReason says why a session ended.
type EndReason string

// Reasons for a session's end.
const (
	EndIdle     EndReason = "idle"
	EndHalfOpen EndReason = "half-open"  // never answered, or only once
	EndClosed   EndReason = "closed"     // its last connection was closed
	EndPolicy   EndReason = "policy"     // a new revision forbids it
	EndLabels   EndReason = "wire-ports" // its own became a listener's, and none is left
	EndEndpoint EndReason = "endpoint"   // an end is gone, moved or another
)

// IgnoreReason says why nothing is done about a packet.
type IgnoreReason string

// Reasons to ignore a packet.
const (
	IgnoreWireUnknown IgnoreReason = "wire-unknown" // no session has this wire port
	IgnoreICMPUnknown IgnoreReason = "icmp-unknown" // an ICMP error about no live session's packet
	IgnoreTTL         IgnoreReason = "ttl"          // its TTL ended here, and nobody may be told
	IgnoreBusy        IgnoreReason = "busy"         // more packets wait for decisions than are kept
	IgnoreSwitch      IgnoreReason = "switch-away"  // the other host's switch is not connected
)
