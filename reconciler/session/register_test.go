package session

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
)

// TestSessionsAreListedByTheSwitchesThatTheyPass: each once, however they come and
// go, and nothing is kept of a switch that none passes.
func TestSessionsAreListedByTheSwitchesThatTheyPass(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	hosts := []*inventory.Host{{DPID: 1}, {DPID: 2}, {DPID: 3}}
	end := func() *inventory.Endpoint {
		return &inventory.Endpoint{Host: hosts[random.IntN(len(hosts))]}
	}
	table := NewTable(Config{WireFirst: 16384, WireCount: 16})
	live := make(map[uint64]*Session)
	check := func() {
		t.Helper()
		for _, h := range hosts {
			for _, of := range []uint32{1, 4, Shares} {
				want, got := make(map[uint64]int), make(map[uint64]int)
				for index := range of {
					for s := range table.Passing(h.DPID, index, of) {
						got[s.ID]++
						if uint32(s.ID)%of != index {
							t.Errorf("session %d is in part %d of %d", s.ID, index, of)
						}
					}
				}
				for _, s := range live {
					if s.Passes(h.DPID) {
						want[s.ID] = 1
					}
				}
				if n := table.PassingLen(h.DPID); n != len(want) {
					t.Errorf("%d sessions pass switch %d; want %d", n, h.DPID, len(want))
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("sessions at switch %d in parts of %d (-want +got):\n%s", h.DPID, of, diff)
				}
			}
		}
		if table.Len() != len(live) {
			t.Errorf("%d sessions live; want %d", table.Len(), len(live))
		}
	}
	for range 300 {
		for range 10 {
			id := uint64(random.IntN(3 * Shares))
			if random.IntN(2) == 0 {
				live[id] = &Session{ID: id, Client: end(), Server: end()}
				table.byID.put(live[id])
				continue
			}
			delete(live, id)
			table.byID.remove(id)
		}
		check()
	}
	for id := range maps.Clone(live) {
		delete(live, id)
		table.byID.remove(id)
	}
	check()
	if len(table.byID.passing) > 0 {
		t.Errorf("%d switches are remembered that no session passes", len(table.byID.passing))
	}
}
