package controller

import (
	"sync"
	"time"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/session"
)

// inboxLimits bound the lifted packets that wait, in ofswitch.FrameUnit: 128 MiB
// in all. A port has room for its meter's burst and what follows in 0.3 s.
func inboxLimits() ofswitch.FairLimits {
	return ofswitch.FairLimits{PerKey: 512, PerGroup: 4096, Total: 65536}
}

// Shares of the questions that the engine can ask at once. A port, or all ports of
// a tenant, that has its share open gets no more of its packets served until half
// of it is answered: they wait in the inbox, and the table of sessions always has
// room for the questions of others.
const (
	maxAsksOfPort   = 64
	maxAsksOfTenant = session.MaxPending / 4
)

// What the loop serves in one round of each kind, as far as there is so much of it.
const (
	callsARound   = 64
	answersARound = 64
	packetsARound = 64
)

// workEach is how many questions wait for each decider in no fair order any more,
// so that it has some while the loop is busy.
const workEach = 8

// maxCalls bounds the events that wait for the loop. Whoever brings more waits: so
// few that one host or client that floods costs the others no more than these.
const maxCalls = 128

// onceASecond lets one line a second into the log and counts the others.
type onceASecond struct {
	mu     sync.Mutex // guards the fields below
	next   time.Time
	missed uint64
}

// allow reports whether a line at now may be logged, and how many before it were
// not.
func (l *onceASecond) allow(now time.Time) (missed uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.next) {
		l.missed++
		return 0, false
	}
	missed, l.missed = l.missed, 0
	l.next = now.Add(time.Second)
	return missed, true
}
