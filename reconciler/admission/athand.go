package admission

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Cache is what a Policy has as well if it remembers decisions.
type Cache interface {
	// Cached returns what Decide would, if it is remembered.
	Cached(now time.Time, q policy.Query) (policy.Decision, bool)
}

// AtHand is Decide for whoever cannot wait for an evaluation: found is false if
// the Result depends on a decision that the policy does not remember.
func AtHand(snap *inventory.Snapshot, pol Policy, now time.Time, r Request) (res Result, found bool) {
	c, ok := pol.(Cache)
	if !ok {
		return Result{}, false
	}
	known := atHand{Policy: pol, cache: c}
	res = Decide(snap, &known, now, r)
	return res, !known.missing
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
