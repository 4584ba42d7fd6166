package controller

import (
	"cmp"
	"log/slog"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Bounds of a denialLog.
const (
	denialsPerSecond = 10   // lines of one packet each, and as many that sum up
	maxDenials       = 1024 // ports and reasons that are told apart
)

// denialLog keeps the log of denied packets short: of each port and reason the
// first is written as it is denied, and of those that follow in each second only
// their number. Where there are too many ports and reasons for that, one line
// counts the rest. It is the loop's, and only about the log: the engine counts all.
type denialLog struct {
	seen   map[denialKey]*denials
	ended  time.Time // the last second that was summed up
	lines  int       // written since then
	others uint64    // denied since then without a place in seen
}

type denialKey struct {
	dpid   uint64
	port   uint32
	reason policy.Reason
}

// denials are those of one key since its last line.
type denials struct {
	n    uint64
	last engine.PacketDenied
}

func newDenialLog() *denialLog { return &denialLog{seen: make(map[denialKey]*denials)} }

// denied takes a denial, and reports whether it is to be written by itself.
func (l *denialLog) denied(d engine.PacketDenied) bool {
	k := denialKey{d.DPID, d.InPort, d.Result.Decision.Reason}
	s := l.seen[k]
	if s == nil {
		if len(l.seen) >= maxDenials {
			l.others++
			return false
		}
		s = new(denials)
		l.seen[k] = s
		if l.lines < denialsPerSecond {
			l.lines++
			return true
		}
	}
	s.n++
	s.last = d
	return false
}

// sumUp returns what happened in the second that ended, once it has: the keys with
// the most denials, and how many others there were. Keys without any are forgotten.
func (l *denialLog) sumUp(now time.Time) (most []denials, others uint64) {
	if now.Sub(l.ended) < time.Second {
		return nil, 0
	}
	l.ended, l.lines = now, 0
	others, l.others = l.others, 0
	for k, s := range l.seen {
		if s.n == 0 {
			delete(l.seen, k)
			continue
		}
		most = append(most, *s)
		s.n, s.last = 0, engine.PacketDenied{}
	}
	slices.SortFunc(most, func(a, b denials) int {
		return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.last.DPID, b.last.DPID), cmp.Compare(a.last.InPort, b.last.InPort),
			cmp.Compare(a.last.Result.Decision.Reason, b.last.Result.Decision.Reason))
	})
	for len(most) > denialsPerSecond {
		last := len(most) - 1
		others += most[last].n
		most = most[:last]
	}
	return most, others
}

// logDenials writes what the second that ended left to be written.
func (c *Controller) logDenials(now time.Time) {
	most, others := c.denials.sumUp(now)
	for _, d := range most {
		c.log.LogAttrs(c.ctx, slog.LevelInfo, "packets denied", append(deniedAttrs(d.last), slog.Uint64("count", d.n))...)
	}
	if others > 0 {
		c.log.LogAttrs(c.ctx, slog.LevelInfo, "packets of other ports denied", slog.Uint64("count", others))
	}
}
