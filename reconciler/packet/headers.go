package packet

import (
	"net/netip"
	"strconv"
)

// MAC is an Ethernet address.
type MAC [6]byte

// Proto is an IP protocol number (IANA).
type Proto uint8

// Protocols that DaoliNet can carry.
const (
	ICMP Proto = 1
	TCP  Proto = 6
	UDP  Proto = 17
	SCTP Proto = 132
)

// String returns the name that rules have for a protocol, else its number.
func (p Proto) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return strconv.Itoa(int(p))
}

// ParseProto reads what String returns.
func ParseProto(s string) (Proto, bool) {
	for _, p := range []Proto{ICMP, TCP, UDP, SCTP} {
		if s == p.String() {
			return p, true
		}
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return Proto(n), err == nil
}

// TCP flag bits (RFC 9293, 3.1).
const (
	FIN uint8 = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// Headers is what was decoded of one Ethernet frame. Each field says when it
// holds; others are zero.
type Headers struct {
	EthSrc, EthDst MAC
	VLAN           uint16 // VLAN id, with bit 12 set iff there was an 802.1Q or 802.1ad header
	EthType        uint16 // of the payload, behind any VLAN header

	// Valid iff EthType is IPv4 (0x0800).
	Src, Dst      netip.Addr
	Proto         Proto
	TTL           uint8
	Fragment      bool // any fragment, the first too
	LaterFragment bool // not the first: no transport header, ports are zero

	// Valid iff Proto is TCP or UDP (or SCTP: ports only), and not LaterFragment.
	SrcPort, DstPort uint16
	// Valid iff Proto is TCP and not LaterFragment.
	Flags    uint8
	Seq, Ack uint32
	SegLen   uint32 // sequence space that the segment takes: payload, SYN, FIN

	// Valid iff Proto is ICMP and not LaterFragment.
	ICMPType, ICMPCode uint8
	// Valid for ICMP errors (types 3, 11, 12) that quote at least 8 bytes of transport header.
	Inner *Inner

	// Valid iff EthType is ARP (0x0806), for IPv4 over Ethernet.
	ARPOp          uint16
	ARPSrc, ARPDst netip.Addr
	ARPSrcMAC      MAC

	IPOffset int // offset of the IP header in the frame; IPv4 only
	L4Offset int // offset of the transport header
}

// Inner is the packet that an ICMP error quotes.
type Inner struct {
	Src, Dst         netip.Addr
	Proto            Proto
	SrcPort, DstPort uint16 // valid iff Proto is TCP, UDP or SCTP
	// Valid iff Proto is ICMP.
	ICMPType, ICMPCode uint8
}

// IsICMPError reports whether the packet is an ICMP error about another packet,
// whether or not it quotes enough of that for Inner.
func (h *Headers) IsICMPError() bool {
	return h.EthType == EthTypeIPv4 && h.Proto == ICMP && !h.LaterFragment && quotes(h.ICMPType)
}

// Opener reports whether the packet may open a session: a TCP SYN without ACK,
// an ICMP echo request, or any packet of a protocol without openers.
func (h *Headers) Opener() bool {
	switch h.Proto {
	case TCP:
		return h.Flags&(SYN|ACK) == SYN
	case ICMP:
		return h.ICMPType == 8
	}
	return true
}
