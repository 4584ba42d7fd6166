package session_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// remembering is a policy that remembers its decisions once told to.
type remembering struct {
	*world.Verdicts
	known bool
}

func (p *remembering) Cached(now time.Time, q policy.Query) (policy.Decision, bool) {
	return p.Decide(now, q), p.known
}

// remember gives the table a policy that remembers.
func (b *bench) remember(v *world.Verdicts) *remembering {
	p := &remembering{v, true}
	b.table.Step(b.now, session.Revised{Snapshot: b.snap, Policy: p})
	return p
}

func TestRememberedDecisionActsAtOnce(t *testing.T) {
	b := newBench(t)
	b.remember(b.w.AllowAll("r2"))
	only[session.Install](b, b.lift(b.packet("web1", "db2", syn(40000, 80))))
	b.remember(b.w.Deny("r3", policy.Drop))
	got := b.lift(b.packet("web1", "db2", syn(40000, 81)))
	if len(all[session.Denied](got)) != 1 || len(all[session.InstallDrop](got)) != 1 {
		t.Errorf("effects = %#v; want a denial and a drop flow", got)
	}
}

func TestPacketsKeepTheirOrderBehindOneThatWaits(t *testing.T) {
	b := newBench(t)
	p := b.remember(b.w.AllowAll("r2"))
	p.known = false
	ask := only[session.Decide](b, b.lift(b.packet("web1", "db2", syn(40000, 80))))
	p.known = true
	if got := b.lift(b.packet("web1", "db2", syn(40001, 80))); len(got) != 0 {
		t.Fatalf("second packet: effects = %#v; want that it waits with the first", got)
	}
	var ports []uint16
	for _, ef := range b.settle([]session.Effect{ask}) {
		switch ef := ef.(type) {
		case session.Install:
			ports = append(ports, ef.Packet.Headers.SrcPort)
		case session.Deliver:
			ports = append(ports, ef.Packet.Headers.SrcPort)
		}
	}
	if len(ports) != 2 || ports[0] != 40000 || ports[1] != 40001 {
		t.Errorf("packets left from ports %d; want 40000, then 40001", ports)
	}
}
