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
	src := snap.EndpointAt(r.DPID, r.InPort)
	if src == nil {
		return deny(pol, Result{}, policy.ReasonUnknownEndpoint)
	}
	return from(snap, pol, now, src, &r.Headers)
}

// from is Decide about a packet that src's port lifted.
func from(snap *inventory.Snapshot, pol Policy, now time.Time, src *inventory.Endpoint, h *packet.Headers) Result {
	res := Result{Client: src, Proto: h.Proto, Port: destPort(h)}
	if h.EthSrc != src.MAC || h.VLAN != 0 || (h.Src.IsValid() && h.Src != src.IP) {
		return deny(pol, res, policy.ReasonSpoofed)
	}
	if !h.Dst.IsValid() {
		return deny(pol, res, policy.ReasonProtocol)
	}
	res.Decision, res.Server = ToAddress(snap, pol, now, src, h.Dst, h.Proto, res.Port)
	if dst := res.Server; dst != nil && res.Decision.Verdict != policy.Allow && reply(h) {
		if d := Between(pol, now, dst, src, h.Proto, h.SrcPort); d.Verdict == policy.Allow {
			return Result{Decision: d, Client: dst, Server: src, Proto: h.Proto, Port: h.SrcPort, Reverse: true}
		}
	}
	if why := uncarried(snap, &res, h); why != "" {
		return deny(pol, res, why)
	}
	return res
}

// reply reports whether a packet may be of a session that the switches lost and
// that its receiver opened.
func reply(h *packet.Headers) bool {
	return h.Proto == packet.TCP && !h.Opener() && h.Flags&packet.RST == 0 && carriable(h)
}

// uncarried returns why nothing carries what res allows, or "".
func uncarried(snap *inventory.Snapshot, res *Result, h *packet.Headers) policy.Reason {
	switch {
	case res.Decision.Reason == policy.ReasonNoEndpoint:
		if _, in := snap.Reach(res.Client.VPC, h.Dst); snap.ServiceAt(in, h.Dst) != nil {
			return policy.ReasonUnsupported // nothing spreads sessions yet
		}
	case res.Decision.Verdict != policy.Allow:
	case res.Server == nil:
		return policy.ReasonUnsupported // no way out is built yet
	case !carriable(h):
		return policy.ReasonProtocol
	}
	return ""
}

// deny ends res with a drop that no rule of the policy is the reason of.
func deny(pol Policy, res Result, why policy.Reason) Result {
	res.Decision = dropped(pol, why)
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
