package openflow

// tlv is one OXM field: its header, and its value, which has the length that the
// header says.
type tlv struct {
	header uint32
	value  []byte // with the mask behind it if the header says so
}

// oxmField are the bits of an OXM header that name the field: class and number.
const oxmField = ^uint32(0x1ff)

// cutMatch splits the ofp_match that b starts with into its fields and what
// follows its padding.
func cutMatch(b []byte) (fields, rest []byte, ok bool) {
	if len(b) < 4 || be.Uint16(b) != 1 { // OFPMT_OXM
		return nil, nil, false
	}
	n := int(be.Uint16(b[2:]))
	padded := (n + 7) / 8 * 8
	if n < 4 || padded > len(b) {
		return nil, nil, false
	}
	return b[4:n], b[padded:], true
}

// nextField takes the first field off b.
func nextField(b *[]byte) (tlv, bool) {
	if len(*b) < 4 {
		return tlv{}, false
	}
	h := be.Uint32(*b)
	n := 4 + int(h&0xff)
	if n > len(*b) {
		return tlv{}, false
	}
	f := tlv{h, (*b)[4:n]}
	*b = (*b)[n:]
	return f, true
}

// DecodeMatch decodes the ofp_match that b starts with. known says that m stands
// for all of it; a field that Match can't hold is left out of m. ok says that b
// starts with a match, and rest is what follows it.
func DecodeMatch(b []byte) (m Match, known bool, rest []byte, ok bool) {
	fields, rest, ok := cutMatch(b)
	if !ok {
		return Match{}, false, nil, false
	}
	known = true
	var l4 uint32 // a header of the port field that was seen
	for len(fields) > 0 {
		f, ok := nextField(&fields)
		if !ok {
			return Match{}, false, nil, false
		}
		if !m.set(f, &l4) {
			known = false
		}
	}
	return m, known && m.holdsPorts(l4), rest, true
}

// holdsPorts says that the ports seen in fields like l4 are those that L4Src and
// L4Dst stand for, which depends on IPProto.
func (m *Match) holdsPorts(l4 uint32) bool {
	switch l4 {
	case 0:
		return true
	case oxmUDPSrc:
		return m.isUDP()
	}
	return !m.isUDP()
}

// set takes one field into m. It reports whether m now stands for it: false for
// fields that Match doesn't have, or not with this value or mask, or has already.
// l4 remembers oxmTCPSrc or oxmUDPSrc when it is one of that protocol's ports.
func (m *Match) set(f tlv, l4 *uint32) bool {
	switch f.header & oxmField {
	case oxmInPort & oxmField:
		return m.setInPort(f)
	case oxmEthSrc & oxmField:
		return setMAC(&m.EthSrc, f)
	case oxmEthDst & oxmField:
		return setMAC(&m.EthDst, f)
	case oxmEthType & oxmField:
		return m.setEthType(f)
	case oxmVLANVID & oxmField:
		return m.setNoVLAN(f)
	case nxmIPTTL & oxmField:
		return set8(&m.IPTTL, f)
	case oxmIPProto & oxmField:
		return set8(&m.IPProto, f)
	case oxmIPSrc & oxmField:
		return set32(&m.IPSrc, f)
	case oxmIPDst & oxmField:
		return set32(&m.IPDst, f)
	case oxmTCPSrc & oxmField:
		return isL4(l4, oxmTCPSrc) && set16(&m.L4Src, f)
	case oxmTCPDst & oxmField:
		return isL4(l4, oxmTCPSrc) && set16(&m.L4Dst, f)
	case oxmUDPSrc & oxmField:
		return isL4(l4, oxmUDPSrc) && set16(&m.L4Src, f)
	case oxmUDPDst & oxmField:
		return isL4(l4, oxmUDPSrc) && set16(&m.L4Dst, f)
	case oxmTCPFlags & oxmField:
		return m.setTCPFlags(f)
	case oxmICMPType & oxmField:
		return set8(&m.ICMPType, f)
	case oxmICMPCode & oxmField:
		return set8(&m.ICMPCode, f)
	case oxmARPOp & oxmField:
		return set16(&m.ARPOp, f)
	case oxmARPSPA & oxmField:
		return set32(&m.ARPSPA, f)
	case oxmARPTPA & oxmField:
		return set32(&m.ARPTPA, f)
	case oxmARPSHA & oxmField:
		return setMAC(&m.ARPSHA, f)
	case oxmARPTHA & oxmField:
		return setMAC(&m.ARPTHA, f)
	case oxmMetadata & oxmField:
		return set64(&m.Metadata, f)
	}
	return false
}

// isL4 notes that a field of this protocol was seen, and reports whether none of
// the other was.
func isL4(l4 *uint32, proto uint32) bool {
	if *l4 == 0 {
		*l4 = proto
	}
	return *l4 == proto
}

// exact says that the field has no mask and a value of n bytes.
func (f tlv) exact(n int) bool { return f.header&oxmHasMask == 0 && len(f.value) == n }

// withMask says that the field has a mask, and both are n bytes long.
func (f tlv) withMask(n int) bool { return f.header&oxmHasMask != 0 && len(f.value) == 2*n }

func (m *Match) setInPort(f tlv) bool {
	if !f.exact(4) || m.InPort != 0 {
		return false
	}
	m.InPort = PortNo(be.Uint32(f.value))
	return m.InPort != 0
}

func (m *Match) setEthType(f tlv) bool {
	if !f.exact(2) || m.EthType != 0 {
		return false
	}
	m.EthType = be.Uint16(f.value)
	return m.EthType != 0
}

func (m *Match) setNoVLAN(f tlv) bool {
	if !f.exact(2) || m.NoVLAN || be.Uint16(f.value) != 0 {
		return false
	}
	m.NoVLAN = true
	return true
}

func setMAC(dst *OptMAC, f tlv) bool {
	if !f.exact(6) || dst.Set {
		return false
	}
	*dst = ExactMAC(MAC(f.value))
	return true
}

func set8(dst *Bits[uint8], f tlv) bool {
	switch {
	case dst.Mask != 0:
		return false
	case f.exact(1):
		*dst = Exact(f.value[0])
	case f.withMask(1):
		*dst = Masked(f.value[0], f.value[1])
	}
	return dst.Mask != 0
}

func set16(dst *Bits[uint16], f tlv) bool {
	switch {
	case dst.Mask != 0:
		return false
	case f.exact(2):
		*dst = Exact(be.Uint16(f.value))
	case f.withMask(2):
		*dst = Masked(be.Uint16(f.value), be.Uint16(f.value[2:]))
	}
	return dst.Mask != 0
}

func set32(dst *Bits[uint32], f tlv) bool {
	switch {
	case dst.Mask != 0:
		return false
	case f.exact(4):
		*dst = Exact(be.Uint32(f.value))
	case f.withMask(4):
		*dst = Masked(be.Uint32(f.value), be.Uint32(f.value[4:]))
	}
	return dst.Mask != 0
}

func set64(dst *Bits[uint64], f tlv) bool {
	switch {
	case dst.Mask != 0:
		return false
	case f.exact(8):
		*dst = Exact(be.Uint64(f.value))
	case f.withMask(8):
		*dst = Masked(be.Uint64(f.value), be.Uint64(f.value[8:]))
	}
	return dst.Mask != 0
}

// setTCPFlags takes tcp_flags off the ONF's experimenter field, whose value has
// the ONF's id in front.
func (m *Match) setTCPFlags(f tlv) bool {
	if len(f.value) < 4 || be.Uint32(f.value) != onfExperimenter || m.TCPFlags.Mask != 0 {
		return false
	}
	f.value = f.value[4:]
	switch {
	case f.exact(2):
		m.TCPFlags = Exact(be.Uint16(f.value))
	case f.withMask(2):
		v, mask := be.Uint16(f.value), be.Uint16(f.value[2:])&tcpFlagBits
		if m.TCPFlags = Masked(v, mask); mask == tcpFlagBits { // all that exist
			m.TCPFlags = Exact(v & mask)
		}
	}
	return m.TCPFlags.Mask != 0
}
