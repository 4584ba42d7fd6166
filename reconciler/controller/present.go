package controller

import (
	"fmt"
	"net"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// How things are shown: in the API and in the log alike.

func endpointName(e *inventory.Endpoint) string { return string(e.VPC) + "/" + e.Name }

func protoName(p packet.Proto) string {
	switch p {
	case packet.TCP, packet.UDP, packet.ICMP, packet.SCTP:
		return p.String()
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

func portName(p packet.Proto, port uint16) string { return fmt.Sprintf("%s/%d", protoName(p), port) }

func macText(m packet.MAC) string {
	if m == (packet.MAC{}) {
		return ""
	}
	return net.HardwareAddr(m[:]).String()
}

func endOf(e *inventory.Endpoint) api.End {
	return api.End{Name: endpointName(e), IP: e.IP.String(), Host: e.Host.Name}
}

func decisionOf(d policy.Decision) api.Decision {
	out := api.Decision{Verdict: d.Verdict.String(), Reason: string(d.Reason), Rule: d.Rule, Revision: d.Revision}
	if d.At.File != "" {
		out.At = d.At.String()
	}
	return out
}

// session shows a live session.
func (c *Controller) session(s *session.Session) api.Session {
	out := api.Session{
		ID: fmt.Sprintf("%#x", s.ID), From: endOf(s.Client), To: endOf(s.Server),
		Proto: protoName(s.Proto), Port: int(s.Port), Decision: decisionOf(*s.Decision), Opened: s.Opened,
		Adopted: !s.Adopted.IsZero(), WirePorts: []int{},
	}
	for _, h := range s.Hops {
		out.Hosts = append(out.Hosts, h.Name)
	}
	high, low := s.WirePorts()
	for _, w := range []uint16{high, low} {
		if w != 0 {
			out.WirePorts = append(out.WirePorts, int(w))
		}
	}
	for _, l := range s.Lanes {
		out.Forward.Packets += l.Forward.Packets
		out.Forward.Bytes += l.Forward.Bytes
		out.Reply.Packets += l.Reply.Packets
		out.Reply.Bytes += l.Reply.Bytes
	}
	out.IdleSeconds = time.Since(s.Busy()).Seconds()
	return out
}

// legsOf shows the legs of a session's first lane.
func legsOf(s *session.Session) []api.Leg {
	l := s.Lanes[0]
	names := []string{endpointName(s.Client)}
	for _, h := range s.Hops {
		names = append(names, h.Name)
	}
	names = append(names, endpointName(s.Server))
	path := s.Path(l)
	out := make([]api.Leg, s.HopCount()+1)
	for i, leg := range path.Legs() {
		v := leg.Near.View
		out[i] = api.Leg{From: names[i], To: names[i+1], Source: v.Src.String(), Destination: v.Dst.String()}
		if s.Proto == packet.ICMP {
			out[i].Destination += fmt.Sprintf(" code %d", v.Tag)
			continue
		}
		out[i].Source += ":" + portRange(v.SrcPort)
		out[i].Destination += fmt.Sprintf(":%d", v.DstPort)
	}
	return out
}

func portRange(s session.PortSet) string {
	last := s.Value | ^s.Mask
	if s.Value == last {
		return fmt.Sprint(s.Value)
	}
	return fmt.Sprintf("%d-%d", s.Value, last)
}
