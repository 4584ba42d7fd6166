package packet

import (
	"encoding/binary"
	"net/netip"
)

// defaultTTL is the TTL of packets that are made here (RFC 1340).
const defaultTTL = 64

// Build makes the frame that Decode reads as h: Ethernet, the VLAN tag if
// h.VLAN has VLANPresent, then ARP if h.ARPOp is set, else an unfragmented IPv4
// packet of h.Proto with payload and right checksums. EthType, offsets, SegLen
// and Inner follow from the rest and are not read; a TTL of zero means 64. An
// ICMP payload begins with the second word of the ICMP header, see Echo.
// Payloads over 65,000 bytes are cut.
func Build(h Headers, payload []byte) []byte {
	payload = payload[:min(len(payload), 65000)]
	if h.ARPOp != 0 {
		return appendARP(appendEth(make([]byte, 0, ethLen+vlanLen+arpLen), &h, EthTypeARP), &h)
	}
	if h.Proto == ICMP && len(payload) < 4 {
		payload = append(append([]byte(nil), payload...), 0, 0, 0, 0)[:4]
	}
	n := l4Len(h.Proto) + len(payload)
	b := appendEth(make([]byte, 0, ethLen+vlanLen+ipLen+n), &h, EthTypeIPv4)
	ip := len(b)
	b = appendIPv4(b, &h, n, 0)
	l4 := len(b)
	b = appendL4(b, &h, len(payload))
	b = append(b, payload...)
	setL4Checksum(b[ip:l4], b[l4:])
	return b
}

// Echo returns the payload that Build wants for an ICMP echo request or reply.
func Echo(id, seq uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(data)), id)
	b = binary.BigEndian.AppendUint16(b, seq)
	return append(b, data...)
}

// l4Len returns the length of the header that appendL4 writes.
func l4Len(p Proto) int {
	if p == ICMP {
		return icmpLen - 4 // type, code, checksum: the rest is payload
	}
	return minL4(p)
}

func appendEth(b []byte, h *Headers, ethType uint16) []byte {
	b = append(b, h.EthDst[:]...)
	b = append(b, h.EthSrc[:]...)
	if h.VLAN&VLANPresent != 0 {
		b = binary.BigEndian.AppendUint16(b, ethTypeVLAN)
		b = binary.BigEndian.AppendUint16(b, h.VLAN&0x0fff)
	}
	return binary.BigEndian.AppendUint16(b, ethType)
}

func appendARP(b []byte, h *Headers) []byte {
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, h.ARPOp)
	b = append(b, h.ARPSrcMAC[:]...)
	b = append(b, as4(h.ARPSrc)...)
	b = append(b, make([]byte, 6)...) // the target's hardware address: not known
	return append(b, as4(h.ARPDst)...)
}

// appendIPv4 appends a header without options for n bytes of payload. The
// packet has Don't Fragment set and so needs no identification (RFC 6864, 4.1).
func appendIPv4(b []byte, h *Headers, n int, tos uint8) []byte {
	at := len(b)
	ttl := h.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	b = append(b, 0x45, tos)
	b = binary.BigEndian.AppendUint16(b, uint16(ipLen+n))
	b = append(b, 0, 0, 0x40, 0, ttl, uint8(h.Proto), 0, 0)
	b = append(b, as4(h.Src)...)
	b = append(b, as4(h.Dst)...)
	binary.BigEndian.PutUint16(b[at+10:], fold(sum(0, b[at:])))
	return b
}

// appendL4 appends h's transport header for n bytes of payload, its checksum zero.
func appendL4(b []byte, h *Headers, n int) []byte {
	switch h.Proto {
	case ICMP:
		return append(b, h.ICMPType, h.ICMPCode, 0, 0)
	case TCP, UDP, SCTP:
		b = binary.BigEndian.AppendUint16(b, h.SrcPort)
		b = binary.BigEndian.AppendUint16(b, h.DstPort)
	}
	switch h.Proto {
	case TCP:
		b = binary.BigEndian.AppendUint32(b, h.Seq)
		b = binary.BigEndian.AppendUint32(b, h.Ack)
		window := uint16(0xffff)
		if h.Flags&RST != 0 {
			window = 0
		}
		b = append(b, tcpLen/4<<4, h.Flags)
		b = binary.BigEndian.AppendUint16(b, window)
		return append(b, 0, 0, 0, 0)
	case UDP:
		b = binary.BigEndian.AppendUint16(b, uint16(udpLen+n))
		return append(b, 0, 0)
	case SCTP:
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	}
	return b
}

// setL4Checksum writes the transport checksum of l4, header and payload behind
// the header ip, whose checksum field is zero. SCTP's is not made: DaoliNet
// sends no SCTP.
func setL4Checksum(ip, l4 []byte) {
	switch Proto(ip[9]) {
	case TCP:
		binary.BigEndian.PutUint16(l4[tcpSumAt:], fold(sum(pseudoSum(ip, len(l4)), l4)))
	case UDP:
		ck := fold(sum(pseudoSum(ip, len(l4)), l4))
		if ck == 0 {
			ck = 0xffff // zero would mean none (RFC 768)
		}
		binary.BigEndian.PutUint16(l4[udpSumAt:], ck)
	case ICMP:
		binary.BigEndian.PutUint16(l4[icmpSumAt:], fold(sum(0, l4)))
	}
}

// as4 returns the address's four bytes; those of an address that is not IPv4
// are zero.
func as4(a netip.Addr) []byte {
	var b [4]byte
	if a.Is4() {
		b = a.As4()
	}
	return b[:]
}
