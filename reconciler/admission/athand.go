package admission

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Cache is what a Policy has as well if it remembers decisions.
type Cache interface {
	// Cached returns what Decide would, if it is remembered.
	Cached(now time.Time, q policy.Query) (policy.Decision, bool)
}

// Memory is what a policy remembers. It is not safe for concurrent use.
type Memory struct{ known atHand }

// NewMemory returns the memory of a policy, which is empty if that is no Cache.
func NewMemory(pol Policy) *Memory {
	c, _ := pol.(Cache)
	return &Memory{atHand{Policy: pol, cache: c}}
}

// AtHand is Decide about a packet of an endpoint, for whoever cannot wait for an
// evaluation: found is false if the Result depends on a decision that the policy
// does not remember.
func (m *Memory) AtHand(snap *inventory.Snapshot, now time.Time, src *inventory.Endpoint, h *packet.Headers) (res Result, found bool) {
	if m.known.cache == nil {
		return Result{}, false
	}
	m.known.missing = false
	res = from(snap, &m.known, now, src, h)
	return res, !m.known.missing
}

// atHand is a policy that answers only what it remembers.
type atHand struct {
	Policy
	cache   Cache
	missing bool // it was asked for more: its answers are not to be used
}

func (a *atHand) Decide(now time.Time, q policy.Query) policy.Decision {
	d, found := a.cache.Cached(now, q)
	a.missing = a.missing || !found
	return d // of what is not found the zero Decision, a drop
}
