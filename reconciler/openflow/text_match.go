package openflow

import (
	"math/bits"
	"strconv"
)

// match appends the fields of m. The protocol's keyword comes first, since it is
// the prerequisite of what follows.
func (l *textList) match(m *Match) {
	l.protocol(m)
	if m.InPort != 0 {
		l.text("in_port=")
		l.b = appendPort(l.b, m.InPort)
	}
	if m.NoVLAN {
		l.text("vlan_tci=0x0000/0x1fff")
	}
	l.mac("eth_src=", m.EthSrc)
	l.mac("eth_dst=", m.EthDst)
	field(l, "nw_ttl=", m.IPTTL)
	l.ipv4("ip_src=", m.IPSrc)
	l.ipv4("ip_dst=", m.IPDst)
	if m.isUDP() {
		field(l, "udp_src=", m.L4Src)
		field(l, "udp_dst=", m.L4Dst)
	} else {
		field(l, "tcp_src=", m.L4Src)
		field(l, "tcp_dst=", m.L4Dst)
	}
	l.tcpFlags(m.TCPFlags)
	field(l, "icmp_type=", m.ICMPType)
	field(l, "icmp_code=", m.ICMPCode)
	field(l, "arp_op=", m.ARPOp)
	l.ipv4("arp_spa=", m.ARPSPA)
	l.ipv4("arp_tpa=", m.ARPTPA)
	l.mac("arp_sha=", m.ARPSHA)
	l.mac("arp_tha=", m.ARPTHA)
	field(l, "metadata=", m.Metadata)
}

func (m *Match) isUDP() bool { return m.IPProto == Exact(ProtoUDP) }

func (l *textList) protocol(m *Match) {
	switch m.EthType {
	case 0:
	case EthTypeARP:
		l.text("arp")
	case EthTypeIPv6:
		l.text("ipv6")
	case EthTypeIPv4:
		switch m.IPProto {
		case Exact(ProtoICMP):
			l.text("icmp")
			return
		case Exact(ProtoTCP):
			l.text("tcp")
			return
		case Exact(ProtoUDP):
			l.text("udp")
			return
		}
		l.text("ip")
	default:
		l.hex("eth_type=", uint64(m.EthType))
	}
	field(l, "ip_proto=", m.IPProto)
}

// field appends a number: alone in decimal when it is exact, else with its mask.
func field[T uint8 | uint16 | uint32 | uint64](l *textList, name string, f Bits[T]) {
	switch f.Mask {
	case 0:
	case ^T(0):
		l.number(name, uint64(f.Value))
	default:
		l.text(name)
		l.bits(uint64(f.Value), uint64(f.Mask))
	}
}

func (l *textList) mac(name string, m OptMAC) {
	if m.Set {
		l.text(name)
		l.b = appendMAC(l.b, m.Addr)
	}
}

func (l *textList) ipv4(name string, f Bits[uint32]) {
	if f.Mask == 0 {
		return
	}
	l.text(name)
	l.b = appendIPv4(l.b, f.Value)
	n := bits.LeadingZeros32(^f.Mask)
	switch {
	case n == 32:
	case f.Mask<<n == 0:
		l.b = strconv.AppendUint(append(l.b, '/'), uint64(n), 10)
	default:
		l.b = appendIPv4(append(l.b, '/'), f.Mask)
	}
}

// tcpFlagNames are the flags from bit 0 on (ovs-fields(7), tcp_flags).
var tcpFlagNames = [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"}

// tcpFlagBits are the bits of tcp_flags that exist: the field has 12 of 16.
const tcpFlagBits uint16 = 0x0fff

// tcpFlags appends flags as +set-clear.
func (l *textList) tcpFlags(f Bits[uint16]) {
	switch mask := f.Mask & tcpFlagBits; {
	case mask == 0:
		return
	case mask == tcpFlagBits:
		l.hex("tcp_flags=", uint64(f.Value))
		return
	case mask>>len(tcpFlagNames) != 0:
		l.hex("tcp_flags=", uint64(f.Value&mask))
		l.b = appendHex(append(l.b, '/'), uint64(mask))
		return
	}
	l.text("tcp_flags=")
	for i, name := range tcpFlagNames {
		switch bit := uint16(1) << i; {
		case f.Mask&bit == 0:
			continue
		case f.Value&bit != 0:
			l.b = append(l.b, '+')
		default:
			l.b = append(l.b, '-')
		}
		l.b = append(l.b, name...)
	}
}
