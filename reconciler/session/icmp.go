package session

import (
	"slices"

	"net/netip"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// wireHead is what tells a session on a wire leg: of a packet, or of one that an
// ICMP error quotes. TCP's sequence number is no part of it: whether an error is
// about something that was really sent is for the endpoint's stack to say, which
// gets the number as it was quoted (RFC 5927, 4.1).
type wireHead struct {
	src, dst         netip.Addr
	proto            packet.Proto
	srcPort, dstPort uint16
	icmpType, tag    uint8
}

func headOf(h *packet.Headers) wireHead {
	return wireHead{h.Src, h.Dst, h.Proto, h.SrcPort, h.DstPort, h.ICMPType, h.ICMPCode}
}

func headOfInner(in *packet.Inner) wireHead {
	return wireHead{in.Src, in.Dst, in.Proto, in.SrcPort, in.DstPort, in.ICMPType, in.ICMPCode}
}

// onWire is a packet of a lane on its wire leg.
type onWire struct {
	session    *Session
	lane       *Lane
	dir        Direction
	clientPort uint16 // as the wire has it
}

// laneOnWire returns the lane whose wire leg has just these headers.
func (t *Table) laneOnWire(w wireHead) (onWire, bool) {
	fwd, rep := pairOf(w.src, w.dst, w.proto), pairOf(w.dst, w.src, w.proto)
	switch w.proto {
	case packet.TCP, packet.UDP:
		if o, found := t.labelled(fwd, Forward, w.dstPort, w.srcPort); found {
			return o, true
		}
		return t.labelled(rep, Reply, w.srcPort, w.dstPort)
	case packet.ICMP:
		switch w.icmpType {
		case echo:
			return t.labelled(fwd, Forward, uint16(w.tag), 0)
		case echoReply:
			return t.labelled(rep, Reply, uint16(w.tag), 0)
		}
	}
	return onWire{}, false
}

// ICMP types that sessions carry (RFC 792).
const (
	echo      = 8
	echoReply = 0
)

func (t *Table) labelled(p pair, dir Direction, label, clientPort uint16) (onWire, bool) {
	s := t.labels.find(p, wireLabel(label))
	if s == nil {
		return onWire{}, false
	}
	l := s.laneOnWire(wireLabel(label), clientPort)
	if l == nil || !s.CrossHost() || s.pair() != p || (p.proto != packet.ICMP && l.label != wireLabel(label)) {
		return onWire{}, false
	}
	return onWire{s, l, dir, clientPort}, true
}

// sender returns the endpoint that sent the packet, and the packet's headers as
// it sent them.
func (o *onWire) sender() (*inventory.Endpoint, packet.Inner) {
	s := o.session
	in := packet.Inner{Src: s.Client.IP, Dst: s.Server.IP, Proto: s.Proto}
	if s.Proto == packet.ICMP {
		in.ICMPType = echo
	} else {
		top := o.lane.Set.Mask & 0x8000 // the bit that the wire leg changes
		in.SrcPort, in.DstPort = o.clientPort&^top|o.lane.Set.Value&top, s.Port
	}
	if o.dir == Forward {
		return s.Client, in
	}
	in.Src, in.Dst, in.SrcPort, in.DstPort = in.Dst, in.Src, in.DstPort, in.SrcPort
	if s.Proto == packet.ICMP {
		in.ICMPType = echoReply
	}
	return s.Server, in
}

// diesHere reports whether a packet between two endpoints has come to the end of
// its TTL. Within a subnet nobody sees the hosts.
func diesHere(bridged bool, h *packet.Headers) bool { return !bridged && h.TTL <= 1 }

// expired answers those of the packets that a decision lets through which come to
// the end of their TTL at their sender's host, and returns the others: a packet
// that goes nowhere opens no session.
func expired(r *admission.Result, packets []*Packet) (out []Effect, others []*Packet) {
	from := r.Client
	if r.Reverse {
		from = r.Server
	}
	same := bridged(r.Client, r.Server)
	if !slices.ContainsFunc(packets, func(p *Packet) bool { return diesHere(same, &p.Headers) }) {
		return nil, packets
	}
	for _, p := range packets {
		if diesHere(same, &p.Headers) {
			out = append(out, TimeExceeded{Packet: p, To: from})
		} else {
			others = append(others, p)
		}
	}
	return out, others
}

// expired answers a wire packet whose TTL ends at the host that it came to.
func (o *onWire) expired(p *Packet) Effect {
	to, sent := o.sender()
	return TimeExceeded{Packet: p, To: to, Sent: &sent}
}

// peerError passes on what an endpoint's stack says of a packet that it got in a
// session which lives: that no socket has the port, say. It belongs to the
// session, so no rule is asked for it. found is false for any other packet.
func (t *Table) peerError(src *inventory.Endpoint, p *Packet) (ef Effect, found bool) {
	h, in := &p.Headers, p.Headers.Inner
	if !h.IsICMPError() || h.EthSrc != src.MAC || h.VLAN != 0 || h.Src != src.IP {
		return nil, false
	}
	if in == nil || h.Fragment || in.Dst != src.IP || in.Src != h.Dst {
		return nil, false
	}
	to := t.snap.EndpointSeen(src, h.Dst)
	if to == nil || !t.carries(to, src, in) {
		return nil, false
	}
	return PeerError{Packet: p, To: to, Sent: *in}, true
}

// carries reports whether a live session takes the packet from one endpoint to
// another.
func (t *Table) carries(from, to *inventory.Endpoint, in *packet.Inner) bool {
	has := func(client, server *inventory.Endpoint, serverPort, clientPort uint16) bool {
		s := t.between(client, server, in.Proto, serverPort)
		return s != nil && s.LaneOf(clientPort) != nil
	}
	switch in.Proto {
	case packet.TCP, packet.UDP:
		return has(from, to, in.DstPort, in.SrcPort) || has(to, from, in.SrcPort, in.DstPort)
	case packet.ICMP:
		return in.ICMPType == echo && in.ICMPCode == 0 && has(from, to, echo, 0)
	}
	return false
}

// underlayError passes on what the underlay says of a wire packet that this host
// sent: to the endpoint whose packet it was, if its session lives. An error may
// come from any address, since any router may send one; so what it quotes must
// be of one lane exactly.
func (t *Table) underlayError(host *inventory.Host, p *Packet) Effect {
	h, own := &p.Headers, host.Uplink.Addr.Addr()
	if h.Inner == nil || h.Fragment || h.Dst != own || h.Inner.Src != own {
		return Ignored{p, IgnoreICMPUnknown}
	}
	o, found := t.laneOnWire(headOfInner(h.Inner))
	if !found {
		return Ignored{p, IgnoreICMPUnknown}
	}
	to, sent := o.sender()
	if to.Host.DPID != p.DPID {
		return Ignored{p, IgnoreICMPUnknown}
	}
	return UnderlayError{Packet: p, To: to, Sent: sent}
}
