package engine_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
)

// TestAdoptedSessionIsNotTakenForHalfOpen: an old connection, idle by now, whose
// flows say that both ends spoke, is no scan because its controller is new.
func TestAdoptedSessionIsNotTakenForHalfOpen(t *testing.T) {
	b := busy(t)
	b.restart()
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	for i := range b.w.Hosts {
		b.hostUp(i)
	}
	for dpid := uint64(1); dpid <= 3; dpid++ {
		stats := b.stats(dpid)
		for i := range stats {
			stats[i].DurationSec, stats[i].Packets, stats[i].Bytes = 600, 5, 500
		}
		b.step(engine.SwitchUp{DPID: dpid, Flows: stats})
	}
	n := b.e.Sessions().Len()
	b.now = b.now.Add(300 * time.Millisecond)
	b.step(engine.Tick{})
	if got := b.e.Sessions().Len(); got != n || n != 5 {
		t.Errorf("sessions = %d adopted, %d after the first tick; want 5 and 5", n, got)
	}
}
