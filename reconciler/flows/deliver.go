package flows

import (
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// lowTTL is what packets have less of that may be sent to find out where they
// die: every stack sends others with more.
const lowTTL = 32

// Deliver returns the switch and the PacketOut that bring a lifted packet to the end
// of its lane's path. What an endpoint's port lifted is put out at the last switch,
// behind that switch's flows on the same connection: put out at the first it
// would often overtake them. What an uplink lifted meets the flow that it missed.
// A packet that may not live to see its end goes the whole way, so that routers
// and hosts on it can tell; one that overtakes the flows there is lifted again.
func Deliver(d *session.Delivery, path *session.Path) (dpid uint64, out openflow.PacketOut) {
	s, l := d.Session, d.Lane
	if d.WireHop >= 0 {
		hop := ForLane(s, l)[d.WireHop]
		f := &hop.Forward
		if d.Direction == session.Reply {
			f = &hop.Reply
		}
		return hop.Host.DPID, openflow.PacketOut{
			InPort: openflow.PortNo(d.Packet.InPort), Actions: f.Actions, Frame: d.Packet.Frame,
		}
	}
	if s.CrossHost() && modeOf(s) == ttlRoute && d.Packet.Headers.TTL < lowTTL {
		hops := ForLane(s, l)
		hop, f := &hops[0], &hops[0].Forward
		if d.Direction == session.Reply {
			hop = &hops[len(hops)-1]
			f = &hop.Reply
		}
		return hop.Host.DPID, openflow.PacketOut{
			InPort: openflow.PortNo(d.Packet.InPort), Actions: f.Actions, Frame: d.Packet.Frame,
		}
	}
	legs := path.Legs()
	last, to := s.Server.Host, &legs[len(legs)-1].Near
	if d.Direction == session.Reply {
		last, to = s.Client.Host, &legs[0].Far
	}
	var list openflow.Actions
	a := actions{proto: s.Proto, list: &list}
	switch modeOf(s) {
	case ttlRefresh:
		a.add(openflow.SetTTL(64))
	case ttlRoute:
		for range s.HopCount() {
			a.add(openflow.DecTTL())
		}
	}
	a.ethernet(to, false)
	a.add(openflow.Output(openflow.PortNo(to.Port)))
	return last.DPID, openflow.PacketOut{
		InPort: openflow.PortController, Actions: list, Frame: d.Packet.Frame,
	}
}

// Drop returns the flow that stands for a denial for DenyTimeout seconds, one of all
// ports for ScanTimeout. It lies below the session flows, so that it cannot cut what
// they carry; of TCP it takes only what opens, since other segments may be of a
// session that the switch lost.
func Drop(d *session.Drop, cookie uint64) openflow.Flow {
	h := &d.Request.Headers
	m := openflow.Match{
		InPort: openflow.PortNo(d.Request.InPort), EthType: openflow.EthTypeIPv4,
		IPProto: openflow.Exact(uint8(h.Proto)), IPSrc: openflow.IPv4(h.Src), IPDst: openflow.IPv4(h.Dst),
	}
	switch h.Proto {
	case packet.TCP:
		m.Metadata = openflow.Masked(pipeline.MetaOpener, pipeline.MetaOpener)
		m.L4Dst = openflow.Exact(h.DstPort)
	case packet.ICMP:
		m.ICMPType = openflow.Exact(h.ICMPType)
	default:
		m.L4Dst = openflow.Exact(h.DstPort)
	}
	timeout := pipeline.DenyTimeout
	if d.AllPorts {
		m.L4Dst, timeout = openflow.Bits[uint16]{}, pipeline.ScanTimeout
	}
	return openflow.Flow{
		Table: pipeline.TableSession, Priority: pipeline.PrioDeny, Cookie: cookie,
		HardTimeout: timeout, Match: m,
	}
}
