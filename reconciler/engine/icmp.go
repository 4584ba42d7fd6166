package engine

import (
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// timeExceeded tells an endpoint that its packet came to the end of its TTL. Not
// every packet may be answered (RFC 1122, 3.2.2).
func (e *Engine) timeExceeded(ef session.TimeExceeded) []Effect {
	p, gw := ef.Packet, packet.MAC(pipeline.GatewayMAC)
	var frame []byte
	if ef.Sent == nil {
		frame = packet.ICMPTimeExceeded(p.Frame, p.Headers, pipeline.GatewayIP(), gw)
	} else {
		frame = packet.TimeExceeded(p.Frame, p.Headers, *ef.Sent, pipeline.GatewayIP(), ef.To.MAC, gw)
	}
	return e.tell(ef.To, frame, OutcomeTimeExceeded, session.IgnoreTTL)
}

// underlayError gives an endpoint an error of the underlay as if it was about
// the packet that the endpoint sent.
func (e *Engine) underlayError(ef session.UnderlayError) []Effect {
	p := ef.Packet
	frame := packet.TranslateICMPError(p.Frame, p.Headers, ef.Sent, pipeline.GatewayIP(), ef.To.MAC, packet.MAC(pipeline.GatewayMAC))
	return e.tell(ef.To, frame, OutcomeUnderlayError, session.IgnoreICMPUnknown)
}

// peerError gives an endpoint an error of the session's other end.
func (e *Engine) peerError(ef session.PeerError) []Effect {
	p := ef.Packet
	frame := packet.TranslateICMPError(p.Frame, p.Headers, ef.Sent, p.Headers.Src, ef.To.MAC, packet.MAC(pipeline.GatewayMAC))
	return e.tell(ef.To, frame, OutcomePeerError, session.IgnoreICMPUnknown)
}

// tell puts a frame out at an endpoint's port, and counts that as done, or, if
// there is no frame, as ignored.
func (e *Engine) tell(to *inventory.Endpoint, frame []byte, done Outcome, none session.IgnoreReason) []Effect {
	if frame == nil {
		e.outcomes.add(Outcome(none))
		return nil
	}
	e.outcomes.add(done)
	return e.send(&openflow.Batch{DPID: to.Host.DPID, Packets: []openflow.PacketOut{{
		InPort: openflow.PortController, Frame: frame,
		Actions: openflow.ActionList(openflow.Output(openflow.PortNo(to.Port))),
	}}})
}
