package scenario

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Describe returns a frame's headers in one line, the same for every Network:
//
//	tcp 10.1.0.5:40000 > 10.1.1.9:5432 syn ttl=63
//	icmp 10.1.0.5 > 10.1.1.9 echo ttl=64
//	icmp 169.254.1.1 > 10.1.0.5 unreachable/13 about udp 10.1.0.5:40000 > 10.1.1.9:53
//	arp 10.1.1.9 is at 02:00:00:00:00:01
func Describe(frame []byte) string {
	h, err := packet.Decode(frame)
	if err != nil {
		return fmt.Sprintf("%d bytes, %v", len(frame), err)
	}
	var s string
	switch {
	case h.EthType == packet.EthTypeARP && h.ARPOp == 1:
		s = fmt.Sprintf("arp who has %s tell %s", h.ARPDst, h.ARPSrc)
	case h.EthType == packet.EthTypeARP:
		s = fmt.Sprintf("arp %s is at %s", h.ARPSrc, macText(h.ARPSrcMAC))
	case h.EthType == packet.EthTypeIPv4:
		s = describeIPv4(&h, frame)
	default:
		s = fmt.Sprintf("ethertype %#04x", h.EthType)
	}
	if h.VLAN != 0 {
		s += fmt.Sprintf(" vlan=%d", h.VLAN&^packet.VLANPresent)
	}
	return s
}

func describeIPv4(h *packet.Headers, frame []byte) string {
	var s string
	switch {
	case h.LaterFragment:
		s = fmt.Sprintf("fragment of proto %d %s > %s", h.Proto, h.Src, h.Dst)
	case h.Proto == packet.TCP:
		s = fmt.Sprintf("tcp %s:%d > %s:%d %s", h.Src, h.SrcPort, h.Dst, h.DstPort, flagText(h.Flags))
	case h.Proto == packet.UDP:
		s = fmt.Sprintf("udp %s:%d > %s:%d", h.Src, h.SrcPort, h.Dst, h.DstPort)
	case h.Proto == packet.ICMP:
		s = fmt.Sprintf("icmp %s > %s %s", h.Src, h.Dst, icmpText(h))
		if h.ICMPType == 3 && h.ICMPCode == packet.CodeFragNeeded {
			s += fmt.Sprintf(" mtu=%d", binary.BigEndian.Uint16(frame[h.L4Offset+6:]))
		}
	default:
		s = fmt.Sprintf("proto %d %s > %s", h.Proto, h.Src, h.Dst)
	}
	if h.Inner == nil {
		s += fmt.Sprintf(" ttl=%d", h.TTL)
	}
	if !packet.ChecksumsValid(frame, h) {
		s += " BAD CHECKSUM"
	}
	return s
}

func flagText(flags uint8) string {
	var names []string
	for _, f := range tcpFlags {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	if names == nil {
		return "no-flags"
	}
	return strings.Join(names, "-")
}

func icmpText(h *packet.Headers) string {
	var s string
	switch h.ICMPType {
	case 0:
		s = "echo-reply"
	case 3:
		return fmt.Sprintf("unreachable/%d%s", h.ICMPCode, innerText(h.Inner))
	case 8:
		s = "echo"
	case 11:
		return "time-exceeded" + innerText(h.Inner)
	default:
		s = fmt.Sprintf("type-%d", h.ICMPType)
	}
	if h.ICMPCode != 0 {
		s += fmt.Sprintf("/%d", h.ICMPCode)
	}
	return s
}

func innerText(in *packet.Inner) string {
	if in == nil {
		return ""
	}
	switch in.Proto {
	case packet.TCP, packet.UDP:
		name := "tcp"
		if in.Proto == packet.UDP {
			name = "udp"
		}
		return fmt.Sprintf(" about %s %s:%d > %s:%d", name, in.Src, in.SrcPort, in.Dst, in.DstPort)
	}
	return fmt.Sprintf(" about proto %d %s > %s", in.Proto, in.Src, in.Dst)
}

func macText(m packet.MAC) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}
