// Package flows says which flows a session's path needs on which switch. One
// function serves every path: each hop turns the headers of one leg into those
// of the next, and back for replies.
package flows

import (
	"slices"

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
	path := s.Path(l)
	out := make([]HopFlows, s.HopCount())
	for i, h := range s.Hops {
		b := builderOf(s, l, &path, i)
		hf := &out[i]
		hf.Host = h
		b.forward(&hf.Forward)
		b.reply(&hf.Reply)
		b.guard(&hf.Guard)
	}
	return out
}

// MaxFlows is how many flows a hop has at most.
const MaxFlows = 3

// AppendAdds appends to list the FlowMods that add the flows of hop i of a lane with
// its path, in the order of All. It is ForLane for whoever only wants to send them,
// at half the cost.
func AppendAdds(list []openflow.FlowMod, s *session.Session, l *session.Lane, path *session.Path, i int) []openflow.FlowMod {
	b := builderOf(s, l, path, i)
	n := len(list)
	list = slices.Grow(list, MaxFlows)[:n+MaxFlows]
	add := list[n:]
	clear(add) // FlowAdd is the zero command
	if b.guarded() {
		b.guard(&add[0].Flow)
		add = add[1:]
	} else {
		list = list[:n+MaxFlows-1]
	}
	b.reply(&add[0].Flow)
	b.forward(&add[1].Flow)
	return list
}

func builderOf(s *session.Session, l *session.Lane, path *session.Path, i int) builder {
	in, next := &path.Legs()[i], &path.Legs()[i+1]
	return builder{
		single: s.Proto == packet.TCP && l.Set.Mask == 0xffff,
		proto:  s.Proto, ttl: modeOf(s), cookie: s.ID,
		in: &in.Far, out: &next.Near, inWire: in.Wire, outWire: next.Wire,
	}
}

// ttlMode says what a path's hops do to the TTL.
type ttlMode uint8

const (
	ttlKeep    ttlMode = iota // one switch, one subnet: a bridge
	ttlRefresh                // one subnet over two hosts: hide the routers between them
	ttlRoute                  // each hop is a router
)

func modeOf(s *session.Session) ttlMode {
	switch {
	case !s.Bridged:
		return ttlRoute
	case !s.CrossHost():
		return ttlKeep
	}
	return ttlRefresh
}

// builder makes the flows of one hop, between the end of a leg where forward
// packets come in and the end of the next where they leave.
type builder struct {
	proto           packet.Proto
	single          bool // one TCP connection, whose end is the flows' end
	ttl             ttlMode
	cookie          uint64
	in              *session.End
	out             *session.End
	inWire, outWire bool
}

// forward takes what comes in from the client's side.
func (b *builder) forward(f *openflow.Flow) {
	b.start(f, pipeline.PrioForward, b.in)
	m, v := &f.Match, &b.in.View
	m.IPSrc, m.IPDst = openflow.IPv4(v.Src), openflow.IPv4(v.Dst)
	if b.proto == packet.ICMP {
		m.ICMPType, m.ICMPCode = openflow.Exact[uint8](8), openflow.Exact(v.Tag)
	} else {
		m.L4Src, m.L4Dst = bits(v.SrcPort), openflow.Exact(v.DstPort)
	}
	b.forwardActions(&f.Actions)
}

// reply takes what comes back from the server's side. A TCP packet that opens
// never is a reply.
func (b *builder) reply(f *openflow.Flow) {
	b.start(f, pipeline.PrioReply, b.out)
	m, v := &f.Match, &b.out.View
	m.IPSrc, m.IPDst = openflow.IPv4(v.Dst), openflow.IPv4(v.Src)
	if b.proto == packet.TCP {
		m.Metadata = openflow.Masked(0, m.Metadata.Mask|pipeline.MetaOpener)
	}
	if b.proto == packet.ICMP {
		m.ICMPType, m.ICMPCode = openflow.Exact[uint8](0), openflow.Exact(v.Tag)
	} else {
		m.L4Src, m.L4Dst = openflow.Exact(v.DstPort), bits(v.SrcPort)
	}
	b.replyActions(&f.Actions)
}

// start writes what both directions have in common. A router leaves packets whose
// TTL ends here to TableMiss.
func (b *builder) start(f *openflow.Flow, prio uint16, at *session.End) {
	f.Table, f.Priority, f.Cookie = pipeline.TableSession, prio, b.cookie
	f.Match.InPort, f.Match.EthType = openflow.PortNo(at.Port), openflow.EthTypeIPv4
	f.Match.IPProto = openflow.Exact(uint8(b.proto))
	if b.ttl == ttlRoute {
		f.Match.Metadata = openflow.Masked(0, pipeline.MetaTTL)
	}
}

// guarded reports whether one side of the hop is a wire leg with a port that the
// host's own processes could use; echo requests with a code need a raw socket.
func (b *builder) guarded() bool { return b.proto != packet.ICMP && b.inWire != b.outWire }

// guard takes what the host's own processes send into a wire leg: of the
// client's host towards the wire port, of the server's host from it.
func (b *builder) guard(f *openflow.Flow) {
	if !b.guarded() {
		return
	}
	f.Table, f.Priority, f.Cookie = pipeline.TableSession, pipeline.PrioGuard, b.cookie
	m := &f.Match
	m.InPort, m.EthType, m.IPProto = openflow.PortLocal, openflow.EthTypeIPv4, openflow.Exact(uint8(b.proto))
	if b.outWire {
		v := &b.out.View
		m.IPDst, m.L4Dst = openflow.IPv4(v.Dst), openflow.Exact(v.DstPort)
	} else {
		v := &b.in.View
		m.IPDst, m.L4Src = openflow.IPv4(v.Src), openflow.Exact(v.DstPort)
	}
}

func (b *builder) forwardActions(list *openflow.Actions) {
	a := actions{proto: b.proto, list: list}
	is, becomes := &b.in.View, &b.out.View
	a.ends(b.single)
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
}

func (b *builder) replyActions(list *openflow.Actions) {
	a := actions{proto: b.proto, list: list}
	is, becomes := &b.out.View, &b.in.View
	a.ends(b.single)
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
}

func bits(s session.PortSet) openflow.Bits[uint16] { return openflow.Masked(s.Value, s.Mask) }
