package packet

import (
	"encoding/binary"
	"net/netip"
)

// Codes of ICMP messages that DaoliNet sends (IANA).
const (
	CodeAdminProhibited uint8 = 13 // of unreachable (RFC 1812, 5.2.7.1)
	CodeFragNeeded      uint8 = 4  // of unreachable (RFC 1191)
	CodeTTLExceeded     uint8 = 0  // of time exceeded
)

// maxQuote is how much of a packet an ICMP error quotes: the error has at most
// 576 bytes (RFC 1812, 4.3.2.3), of which 28 are headers.
const maxQuote = 576 - ipLen - icmpLen

// TCPReset returns the frame that resets the connection of the TCP segment in
// frame, towards its sender, as if the address it was sent to had none (RFC
// 9293, 3.5.2); h is what Decode made of frame without an error. It comes from gwMAC. The result
// is nil for what must not be answered: a RST, a broadcast, a fragment.
func TCPReset(h Headers, frame []byte, gwMAC MAC) []byte {
	ip, _, ok := ipParts(frame, &h)
	if !ok || h.Proto != TCP || h.Fragment || h.Flags&RST != 0 || !oneHost(&h) {
		return nil
	}
	r := Headers{EthSrc: gwMAC, EthDst: h.EthSrc, Src: h.Dst, Dst: h.Src, Proto: TCP, SrcPort: h.DstPort, DstPort: h.SrcPort}
	if h.Flags&ACK != 0 {
		r.Seq, r.Flags = h.Ack, RST
	} else {
		r.Ack, r.Flags = h.Seq+h.SegLen, RST|ACK
	}
	b := appendEth(make([]byte, 0, ethLen+ipLen+tcpLen), &r, EthTypeIPv4)
	b = appendIPv4(b, &r, tcpLen, ip[1]&^3) // the segment's DSCP; a RST is not ECN-capable (RFC 3168, 6.1.4)
	b = appendL4(b, &r, 0)
	setL4Checksum(b[ethLen:ethLen+ipLen], b[ethLen+ipLen:])
	return b
}

// ICMPUnreachable returns the frame that tells the sender of frame that its
// packet's destination is unreachable, with code, from the address from and
// gwMAC. It quotes up to 548 bytes of the packet (RFC 792; RFC 1812, 4.3.2.3).
// h is what Decode made of frame. The result is nil for a packet that must not
// be answered with an ICMP error (RFC 1122, 3.2.2): an ICMP error, a later
// fragment, one to or from what is not one host.
func ICMPUnreachable(frame []byte, h Headers, code uint8, from netip.Addr, gwMAC MAC) []byte {
	return icmpError(frame, &h, icmpUnreachable, code, 0, from, gwMAC)
}

// ICMPFragNeeded is ICMPUnreachable with code 4: the packet is too large for
// the way, on which mtu bytes fit (RFC 1191, 4).
func ICMPFragNeeded(frame []byte, h Headers, mtu uint16, from netip.Addr, gwMAC MAC) []byte {
	return icmpError(frame, &h, icmpUnreachable, CodeFragNeeded, uint32(mtu), from, gwMAC)
}

// ICMPTimeExceeded is ICMPUnreachable for a packet whose TTL ran out in transit.
func ICMPTimeExceeded(frame []byte, h Headers, from netip.Addr, gwMAC MAC) []byte {
	return icmpError(frame, &h, icmpTimeExceeded, CodeTTLExceeded, 0, from, gwMAC)
}

// icmpError makes an ICMP error; word is the second word of its header.
func icmpError(frame []byte, h *Headers, icmpType, code uint8, word uint32, from netip.Addr, gwMAC MAC) []byte {
	_, l4, ok := ipParts(frame, h)
	if !ok || h.LaterFragment || !oneHost(h) || h.Proto == ICMP && !answerableICMP(h.ICMPType) {
		return nil
	}
	quote := frame[h.IPOffset : h.L4Offset+len(l4)]
	quote = quote[:min(len(quote), maxQuote)]
	r := Headers{EthSrc: gwMAC, EthDst: h.EthSrc, Src: from, Dst: h.Src, Proto: ICMP, ICMPType: icmpType, ICMPCode: code}
	b := appendEth(make([]byte, 0, ethLen+ipLen+icmpLen+len(quote)), &r, EthTypeIPv4)
	// Precedence 6, internetwork control (RFC 1812, 4.3.2.5).
	b = appendIPv4(b, &r, icmpLen+len(quote), 0xc0)
	l4At := len(b)
	b = appendL4(b, &r, 0)
	b = binary.BigEndian.AppendUint32(b, word)
	b = append(b, quote...)
	setL4Checksum(b[ethLen:l4At], b[l4At:])
	return b
}

// answerableICMP reports whether a packet of the ICMP type may be answered with
// an ICMP error: it is a query or its reply, not an error, and a known one.
func answerableICMP(t uint8) bool {
	switch t {
	case icmpUnreachable, icmpSourceQuench, icmpRedirect, icmpTimeExceeded, icmpParamProblem:
		return false
	}
	return t <= icmpLastKnown
}

// oneHost reports whether the packet came from one host and went to one, so
// that an answer can't be multiplied (RFC 1122, 3.2.2).
func oneHost(h *Headers) bool {
	const group = 1 // bit of the first byte of group addresses (IEEE 802)
	return h.EthDst[0]&group == 0 && h.EthSrc[0]&group == 0 && unicast(h.Src) && unicast(h.Dst)
}

// unicast reports whether a can be the address of one host that is elsewhere.
func unicast(a netip.Addr) bool {
	if !a.Is4() || a.IsLoopback() {
		return false
	}
	b := a.As4()
	return b[0] != 0 && b[0] < 224
}
