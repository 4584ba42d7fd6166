package controller

import (
	"context"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

const (
	// hookAskers is how many questions wait for tenants' modules at once. They only
	// wait, and share one child.
	hookAskers = 64
	// maxHooked bounds those that wait for an asker. When it is full a question is
	// denied, which is not remembered: its next packet asks again.
	maxHooked = 1024
)

// hookedAsk is a question that depends on what tenants' modules say.
type hookedAsk struct {
	ask    session.Decide
	policy *policy.Policy
}

// asking is a policy that waits for tenants' modules.
type asking struct{ *policy.Policy }

// Decide answers q.
func (a asking) Decide(now time.Time, q policy.Query) policy.Decision { return a.Ask(now, q) }

// noting is a policy that notes that it could not answer without waiting.
type noting struct {
	*policy.Policy
	unanswered bool
}

// Decide answers q, or notes it.
func (n *noting) Decide(now time.Time, q policy.Query) policy.Decision {
	if d, known := n.Cached(now, q); known {
		return d
	}
	if n.Unanswered(q) {
		n.unanswered = true
	}
	return n.Policy.Decide(now, q)
}

// needsHooks decides a question, and reports what tenants' modules must be asked
// first: then the result is not to be used. Where no tenant has Rego it does nothing.
func (c *Controller) needsHooks(d session.Decide) (h hookedAsk, needed bool) {
	p, ok := d.Policy.(*policy.Policy)
	if !ok || !p.Hooked() {
		return h, false
	}
	n := &noting{Policy: p}
	admission.Decide(d.Snapshot, n, time.Now(), d.Request)
	return hookedAsk{d, p}, n.unanswered
}

// askHooks asks tenants' modules, so that no decider waits for them.
func (c *Controller) askHooks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-c.hooked:
			d := h.ask
			d.Policy = asking{h.policy}
			select {
			case c.answers <- session.Decided{Ask: h.ask, Result: c.decide(d)}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
