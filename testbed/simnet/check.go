package simnet

import (
	"fmt"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Reasons for which OVS refuses messages (OpenFlow 1.3.5, 7.4.4).
var (
	errOutPort      = refusal{2, 4}
	errArgument     = refusal{2, 5}
	errSetLen       = refusal{2, 14}
	errOutGroup     = refusal{2, 9}
	errInconsistent = refusal{2, 10}
	errSetArgument  = refusal{2, 15}
	errGoto         = refusal{3, 2}
	errWildcards    = refusal{4, 5}
	errMask         = refusal{4, 8}
	errPrereq       = refusal{4, 9}
	errTable        = refusal{5, 2}
	errGroup        = refusal{6, 1}
	errMeter        = refusal{12, 2}
)

// refusal is the type and code of an OpenFlow error.
type refusal struct{ typ, code uint16 }

func (r refusal) about(what string) error {
	return fmt.Errorf("%s: %w", what, &openflow.ErrorMessage{Type: r.typ, Code: r.code})
}

// maxPort is the first number that is no port of a bridge in OVS (OFPP_MAX of
// OpenFlow 1.0).
const maxPort = 0xff00

// checkFlow reports why OVS would refuse to add the flow.
func (s *Switch) checkFlow(fl *openflow.Flow) error {
	if fl.Table == openflow.AllTables {
		return errTable.about("add to all tables")
	}
	if err := checkMatch(&fl.Match); err != nil {
		return err
	}
	if fl.Meter != 0 && s.meters[fl.Meter] == nil {
		return errMeter.about(fmt.Sprintf("meter %d", fl.Meter))
	}
	if fl.Goto != 0 && fl.Goto <= fl.Table || fl.Goto == openflow.AllTables {
		return errGoto.about(fmt.Sprintf("goto table %d", fl.Goto))
	}
	for i := range fl.Actions.Len() {
		if err := s.checkAction(&fl.Actions[i], &fl.Match, &fl.Learn); err != nil {
			return err
		}
	}
	return nil
}

// checkMatch reports values outside their mask, masks on fields that take none,
// and fields without the field that gives them meaning (ovs-fields(7),
// "prerequisites").
func checkMatch(m *openflow.Match) error {
	type use struct {
		name            string
		used, ok        bool // has a mask; its prerequisite holds
		loose, maskable bool // value outside mask; may be masked
		partial         bool // mask neither empty nor full
	}
	ip, arp := m.EthType == openflow.EthTypeIPv4, m.EthType == openflow.EthTypeARP
	proto := func(p uint8) bool { return ip && m.IPProto == openflow.Exact(p) }
	tcp, udp, icmp := proto(openflow.ProtoTCP), proto(openflow.ProtoUDP), proto(openflow.ProtoICMP)
	uses := []use{
		{"metadata", used(m.Metadata), true, loose(m.Metadata), true, partial(m.Metadata)},
		{"ip_proto", used(m.IPProto), ip || m.EthType == openflow.EthTypeIPv6, loose(m.IPProto), false, partial(m.IPProto)},
		{"nw_ttl", used(m.IPTTL), ip || m.EthType == openflow.EthTypeIPv6, loose(m.IPTTL), false, partial(m.IPTTL)},
		{"ip_src", used(m.IPSrc), ip, loose(m.IPSrc), true, partial(m.IPSrc)},
		{"ip_dst", used(m.IPDst), ip, loose(m.IPDst), true, partial(m.IPDst)},
		{"transport source port", used(m.L4Src), tcp || udp, loose(m.L4Src), true, partial(m.L4Src)},
		{"transport destination port", used(m.L4Dst), tcp || udp, loose(m.L4Dst), true, partial(m.L4Dst)},
		{"tcp_flags", used(m.TCPFlags), tcp, loose(m.TCPFlags), true, partial(m.TCPFlags)},
		{"icmp_type", used(m.ICMPType), icmp, loose(m.ICMPType), false, partial(m.ICMPType)},
		{"icmp_code", used(m.ICMPCode), icmp, loose(m.ICMPCode), false, partial(m.ICMPCode)},
		{"arp_op", used(m.ARPOp), arp, loose(m.ARPOp), false, partial(m.ARPOp)},
		{"arp_spa", used(m.ARPSPA), arp, loose(m.ARPSPA), true, partial(m.ARPSPA)},
		{"arp_tpa", used(m.ARPTPA), arp, loose(m.ARPTPA), true, partial(m.ARPTPA)},
		{"arp_sha", m.ARPSHA.Set, arp, false, true, false},
		{"arp_tha", m.ARPTHA.Set, arp, false, true, false},
	}
	for _, u := range uses {
		switch {
		case u.loose:
			return errWildcards.about(u.name + " has bits outside its mask")
		case u.used && !u.ok:
			return errPrereq.about(u.name)
		case u.partial && !u.maskable:
			return errMask.about(u.name)
		}
	}
	return nil
}

func used[T uint8 | uint16 | uint32 | uint64](b openflow.Bits[T]) bool { return b.Mask != 0 }

func loose[T uint8 | uint16 | uint32 | uint64](b openflow.Bits[T]) bool { return b.Value&^b.Mask != 0 }

func partial[T uint8 | uint16 | uint32 | uint64](b openflow.Bits[T]) bool {
	return b.Mask != 0 && b.Mask != ^T(0)
}

// checkAction reports why OVS would refuse a in a flow with match m; l is the
// flow's learn body. A nil match is that of a group's bucket, whose packets are
// not known.
func (s *Switch) checkAction(a *openflow.Action, m *openflow.Match, l *openflow.Learn) error {
	switch a.Kind {
	case openflow.ActionOutput:
		if p := a.Port(); p >= maxPort && p < openflow.PortInPort || p == openflow.PortAny {
			return errOutPort.about("output to " + p.String())
		}
	case openflow.ActionGroup:
		if _, ok := s.groups[uint32(a.Value)]; !ok {
			return errOutGroup.about(fmt.Sprintf("group %d", a.Value))
		}
	case openflow.ActionSetField:
		if n := a.Field.Bits(); n == 0 || a.Value>>n != 0 || a.Field == openflow.FieldARPOp && a.Value > 0xff {
			return errSetArgument.about("set " + a.Field.String())
		}
		return consistent(m, a.Field)
	case openflow.ActionDecTTL, openflow.ActionSetTTL:
		return consistent(m, openflow.FieldIPTTL)
	case openflow.ActionMove:
		if !within(a.Field, a.Ofs, a.Bits) || !within(a.Field2, a.Ofs2, a.Bits) {
			return errSetLen.about("move to " + a.Field.String())
		}
		return consistent(m, a.Field, a.Field2)
	case openflow.ActionLoad:
		if !within(a.Field, a.Ofs, a.Bits) {
			return errSetLen.about("load to " + a.Field.String())
		}
		if a.Value>>a.Bits != 0 {
			return errArgument.about("load to " + a.Field.String())
		}
		return consistent(m, a.Field)
	case openflow.ActionFinTimeout:
		return consistent(m, openflow.FieldTCPSrc)
	case openflow.ActionLearn:
		if l == nil || l.DstBits < 1 || l.DstBits > 16 || l.Table == openflow.AllTables {
			return errArgument.about("learn")
		}
		return consistent(m, learnFields(l.Proto)...)
	}
	return nil
}

// within reports whether bits ofs to ofs+n-1 lie in the field.
func within(f openflow.Field, ofs, n uint8) bool {
	return n > 0 && int(ofs)+int(n) <= int(f.Bits())
}

func learnFields(proto uint8) []openflow.Field {
	if proto == openflow.ProtoUDP {
		return []openflow.Field{openflow.FieldUDPSrc, openflow.FieldUDPDst}
	}
	return []openflow.Field{openflow.FieldTCPSrc, openflow.FieldTCPDst}
}

// consistent reports an action on a field that packets of match m may not have.
func consistent(m *openflow.Match, fields ...openflow.Field) error {
	if m == nil {
		return nil
	}
	for _, f := range fields {
		if !has(m, f) {
			return errInconsistent.about("action on " + f.String())
		}
	}
	return nil
}

// has reports whether every packet that m takes has field f.
func has(m *openflow.Match, f openflow.Field) bool {
	ip := m.EthType == openflow.EthTypeIPv4
	switch f {
	case openflow.FieldIPTTL:
		return ip || m.EthType == openflow.EthTypeIPv6
	case openflow.FieldIPSrc, openflow.FieldIPDst:
		return ip
	case openflow.FieldTCPSrc, openflow.FieldTCPDst:
		return ip && m.IPProto == openflow.Exact(openflow.ProtoTCP)
	case openflow.FieldUDPSrc, openflow.FieldUDPDst:
		return ip && m.IPProto == openflow.Exact(openflow.ProtoUDP)
	case openflow.FieldICMPType, openflow.FieldICMPCode:
		return ip && m.IPProto == openflow.Exact(openflow.ProtoICMP)
	case openflow.FieldARPOp, openflow.FieldARPSPA, openflow.FieldARPTPA, openflow.FieldARPSHA, openflow.FieldARPTHA:
		return m.EthType == openflow.EthTypeARP
	}
	return true
}
