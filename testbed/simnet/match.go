package simnet

import "github.com/daolinet/daolinet/reconciler/openflow"

// matches reports whether m takes f.
func matches(m *openflow.Match, f *frame) bool {
	return (m.InPort == 0 || m.InPort == f.inPort) &&
		m.Metadata.Matches(f.metadata) &&
		matchesMAC(m.EthSrc, f.get(openflow.FieldEthSrc)) &&
		matchesMAC(m.EthDst, f.get(openflow.FieldEthDst)) &&
		(m.EthType == 0 || m.EthType == f.ethType) &&
		!(m.NoVLAN && f.tagged) &&
		matchesIPv4(m, f) && matchesARP(m, f)
}

func matchesIPv4(m *openflow.Match, f *frame) bool {
	if m.EthType != openflow.EthTypeIPv4 {
		return true
	}
	return m.IPProto.Matches(f.proto) &&
		m.IPTTL.Matches(uint8(f.get(openflow.FieldIPTTL))) &&
		m.IPSrc.Matches(uint32(f.get(openflow.FieldIPSrc))) &&
		m.IPDst.Matches(uint32(f.get(openflow.FieldIPDst))) &&
		matchesL4(m, f)
}

func matchesL4(m *openflow.Match, f *frame) bool {
	src, dst := openflow.FieldTCPSrc, openflow.FieldTCPDst
	if f.proto == openflow.ProtoUDP {
		src, dst = openflow.FieldUDPSrc, openflow.FieldUDPDst
	}
	return m.L4Src.Matches(uint16(f.get(src))) && m.L4Dst.Matches(uint16(f.get(dst))) &&
		m.TCPFlags.Matches(f.tcpFlags()) &&
		m.ICMPType.Matches(uint8(f.get(openflow.FieldICMPType))) &&
		m.ICMPCode.Matches(uint8(f.get(openflow.FieldICMPCode)))
}

func matchesARP(m *openflow.Match, f *frame) bool {
	if m.EthType != openflow.EthTypeARP {
		return true
	}
	return m.ARPOp.Matches(uint16(f.get(openflow.FieldARPOp))) &&
		m.ARPSPA.Matches(uint32(f.get(openflow.FieldARPSPA))) &&
		m.ARPTPA.Matches(uint32(f.get(openflow.FieldARPTPA))) &&
		matchesMAC(m.ARPSHA, f.get(openflow.FieldARPSHA)) &&
		matchesMAC(m.ARPTHA, f.get(openflow.FieldARPTHA))
}

// tcpFlags are the 12 bits beside the data offset.
func (f *frame) tcpFlags() uint16 {
	if !f.isL4(openflow.ProtoTCP) {
		return 0
	}
	return f.u16(f.l4+12) & 0x0fff
}

func matchesMAC(m openflow.OptMAC, v uint64) bool { return !m.Set || mac64(m.Addr) == v }

func mac64(m openflow.MAC) uint64 {
	var v uint64
	for _, b := range m {
		v = v<<8 | uint64(b)
	}
	return v
}

// covers reports whether every packet that b takes is taken by a field by
// field: what a non-strict delete with match a deletes (OpenFlow 1.3.5, 6.4).
func covers(a, b *openflow.Match) bool {
	return (a.InPort == 0 || a.InPort == b.InPort) &&
		(a.EthType == 0 || a.EthType == b.EthType) &&
		(!a.NoVLAN || b.NoVLAN) &&
		coversMAC(a.EthSrc, b.EthSrc) && coversMAC(a.EthDst, b.EthDst) &&
		coversMAC(a.ARPSHA, b.ARPSHA) && coversMAC(a.ARPTHA, b.ARPTHA) &&
		coversBits(a.Metadata, b.Metadata) &&
		coversBits(a.IPProto, b.IPProto) && coversBits(a.IPTTL, b.IPTTL) &&
		coversBits(a.IPSrc, b.IPSrc) && coversBits(a.IPDst, b.IPDst) &&
		coversBits(a.L4Src, b.L4Src) && coversBits(a.L4Dst, b.L4Dst) &&
		coversBits(a.TCPFlags, b.TCPFlags) &&
		coversBits(a.ICMPType, b.ICMPType) && coversBits(a.ICMPCode, b.ICMPCode) &&
		coversBits(a.ARPOp, b.ARPOp) && coversBits(a.ARPSPA, b.ARPSPA) && coversBits(a.ARPTPA, b.ARPTPA)
}

func coversBits[T uint8 | uint16 | uint32 | uint64](a, b openflow.Bits[T]) bool {
	return a.Mask&^b.Mask == 0 && b.Value&a.Mask == a.Value
}

func coversMAC(a, b openflow.OptMAC) bool { return !a.Set || a == b }
