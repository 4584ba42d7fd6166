package session_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// asked counts what is asked of a policy.
type asked struct {
	*world.Verdicts
	n int
}

func (a *asked) Decide(now time.Time, q policy.Query) policy.Decision {
	a.n++
	return a.Verdicts.Decide(now, q)
}

// TestSessionWhoseEndsDidNotChangeIsNotJudgedAgain when another endpoint comes,
// and is when one of its own changes, or the policy.
func TestSessionWhoseEndsDidNotChangeIsNotJudgedAgain(t *testing.T) {
	b := newBench(t)
	pol := &asked{Verdicts: b.w.AllowAll("r2")}
	net, interner := b.w.Net, inventory.NewInterner()
	snap, _ := inventory.Build(interner, net, b.w.Hosts)
	b.snap = snap
	b.table.Step(b.now, session.Revised{Snapshot: snap, Policy: pol})
	b.arrive(b.packet("web1", "web2", syn(40000, 80)))
	again := func(what string, want int, change func()) {
		t.Helper()
		change()
		pol.n = 0
		next, _ := inventory.Rebuild(interner, net, b.w.Hosts, snap)
		snap = next
		b.table.Step(b.now, session.Revised{Snapshot: snap, Policy: pol})
		if pol.n != want {
			t.Errorf("%s: asked %d times; want %d", what, pol.n, want)
		}
	}
	again("nothing new", 0, func() {})
	again("another endpoint", 0, func() {
		b.w.Hosts[1].Endpoints = append(b.w.Hosts[1].Endpoints, world.Endpoint("acme", "new", "web", "10.1.0.9", 40))
	})
	again("the client's label", 1, func() {
		b.w.Hosts[0].Endpoints[0].Labels = map[string]string{"role": "other"}
	})
	again("the same label", 0, func() {
		b.w.Hosts[0].Endpoints[0].Labels = map[string]string{"role": "other"}
	})
	pol = &asked{Verdicts: b.w.AllowAll("r3")}
	again("another policy", 1, func() {})
}

// TestDecisionWhoseRuleEndedOnTheWayIsAskedForAgain. Found by simulation: it
// opened a session that the next tick cut.
func TestDecisionWhoseRuleEndedOnTheWayIsAskedForAgain(t *testing.T) {
	b := newBench(t)
	b.pol.Decision.Until = b.now.Add(time.Second)
	p := b.packet("web1", "web2", syn(40000, 80))
	ask := only[session.Decide](b, b.table.Step(b.now, session.PacketArrived{Packet: &p}))
	r := admission.Decide(ask.Snapshot, ask.Policy, b.now, ask.Request)
	b.now = b.now.Add(time.Second)
	only[session.Decide](b, b.table.Step(b.now, session.Decided{Ask: ask, Result: r}))
}
