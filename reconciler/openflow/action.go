package openflow

import "net/netip"

// Field is a header field or register that actions write, by its OXM or NXM
// name (ovs-fields(7)).
type Field uint8

// Fields that actions use.
const (
	FieldNone     Field = iota
	FieldInPort         // NXM_OF_IN_PORT, 16 bits, only for Load and Move
	FieldEthSrc         // eth_src
	FieldEthDst         // eth_dst
	FieldIPSrc          // ip_src
	FieldIPDst          // ip_dst
	FieldIPTTL          // nw_ttl
	FieldTCPSrc         // tcp_src
	FieldTCPDst         // tcp_dst
	FieldUDPSrc         // udp_src
	FieldUDPDst         // udp_dst
	FieldICMPType       // icmp_type
	FieldICMPCode       // icmp_code
	FieldARPOp          // arp_op
	FieldARPSPA         // arp_spa
	FieldARPTPA         // arp_tpa
	FieldARPSHA         // arp_sha
	FieldARPTHA         // arp_tha
	FieldReg0           // NXM_NX_REG0
)

// ActionKind says what an Action does.
type ActionKind uint8

// The actions that DaoliNet uses.
const (
	ActionNone       ActionKind = iota
	ActionOutput                // output:Port; PortController sends the whole packet (max_len 65535)
	ActionGroup                 // group:ID
	ActionSetField              // set_field:Value->Field
	ActionDecTTL                // dec_ttl
	ActionSetTTL                // mod_nw_ttl:Value (OFPAT_SET_NW_TTL)
	ActionMove                  // move:Field2[Ofs2..]->Field[Ofs..], Bits bits (NXAST_REG_MOVE)
	ActionLoad                  // load:Value->Field[Ofs..Ofs+Bits-1] (NXAST_REG_LOAD)
	ActionLearn                 // learn(...): the flow's Learn, here (NXAST_LEARN, NXAST_LEARN2)
	ActionFinTimeout            // fin_timeout(idle_timeout=Value) (NXAST_FIN_TIMEOUT)
)

// Action is one step on a packet. It is comparable; make it with the functions
// below, which set what each kind needs and nothing else.
type Action struct {
	Kind   ActionKind
	Field  Field  // written field
	Field2 Field  // ActionMove: read field
	Ofs    uint8  // first bit written
	Ofs2   uint8  // ActionMove: first bit read
	Bits   uint8  // ActionMove, ActionLoad: number of bits
	Value  uint64 // ActionSetField, ActionSetTTL, ActionLoad; ActionGroup: group id; ActionOutput: port; ActionFinTimeout: seconds
}

// Output sends the packet out of port. PortInPort goes back where it came from,
// which plain Output of the ingress port never does (OpenFlow 1.3.5, 5.9).
func Output(port PortNo) Action { return Action{Kind: ActionOutput, Value: uint64(port)} }

// Port is where an ActionOutput sends to.
func (a *Action) Port() PortNo { return PortNo(a.Value) }

// ToController lifts the whole packet to the controller.
func ToController() Action { return Output(PortController) }

// Group hands the packet to a group.
func Group(id uint32) Action { return Action{Kind: ActionGroup, Value: uint64(id)} }

// DecTTL takes one from the IPv4 TTL; at 0 or 1 the packet is dropped.
func DecTTL() Action { return Action{Kind: ActionDecTTL} }

// SetTTL sets the IPv4 TTL.
func SetTTL(ttl uint8) Action { return Action{Kind: ActionSetTTL, Value: uint64(ttl)} }

// SetMAC writes an Ethernet or ARP hardware address field.
func SetMAC(f Field, m MAC) Action {
	var v uint64
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return Action{Kind: ActionSetField, Field: f, Value: v}
}

// SetIP writes an IPv4 address field.
func SetIP(f Field, a netip.Addr) Action {
	return Action{Kind: ActionSetField, Field: f, Value: uint64(addr32(a))}
}

// Set writes a number field of at most 16 bits: a port, an ICMP type or code, arp_op.
func Set(f Field, v uint16) Action {
	return Action{Kind: ActionSetField, Field: f, Value: uint64(v)}
}

// Move copies all bits of src to dst, which have the same width.
func Move(src, dst Field) Action {
	return Action{Kind: ActionMove, Field: dst, Field2: src, Bits: src.Bits()}
}

// Load writes v to the n bits of f from bit ofs on.
func Load(v uint64, f Field, ofs, n uint8) Action {
	return Action{Kind: ActionLoad, Field: f, Ofs: ofs, Bits: n, Value: v}
}

// FinTimeout lowers the flow's idle timeout to that many seconds, not 0, when it
// takes a TCP segment with FIN or RST. The flow must match TCP.
func FinTimeout(idle uint16) Action { return Action{Kind: ActionFinTimeout, Value: uint64(idle)} }

// MaxActions bounds the actions of one flow: the longest has 10.
const MaxActions = 12

// Actions is a list of at most MaxActions actions, comparable with ==.
type Actions [MaxActions]Action

// ActionList returns the list of as. More than MaxActions is a bug and panics.
func ActionList(as ...Action) Actions {
	var l Actions
	if copy(l[:], as) < len(as) {
		panic("openflow: too many actions")
	}
	return l
}

// Len returns how many actions the list has.
func (l *Actions) Len() int {
	for i := range l {
		if l[i].Kind == ActionNone {
			return i
		}
	}
	return len(l)
}
