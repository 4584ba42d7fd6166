package simulate

import (
	"fmt"
	"strings"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/session"
)

const portLocal = openflow.PortLocal

func sessionText(s *session.Session) string {
	return fmt.Sprintf("%#x %s/%s %s > %s/%s %s %s/%d", s.ID, s.Client.VPC, s.Client.Name, s.Client.IP, s.Server.VPC, s.Server.Name, s.Server.IP, s.Proto.String(), s.Port)
}

func frameText(frame []byte) string {
	h, err := packet.Decode(frame)
	if err != nil {
		return fmt.Sprintf("%x", frame)
	}
	return headersText(&h)
}

func headersText(h *packet.Headers) string {
	switch {
	case h.EthType != packet.EthTypeIPv4:
		return fmt.Sprintf("EtherType %#x", h.EthType)
	case h.Proto == packet.ICMP:
		return fmt.Sprintf("icmp %s > %s type %d code %d ttl %d", h.Src, h.Dst, h.ICMPType, h.ICMPCode, h.TTL)
	}
	return fmt.Sprintf("%s %s:%d > %s:%d %s ttl %d", h.Proto.String(), h.Src, h.SrcPort, h.Dst, h.DstPort, flagsText(h.Flags), h.TTL)
}

func (s *sent) text() string {
	return fmt.Sprintf("%s %s:%d > %s:%d %s type %d", s.proto.String(), s.src, s.sp, s.dst, s.dp, flagsText(s.flags), s.icmpType)
}

func flagsText(f uint8) string {
	var out []string
	for i, name := range []string{"FIN", "SYN", "RST", "PSH", "ACK"} {
		if f&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, "+")
}

func batchText(b *openflow.Batch) string {
	var parts []string
	for i := range b.Meters {
		parts = append(parts, "meter "+b.Meters[i].String())
	}
	for i := range b.Groups {
		parts = append(parts, "group "+b.Groups[i].String())
	}
	for i := range b.Flows {
		parts = append(parts, b.Flows[i].String())
	}
	for i := range b.Packets {
		parts = append(parts, "packet "+frameText(b.Packets[i].Frame)+" "+b.Packets[i].String())
	}
	if b.Token != 0 {
		parts = append(parts, fmt.Sprintf("barrier %d", b.Token))
	}
	if len(parts) > 40 {
		parts = append(parts[:40], fmt.Sprintf("and %d more", len(parts)-40))
	}
	return "\n\t" + strings.Join(parts, "\n\t")
}
