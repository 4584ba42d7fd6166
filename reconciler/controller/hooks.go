package controller

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
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
	// slowAskers and maxSlowHooked are the same for the modules that are asked in the
	// child for slow ones: nobody else waits behind them.
	slowAskers    = 16
	maxSlowHooked = 256
)

// hookedAsk is a question that depends on what tenants' modules say.
type hookedAsk struct {
	ask    session.Decide
	policy *policy.Policy
	hashes [2]string // of the modules of both ends; "": none
}

// asking is a policy that waits for tenants' modules.
type asking struct{ *policy.Policy }

// Decide answers q.
func (a asking) Decide(now time.Time, q policy.Query) policy.Decision { return a.Ask(now, q) }

// noting is a policy that notes that it could not answer without waiting.
type noting struct {
	*policy.Policy
	unanswered bool
	query      policy.Query // that is so
}

// Decide answers q, or notes it.
func (n *noting) Decide(now time.Time, q policy.Query) policy.Decision {
	if d, known := n.Cached(now, q); known {
		return d
	}
	if n.Unanswered(q) {
		n.unanswered, n.query = true, q
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
	asked := d
	asked.Policy = n
	c.decide(asked) // which survives a panic
	if h = (hookedAsk{ask: d, policy: p}); n.unanswered {
		for i, end := range []*inventory.Identity{n.query.Src, n.query.Dst} {
			if m := p.HookModules()[end.Tenant]; m != nil && !end.Outside {
				h.hashes[i] = m.Hash
			}
		}
	}
	return h, n.unanswered
}

// slow reports whether a question is one for the slow askers.
func (c *Controller) slow(h *hookedAsk) bool {
	return c.sandbox.Slow(h.hashes[0]) || c.sandbox.Slow(h.hashes[1])
}

// queueHooked has a question answered, and reports whether there was room.
func (c *Controller) queueHooked(h hookedAsk) bool {
	queue := c.hooked
	if c.slow(&h) {
		queue = c.slowly
	}
	select {
	case queue <- h:
		return true
	default:
		return false
	}
}

// askHooks asks tenants' modules, so that no decider waits for them.
func (c *Controller) askHooks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-c.hooked:
			if !c.slow(&h) {
				c.askHook(ctx, h, asking{h.policy})
			} else if !c.queueHooked(h) { // it has become so
				c.askHook(ctx, h, h.policy)
			}
		}
	}
}

// askSlowHooks is askHooks for the slow ones.
func (c *Controller) askSlowHooks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-c.slowly:
			c.askHook(ctx, h, asking{h.policy})
		}
	}
}

// askHook answers a question by a policy that waits for modules, or does not.
func (c *Controller) askHook(ctx context.Context, h hookedAsk, p admission.Policy) {
	d := h.ask
	d.Policy = p
	select {
	case c.answers <- session.Decided{Ask: h.ask, Result: c.decide(d)}:
	case <-ctx.Done():
	}
}

const (
	// maxTrying and freeTrying bound what a tenant's module may take of the time in which
	// a revision is tried, and nothing else of it: what good ones take is less than
	// freeTrying for an answer.
	maxTrying  = 3 * time.Second
	freeTrying = time.Millisecond
)

// trial asks hooks about a revision that is tried: of a tenant whose module takes too
// long over all its answers, no more answers come. So nobody's Rego keeps others'
// revisions waiting.
type trial struct {
	hooks policy.Hooks
	over  atomic.Bool // the revision is in force

	mu   sync.Mutex
	used map[string]time.Duration // by tenant: beyond freeTrying each
}

func newTrial(h policy.Hooks) *trial { return &trial{hooks: h, used: map[string]time.Duration{}} }

// Ask asks.
func (t *trial) Ask(q policy.HookQuery) policy.HookAnswer {
	if t.over.Load() {
		return t.hooks.Ask(q)
	}
	t.mu.Lock()
	used := t.used[q.Tenant]
	t.mu.Unlock()
	if used > maxTrying {
		m := policy.HookModule{Tenant: q.Tenant}
		return *m.Failing(policy.ReasonPolicyTimeout)
	}
	began := time.Now()
	a := t.hooks.Ask(q)
	took := time.Since(began)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used[q.Tenant] = max(0, t.used[q.Tenant]+took-freeTrying)
	return a
}
