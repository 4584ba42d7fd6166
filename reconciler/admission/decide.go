// Package admission says what must happen with a lifted packet: who sent it, to
// whom, may they talk, and which session that would open. It is a function of
// its arguments; Rego decides whether, this package only who and what.
package admission

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// EchoRequest is the ICMP type that opens a ping session (RFC 792).
const EchoRequest uint16 = 8

// Request is one packet that an endpoint's port lifted.
type Request struct {
	DPID    uint64
	InPort  uint32
	Headers packet.Headers
}

// Result is what admission found.
type Result struct {
	Decision policy.Decision

	// Client and Server are the ends of the session that Decision is about. They
	// are nil as far as they are not known. Server is nil for outside addresses.
	Client, Server *inventory.Endpoint
	Proto          packet.Proto
	Port           uint16 // the server's; for ICMP the type

	// Reverse is set when the packet's sender is the server: a TCP packet without
	// SYN, whose session the switches lost, judged as a reply.
	Reverse bool
}

// Policy decides whether one identity may open a session to another.
type Policy interface {
	Decide(now time.Time, q policy.Query) policy.Decision
	OutsideCIDRs(a netip.Addr) []netip.Prefix
	Revision() string
}

// Decide reports whether the sender of a packet may open a session to its
// destination. The same snapshot, policy, time and packet give the same Result.
// An unknown sender, and what is not the sender's own, is denied before the
// policy is asked; so is everything that no session can carry afterwards.
func Decide(snap *inventory.Snapshot, pol Policy, now time.Time, r Request) Result {
	h := &r.Headers
	src := snap.EndpointAt(r.DPID, r.InPort)
	if src == nil {
		return deny(pol, Result{}, policy.ReasonUnknownEndpoint)
	}
	res := Result{Client: src, Proto: h.Proto, Port: destPort(h)}
	if h.EthSrc != src.MAC || h.VLAN != 0 || (h.Src.IsValid() && h.Src != src.IP) {
		return deny(pol, res, policy.ReasonSpoofed)
	}
	if !h.Dst.IsValid() {
		return deny(pol, res, policy.ReasonProtocol)
	}
	dst := snap.EndpointByAddr(src.VPC, h.Dst)
	if dst == nil {
		return decideElsewhere(snap, pol, now, res, h.Dst)
	}
	if dst == src {
		return deny(pol, res, policy.ReasonAddressReserved)
	}
	res.Server = dst
	res.Decision = ask(pol, now, src, dst, h.Proto, res.Port)
	if res.Decision.Verdict != policy.Allow && h.Proto == packet.TCP && !h.Opener() && h.Flags&packet.RST == 0 && carriable(h) {
		if d := ask(pol, now, dst, src, h.Proto, h.SrcPort); d.Verdict == policy.Allow {
			return Result{Decision: d, Client: dst, Server: src, Proto: h.Proto, Port: h.SrcPort, Reverse: true}
		}
	}
	if res.Decision.Verdict == policy.Allow && !carriable(h) {
		return deny(pol, res, policy.ReasonProtocol)
	}
	return res
}

// decideElsewhere judges a packet to an address that is no endpoint's in the
// sender's VPC.
func decideElsewhere(snap *inventory.Snapshot, pol Policy, now time.Time, res Result, dst netip.Addr) Result {
	vpc := snap.Net.VPCs[res.Client.VPC]
	for i := range vpc.Subnets {
		if vpc.Subnets[i].CIDR.Contains(dst) {
			return deny(pol, res, policy.ReasonNoEndpoint)
		}
	}
	if Reserved(dst) || snap.HostByUnderlay(dst) != nil {
		return deny(pol, res, policy.ReasonAddressReserved)
	}
	res.Decision = pol.Decide(now, policy.Query{
		Src: res.Client.Identity, Dst: snap.Outside(pol.OutsideCIDRs(dst)), Proto: res.Proto, Port: res.Port,
	})
	if res.Decision.Verdict == policy.Allow {
		return deny(pol, res, policy.ReasonUnsupported) // no way out is built yet
	}
	return res
}

func ask(pol Policy, now time.Time, src, dst *inventory.Endpoint, proto packet.Proto, port uint16) policy.Decision {
	return pol.Decide(now, policy.Query{Src: src.Identity, Dst: dst.Identity, Proto: proto, Port: port})
}

// deny ends res with a drop that no rule of the policy is the reason of.
func deny(pol Policy, res Result, why policy.Reason) Result {
	res.Decision = policy.Decision{Verdict: policy.Drop, Reason: why, Revision: pol.Revision()}
	return res
}

// destPort is the number that a rule's port is compared with.
func destPort(h *packet.Headers) uint16 {
	if h.Proto == packet.ICMP {
		return uint16(h.ICMPType)
	}
	return h.DstPort
}

// carriable reports whether a session can carry the packet: it takes ports, or
// an echo request, to tell sessions apart between hosts, and a later fragment
// has neither.
func carriable(h *packet.Headers) bool {
	switch h.Proto {
	case packet.TCP, packet.UDP:
		return !h.LaterFragment && h.DstPort != 0 && h.SrcPort != 0
	case packet.ICMP:
		return !h.LaterFragment && h.ICMPType == uint8(EchoRequest) && h.ICMPCode == 0
	}
	return false
}

// Reserved reports whether an address can never be outside: link-local,
// loopback, multicast, broadcast, 0.0.0.0/8 or 240.0.0.0/4 (SPEC, "Outside").
func Reserved(a netip.Addr) bool {
	first := a.As4()[0]
	return a.IsLinkLocalUnicast() || a.IsLoopback() || first == 0 || first >= 224
}
