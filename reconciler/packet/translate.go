package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// TranslateICMPError returns the ICMP error in frame as the endpoint must see
// it whose packet, translated on its way, the error is about: from the address
// from, to inner.Src, and quoting the packet as it was sent, which inner
// describes. The frame goes from gwMAC to dst. h is what Decode made of frame.
// Type, code and the second word (a path's MTU, RFC 1191) stay. The quoted
// checksums follow the rewriting, where they are in the quote. The result is
// nil if h is no ICMP error with an Inner.
func TranslateICMPError(frame []byte, h Headers, inner Inner, from netip.Addr, dst, gwMAC MAC) []byte {
	_, l4, ok := ipParts(frame, &h)
	if !ok || h.Inner == nil || h.Fragment || len(l4) < icmpLen+ipLen+8 {
		return nil
	}
	r := Headers{EthSrc: gwMAC, EthDst: dst, Src: from, Dst: inner.Src, Proto: ICMP, ICMPType: h.ICMPType, ICMPCode: h.ICMPCode}
	b := appendEth(make([]byte, 0, ethLen+ipLen+len(l4)), &r, EthTypeIPv4)
	b = appendIPv4(b, &r, len(l4), 0xc0)
	at := len(b)
	b = append(b, l4...)
	if !requote(b[at+icmpLen:], &inner) {
		return nil
	}
	clear(b[at+icmpSumAt : at+icmpSumAt+2])
	setL4Checksum(b[ethLen:at], b[at:])
	return b
}

// TimeExceeded returns the ICMP error that tells an endpoint that the TTL of its
// packet ran out in transit, at a place where the packet in frame was not as the
// endpoint had sent it: it quotes the packet as sent describes it. It goes from
// the address from and gwMAC to sent.Src and dst. h is what Decode made of frame.
// The result is nil for what ICMPUnreachable does not answer either.
func TimeExceeded(frame []byte, h Headers, sent Inner, from netip.Addr, dst, gwMAC MAC) []byte {
	if _, _, ok := ipParts(frame, &h); !ok || h.LaterFragment || !oneHost(&h) {
		return nil
	}
	as := bytes.Clone(frame)
	if !requote(as[h.IPOffset:], &sent) {
		return nil
	}
	h.EthSrc, h.EthDst, h.Src, h.Dst = dst, gwMAC, sent.Src, sent.Dst
	return ICMPTimeExceeded(as, h, from, gwMAC)
}

// requote rewrites the start of a packet, q, to be what in describes.
func requote(q []byte, in *Inner) bool {
	n, err := ipv4Bounds(q)
	if err != nil || len(q) < n+8 {
		return false
	}
	l4 := q[n:]
	e := edit{ip: q[10:12]}
	switch in.Proto {
	case TCP:
		if len(l4) >= tcpSumAt+2 {
			e.l4 = l4[tcpSumAt : tcpSumAt+2]
		}
	case UDP:
		if ck := l4[udpSumAt : udpSumAt+2]; binary.BigEndian.Uint16(ck) != 0 {
			e.l4 = ck
		}
	case ICMP:
		e.l4 = l4[icmpSumAt : icmpSumAt+2]
		e.setL4(l4, uint16(in.ICMPType)<<8|uint16(in.ICMPCode))
		e.l4 = nil // ICMP's sum has no pseudo header
	}
	src, dst := as4(in.Src), as4(in.Dst)
	for i := 0; i < 4; i += 2 {
		e.setIP(q[12+i:], binary.BigEndian.Uint16(src[i:]))
		e.setIP(q[16+i:], binary.BigEndian.Uint16(dst[i:]))
	}
	if in.Proto == TCP || in.Proto == UDP || in.Proto == SCTP {
		e.setL4(l4, in.SrcPort)
		e.setL4(l4[2:], in.DstPort)
	}
	return true
}

// edit changes words of a packet and the checksums over them.
type edit struct {
	ip []byte // the IP header's checksum
	l4 []byte // the transport header's, nil: none in reach
}

// setIP writes v to b, a word of the IP header that the pseudo header has too.
func (e *edit) setIP(b []byte, v uint16) {
	updateSum(e.ip, binary.BigEndian.Uint16(b), v)
	e.setL4(b, v)
}

// setL4 writes v to b, a word that only the transport checksum covers.
func (e *edit) setL4(b []byte, v uint16) {
	if e.l4 != nil {
		updateSum(e.l4, binary.BigEndian.Uint16(b), v)
	}
	binary.BigEndian.PutUint16(b, v)
}

func updateSum(ck []byte, old, new uint16) {
	binary.BigEndian.PutUint16(ck, UpdateChecksum(binary.BigEndian.Uint16(ck), old, new))
}
