package admission

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Between reports whether src may open a session to dst. Port is dst's, for ICMP
// the type. Whether anything can carry the session is not asked.
func Between(pol Policy, now time.Time, src, dst *inventory.Endpoint, proto packet.Proto, port uint16) policy.Decision {
	return pol.Decide(now, policy.Query{Src: src.Identity, Dst: dst.Identity, Proto: proto, Port: port})
}

// ToAddress reports whether src may open a session to an address, and whose it
// is if it is an endpoint's. An address in a subnet of the sender's VPC, or of
// one that a Peering in force joins with it, is never outside; reserved ones are
// not either (SPEC 3, Outside).
func ToAddress(
	snap *inventory.Snapshot, pol Policy, now time.Time,
	src *inventory.Endpoint, dst netip.Addr, proto packet.Proto, port uint16,
) (d policy.Decision, server *inventory.Endpoint) {
	ep, in := snap.ReachFrom(src, dst)
	switch {
	case ep == src:
		return dropped(pol, policy.ReasonAddressReserved), nil
	case ep != nil:
		return Between(pol, now, src, ep, proto, port), ep
	case in != "":
		return dropped(pol, policy.ReasonNoEndpoint), nil
	case reserved(snap, dst) && !opened(snap, dst):
		return dropped(pol, policy.ReasonAddressReserved), nil
	}
	outside := snap.Outside(pol.OutsideCIDRs(dst))
	return pol.Decide(now, policy.Query{Src: src.Identity, Dst: outside, Proto: proto, Port: port}), nil
}

// FromAddress reports whether an address outside may open a session to dst. Port
// is dst's own, after translation. A source that cannot be outside, as dst's VPC
// sees it, is denied before the policy is asked.
func FromAddress(
	snap *inventory.Snapshot, pol Policy, now time.Time,
	src netip.Addr, dst *inventory.Endpoint, proto packet.Proto, port uint16,
) policy.Decision {
	if _, in := snap.Reach(dst.VPC, src); in != "" {
		return dropped(pol, policy.ReasonNoEndpoint)
	}
	if reserved(snap, src) {
		return dropped(pol, policy.ReasonAddressReserved)
	}
	outside := snap.Outside(pol.OutsideCIDRs(src))
	return pol.Decide(now, policy.Query{Src: outside, Dst: dst.Identity, Proto: proto, Port: port})
}

// Reserved reports whether an address can never be outside: link-local,
// loopback, multicast, broadcast, 0.0.0.0/8 or 240.0.0.0/4 (SPEC, "Outside").
func Reserved(a netip.Addr) bool {
	first := a.As4()[0]
	return a.IsLinkLocalUnicast() || a.IsLoopback() || first == 0 || first >= 224
}

func reserved(snap *inventory.Snapshot, a netip.Addr) bool {
	return Reserved(a) || snap.HostOrController(a)
}

// opened reports whether the operator lets rules speak of a reserved address: an
// egress peer outside tenants/ has a cidr within the hosts' range that holds it.
// That may be a controller's too, but none that lies elsewhere.
func opened(snap *inventory.Snapshot, a netip.Addr) bool {
	for _, c := range snap.Net.OperatorCIDRs {
		if !c.Contains(a) {
			continue
		}
		for _, r := range snap.UnderlayRanges() {
			if r.Bits() <= c.Bits() && r.Contains(c.Addr()) {
				return true
			}
		}
	}
	return false
}

// dropped is a drop that no rule of the policy is the reason of.
func dropped(pol Policy, why policy.Reason) policy.Decision {
	return policy.Decision{Verdict: policy.Drop, Reason: why, Revision: pol.Revision()}
}
