package matrix

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// asker is a policy that remembers the last query. Identities come from an
// interner of this computation, so their numbers may be those of others in the
// caches of the policy, which knows identities by number. Therefore it asks with
// numbers of zero, and keeps the answers itself.
type asker struct {
	policy     *policy.Policy
	numberless map[*inventory.Identity]*inventory.Identity
	answers    map[answerKey]policy.Decision
	query      policy.Query // the last one
	asked      bool         // there was one
}

type answerKey struct {
	src, dst *inventory.Identity
	proto    packet.Proto
	port     uint16
}

func newAsker(pol *policy.Policy) *asker {
	return &asker{
		policy:     pol,
		numberless: make(map[*inventory.Identity]*inventory.Identity),
		answers:    make(map[answerKey]policy.Decision),
	}
}

// Decide answers q at the time now, which must be the same in all calls.
func (a *asker) Decide(now time.Time, q policy.Query) policy.Decision {
	key := answerKey{q.Src, q.Dst, q.Proto, q.Port}
	q.Src, q.Dst = a.withoutNumber(q.Src), a.withoutNumber(q.Dst)
	a.query, a.asked = q, true
	d, found := a.answers[key]
	if !found {
		d = a.policy.Ask(now, q)
		a.answers[key] = d
	}
	return d
}

// OutsideCIDRs is the policy's.
func (a *asker) OutsideCIDRs(addr netip.Addr) []netip.Prefix { return a.policy.OutsideCIDRs(addr) }

// Revision is the policy's.
func (a *asker) Revision() string { return a.policy.Revision() }

func (a *asker) withoutNumber(id *inventory.Identity) *inventory.Identity {
	got := a.numberless[id]
	if got == nil {
		anonymous := *id
		anonymous.ID = 0
		got = &anonymous
		a.numberless[id] = got
	}
	return got
}
