package openflow

import "net/netip"

// Flow is one flow entry as a comparable value: two flows are the same exactly
// when == says so. Text is ovs-ofctl's syntax (ovs-actions(7)), see String.
type Flow struct {
	Table       TableID
	Priority    uint16
	Cookie      uint64
	IdleTimeout uint16 // seconds, 0: never
	HardTimeout uint16 // seconds, 0: never
	Match       Match

	// Instructions, in OpenFlow's order of execution. No instruction at all
	// drops the packet.
	Meter         uint32 // meter id, 0: none
	Actions       Actions
	Learn         Learn // body of the one ActionLearn in Actions, if there is one
	WriteMetadata Bits[uint64]
	Goto          TableID // 0: none
}

// Key is what makes a flow entry unique in a switch (OpenFlow 1.3.5, 6.4: an
// ADD with the same table, match and priority overwrites).
type Key struct {
	Table    TableID
	Priority uint16
	Match    Match
}

// Key returns the flow's key.
func (f *Flow) Key() Key { return Key{f.Table, f.Priority, f.Match} }

// FlowCommand is a flow_mod command (OpenFlow 1.3.5, enum ofp_flow_mod_command).
type FlowCommand uint8

// Commands that DaoliNet uses.
const (
	FlowAdd          FlowCommand = 0
	FlowDelete       FlowCommand = 3 // all flows that Match and Cookie/CookieMask cover, in Table or AllTables
	FlowDeleteStrict FlowCommand = 4 // the one flow with this Match and Priority
)

// AllTables as FlowMod.Flow.Table of a FlowDelete means every table.
const AllTables TableID = 0xff

// FlowMod changes flow entries.
type FlowMod struct {
	Command    FlowCommand
	Flow       Flow   // for deletes: Table, Priority (strict), Match and Cookie count
	CookieMask uint64 // deletes only: bits of Flow.Cookie that must agree; 0: any cookie
}

// Add returns the FlowMod that adds f, or overwrites the flow with its key.
func Add(f Flow) FlowMod { return FlowMod{Command: FlowAdd, Flow: f} }

// DeleteStrict returns the FlowMod that deletes exactly f's entry.
func DeleteStrict(f Flow) FlowMod { return FlowMod{Command: FlowDeleteStrict, Flow: f} }

// DeleteByCookie returns the FlowMod that deletes, in all tables, the flows
// whose cookie agrees with cookie under mask.
func DeleteByCookie(cookie, mask uint64) FlowMod {
	return FlowMod{Command: FlowDelete, Flow: Flow{Table: AllTables, Cookie: cookie}, CookieMask: mask}
}

// MeterMod adds (or, if it exists, replaces) or deletes a meter that drops
// what exceeds a packet rate. Replacing keeps the flows that use the meter,
// deleting deletes them too; AppendMeterMod says how.
type MeterMod struct {
	Delete bool
	ID     uint32 // 1..0xffff0000
	Rate   uint32 // packets per second
	Burst  uint32 // packets
}

// GroupMod adds (or replaces) or deletes an indirect group. Replacing keeps the
// flows that use the group, deleting deletes them too.
type GroupMod struct {
	Delete  bool
	ID      uint32
	Actions Actions
}

// PacketOut injects a frame.
type PacketOut struct {
	InPort  PortNo // 0: PortController; else the packet stands for one that came in there
	Actions Actions
	Frame   []byte
}

// Batch is what one switch is told at once: sent in one write, in this order,
// followed by a barrier. Token names it in the answer, BatchDone.
type Batch struct {
	DPID    uint64
	Token   uint64 // 0: nobody waits for it, no barrier is sent
	Meters  []MeterMod
	Groups  []GroupMod
	Flows   []FlowMod
	Packets []PacketOut
}

// PacketInReason says why a switch lifted a packet.
type PacketInReason uint8

// Reasons of OpenFlow 1.3 (enum ofp_packet_in_reason).
const (
	ReasonNoMatch    PacketInReason = 0
	ReasonAction     PacketInReason = 1
	ReasonInvalidTTL PacketInReason = 2
)

// PacketIn is a lifted packet. Frame aliases the receive buffer only as long as
// the function that got it runs; keep a copy.
type PacketIn struct {
	InPort   PortNo
	Table    TableID
	Cookie   uint64 // of the flow that lifted it
	Reason   PacketInReason
	Metadata uint64
	Frame    []byte
}

// FlowStats is one flow entry as a switch reports it, with its counters. Known
// says that nothing was left out when its match was decoded; Whole, that nothing
// was of its timeouts and instructions either, so that Flow is all that it is.
type FlowStats struct {
	Flow
	Known       bool
	Whole       bool
	DurationSec uint32
	Packets     uint64
	Bytes       uint64
}

// FlowRemoved tells that a flow entry ended in the switch.
type FlowRemoved struct {
	Table    TableID
	Priority uint16
	Cookie   uint64
	Reason   uint8
	Packets  uint64
	Bytes    uint64
}

// AddrFrom32 turns the value of an IPv4 match or set_field back into an address.
func AddrFrom32(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
