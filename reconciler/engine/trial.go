package engine

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/session"
)

// Trial is what a revision would be tried on: what hosts reported and which sessions
// live, at one moment. It is a copy, and may be used on any goroutine.
type Trial struct {
	reports  []inventory.HostReport
	was      *inventory.Snapshot
	Sessions []session.Standing
}

// Trial returns what a revision would be tried on now.
func (e *Engine) Trial() Trial {
	t := Trial{reports: e.Reports(), was: e.snap}
	for _, s := range e.sessions.Sessions() {
		t.Sessions = append(t.Sessions, s.Standing())
	}
	return t
}

// TrialCut is a session that a revision would cut, and why.
type TrialCut struct {
	session.Standing
	session.Judgement
}

// Cuts returns the sessions that pol would cut if it became active at the time now,
// by the code that does it then. pol must be of a network and with caches of its
// own: identities get numbers that mean others elsewhere.
func (t Trial) Cuts(now time.Time, pol Policy) []TrialCut {
	snap, _ := inventory.Rebuild(inventory.NewInterner(), pol.Network(), t.reports, t.was)
	cuts := []TrialCut{}
	for _, s := range t.Sessions {
		if j := s.Judge(now, snap, pol); j.Cut != "" {
			cuts = append(cuts, TrialCut{Standing: s, Judgement: j})
		}
	}
	return cuts
}
