package openflow

// OXM and NXM headers of match fields, without mask: class, field, length of the
// value. A masked field has bit 8 set and twice the length.
const (
	oxmInPort   uint32 = 0x80000004
	oxmMetadata uint32 = 0x80000408
	oxmEthDst   uint32 = 0x80000606
	oxmEthSrc   uint32 = 0x80000806
	oxmEthType  uint32 = 0x80000a02
	oxmVLANVID  uint32 = 0x80000c02
	oxmIPProto  uint32 = 0x80001401
	oxmIPSrc    uint32 = 0x80001604
	oxmIPDst    uint32 = 0x80001804
	oxmTCPSrc   uint32 = 0x80001a02
	oxmTCPDst   uint32 = 0x80001c02
	oxmUDPSrc   uint32 = 0x80001e02
	oxmUDPDst   uint32 = 0x80002002
	oxmICMPType uint32 = 0x80002601
	oxmICMPCode uint32 = 0x80002801
	oxmARPOp    uint32 = 0x80002a02
	oxmARPSPA   uint32 = 0x80002c04
	oxmARPTPA   uint32 = 0x80002e04
	oxmARPSHA   uint32 = 0x80003006
	oxmARPTHA   uint32 = 0x80003206
	nxmIPTTL    uint32 = 0x00013a01 // OpenFlow 1.3 has no field for it

	// TCP flags came with OpenFlow 1.5; before, they are field 42 of the ONF's
	// experimenter class, whose header is followed by the ONF's id. The length
	// counts the id.
	oxmTCPFlags       uint32 = 0xffff5406
	oxmTCPFlagsMasked uint32 = 0xffff5508
	onfExperimenter   uint32 = 0x4f4e4600

	oxmHasMask uint32 = 1 << 8
)

// appendMatch appends an ofp_match of OXM fields in the order in which OVS sends
// them, padded to 8 bytes.
func appendMatch(b []byte, m *Match) []byte {
	start := len(b)
	b = append(b, 0, 1, 0, 0) // OFPMT_OXM, length
	if m.InPort != 0 {
		b = appendExact32(b, oxmInPort, uint32(m.InPort))
	}
	b = appendMACField(b, oxmEthSrc, m.EthSrc)
	b = appendMACField(b, oxmEthDst, m.EthDst)
	if m.EthType != 0 {
		b = appendExact16(b, oxmEthType, m.EthType)
	}
	if m.NoVLAN {
		b = appendExact16(b, oxmVLANVID, 0) // OFPVID_NONE
	}
	b = append32(b, oxmIPSrc, m.IPSrc)
	b = append32(b, oxmIPDst, m.IPDst)
	b = append8(b, nxmIPTTL, m.IPTTL)
	b = append8(b, oxmIPProto, m.IPProto)
	if m.isUDP() {
		b = append16(b, oxmUDPSrc, m.L4Src)
		b = append16(b, oxmUDPDst, m.L4Dst)
	} else {
		b = append16(b, oxmTCPSrc, m.L4Src)
		b = append16(b, oxmTCPDst, m.L4Dst)
	}
	b = appendTCPFlags(b, m.TCPFlags)
	b = append8(b, oxmICMPType, m.ICMPType)
	b = append8(b, oxmICMPCode, m.ICMPCode)
	b = append16(b, oxmARPOp, m.ARPOp)
	b = append32(b, oxmARPSPA, m.ARPSPA)
	b = append32(b, oxmARPTPA, m.ARPTPA)
	b = appendMACField(b, oxmARPSHA, m.ARPSHA)
	b = appendMACField(b, oxmARPTHA, m.ARPTHA)
	b = append64(b, oxmMetadata, m.Metadata)
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return pad8(b, start)
}

// pad8 appends zeros until the part of b from start on has a length divisible by 8.
func pad8(b []byte, start int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00"
	return append(b, zeros[:(start-len(b))&7]...)
}

// masked returns the header of the same field with a mask.
func masked(h uint32) uint32 { return (h | oxmHasMask) + h&0xff }

func appendMACField(b []byte, h uint32, m OptMAC) []byte {
	if !m.Set {
		return b
	}
	return append(be.AppendUint32(b, h), m.Addr[:]...)
}

// appendExact16 and appendExact32 append a field that is matched whole.
func appendExact16(b []byte, h uint32, v uint16) []byte {
	return append(b, byte(h>>24), byte(h>>16), byte(h>>8), byte(h), byte(v>>8), byte(v))
}

func appendExact32(b []byte, h, v uint32) []byte { return be.AppendUint64(b, uint64(h)<<32|uint64(v)) }

func append8(b []byte, h uint32, f Bits[uint8]) []byte {
	switch f.Mask {
	case 0:
		return b
	case 0xff:
		return append(b, byte(h>>24), byte(h>>16), byte(h>>8), byte(h), f.Value)
	}
	return append(be.AppendUint32(b, masked(h)), f.Value, f.Mask)
}

func append16(b []byte, h uint32, f Bits[uint16]) []byte {
	switch f.Mask {
	case 0:
		return b
	case 0xffff:
		return appendExact16(b, h, f.Value)
	}
	return be.AppendUint64(b, uint64(masked(h))<<32|uint64(f.Value)<<16|uint64(f.Mask))
}

func append32(b []byte, h uint32, f Bits[uint32]) []byte {
	switch f.Mask {
	case 0:
		return b
	case 0xffffffff:
		return appendExact32(b, h, f.Value)
	}
	return be.AppendUint32(be.AppendUint32(be.AppendUint32(b, masked(h)), f.Value), f.Mask)
}

func append64(b []byte, h uint32, f Bits[uint64]) []byte {
	switch f.Mask {
	case 0:
		return b
	case ^uint64(0):
		return be.AppendUint64(be.AppendUint32(b, h), f.Value)
	}
	return be.AppendUint64(be.AppendUint64(be.AppendUint32(b, masked(h)), f.Value), f.Mask)
}

// appendTCPFlags writes the 12 flags that exist; all of them under the mask is an
// exact match.
func appendTCPFlags(b []byte, f Bits[uint16]) []byte {
	mask := f.Mask & tcpFlagBits
	switch mask {
	case 0:
		return b
	case tcpFlagBits:
		b = be.AppendUint32(be.AppendUint32(b, oxmTCPFlags), onfExperimenter)
		return be.AppendUint16(b, f.Value)
	}
	b = be.AppendUint32(be.AppendUint32(b, oxmTCPFlagsMasked), onfExperimenter)
	return be.AppendUint16(be.AppendUint16(b, f.Value), mask)
}
