package packet

import (
	"encoding/binary"
	"net/netip"
)

// EtherTypes that Decode looks behind (IEEE 802).
const (
	EthTypeIPv4 uint16 = 0x0800
	EthTypeARP  uint16 = 0x0806

	ethTypeVLAN  uint16 = 0x8100
	ethTypeSVLAN uint16 = 0x88a8
)

// VLANPresent is the bit of Headers.VLAN that says that the frame has a tag.
const VLANPresent uint16 = 1 << 12

// Lengths of headers without options, in bytes.
const (
	ethLen  = 14
	vlanLen = 4
	arpLen  = 28
	ipLen   = 20
	tcpLen  = 20
	udpLen  = 8
	sctpLen = 12
	icmpLen = 8
)

// Malformed says what is wrong with a frame. It is an error that takes no
// allocation, so that hostile frames cost no more than good ones.
type Malformed uint8

// What can be wrong with a frame.
const (
	Truncated      Malformed = iota + 1 // the frame, or the IP packet in it, ends inside a header
	BadIPVersion                        // EtherType IPv4, version not 4
	BadIPHeaderLen                      // IHL below 5
	BadIPTotalLen                       // total length below the header's, or beyond the frame
	BadTCPOffset                        // data offset below 5, or beyond the packet
	BadUDPLen                           // UDP length below 8, or beyond the packet
	BadARP                              // not IPv4 over Ethernet
)

var malformed = [...]string{
	Truncated:      "truncated",
	BadIPVersion:   "bad ip version",
	BadIPHeaderLen: "bad ip header length",
	BadIPTotalLen:  "bad ip total length",
	BadTCPOffset:   "bad tcp data offset",
	BadUDPLen:      "bad udp length",
	BadARP:         "arp is not ipv4 over ethernet",
}

// String names what is wrong in a few words.
func (m Malformed) String() string {
	if int(m) < len(malformed) && m != 0 {
		return malformed[m]
	}
	return "malformed"
}

// Error makes Malformed an error.
func (m Malformed) Error() string { return "decode frame: " + m.String() }

// Decode reads the headers of one Ethernet frame: at most one VLAN tag, then
// ARP, or IPv4 and its transport header. Payloads of other EtherTypes are not
// looked at. Checksums are not verified, since a sender may leave them to its
// network card. The frame is not kept.
//
// The error is a Malformed; the Headers beside it hold what was read before,
// with the layer that is wrong left zero.
func Decode(frame []byte) (Headers, error) {
	var h Headers
	if len(frame) < ethLen {
		return h, Truncated
	}
	h.EthDst, h.EthSrc = MAC(frame[0:6]), MAC(frame[6:12])
	h.EthType = binary.BigEndian.Uint16(frame[12:])
	at := ethLen
	if h.EthType == ethTypeVLAN || h.EthType == ethTypeSVLAN {
		h.VLAN = VLANPresent
		if len(frame) < at+vlanLen {
			return h, Truncated
		}
		h.VLAN |= binary.BigEndian.Uint16(frame[at:]) & 0x0fff
		h.EthType = binary.BigEndian.Uint16(frame[at+2:])
		at += vlanLen
	}
	switch h.EthType {
	case EthTypeARP:
		return h, h.decodeARP(frame[at:])
	case EthTypeIPv4:
		return h, h.decodeIPv4(frame, at)
	}
	return h, nil
}

// decodeARP reads RFC 826's packet for IPv4 over Ethernet.
func (h *Headers) decodeARP(b []byte) error {
	if len(b) < arpLen {
		return Truncated
	}
	const ethernetIPv4 = 0x0001_0800_06_04 // hardware, protocol, their address lengths
	if binary.BigEndian.Uint64(b)>>16 != ethernetIPv4 {
		return BadARP
	}
	h.ARPOp = binary.BigEndian.Uint16(b[6:])
	h.ARPSrcMAC = MAC(b[8:14])
	h.ARPSrc = netip.AddrFrom4([4]byte(b[14:18]))
	h.ARPDst = netip.AddrFrom4([4]byte(b[24:28]))
	return nil
}

// decodeIPv4 reads the IPv4 header at offset at (RFC 791, 3.1) and what it
// carries. What lies behind the packet's total length is padding.
func (h *Headers) decodeIPv4(frame []byte, at int) error {
	n, err := ipv4Bounds(frame[at:])
	if err != nil {
		return err
	}
	b := frame[at:]
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total < n || total > len(b) {
		return BadIPTotalLen
	}
	frag := binary.BigEndian.Uint16(b[6:])
	h.IPOffset, h.L4Offset = at, at+n
	h.Fragment = frag&0x3fff != 0
	h.LaterFragment = frag&0x1fff != 0
	h.TTL, h.Proto = b[8], Proto(b[9])
	h.Src = netip.AddrFrom4([4]byte(b[12:16]))
	h.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	if h.LaterFragment {
		return nil
	}
	return h.decodeL4(b[n:total])
}

// ipv4Bounds checks version and header length of b and returns the latter.
func ipv4Bounds(b []byte) (int, error) {
	if len(b) < ipLen {
		return 0, Truncated
	}
	if b[0]>>4 != 4 {
		return 0, BadIPVersion
	}
	n := int(b[0]&0x0f) * 4
	if n < ipLen {
		return 0, BadIPHeaderLen
	}
	if n > len(b) {
		return 0, Truncated
	}
	return n, nil
}

// decodeL4 reads the transport header at the start of b, the packet's payload.
func (h *Headers) decodeL4(b []byte) error {
	switch h.Proto {
	case TCP:
		return h.decodeTCP(b)
	case UDP:
		if len(b) < udpLen {
			return Truncated
		}
		// The length of a fragmented datagram goes beyond its first fragment.
		if n := int(binary.BigEndian.Uint16(b[4:])); n < udpLen || n > len(b) && !h.Fragment {
			return BadUDPLen
		}
		h.SrcPort, h.DstPort = ports(b)
	case SCTP:
		if len(b) < sctpLen {
			return Truncated
		}
		h.SrcPort, h.DstPort = ports(b)
	case ICMP:
		if len(b) < icmpLen {
			return Truncated
		}
		h.ICMPType, h.ICMPCode = b[0], b[1]
		if quotes(h.ICMPType) {
			h.Inner = decodeInner(b[icmpLen:])
		}
	}
	return nil
}

func (h *Headers) decodeTCP(b []byte) error {
	if len(b) < tcpLen {
		return Truncated
	}
	n := int(b[12]>>4) * 4
	if n < tcpLen || n > len(b) {
		return BadTCPOffset
	}
	h.SrcPort, h.DstPort = ports(b)
	h.Seq, h.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	h.Flags = b[13]
	h.SegLen = uint32(len(b) - n)
	if h.Flags&SYN != 0 {
		h.SegLen++
	}
	if h.Flags&FIN != 0 {
		h.SegLen++
	}
	return nil
}

func ports(b []byte) (src, dst uint16) {
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}

// ICMP types (IANA).
const (
	icmpEchoReply    = 0
	icmpUnreachable  = 3
	icmpSourceQuench = 4
	icmpRedirect     = 5
	icmpEcho         = 8
	icmpTimeExceeded = 11
	icmpParamProblem = 12
	icmpLastKnown    = 18 // beyond: unassigned in RFC 1122's time, or not to be answered
)

// quotes reports whether Decode reads the packet that an ICMP message of the
// type quotes.
func quotes(icmpType uint8) bool {
	return icmpType == icmpUnreachable || icmpType == icmpTimeExceeded || icmpType == icmpParamProblem
}

// decodeInner reads the packet that an ICMP error quotes, or returns nil when
// it is not one whose session could be told: cut before 8 bytes of transport
// header, or a later fragment. Its total length is that of the packet that was
// sent, so the quote may be shorter.
func decodeInner(b []byte) *Inner {
	n, err := ipv4Bounds(b)
	if err != nil || len(b) < n+8 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil
	}
	in := &Inner{
		Src:   netip.AddrFrom4([4]byte(b[12:16])),
		Dst:   netip.AddrFrom4([4]byte(b[16:20])),
		Proto: Proto(b[9]),
	}
	switch l4 := b[n:]; in.Proto {
	case TCP, UDP, SCTP:
		in.SrcPort, in.DstPort = ports(l4)
	case ICMP:
		in.ICMPType, in.ICMPCode = l4[0], l4[1]
	}
	return in
}
