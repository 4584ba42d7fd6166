package simnet

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Stack is the network stack of one machine with one address: an endpoint, a
// host's own, or one outside. It answers as Linux does: an ARP request for its
// address and an echo request with their replies, a TCP segment that belongs to
// nothing with a reset, a UDP datagram to a closed port with an ICMP error. It
// keeps no windows and retransmits nothing.
type Stack struct {
	Name    string
	IP      netip.Addr
	MAC     packet.MAC
	Gateway packet.MAC // where what it sends goes

	// Received are the frames that reached the machine, its own or not.
	Received [][]byte

	services map[service]bool
	conns    map[conn]ConnState
}

// service is a port that is listened on.
type service struct {
	proto packet.Proto
	port  uint16
}

// conn is a TCP connection as the stack that opened it names it.
type conn struct {
	local  uint16
	remote netip.AddrPort
}

// ConnState is how far a TCP connection came.
type ConnState uint8

// States of a connection.
const (
	ConnNone        ConnState = iota // never tried
	ConnSent                         // SYN sent, no answer
	ConnEstablished                  // SYN answered with SYN-ACK
	ConnReset                        // answered or ended by RST
)

// String names the state.
func (s ConnState) String() string {
	return [...]string{"none", "no answer", "established", "reset"}[s]
}

// Listen opens a port. TCP connections to it are accepted and what they carry
// is sent back; so are UDP datagrams.
func (s *Stack) Listen(proto packet.Proto, port uint16) {
	if s.services == nil {
		s.services = map[service]bool{}
	}
	s.services[service{proto, port}] = true
}

// Headers returns the headers of a packet that the stack sends to dst.
func (s *Stack) Headers(dst netip.Addr, proto packet.Proto) packet.Headers {
	return packet.Headers{EthSrc: s.MAC, EthDst: s.Gateway, Src: s.IP, Dst: dst, Proto: proto}
}

// Connect returns the SYN that opens a TCP connection from port local.
func (s *Stack) Connect(local uint16, remote netip.AddrPort) []byte {
	if s.conns == nil {
		s.conns = map[conn]ConnState{}
	}
	s.conns[conn{local, remote}] = ConnSent
	h := s.Headers(remote.Addr(), packet.TCP)
	h.SrcPort, h.DstPort, h.Flags, h.Seq = local, remote.Port(), packet.SYN, 1000
	return packet.Build(h, nil)
}

// Conn returns how far the connection from port local came.
func (s *Stack) Conn(local uint16, remote netip.AddrPort) ConnState {
	return s.conns[conn{local, remote}]
}

// Receive takes a frame and returns what the stack answers. What is not for it,
// by hardware or network address, broken, or a fragment is not answered.
func (s *Stack) Receive(frame []byte) [][]byte {
	s.Received = append(s.Received, frame)
	h, err := packet.Decode(frame)
	if err != nil || h.VLAN != 0 || h.EthDst != s.MAC && h.EthDst != broadcast {
		return nil
	}
	if h.EthType == packet.EthTypeARP {
		return s.arp(&h)
	}
	if h.EthType != packet.EthTypeIPv4 || h.EthDst != s.MAC || h.Dst != s.IP || h.Fragment || !packet.ChecksumsValid(frame, &h) {
		return nil
	}
	switch h.Proto {
	case packet.ICMP:
		return s.echo(&h, frame)
	case packet.UDP:
		return s.udp(&h, frame)
	case packet.TCP:
		return s.tcp(&h, frame)
	}
	return nil
}

var broadcast = packet.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func (s *Stack) arp(h *packet.Headers) [][]byte {
	if h.ARPOp != 1 || h.ARPDst != s.IP {
		return nil
	}
	return [][]byte{packet.Build(packet.Headers{
		EthSrc: s.MAC, EthDst: h.ARPSrcMAC, ARPOp: 2, ARPSrc: s.IP, ARPDst: h.ARPSrc, ARPSrcMAC: s.MAC,
	}, nil)}
}

// answer returns the headers of an answer to h.
func (s *Stack) answer(h *packet.Headers) packet.Headers {
	r := s.Headers(h.Src, h.Proto)
	r.SrcPort, r.DstPort = h.DstPort, h.SrcPort
	return r
}

// echo answers a ping of any code, as Linux does.
func (s *Stack) echo(h *packet.Headers, frame []byte) [][]byte {
	if h.ICMPType != 8 {
		return nil
	}
	r := s.answer(h)
	r.ICMPCode = h.ICMPCode
	return [][]byte{packet.Build(r, payload(h, frame, 4))}
}

func (s *Stack) udp(h *packet.Headers, frame []byte) [][]byte {
	if s.services[service{packet.UDP, h.DstPort}] {
		return [][]byte{packet.Build(s.answer(h), payload(h, frame, 8))}
	}
	if e := packet.ICMPUnreachable(frame, *h, codePort, s.IP, s.MAC); e != nil {
		copy(e, s.Gateway[:])
		return [][]byte{e}
	}
	return nil
}

const codePort = 3 // of ICMP unreachable

// payload returns the packet's bytes from offset n of its transport header on.
func payload(h *packet.Headers, frame []byte, n int) []byte {
	end := h.IPOffset + int(frame[h.IPOffset+2])<<8 + int(frame[h.IPOffset+3])
	return frame[h.L4Offset+n : end]
}

// tcp answers a segment: SYN with SYN-ACK, SYN-ACK of a connection that it
// opened with ACK, also when it comes again, data and FIN with the same, and what belongs to nothing with
// RST. A listener takes each segment without SYN as of a connection it has.
func (s *Stack) tcp(h *packet.Headers, frame []byte) [][]byte {
	c := conn{h.DstPort, netip.AddrPortFrom(h.Src, h.SrcPort)}
	state, mine := s.conns[c]
	listening := s.services[service{packet.TCP, h.DstPort}]
	r := s.answer(h)
	r.Seq, r.Ack, r.Flags = h.Ack, h.Seq+h.SegLen, packet.ACK
	switch {
	case h.Flags&packet.RST != 0:
		if mine {
			s.conns[c] = ConnReset
		}
		return nil
	case mine && state == ConnSent && h.Flags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK:
		s.conns[c] = ConnEstablished
		return [][]byte{packet.Build(r, nil)}
	case mine && state == ConnEstablished && h.Flags&packet.SYN == 0:
		return nil
	case mine && state == ConnEstablished && h.Flags&packet.ACK != 0: // RFC 5961, 4.2
		return [][]byte{packet.Build(r, nil)}
	case listening && h.Flags&(packet.SYN|packet.ACK) == packet.SYN:
		r.Seq, r.Flags = 5000, packet.SYN|packet.ACK
		return [][]byte{packet.Build(r, nil)}
	case listening && h.SegLen == 0:
		return nil
	case listening && h.Flags&packet.SYN == 0:
		r.Flags |= h.Flags & (packet.FIN | packet.PSH)
		return [][]byte{packet.Build(r, payload(h, frame, int(frame[h.L4Offset+12]>>4)*4))}
	}
	if rst := packet.TCPReset(*h, frame, s.MAC); rst != nil {
		copy(rst, s.Gateway[:])
		return [][]byte{rst}
	}
	return nil
}
