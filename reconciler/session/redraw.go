package session

import (
	"maps"
	"slices"
	"time"
)

// Redraw moves a session to other labels, make before break: what New needs and
// Old has not is put in first, then New's flows take the place of Old's, then what
// is left of Old is removed. Each step waits for every hop's barrier. Old's labels
// are free when Token is confirmed, as after a Remove.
type Redraw struct {
	Old, New *Session
	Token    uint64
}

func (Redraw) effect() {}

// intruded reports whether a host listens on a wire port of the session: its own
// processes could not be reached there, and others would reach them.
func (s *Session) intruded() bool {
	for _, l := range []wireLabel{s.high, s.low} {
		if l != 0 && (listens(s.Client.Host, s.Proto, uint16(l)) || listens(s.Server.Host, s.Proto, uint16(l))) {
			return true
		}
	}
	return false
}

// astray reports whether it is not known what a switch of a session between hosts
// holds: an old flow may stand there for any label that it would get.
func (t *Table) astray(s *Session) bool {
	return s.CrossHost() && (t.lost[s.Client.Host.DPID] || t.lost[s.Server.Host.DPID])
}

// redrawIntruded redraws the sessions that had to wait for a switch.
func (t *Table) redrawIntruded(now time.Time) []Effect {
	var out []Effect
	for _, id := range slices.Sorted(maps.Keys(t.intruded)) {
		s := t.byID.get(id)
		if s != nil && t.astray(s) {
			continue
		}
		delete(t.intruded, id)
		if s != nil && s.CrossHost() && s.intruded() {
			out = append(out, t.redraw(now, s)...)
		}
	}
	return out
}

// redraw gives a session between hosts new labels, or cuts it if there are none.
func (t *Table) redraw(now time.Time, s *Session) []Effect {
	if t.astray(s) {
		t.intruded[s.ID] = true
		return nil
	}
	n := *s
	n.ID, n.high, n.low, n.Lanes, n.bySet, n.uses, n.first, n.ended = t.nextCookie(), 0, 0, nil, nil, [2]int{}, firstLane{}, false
	n.Adopted = time.Time{} // its name is this controller's
	t.forget(s)
	for _, old := range s.Lanes {
		label := t.label(now, &n, old.label == s.low)
		if label == 0 {
			t.giveBack(now, &n)
			t.freeLanes(n.Client, len(n.Lanes))
			return t.close(now, s, EndLabels)
		}
		l := newLane(now, &n, old.Set, label)
		l.opened, l.busy, l.Forward, l.Reply = old.opened, old.busy, old.Forward, old.Reply
		l.installed, l.polled, l.answered = n.age(now), old.polled, old.answered
		t.putLane(&n, l)
	}
	t.enter(&n)
	t.lastToken++
	t.closing[t.lastToken] = closingOf(s)
	return []Effect{Redraw{Old: s, New: &n, Token: t.lastToken}}
}

// giveBack releases labels that no switch has heard of.
func (t *Table) giveBack(now time.Time, s *Session) {
	for _, l := range []wireLabel{s.high, s.low} {
		t.labels.release(now, s.pair(), l)
	}
}
