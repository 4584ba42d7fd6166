package engine

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// adminProhibited is the code of an ICMP unreachable that a firewall sends
// (RFC 1812, 5.2.7.1).
const adminProhibited uint8 = 13

// perform turns one effect of the session table into batches and records.
func (e *Engine) perform(now time.Time, ef session.Effect) []Effect {
	switch ef := ef.(type) {
	case session.Decide:
		return []Effect{Decide{ef}}
	case session.Install:
		return e.install(ef)
	case session.Deliver:
		e.outcomes.add(OutcomeContinue)
		path := ef.Session.Path(ef.Lane)
		dpid, out := flows.Deliver(&ef.Delivery, &path)
		return e.send(&openflow.Batch{DPID: dpid, Packets: []openflow.PacketOut{out}})
	case session.Remove:
		return e.remove(now, ef)
	case session.Redraw:
		return e.redraw(now, ef)
	case session.RemoveLane:
		return e.removeLane(ef)
	case session.InstallDrop:
		f := flows.Drop(ef.Drop, e.cookie(pipeline.CategoryDeny, ef.Drop.ID))
		return e.send(&openflow.Batch{DPID: ef.Drop.Request.DPID, Flows: []openflow.FlowMod{openflow.Add(f)}})
	case session.RemoveDrop:
		c := e.cookie(pipeline.CategoryDeny, ef.Drop.ID)
		return e.send(&openflow.Batch{DPID: ef.Drop.Request.DPID, Flows: []openflow.FlowMod{openflow.DeleteByCookie(c, ^uint64(0))}})
	case session.Denied:
		return e.denied(ef)
	case session.TimeExceeded:
		return e.timeExceeded(ef)
	case session.UnderlayError:
		return e.underlayError(ef)
	case session.PeerError:
		return e.peerError(ef)
	case session.Ignored:
		e.outcomes.add(Outcome(ef.Why))
	}
	return nil
}

// install puts a lane on its hops, the client's first: the server answers only
// after it got the packet, which leaves with the last batch, so answers find
// their flows; nothing waits for a barrier.
func (e *Engine) install(ef session.Install) []Effect {
	bs := batches(e.room[:0])
	path := ef.Session.Path(ef.Lane)
	for i, h := range ef.Session.Hops {
		b := e.spare.take(h.DPID)
		b.Flows = flows.AppendAdds(b.Flows, ef.Session, ef.Lane, &path, i)
		bs = append(bs, b)
	}
	dpid, out := flows.Deliver(&ef.Delivery, &path)
	b := bs.at(dpid)
	b.Packets = append(b.Packets, out)
	e.outcomes.add(OutcomeAllow)
	e.reasons.add(ef.Session.Decision.Reason)
	sends := e.sendAll(bs)
	clear(e.room[:])
	return append(sends, SessionOpened{ef.Session})
}

// removeLane deletes a lane's flows, and its guards if it was the last of its
// wire port.
func (e *Engine) removeLane(ef session.RemoveLane) []Effect {
	var bs batches
	for _, hf := range flows.ForLane(ef.Session, ef.Lane) {
		b := bs.at(hf.Host.DPID)
		b.Flows = append(b.Flows, openflow.DeleteStrict(hf.Forward), openflow.DeleteStrict(hf.Reply))
		if ef.Last && hf.Guard.Table != 0 {
			b.Flows = append(b.Flows, openflow.DeleteStrict(hf.Guard))
		}
	}
	return e.sendAll(bs)
}

// remove deletes a session's flows on all its hops at once.
func (e *Engine) remove(now time.Time, ef session.Remove) []Effect {
	r := e.receiptOf(now, ef.Why)
	out := append(e.deleteSession(now, ef.Session, ef.Token, r), e.redrawEnd(now, ef.Session, r)...)
	if r != nil {
		e.cuts.add(r, ef.Session, ef.Why)
	}
	return append(out, SessionEnded{ef.Session, ef.Why})
}

// deleteSession deletes all flows of a session; each hop's barrier confirms token,
// and the hop in r, unless that is nil.
func (e *Engine) deleteSession(now time.Time, s *session.Session, token uint64, r *Receipt) []Effect {
	var bs batches
	if len(s.Lanes) > 0 {
		for _, h := range s.Hops {
			bs.at(h.DPID)
			if r != nil {
				e.cuts.sending(now, r, h, e.switches[h.DPID] != nil)
			}
		}
	}
	var out []Effect
	for i := range bs {
		b := bs[i]
		b.Flows = []openflow.FlowMod{openflow.DeleteByCookie(s.ID, ^uint64(0))}
		if sw := e.switches[b.DPID]; sw != nil {
			e.lastToken++
			b.Token = e.lastToken
			sw.waiting[b.Token] = waiter{session: token, receipt: r}
		} // else its next SwitchUp removes what is not of a live session
		out = append(out, e.send(b)...)
	}
	return out
}

// denied records a denial and, for a reject, tells the sender.
func (e *Engine) denied(ef session.Denied) []Effect {
	d := ef.Result.Decision
	e.reasons.add(d.Reason)
	p := ef.Packet
	rec := PacketDenied{DPID: p.DPID, InPort: p.InPort, Result: ef.Result, Head: p.Headers}
	outcome := OutcomeReject
	if d.Verdict != policy.Reject {
		outcome = OutcomeDrop
	}
	e.outcomes.add(outcome)
	if outcome == OutcomeDrop && !ef.Cut { // the ends of a cut connection are told in any case
		return []Effect{rec}
	}
	gw := packet.MAC(pipeline.GatewayMAC)
	var answer []byte
	if p.Headers.Proto == packet.TCP {
		answer = packet.TCPReset(p.Headers, p.Frame, gw)
	} else {
		answer = packet.ICMPUnreachable(p.Frame, p.Headers, adminProhibited, pipeline.GatewayIP(), gw)
	}
	if answer == nil { // RFC 1122, 3.2.2: some packets are not answered
		return []Effect{rec}
	}
	out := openflow.PacketOut{
		InPort: openflow.PortController, Frame: answer,
		Actions: openflow.ActionList(openflow.Output(openflow.PortNo(p.InPort))),
	}
	bs := batches{{DPID: p.DPID, Packets: []openflow.PacketOut{out}}}
	if ef.Cut {
		bs.resetOther(ef)
	}
	return append(e.sendAll(bs), rec)
}

// resetOther tells the end that did not send a packet of a cut connection that
// the connection is over, as if its peer had said so.
func (bs *batches) resetOther(ef session.Denied) {
	h := ef.Packet.Headers
	other := ef.Result.Server
	if other.IP == h.Src {
		other = ef.Result.Client
	}
	frame := packet.Build(packet.Headers{
		EthSrc: packet.MAC(pipeline.GatewayMAC), EthDst: other.MAC, EthType: h.EthType, TTL: 64,
		Src: h.Src, Dst: h.Dst, Proto: packet.TCP, SrcPort: h.SrcPort, DstPort: h.DstPort,
		Flags: packet.RST | packet.ACK, Seq: h.Seq, Ack: h.Ack,
	}, nil)
	b := bs.at(other.Host.DPID)
	b.Packets = append(b.Packets, openflow.PacketOut{
		InPort: openflow.PortController, Frame: frame,
		Actions: openflow.ActionList(openflow.Output(openflow.PortNo(other.Port))),
	})
}

// batches gathers what each switch is told, in the order in which they are
// first named.
type batches []*openflow.Batch

func (bs *batches) at(dpid uint64) *openflow.Batch {
	for _, b := range *bs {
		if b.DPID == dpid {
			return b
		}
	}
	b := &openflow.Batch{DPID: dpid}
	*bs = append(*bs, b)
	return b
}

func (e *Engine) sendAll(bs batches) []Effect {
	out := make([]Effect, 0, len(bs)+1) // callers add a record
	for _, b := range bs {
		if e.switches[b.DPID] != nil {
			out = append(out, Send{b})
		}
	}
	return out
}

// send tells a switch something if it is connected; one that is not gets all
// that it should have when it comes.
func (e *Engine) send(b *openflow.Batch) []Effect {
	if e.switches[b.DPID] == nil {
		return nil
	}
	return []Effect{Send{b}}
}
