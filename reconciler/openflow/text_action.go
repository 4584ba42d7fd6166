package openflow

import "strconv"

func (l *textList) actions(as *Actions, learn *Learn) {
	for i := range as.Len() {
		l.text("")
		l.b = as[i].appendText(l.b, learn)
	}
}

func (a *Action) appendText(b []byte, learn *Learn) []byte {
	switch a.Kind {
	case ActionOutput:
		if a.Port() == PortController {
			return append(b, "CONTROLLER:65535"...)
		}
		if a.Port() >= PortInPort {
			return appendPort(b, a.Port())
		}
		return appendPort(append(b, "output:"...), a.Port())
	case ActionGroup:
		return strconv.AppendUint(append(b, "group:"...), a.Value, 10)
	case ActionSetField:
		b = a.appendValue(append(b, "set_field:"...))
		return append(append(b, "->"...), a.Field.String()...)
	case ActionDecTTL:
		return append(b, "dec_ttl"...)
	case ActionSetTTL:
		return strconv.AppendUint(append(b, "mod_nw_ttl:"...), a.Value, 10)
	case ActionMove:
		b = appendSubfield(append(b, "move:"...), a.Field2, a.Ofs2, a.Bits)
		return appendSubfield(append(b, "->"...), a.Field, a.Ofs, a.Bits)
	case ActionLoad:
		b = appendSmall(append(b, "load:"...), a.Value)
		return appendSubfield(append(b, "->"...), a.Field, a.Ofs, a.Bits)
	case ActionFinTimeout:
		return append(strconv.AppendUint(append(b, "fin_timeout(idle_timeout="...), a.Value, 10), ')')
	case ActionLearn:
		b = append(b, "learn("...)
		if learn != nil {
			b = learn.appendText(b)
		}
		return append(b, ')')
	}
	return b
}

// appendValue appends the value of a set_field as its field is written.
func (a *Action) appendValue(b []byte) []byte {
	switch {
	case a.Field.isMAC():
		return appendMAC(b, macFrom64(a.Value))
	case a.Field.isIPv4():
		return appendIPv4(b, uint32(a.Value))
	case a.Field == FieldReg0:
		return appendSmall(b, a.Value)
	}
	return strconv.AppendUint(b, a.Value, 10)
}

// appendSubfield appends n bits of f from bit ofs on: F[], F[15] or F[0..13].
func appendSubfield(b []byte, f Field, ofs, n uint8) []byte {
	b = append(append(b, f.NXMName()...), '[')
	if n != f.Bits() {
		b = strconv.AppendUint(b, uint64(ofs), 10)
		if n > 1 {
			b = strconv.AppendUint(append(b, ".."...), uint64(ofs)+uint64(n)-1, 10)
		}
	}
	return append(b, ']')
}

func macFrom64(v uint64) MAC {
	return MAC{byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

// appendText appends what stands between the parentheses of learn(...).
func (n *Learn) appendText(b []byte) []byte {
	l := textList{b: b}
	l.number("table=", uint64(n.Table))
	l.number("priority=", uint64(n.Priority))
	if n.Cookie != 0 {
		l.hex("cookie=", n.Cookie)
	}
	if n.IdleTimeout != 0 {
		l.number("idle_timeout=", uint64(n.IdleTimeout))
	}
	if n.Limit != 0 {
		l.number("limit=", uint64(n.Limit))
	}
	l.text("eth_type=0x800")
	l.number("nw_proto=", uint64(n.Proto))
	l.text("in_port=")
	l.b = appendPort(l.b, n.InPort)
	src, dst := n.ports()
	l.learnField(FieldIPSrc, FieldIPDst, 0, 32)
	l.learnField(FieldIPDst, FieldIPSrc, 0, 32)
	l.learnField(src, dst, 0, 16)
	l.learnField(dst, src, 16-n.DstBits, n.DstBits)
	l.text("output:NXM_OF_IN_PORT[]")
	return l.b
}

// learnField appends dst=src for n bits from bit ofs on.
func (l *textList) learnField(dst, src Field, ofs, n uint8) {
	l.text("")
	l.b = appendSubfield(l.b, dst, ofs, n)
	l.b = appendSubfield(append(l.b, '='), src, ofs, n)
}

// ports returns the port fields of the learned flow's protocol.
func (n *Learn) ports() (src, dst Field) {
	if n.Proto == ProtoUDP {
		return FieldUDPSrc, FieldUDPDst
	}
	return FieldTCPSrc, FieldTCPDst
}
