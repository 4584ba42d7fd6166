// Package flows says which flows a session's path needs on which switch. One
// function serves every path: each hop turns the headers of one leg into those
// of the next, and back for replies.
package flows

import (
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// HopFlows is what one switch gets for a lane.
type HopFlows struct {
	Host           *inventory.Host
	Forward, Reply openflow.Flow
	// Guard drops what the host's own processes send from or to the wire port: it
	// would reach the session's endpoint as if its peer had sent it. Lanes that
	// share a wire port share it. Its table is 0 where a hop needs none.
	Guard openflow.Flow
}

// All yields the hop's flows, in the order in which they are to be added.
func (h *HopFlows) All(yield func(*openflow.Flow) bool) {
	if h.Guard.Table != 0 && !yield(&h.Guard) {
		return
	}
	if yield(&h.Reply) {
		yield(&h.Forward)
	}
}

// ForLane returns the flows of a session's lane, hop by hop from the client.
// They depend on the arguments only.
func ForLane(s *session.Session, l *session.Lane) []HopFlows {
	out := make([]HopFlows, len(l.Path.Hops))
	for i, h := range l.Path.Hops {
		in, next := &l.Path.Legs[i], &l.Path.Legs[i+1]
		b := builder{
			proto: s.Key.Proto, ttl: modeOf(s, l), cookie: s.ID,
			in: &in.Far, out: &next.Near, inWire: in.Wire, outWire: next.Wire,
		}
		out[i] = HopFlows{Host: h, Forward: b.forward(), Reply: b.reply(), Guard: b.guard()}
	}
	return out
}

// ttlMode says what a path's hops do to the TTL.
type ttlMode uint8

const (
	ttlKeep    ttlMode = iota // one switch, one subnet: a bridge
	ttlRefresh                // one subnet over two hosts: hide the routers between them
	ttlRoute                  // each hop is a router
)

func modeOf(s *session.Session, l *session.Lane) ttlMode {
	switch {
	case !s.Bridged:
		return ttlRoute
	case len(l.Path.Hops) == 1:
		return ttlKeep
	}
	return ttlRefresh
}

// builder makes the flows of one hop, between the end of a leg where forward
// packets come in and the end of the next where they leave.
type builder struct {
	proto           packet.Proto
	ttl             ttlMode
	cookie          uint64
	in              *session.End
	out             *session.End
	inWire, outWire bool
}

// forward takes what comes in from the client's side.
func (b *builder) forward() openflow.Flow {
	m := b.match(b.in)
	v := &b.in.View
	m.IPSrc, m.IPDst = openflow.IPv4(v.Src), openflow.IPv4(v.Dst)
	if b.proto == packet.ICMP {
		m.ICMPType, m.ICMPCode = openflow.Exact[uint8](8), openflow.Exact(v.Tag)
	} else {
		m.L4Src, m.L4Dst = bits(v.SrcPort), openflow.Exact(v.DstPort)
	}
	return b.flow(pipeline.PrioForward, m, b.forwardActions())
}

// reply takes what comes back from the server's side. A TCP packet that opens
// never is a reply.
func (b *builder) reply() openflow.Flow {
	m := b.match(b.out)
	v := &b.out.View
	m.IPSrc, m.IPDst = openflow.IPv4(v.Dst), openflow.IPv4(v.Src)
	if b.proto == packet.TCP {
		m.Metadata = openflow.Masked(0, m.Metadata.Mask|pipeline.MetaOpener)
	}
	if b.proto == packet.ICMP {
		m.ICMPType, m.ICMPCode = openflow.Exact[uint8](0), openflow.Exact(v.Tag)
	} else {
		m.L4Src, m.L4Dst = openflow.Exact(v.DstPort), bits(v.SrcPort)
	}
	return b.flow(pipeline.PrioReply, m, b.replyActions())
}

// match is what both directions have in common. A router leaves packets whose
// TTL ends here to TableMiss.
func (b *builder) match(at *session.End) openflow.Match {
	m := openflow.Match{
		InPort: openflow.PortNo(at.Port), EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(uint8(b.proto)),
	}
	if b.ttl == ttlRoute {
		m.Metadata = openflow.Masked(0, pipeline.MetaTTL)
	}
	return m
}

func (b *builder) flow(prio uint16, m openflow.Match, as openflow.Actions) openflow.Flow {
	return openflow.Flow{Table: pipeline.TableSession, Priority: prio, Cookie: b.cookie, Match: m, Actions: as}
}

// guard takes what the host's own processes send into a wire leg: of the
// client's host towards the wire port, of the server's host from it.
func (b *builder) guard() openflow.Flow {
	if b.proto == packet.ICMP || b.inWire == b.outWire {
		return openflow.Flow{} // echo requests with a code need a raw socket
	}
	m := openflow.Match{InPort: openflow.PortLocal, EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(uint8(b.proto))}
	if b.outWire {
		v := &b.out.View
		m.IPDst, m.L4Dst = openflow.IPv4(v.Dst), openflow.Exact(v.DstPort)
	} else {
		v := &b.in.View
		m.IPDst, m.L4Src = openflow.IPv4(v.Src), openflow.Exact(v.DstPort)
	}
	return b.flow(pipeline.PrioGuard, m, openflow.Actions{})
}

func (b *builder) forwardActions() openflow.Actions {
	a := actions{proto: b.proto}
	is, becomes := &b.in.View, &b.out.View
	a.before(b.ttl, b.outWire)
	a.ethernet(b.out, b.outWire)
	a.addresses(is.Src, is.Dst, becomes.Src, becomes.Dst)
	if b.proto == packet.ICMP {
		a.tag(is.Tag, becomes.Tag)
	} else {
		a.clientPort(srcPort, is.SrcPort, becomes.SrcPort)
		a.port(dstPort, is.DstPort, becomes.DstPort)
	}
	a.after(b.ttl, b.outWire)
	a.leave(b.out, b.outWire)
	return a.list
}

func (b *builder) replyActions() openflow.Actions {
	a := actions{proto: b.proto}
	is, becomes := &b.out.View, &b.in.View
	a.before(b.ttl, b.inWire)
	a.ethernet(b.in, b.inWire)
	a.addresses(is.Dst, is.Src, becomes.Dst, becomes.Src)
	if b.proto == packet.ICMP {
		a.tag(is.Tag, becomes.Tag)
	} else {
		a.port(srcPort, is.DstPort, becomes.DstPort)
		a.clientPort(dstPort, is.SrcPort, becomes.SrcPort)
	}
	a.after(b.ttl, b.inWire)
	a.leave(b.in, b.inWire)
	return a.list
}

func bits(s session.PortSet) openflow.Bits[uint16] { return openflow.Masked(s.Value, s.Mask) }
