package engine

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// holdFor is how long such an address is kept for who has not come yet.
const holdFor = 60 * time.Second

// hold is an address that waits for its endpoint. Holds are not kept over a
// restart: the endpoint that comes then asks for the very address, and gets it
// unless another has it.
type hold struct {
	holder string
	since  time.Time
}

// holds are the held addresses, by VPC.
type holds map[spec.VPCID]map[netip.Addr]hold

func (hs holds) add(vpc spec.VPCID, ip netip.Addr, h hold) {
	if hs[vpc] == nil {
		hs[vpc] = make(map[netip.Addr]hold)
	}
	hs[vpc][ip] = h
}

// end ends holder's hold of an address, and reports whether there was one.
func (hs holds) end(vpc spec.VPCID, ip netip.Addr, holder string) bool {
	if h, found := hs[vpc][ip]; !found || h.holder != holder {
		return false
	}
	delete(hs[vpc], ip)
	return true
}

// overlay adds the holds of a VPC to what is taken there, and forgets those whose
// endpoint did not come.
func (hs holds) overlay(now time.Time, vpc spec.VPCID, taken map[netip.Addr]ipam.Lease) {
	for ip, h := range hs[vpc] {
		if now.Sub(h.since) >= holdFor {
			delete(hs[vpc], ip)
			continue
		}
		if l, found := taken[ip]; !found || !l.Released.IsZero() {
			taken[ip] = ipam.Lease{Holder: h.holder}
		}
	}
}
