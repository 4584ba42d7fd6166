package inside

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// TCP flags of a Frame (RFC 9293, 3.1).
const (
	FIN byte = 1 << iota
	SYN
	RST
	PSH
	ACK
)

// IP protocol numbers of a Frame (IANA).
const (
	ICMP byte = 1
	TCP  byte = 6
	UDP  byte = 17
)

// EtherTypes of a Frame.
const (
	EtherIPv4 uint16 = 0x0800
	EtherARP  uint16 = 0x0806
)

// Frame is the headers of one Ethernet frame that carries IPv4 or ARP, and what
// follows them.
type Frame struct {
	EthSrc, EthDst net.HardwareAddr
	VLAN           uint16 // VLAN id; 0: no 802.1Q header
	EthType        uint16 // of what is behind any 802.1Q header

	// IPv4; of ARP the protocol addresses, with the operation in ICMPType.
	Src, Dst netip.Addr
	Length   int // IPv4 total length, as captured; Bytes sets it by itself
	TTL      byte
	Proto    byte
	Fragment bool // later fragment: no ports

	SrcPort, DstPort uint16 // TCP, UDP
	Flags            byte   // TCP
	Seq, Ack         uint32 // TCP
	ICMPType         byte   // ICMP; of ARP the operation
	ICMPCode         byte
	ID               uint16 // ICMP echo
	ARPSrc, ARPDst   net.HardwareAddr

	Payload []byte
}

// Bytes returns the frame in wire format, with right lengths and checksums.
func (f *Frame) Bytes() []byte {
	b := append(append([]byte{}, f.EthDst...), f.EthSrc...)
	if f.VLAN != 0 {
		b = binary.BigEndian.AppendUint16(b, 0x8100)
		b = binary.BigEndian.AppendUint16(b, f.VLAN)
	}
	b = binary.BigEndian.AppendUint16(b, f.EthType)
	if f.EthType == EtherARP {
		return f.appendARP(b)
	}
	if f.EthType == EtherIPv4 {
		return f.appendIPv4(b)
	}
	return append(b, f.Payload...)
}

func (f *Frame) appendARP(b []byte) []byte {
	b = append(b, 0, 1, 8, 0, 6, 4, 0, f.ICMPType) // Ethernet, IPv4, address lengths, operation
	b = append(append(b, f.ARPSrc...), f.Src.AsSlice()...)
	return append(append(b, f.ARPDst...), f.Dst.AsSlice()...)
}

func (f *Frame) appendIPv4(b []byte) []byte {
	l4 := f.transport()
	ttl := f.TTL
	if ttl == 0 {
		ttl = 64
	}
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, ttl, f.Proto, 0, 0}
	ip = append(append(ip, f.Src.AsSlice()...), f.Dst.AsSlice()...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(l4)))
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))
	return append(append(b, ip...), l4...)
}

func (f *Frame) transport() []byte {
	var b []byte
	at := 0 // of the checksum
	sum := uint32(0)
	switch f.Proto {
	case TCP:
		b = make([]byte, 20, 20+len(f.Payload))
		binary.BigEndian.PutUint32(b[4:], f.Seq)
		binary.BigEndian.PutUint32(b[8:], f.Ack)
		b[12], b[13] = 5<<4, f.Flags
		binary.BigEndian.PutUint16(b[14:], 0xffff)
		at = 16
	case UDP:
		b = make([]byte, 8, 8+len(f.Payload))
		binary.BigEndian.PutUint16(b[4:], uint16(8+len(f.Payload)))
		at = 6
	case ICMP:
		b = []byte{f.ICMPType, f.ICMPCode, 0, 0, byte(f.ID >> 8), byte(f.ID), 0, 1}
		at = 2
	default:
		return f.Payload
	}
	if f.Proto != ICMP {
		binary.BigEndian.PutUint16(b, f.SrcPort)
		binary.BigEndian.PutUint16(b[2:], f.DstPort)
		sum = uint32(f.Proto) + uint32(len(b)+len(f.Payload)) + wordSum(f.Src.AsSlice()) + wordSum(f.Dst.AsSlice())
	}
	b = append(b, f.Payload...)
	binary.BigEndian.PutUint16(b[at:], checksum(sum, b))
	return b
}

// Parse reads the headers of a frame. What is not IPv4 or ARP keeps all behind
// its Ethernet header as Payload. It reports whether b held all that its
// headers announce. Payload aliases b.
func Parse(b []byte) (f Frame, ok bool) {
	if len(b) < 14 {
		return f, false
	}
	f.EthDst, f.EthSrc, f.EthType = net.HardwareAddr(b[:6]), net.HardwareAddr(b[6:12]), binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	if f.EthType == 0x8100 {
		if len(b) < 4 {
			return f, false
		}
		f.VLAN, f.EthType, b = binary.BigEndian.Uint16(b)&0xfff, binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch f.EthType {
	case EtherIPv4:
		return f, f.parseIPv4(b)
	case EtherARP:
		if len(b) < 28 {
			return f, false
		}
		f.ICMPType, f.ARPSrc, f.ARPDst = b[7], net.HardwareAddr(b[8:14]), net.HardwareAddr(b[18:24])
		f.Src, f.Dst = netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
		return f, true
	}
	f.Payload = b
	return f, true
}

func (f *Frame) parseIPv4(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	head := int(b[0]&15) * 4
	f.Length = int(binary.BigEndian.Uint16(b[2:]))
	if head < 20 || f.Length < head || f.Length > len(b) {
		return false
	}
	f.TTL, f.Proto = b[8], b[9]
	f.Src, f.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	f.Fragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	b = b[head:f.Length]
	if f.Fragment {
		f.Payload = b
		return true
	}
	return f.parseTransport(b)
}

func (f *Frame) parseTransport(b []byte) bool {
	need := map[byte]int{TCP: 20, UDP: 8, ICMP: 8}[f.Proto]
	if len(b) < need {
		return false
	}
	switch f.Proto {
	case TCP:
		f.Seq, f.Ack, f.Flags = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13]
		if need = int(b[12]>>4) * 4; need < 20 || len(b) < need {
			return false
		}
		fallthrough
	case UDP:
		f.SrcPort, f.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case ICMP:
		f.ICMPType, f.ICMPCode, f.ID = b[0], b[1], binary.BigEndian.Uint16(b[4:])
	}
	f.Payload = b[need:]
	return true
}

// String returns the frame in the manner of tcpdump(8).
func (f *Frame) String() string {
	tag := ""
	if f.VLAN != 0 {
		tag = fmt.Sprintf("vlan %d ", f.VLAN)
	}
	switch {
	case f.EthType == EtherARP:
		return fmt.Sprintf("%sarp op %d %s (%s) > %s", tag, f.ICMPType, f.Src, f.ARPSrc, f.Dst)
	case f.EthType != EtherIPv4:
		return fmt.Sprintf("%s%s > %s type %#04x, %d bytes", tag, f.EthSrc, f.EthDst, f.EthType, len(f.Payload))
	case f.Proto == TCP:
		return fmt.Sprintf("%s%s:%d > %s:%d tcp %s ttl %d, %d bytes", tag, f.Src, f.SrcPort, f.Dst, f.DstPort, flagText(f.Flags), f.TTL, f.Length)
	case f.Proto == UDP:
		return fmt.Sprintf("%s%s:%d > %s:%d udp ttl %d, %d bytes", tag, f.Src, f.SrcPort, f.Dst, f.DstPort, f.TTL, f.Length)
	case f.Proto == ICMP:
		return fmt.Sprintf("%s%s > %s icmp type %d code %d ttl %d, %d bytes", tag, f.Src, f.Dst, f.ICMPType, f.ICMPCode, f.TTL, f.Length)
	}
	return fmt.Sprintf("%s%s > %s proto %d ttl %d, %d bytes", tag, f.Src, f.Dst, f.Proto, f.TTL, f.Length)
}

func flagText(flags byte) string {
	text := ""
	for i, c := range "FSRPA" {
		if flags&(1<<i) != 0 {
			text += string(c)
		}
	}
	return "[" + text + "]"
}

// checksum is the Internet checksum (RFC 1071) of b, on top of sum.
func checksum(sum uint32, b []byte) uint16 {
	sum += wordSum(b)
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func wordSum(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
