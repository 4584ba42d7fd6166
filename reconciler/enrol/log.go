package enrol

import (
	"log/slog"
	"sync"
	"time"

	"github.com/daolinet/daolinet/reconciler/trust"
)

// linesASecond is how many lines a second the log has of each kind of refusal.
const linesASecond = 5

// refusalLog writes a few lines a second of each message and reason: anybody may
// connect, and a flood of one kind hides no other.
type refusalLog struct {
	log *slog.Logger
	mu  *sync.Mutex // guards the fields below
	by  map[refusalKind]*second
}

type refusalKind struct {
	message string // constant
	reason  trust.Reason
}

type second struct {
	began  time.Time
	lines  int
	missed uint64
}

func newRefusalLog(log *slog.Logger) refusalLog {
	return refusalLog{log: log, mu: new(sync.Mutex), by: map[refusalKind]*second{}}
}

// refused logs that somebody was not trusted, and why.
func (l *refusalLog) refused(message, peer, host string, err error) {
	reason := trust.ReasonOf(err)
	missed, ok := l.allow(time.Now(), refusalKind{message, reason})
	if !ok {
		return
	}
	l.log.Warn(message, slog.String("peer", peer), slog.String("host", host), slog.String("reason", string(reason)),
		slog.Uint64("unlogged", missed), slog.Any("err", err))
}

// allow reports whether one may be logged now, and how many before it were not.
func (l *refusalLog) allow(now time.Time, kind refusalKind) (missed uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.by[kind]
	if s == nil {
		s = &second{}
		l.by[kind] = s
	}
	if now.Sub(s.began) >= time.Second {
		s.began, s.lines = now, 0
	}
	if s.lines >= linesASecond {
		s.missed++
		return 0, false
	}
	s.lines++
	missed, s.missed = s.missed, 0
	return missed, true
}

// Bounds of attempts to join, and of renewals.
const (
	attemptsAtOnce = 10              // of one address or host
	attemptEvery   = 2 * time.Second // that gives one more
	maxAddresses   = 4096            // that are remembered
)

// attempts bounds what somebody may try, by who it is: an address or a host.
type attempts struct {
	mu   *sync.Mutex          // guards full
	full map[string]time.Time // when an address has all its attempts again
}

func newAttempts() attempts { return attempts{mu: new(sync.Mutex), full: map[string]time.Time{}} }

// take takes one of the address's attempts, and reports whether there was one.
// A table that is full of addresses that tried just now has none for new ones.
func (t *attempts) take(now time.Time, address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	full, known := t.full[address]
	if !known && len(t.full) >= maxAddresses {
		for a, at := range t.full {
			if !at.After(now) {
				delete(t.full, a)
			}
		}
		if len(t.full) >= maxAddresses {
			return false
		}
	}
	if full.Before(now) {
		full = now
	}
	if full.Sub(now) > (attemptsAtOnce-1)*attemptEvery {
		return false
	}
	t.full[address] = full.Add(attemptEvery)
	return true
}

// back gives an attempt back that did not fail.
func (t *attempts) back(address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if full, known := t.full[address]; known {
		t.full[address] = full.Add(-attemptEvery)
	}
}
