package openflow

import "encoding/binary"

// The Append functions append one message to b and return it. They don't
// allocate when b has room, and they copy everything they are given.

const (
	noBuffer = 0xffffffff // OFP_NO_BUFFER: the packet is in the message
	anyGroup = 0xffffffff // OFPG_ANY
	maxLen   = 0xffff     // of an output to the controller: the whole packet (OFPCML_NO_BUFFER)

	defaultPriority = 0x8000 // OFP_DEFAULT_PRIORITY
)

var be = binary.BigEndian

// appendHeader starts a message; finish sets its length when all of it is there.
func appendHeader(b []byte, t MessageType, xid uint32) []byte {
	b = append(b, Version, byte(t), 0, 0)
	return be.AppendUint32(b, xid)
}

// finish sets the length of the message that starts at b[start:]. A message that
// would be longer than its length field can say is taken back.
func finish(b []byte, start int) []byte {
	n := len(b) - start
	if n > MaxMessageLen {
		return b[:start]
	}
	be.PutUint16(b[start+2:], uint16(n))
	return b
}

// AppendFlowMod appends an OFPT_FLOW_MOD.
func AppendFlowMod(b []byte, xid uint32, m *FlowMod) []byte {
	start, f := len(b), &m.Flow
	cookie, priority := f.Cookie, f.Priority
	var mask uint64
	if m.Command != FlowAdd {
		mask = m.CookieMask
		cookie &= mask
	}
	if m.Command == FlowDelete {
		priority = defaultPriority // not looked at; what ovs-ofctl sends
	}
	var h [48]byte // flags and padding, at its end, stay zero
	h[0], h[1] = Version, byte(TypeFlowMod)
	be.PutUint32(h[4:], xid)
	be.PutUint64(h[8:], cookie)
	be.PutUint64(h[16:], mask)
	h[24], h[25] = byte(f.Table), byte(m.Command)
	if m.Command == FlowAdd {
		be.PutUint16(h[26:], f.IdleTimeout)
		be.PutUint16(h[28:], f.HardTimeout)
	}
	be.PutUint16(h[30:], priority)
	be.PutUint32(h[32:], noBuffer)
	be.PutUint32(h[36:], uint32(PortAny))
	be.PutUint32(h[40:], anyGroup)
	b = appendMatch(append(b, h[:]...), &f.Match)
	if m.Command == FlowAdd {
		b = appendInstructions(b, f)
	}
	return finish(b, start)
}

// Instruction types (OpenFlow 1.3.5, enum ofp_instruction_type).
const (
	instructionGoto     = 1
	instructionMetadata = 2
	instructionApply    = 4
	instructionMeter    = 6
)

func appendInstructions(b []byte, f *Flow) []byte {
	if f.Meter != 0 {
		b = append(b, 0, instructionMeter, 0, 8)
		b = be.AppendUint32(b, f.Meter)
	}
	if f.Actions[0].Kind != ActionNone {
		start := len(b)
		b = append(b, 0, instructionApply, 0, 0, 0, 0, 0, 0)
		b = appendActions(b, &f.Actions, &f.Learn)
		be.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	if w := f.WriteMetadata; w.Mask != 0 {
		b = append(b, 0, instructionMetadata, 0, 24, 0, 0, 0, 0)
		b = be.AppendUint64(b, w.Value)
		b = be.AppendUint64(b, w.Mask)
	}
	if f.Goto != 0 {
		b = append(b, 0, instructionGoto, 0, 8, byte(f.Goto), 0, 0, 0)
	}
	return b
}

// AppendPacketOut appends an OFPT_PACKET_OUT, or nothing when the frame does not
// fit into a message (of 65535 bytes).
func AppendPacketOut(b []byte, xid uint32, p *PacketOut) []byte {
	start := len(b)
	b = appendHeader(b, TypePacketOut, xid)
	b = be.AppendUint32(b, noBuffer)
	b = be.AppendUint32(b, uint32(p.inPort()))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // length of the actions, padding
	actions := len(b)
	b = appendActions(b, &p.Actions, nil)
	be.PutUint16(b[actions-8:], uint16(len(b)-actions))
	b = append(b, p.Frame...)
	return finish(b, start)
}

// AppendHello appends an OFPT_HELLO that offers only this version: without a
// version bitmap the header's version is the offer (OpenFlow 1.3.5, 6.3.1).
func AppendHello(b []byte, xid uint32) []byte {
	return finish(appendHeader(b, TypeHello, xid), len(b))
}

// AppendEchoRequest appends an OFPT_ECHO_REQUEST without data.
func AppendEchoRequest(b []byte, xid uint32) []byte {
	return finish(appendHeader(b, TypeEchoRequest, xid), len(b))
}

// AppendEchoReply appends the answer to the echo request that had xid and data.
func AppendEchoReply(b []byte, xid uint32, data []byte) []byte {
	return finish(append(appendHeader(b, TypeEchoReply, xid), data...), len(b))
}

// AppendBarrierRequest appends an OFPT_BARRIER_REQUEST.
func AppendBarrierRequest(b []byte, xid uint32) []byte {
	return finish(appendHeader(b, TypeBarrierRequest, xid), len(b))
}

// AppendHelloFailed appends the error for a peer that does not speak this
// version (OFPET_HELLO_FAILED, OFPHFC_INCOMPATIBLE).
func AppendHelloFailed(b []byte, xid uint32) []byte {
	start := len(b)
	b = appendHeader(b, TypeError, xid)
	b = append(b, 0, 0, 0, 0)
	return finish(append(b, "OpenFlow 1.3 is required"...), start)
}

// Role is what a controller is to a switch (OpenFlow 1.3.5, enum
// ofp_controller_role).
type Role uint32

// Roles.
const (
	RoleNoChange Role = 0
	RoleEqual    Role = 1
	RoleMaster   Role = 2
	RoleSlave    Role = 3
)

// AppendRoleRequest appends an OFPT_ROLE_REQUEST. The switch refuses MASTER and
// SLAVE with a generation older than the last it saw from anybody.
func AppendRoleRequest(b []byte, xid uint32, r Role, generation uint64) []byte {
	start := len(b)
	b = appendHeader(b, TypeRoleRequest, xid)
	b = be.AppendUint32(b, uint32(r))
	b = append(b, 0, 0, 0, 0)
	return finish(be.AppendUint64(b, generation), start)
}

// AppendSetAsync appends an OFPT_SET_ASYNC. As MASTER or EQUAL the controller
// then hears of PacketIns by miss and by action, of all port changes and all
// ended flows; as SLAVE of nothing. Invalid-TTL PacketIns stay off, since no
// meter bounds them.
func AppendSetAsync(b []byte, xid uint32) []byte {
	start := len(b)
	b = appendHeader(b, TypeSetAsync, xid)
	for _, mask := range [...]uint32{
		1<<ReasonNoMatch | 1<<ReasonAction, 0, // PacketIn
		1<<PortAdded | 1<<PortDeleted | 1<<PortModified, 0, // PortStatus
		1<<RemovedIdle | 1<<RemovedHard | 1<<RemovedDelete | 1<<RemovedGroup, 0, // FlowRemoved
	} {
		b = be.AppendUint32(b, mask)
	}
	return finish(b, start)
}

// Messages returns how many messages, and so xids, AppendBatch writes for b.
func (b *Batch) Messages() int {
	return len(b.Meters) + len(b.Groups) + len(b.Flows) + len(b.Packets)
}

// AppendBatch appends what the batch holds, without a barrier: meters, groups,
// flows and packets in this order, since OVS refuses a flow that names a meter or
// group it doesn't know. The messages have the xids from xid on, one for each
// value; a MeterMod's two messages share theirs.
func AppendBatch(b []byte, xid uint32, batch *Batch) []byte {
	for i := range batch.Meters {
		b = AppendMeterMod(b, xid, &batch.Meters[i])
		xid++
	}
	for i := range batch.Groups {
		b = AppendGroupMod(b, xid, &batch.Groups[i])
		xid++
	}
	for i := range batch.Flows {
		b = AppendFlowMod(b, xid, &batch.Flows[i])
		xid++
	}
	for i := range batch.Packets {
		b = AppendPacketOut(b, xid, &batch.Packets[i])
		xid++
	}
	return b
}

// MessageText returns the text of the batch's message number i, as its errors
// are told by xid: i is the error's xid minus the batch's first.
func (b *Batch) MessageText(i int) string {
	if i >= 0 && i < len(b.Meters) {
		return "meter " + b.Meters[i].String()
	}
	i -= len(b.Meters)
	if i >= 0 && i < len(b.Groups) {
		return "group " + b.Groups[i].String()
	}
	i -= len(b.Groups)
	if i >= 0 && i < len(b.Flows) {
		return "flow " + b.Flows[i].String()
	}
	i -= len(b.Flows)
	if i >= 0 && i < len(b.Packets) {
		p := b.Packets[i]
		p.Frame = p.Frame[:min(len(p.Frame), 64)]
		return "packet " + p.String()
	}
	return ""
}
