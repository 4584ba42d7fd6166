package flows

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// Claim reads what a flow on the switch dpid says of the session that it was made
// for, if it is a forward flow at a client's port: that one says all. The answer
// is no more than a claim: who adopts it compares it with what is known, has it
// judged, and makes the switches hold what ForLane says. What comes in by the
// uplink says the client's host: see Origin.
func Claim(dpid uint64, uplink openflow.PortNo, f *openflow.FlowStats) (session.Claim, bool) {
	m := &f.Match
	if !f.Whole || f.Table != pipeline.TableSession || f.Priority != pipeline.PrioForward || m.InPort == uplink ||
		!exact32(m.IPSrc) || !exact32(m.IPDst) || m.IPProto.Mask != 0xff {
		return session.Claim{}, false
	}
	c := session.Claim{
		Cookie: f.Cookie, DPID: dpid, ClientPort: uint32(m.InPort),
		Client: openflow.AddrFrom32(m.IPSrc.Value), Server: openflow.AddrFrom32(m.IPDst.Value),
		Proto: packet.Proto(m.IPProto.Value), Count: session.Count{Packets: f.Packets, Bytes: f.Bytes},
		Age: time.Duration(f.DurationSec) * time.Second,
	}
	switch c.Proto {
	case packet.ICMP:
		c.Port = uint16(m.ICMPType.Value)
	case packet.TCP, packet.UDP:
		if m.L4Dst.Mask != 0xffff {
			return session.Claim{}, false
		}
		c.Set, c.Port = session.PortSet{Value: m.L4Src.Value, Mask: m.L4Src.Mask}, m.L4Dst.Value
		c.Label = c.Port // unless an action says another
	default:
		return session.Claim{}, false
	}
	readActions(&c, f)
	return c, true
}

// readActions notes where a forward flow sends to.
func readActions(c *session.Claim, f *openflow.FlowStats) {
	wire := false
	for _, a := range f.Actions {
		switch {
		case a.Kind == openflow.ActionGroup:
			wire = true
		case a.Kind == openflow.ActionOutput:
			c.ServerPort = uint32(a.Port())
		case a.Kind != openflow.ActionSetField:
		case a.Field == openflow.FieldIPDst:
			c.ServerHost = openflow.AddrFrom32(uint32(a.Value))
		case a.Field == openflow.FieldTCPDst, a.Field == openflow.FieldUDPDst, a.Field == openflow.FieldICMPCode:
			c.Label = uint16(a.Value)
		}
	}
	if !wire {
		c.ServerHost, c.Label = netip.Addr{}, 0
	}
}

// Origin returns the underlay address of the client's host that a flow of a
// session at the server's switch names, if it is the one that takes packets from
// the wire there.
func Origin(uplink openflow.PortNo, f *openflow.FlowStats) (netip.Addr, bool) {
	m := &f.Match
	if f.Table != pipeline.TableSession || f.Priority != pipeline.PrioForward || m.InPort != uplink || !exact32(m.IPSrc) {
		return netip.Addr{}, false
	}
	return openflow.AddrFrom32(m.IPSrc.Value), true
}

// Remnant reads what a flow says of its session, if it takes packets from the wire.
func Remnant(uplink openflow.PortNo, f *openflow.FlowStats) (session.Remnant, bool) {
	m := &f.Match
	if f.Table != pipeline.TableSession || m.InPort != uplink || !exact32(m.IPSrc) || !exact32(m.IPDst) || m.IPProto.Mask != 0xff {
		return session.Remnant{}, false
	}
	src, dst := openflow.AddrFrom32(m.IPSrc.Value), openflow.AddrFrom32(m.IPDst.Value)
	w, port := session.Remnant{Client: src, Server: dst, Proto: packet.Proto(m.IPProto.Value)}, m.L4Dst
	switch f.Priority {
	case pipeline.PrioForward:
	case pipeline.PrioReply:
		w.Client, w.Server, port = dst, src, m.L4Src
	default:
		return session.Remnant{}, false
	}
	if w.Label = port.Value; w.Proto == packet.ICMP {
		w.Label = uint16(m.ICMPCode.Value)
		readOwner(&w, f)
		return w, m.ICMPCode.Mask == 0xff
	}
	readOwner(&w, f)
	return w, port.Mask == 0xffff
}

// readOwner notes what the flow gives packets back of what they had before the wire.
func readOwner(w *session.Remnant, f *openflow.FlowStats) {
	w.Reply, w.Port = f.Priority == pipeline.PrioReply, w.Label // unless an action says another
	if w.Proto == packet.ICMP {
		w.Port = uint16(f.Match.ICMPType.Value)
		if w.Reply {
			w.Port = admission.EchoRequest
		}
	}
	for _, a := range f.Actions {
		switch {
		case a.Kind == openflow.ActionOutput:
			w.Out = uint32(a.Port())
		case a.Kind == openflow.ActionLoad:
			w.Low = a.Value == 0
		case a.Kind != openflow.ActionSetField:
		case a.Field == openflow.FieldIPSrc:
			w.From = openflow.AddrFrom32(uint32(a.Value))
		case a.Field == openflow.FieldIPDst:
			w.To = openflow.AddrFrom32(uint32(a.Value))
		case !w.Reply && (a.Field == openflow.FieldTCPDst || a.Field == openflow.FieldUDPDst),
			w.Reply && (a.Field == openflow.FieldTCPSrc || a.Field == openflow.FieldUDPSrc):
			w.Port = uint16(a.Value)
		}
	}
}

func exact32(b openflow.Bits[uint32]) bool { return b.Mask == ^uint32(0) }
