package flows

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// actions gathers what a flow does. Only what changes is written.
type actions struct {
	proto packet.Proto
	list  *openflow.Actions
	n     int
}

func (a *actions) add(act openflow.Action) {
	a.list[a.n] = act // a flow of ours has at most 10, see openflow.MaxActions
	a.n++
}

// ends lets the flow of one connection end with it.
func (a *actions) ends(single bool) {
	if single {
		a.add(openflow.FinTimeout(pipeline.FinTimeout))
	}
}

// A router takes one from the TTL before it rewrites for the wire and after it
// has rewritten for an endpoint, so that a packet that dies is lifted with the
// endpoints' own headers.
func (a *actions) before(m ttlMode, toWire bool) {
	switch {
	case m == ttlRefresh:
		a.add(openflow.SetTTL(64))
	case m == ttlRoute && toWire:
		a.add(openflow.DecTTL())
	}
}

func (a *actions) after(m ttlMode, toWire bool) {
	if m == ttlRoute && !toWire {
		a.add(openflow.DecTTL())
	}
}

// ethernet addresses the frame to an endpoint; the group of the wire does that
// for its next hop.
func (a *actions) ethernet(to *session.End, toWire bool) {
	if toWire {
		return
	}
	a.add(openflow.SetMAC(openflow.FieldEthSrc, openflow.MAC(to.MAC)))
	a.add(openflow.SetMAC(openflow.FieldEthDst, openflow.MAC(to.Peer)))
}

func (a *actions) addresses(src, dst, newSrc, newDst netip.Addr) {
	if newSrc != src {
		a.add(openflow.SetIP(openflow.FieldIPSrc, newSrc))
	}
	if newDst != dst {
		a.add(openflow.SetIP(openflow.FieldIPDst, newDst))
	}
}

func (a *actions) tag(is, becomes uint8) {
	if is != becomes {
		a.add(openflow.Set(openflow.FieldICMPCode, uint16(becomes)))
	}
}

// side says which port of the transport header is meant.
type side uint8

const (
	srcPort side = iota
	dstPort
)

func (a *actions) field(s side) openflow.Field {
	switch {
	case a.proto == packet.TCP && s == srcPort:
		return openflow.FieldTCPSrc
	case a.proto == packet.TCP:
		return openflow.FieldTCPDst
	case s == srcPort:
		return openflow.FieldUDPSrc
	}
	return openflow.FieldUDPDst
}

func (a *actions) port(s side, is, becomes uint16) {
	if is != becomes {
		a.add(openflow.Set(a.field(s), becomes))
	}
}

// clientPort writes the top bit of the client's port, the only one in which its
// sets differ between two legs.
func (a *actions) clientPort(s side, is, becomes session.PortSet) {
	if is.Mask&0x8000 != 0 && (is.Value^becomes.Value)&0x8000 != 0 {
		a.add(openflow.Load(uint64(becomes.Value>>15), a.field(s), 15, 1))
	}
}

// leave sends the packet out where it belongs.
func (a *actions) leave(to *session.End, toWire bool) {
	if toWire {
		a.add(openflow.Group(pipeline.GroupNextHop))
		return
	}
	a.add(openflow.Output(openflow.PortNo(to.Port)))
}
