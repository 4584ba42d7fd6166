package packet

import "encoding/binary"

// sum adds b to a running Internet checksum (RFC 1071), as 16-bit words.
func sum(acc uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		acc += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

// fold ends a running checksum: the complement of the one's complement sum.
func fold(acc uint32) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return ^uint16(acc)
}

// pseudoSum is the sum over the pseudo header of ip, an IPv4 header, for n
// bytes of transport header and payload (RFC 9293, 3.1; RFC 768).
func pseudoSum(ip []byte, n int) uint32 {
	return sum(uint32(ip[9])+uint32(n), ip[12:20])
}

// Offsets of the checksum field in transport headers, bytes.
const (
	tcpSumAt  = 16
	udpSumAt  = 6
	icmpSumAt = 2
)

// UpdateChecksum returns the checksum ck after a 16-bit word under it changed
// from old to new (RFC 1624, equation 3).
func UpdateChecksum(ck, old, new uint16) uint16 {
	return fold(uint32(^ck) + uint32(^old) + uint32(new))
}

// ChecksumsValid reports whether the checksums of the IPv4 header and, for an
// unfragmented packet, of its TCP, UDP or ICMP are right. h is what Decode made of
// frame. A UDP checksum of zero is none (RFC 768).
func ChecksumsValid(frame []byte, h *Headers) bool {
	if h.EthType != EthTypeIPv4 {
		return true
	}
	ip, l4, ok := ipParts(frame, h)
	if !ok || fold(sum(0, ip)) != 0 {
		return false
	}
	if h.Fragment {
		return true
	}
	switch h.Proto {
	case UDP:
		n := int(binary.BigEndian.Uint16(l4[4:]))
		if n < udpLen || n > len(l4) {
			return false
		}
		l4 = l4[:n]
		if binary.BigEndian.Uint16(l4[udpSumAt:]) == 0 {
			return true
		}
		return fold(sum(pseudoSum(ip, len(l4)), l4)) == 0
	case TCP:
		return fold(sum(pseudoSum(ip, len(l4)), l4)) == 0
	case ICMP:
		return fold(sum(0, l4)) == 0
	}
	return true
}

// ipParts returns the IP header of frame and the packet's payload without
// padding. It is not ok when h is not what Decode makes of frame without error.
func ipParts(frame []byte, h *Headers) (ip, l4 []byte, ok bool) {
	if h.EthType != EthTypeIPv4 || h.IPOffset < ethLen || h.L4Offset < h.IPOffset+ipLen || h.L4Offset > len(frame) {
		return nil, nil, false
	}
	ip = frame[h.IPOffset:h.L4Offset]
	end := h.IPOffset + int(binary.BigEndian.Uint16(ip[2:]))
	if end < h.L4Offset || end > len(frame) {
		return nil, nil, false
	}
	l4 = frame[h.L4Offset:end]
	return ip, l4, h.LaterFragment || len(l4) >= minL4(h.Proto)
}

// minL4 returns the least length of p's header.
func minL4(p Proto) int {
	switch p {
	case TCP:
		return tcpLen
	case UDP:
		return udpLen
	case ICMP:
		return icmpLen
	case SCTP:
		return sctpLen
	}
	return 0
}
