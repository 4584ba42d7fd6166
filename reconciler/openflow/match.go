package openflow

import "net/netip"

// PortNo is an OpenFlow port number: 1..0xffffff00 for real ports, reserved
// ones above (OpenFlow 1.3.5, 7.2.1). Zero is no port and, in a Match, any port.
type PortNo uint32

// Reserved ports (OpenFlow 1.3.5, enum ofp_port_no).
const (
	PortInPort     PortNo = 0xfffffff8
	PortTable      PortNo = 0xfffffff9
	PortController PortNo = 0xfffffffd
	PortLocal      PortNo = 0xfffffffe
	PortAny        PortNo = 0xffffffff
)

// TableID names a flow table, 0..254. As Flow.Goto zero means "no goto", since
// a goto must lead forward and so never to table 0.
type TableID uint8

// MAC is an Ethernet address.
type MAC [6]byte

// EtherTypes that matches use.
const (
	EthTypeIPv4 uint16 = 0x0800
	EthTypeARP  uint16 = 0x0806
	EthTypeIPv6 uint16 = 0x86dd
)

// IP protocol numbers that matches use (IANA).
const (
	ProtoICMP uint8 = 1
	ProtoTCP  uint8 = 6
	ProtoUDP  uint8 = 17
)

// Bits is a value under a mask. The zero Bits matches everything; a full mask
// is an exact match. Bits of Value outside Mask must be zero.
type Bits[T uint8 | uint16 | uint32 | uint64] struct{ Value, Mask T }

// Exact returns a Bits that only v matches.
func Exact[T uint8 | uint16 | uint32 | uint64](v T) Bits[T] { return Bits[T]{v, ^T(0)} }

// Masked returns a Bits that compares only the bits of mask.
func Masked[T uint8 | uint16 | uint32 | uint64](v, mask T) Bits[T] { return Bits[T]{v & mask, mask} }

// Matches reports whether v agrees with b under b's mask.
func (b Bits[T]) Matches(v T) bool { return v&b.Mask == b.Value }

// IPv4 returns the match of one IPv4 address.
func IPv4(a netip.Addr) Bits[uint32] { return Exact(addr32(a)) }

// IPv4Prefix returns the match of an IPv4 prefix.
func IPv4Prefix(p netip.Prefix) Bits[uint32] {
	if p.Bits() == 0 {
		return Bits[uint32]{}
	}
	return Masked(addr32(p.Addr()), ^uint32(0)<<(32-p.Bits()))
}

func addr32(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// OptMAC is an Ethernet address to match, or nothing.
type OptMAC struct {
	Addr MAC
	Set  bool
}

// ExactMAC returns the match of one Ethernet address.
func ExactMAC(m MAC) OptMAC { return OptMAC{m, true} }

// TCP flag bits as tcp_flags matches them (ovs-fields(7)).
const (
	TCPFin uint16 = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
)

// Match says which packets a flow takes. It is comparable, and its zero value
// takes every packet. Fields that need another field (IPSrc needs EthType
// 0x0800, L4Src needs IPProto) are the caller's to set together, as OVS demands
// (ovs-fields(7), "prerequisites").
type Match struct {
	InPort   PortNo       // 0: any
	Metadata Bits[uint64] // OpenFlow metadata
	EthSrc   OptMAC
	EthDst   OptMAC
	EthType  uint16 // 0: any
	NoVLAN   bool   // no 802.1Q header: OXM vlan_vid exactly OFPVID_NONE; text vlan_tci=0x0000/0x1fff
	IPProto  Bits[uint8]
	IPTTL    Bits[uint8] // nw_ttl (NXM_NX_IP_TTL)
	IPSrc    Bits[uint32]
	IPDst    Bits[uint32]
	L4Src    Bits[uint16] // TCP or UDP source port, by IPProto
	L4Dst    Bits[uint16]
	TCPFlags Bits[uint16] // of the low 12 bits
	ICMPType Bits[uint8]
	ICMPCode Bits[uint8]
	ARPOp    Bits[uint16]
	ARPSPA   Bits[uint32]
	ARPTPA   Bits[uint32]
	ARPSHA   OptMAC
	ARPTHA   OptMAC
}
