package session

import (
	"testing"
	"time"
)

// CheckWatched fails the test if a tick would overlook a session, or if what it
// looks at is no longer live.
func (t *Table) CheckWatched(tb testing.TB, now time.Time) {
	tb.Helper()
	for s := range t.All {
		if (s.Decision.Ended(now) || s.old()) && !t.watched[s] {
			tb.Errorf("time did something to session %x, which no tick looks at", s.ID)
		}
	}
	for s := range t.watched {
		if t.byID.get(s.ID) != s {
			tb.Errorf("session %x is looked at after its end", s.ID)
		}
	}
}
