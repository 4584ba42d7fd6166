package simnet

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// segment carries a frame over the Ethernet that a host's uplink is on: to the
// other hosts of its subnet and to the router.
func (n *Network) segment(from *Host, frame []byte) {
	h, _ := packet.Decode(frame)
	known := false
	for _, to := range n.hosts {
		if to == from || to.Addr.Masked() != from.Addr.Masked() {
			continue
		}
		if h.EthDst == to.Stack.MAC || h.EthDst == broadcast {
			known = true
			n.enqueue(func() { n.receive(to, to.Uplink, frame) })
		}
	}
	switch {
	case h.EthDst == from.RouterMAC || h.EthDst == broadcast && h.EthType == packet.EthTypeARP:
		n.router(from, &h, frame)
	case !known:
		n.note(Event{Kind: EventLost, Host: from.Name, Port: from.Uplink, Frame: frame, Note: "no machine has the frame's address"})
	}
}

// router takes a frame that a host sent to its next hop.
func (n *Network) router(from *Host, h *packet.Headers, frame []byte) {
	if h.EthType == packet.EthTypeARP {
		if h.ARPOp == 1 && h.ARPDst == from.Router {
			n.toUplink(from, packet.Build(packet.Headers{
				EthSrc: from.RouterMAC, EthDst: h.ARPSrcMAC, ARPOp: 2, ARPSrc: from.Router, ARPDst: h.ARPSrc, ARPSrcMAC: from.RouterMAC,
			}, nil))
		}
		return
	}
	n.route(from, frame)
}

func (n *Network) toUplink(h *Host, frame []byte) {
	n.enqueue(func() { n.receive(h, h.Uplink, frame) })
}

// route forwards an IPv4 packet by its destination, as a router does (RFC
// 1812): the TTL sinks by one, and a packet whose TTL ends is answered. from is
// the host that sent it, nil for an outside machine.
func (n *Network) route(from *Host, b []byte) {
	lost := func(why string) { n.note(Event{Kind: EventLost, Frame: b, Note: why}) }
	h, err := packet.Decode(b)
	switch {
	case err != nil || h.EthType != packet.EthTypeIPv4 || h.VLAN != 0:
		lost("not IPv4")
		return
	case h.TTL <= 1:
		lost("TTL ended at the router")
		if from != nil {
			if e := packet.ICMPTimeExceeded(b, h, from.Router, from.RouterMAC); e != nil {
				n.toUplink(from, e)
			}
		}
		return
	}
	if to := n.hostAt(h.Dst); to != nil && to.MTU > 0 && len(b)-h.IPOffset > to.MTU {
		lost("too large for the way")
		if from != nil {
			if e := packet.ICMPFragNeeded(b, h, uint16(to.MTU), from.Router, from.RouterMAC); e != nil {
				n.toUplink(from, e)
			}
		}
		return
	}
	f := parse(append([]byte(nil), b...), openflow.PortAny)
	f.set(openflow.FieldIPTTL, uint64(h.TTL-1))
	if !n.forward(&f, h.Dst) {
		lost("no route")
	}
}

func (n *Network) hostAt(addr netip.Addr) *Host {
	for _, h := range n.hosts {
		if h.Addr.Addr() == addr {
			return h
		}
	}
	return nil
}

// forward sends a packet to the machine with address dst, and reports whether
// there is one.
func (n *Network) forward(f *frame, dst netip.Addr) bool {
	if to := n.hostAt(dst); to != nil {
		f.set(openflow.FieldEthSrc, mac64(openflow.MAC(to.RouterMAC)))
		f.set(openflow.FieldEthDst, mac64(openflow.MAC(to.Stack.MAC)))
		n.toUplink(to, f.b)
		return true
	}
	for _, s := range n.outside {
		if s.IP == dst {
			f.set(openflow.FieldEthSrc, mac64(openflow.MAC(s.Gateway)))
			f.set(openflow.FieldEthDst, mac64(openflow.MAC(s.MAC)))
			n.note(Event{Kind: EventDelivered, Where: s.Name, Frame: f.b})
			for _, answer := range s.Receive(f.b) {
				n.enqueue(func() { n.route(nil, answer) })
			}
			return true
		}
	}
	return false
}
