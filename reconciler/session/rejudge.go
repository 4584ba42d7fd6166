package session

import (
	"cmp"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// revised judges everything again under a new policy or inventory: sessions that
// it forbids, or whose ends are gone, are cut; the others keep their flows.
func (t *Table) revised(now time.Time, ev Revised) []Effect {
	same := t.pol == ev.Policy
	t.snap, t.pol, t.memory = ev.Snapshot, ev.Policy, admission.NewMemory(ev.Policy)
	var out []Effect
	for _, s := range t.Sessions() {
		if same && t.unchanged(s) {
			continue
		}
		out = append(out, t.rejudge(now, s)...)
	}
	out = append(out, t.rejudgeDrops(now)...)
	held := t.held
	t.held = nil
	for _, p := range held {
		out = append(out, t.packetArrived(now, p)...)
	}
	return out
}

// unchanged reports whether both ends of a session are as they were when it was
// judged; then, under the same policy, so is the judgement.
func (t *Table) unchanged(s *Session) bool {
	return t.snap.EndpointByAddr(s.Client.VPC, s.Client.IP) == s.Client &&
		t.snap.EndpointByAddr(s.Server.VPC, s.Server.IP) == s.Server
}

func (t *Table) rejudge(now time.Time, s *Session) []Effect {
	j := s.Standing().Judge(now, t.snap, t.pol)
	if j.Cut == EndEndpoint {
		return t.cut(now, s, EndEndpoint)
	}
	s.Client, s.Server = j.Client, j.Server
	s.idle = idleAge(t.snap.Net.VPCs[s.Client.VPC], s.Proto, s.Port)
	if s.Decision = t.shared(j.Decision); j.Cut == EndPolicy {
		t.forbid(now, s)
		return t.cut(now, s, EndPolicy)
	}
	t.watch(s)
	if s.CrossHost() && s.intruded() {
		return t.redraw(now, s)
	}
	return nil
}

// samePlace reports whether an endpoint is still what a session was opened to:
// the same container interface at the same place. Only the host's router may
// have changed, whose address stands in a group, its underlay address not.
func samePlace(was, is *inventory.Endpoint) bool {
	return is != nil && was.Name == is.Name && was.MAC == is.MAC && was.Port == is.Port &&
		was.Host.Name == is.Host.Name && was.Host.DPID == is.Host.DPID &&
		was.Host.Uplink.Addr == is.Host.Uplink.Addr && was.Host.Uplink.Port == is.Host.Uplink.Port
}

// cut ends a session: its flows are deleted on all hops, and its labels given
// back when every hop has confirmed that.
func (t *Table) cut(now time.Time, s *Session, why EndReason) []Effect {
	t.forget(s)
	return t.close(now, s, why)
}

// close removes the flows of a session that is no longer live.
func (t *Table) close(now time.Time, s *Session, why EndReason) []Effect {
	t.lastToken++
	c := closingOf(s)
	if len(c.waiting) == 0 { // no flows: nobody will confirm
		t.release(now, c)
	} else {
		t.closing[t.lastToken] = c
	}
	return []Effect{Remove{Session: s, Token: t.lastToken, Why: why}}
}

func closingOf(s *Session) *closing {
	c := &closing{session: s.ID, waiting: make(map[uint64]bool), pair: s.pair()}
	if len(s.Lanes) > 0 {
		for _, h := range s.Hops {
			c.waiting[h.DPID] = true
		}
	}
	for _, l := range []wireLabel{s.high, s.low} {
		if l != 0 {
			c.labels = append(c.labels, l)
		}
	}
	return c
}

func (t *Table) confirmed(now time.Time, dpid, token uint64) {
	c := t.closing[token]
	if c == nil || !c.waiting[dpid] {
		return
	}
	if delete(c.waiting, dpid); len(c.waiting) == 0 {
		delete(t.closing, token)
		t.release(now, c)
	}
}

// known notes that a switch holds nothing of the sessions that are closing.
func (t *Table) known(now time.Time, dpid uint64) {
	delete(t.lost, dpid)
	for token := range t.closing {
		t.confirmed(now, dpid, token)
	}
}

func (t *Table) release(now time.Time, c *closing) {
	delete(t.disowned, c.session) // no switch holds anything of it
	for _, l := range c.labels {
		t.labels.release(now, c.pair, l)
	}
}

// counted notes what a lane's flows counted on one hop.
func (t *Table) counted(now time.Time, ev Counted) {
	s := t.byID.get(ev.Session)
	if s == nil {
		return
	}
	l := s.laneOfSet(ev.Set)
	if l == nil || ev.Hop >= s.HopCount() {
		return
	}
	seen, total := &l.seen[ev.Hop].forward, &l.Forward
	if ev.Direction == Reply {
		seen, total = &l.seen[ev.Hop].reply, &l.Reply
	}
	if ev.Count.Packets != *seen {
		*seen, l.busy = ev.Count.Packets, s.age(now)
	}
	if ev.Direction == Reply && ev.Count.Packets > 1 {
		l.answered = true
	}
	if ev.Hop == 0 {
		*total = ev.Count
	}
	l.polled, l.ending = s.age(now), l.ending || ev.Ending
	if s.past(l) != "" {
		t.watched[s] = true
	}
}

// tick ends what is idle or was never answered, judges again what a rule's end
// may have changed, and gives up on what was held too long.
func (t *Table) tick(now time.Time) []Effect {
	var out []Effect
	for _, s := range t.due(now) {
		if s.Decision.Ended(now) {
			if effects := t.rejudge(now, s); len(effects) > 0 {
				out = append(out, effects...)
				continue
			}
		}
		out = append(out, t.age(now, s)...)
	}
	out = append(out, t.redrawIntruded(now)...)
	out = append(out, t.expireDrops(now)...)
	t.labels.forget(now)
	t.sweepOpenings(now)
	return append(out, t.releaseHeld(now)...)
}

// watch has ticks look at a session, if time can do something to it as it is now.
// A lane's time is over by what was counted of it, or by another idle timeout.
func (t *Table) watch(s *Session) {
	if !s.Decision.Until.IsZero() || s.old() {
		t.watched[s] = true
	}
}

// due returns the sessions that time did something to, by cookie.
func (t *Table) due(now time.Time) []*Session {
	var out []*Session
	for s := range t.watched {
		switch {
		case s.Decision.Ended(now) || s.old():
			out = append(out, s)
		case s.Decision.Until.IsZero():
			delete(t.watched, s) // until it is counted again
		}
	}
	slices.SortFunc(out, func(a, b *Session) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// old reports whether the time of one of its lanes is over.
func (s *Session) old() bool {
	return slices.ContainsFunc(s.Lanes, func(l *Lane) bool { return s.past(l) != "" })
}

// past returns why a lane's time is over, or "".
func (s *Session) past(l *Lane) EndReason {
	switch quiet := time.Duration(l.polled - l.busy); {
	case l.ending && quiet > closedAge:
		return EndClosed
	case quiet > s.idle:
		return EndIdle
	case s.Proto == packet.TCP && !l.answered && time.Duration(l.polled-s.since(l)) > halfOpenAge:
		return EndHalfOpen
	}
	return ""
}

// age removes the lanes whose time is over, and the session with its last.
func (t *Table) age(now time.Time, s *Session) []Effect {
	var old map[*Lane]bool
	why := EndIdle
	for _, l := range s.Lanes {
		past := s.past(l)
		if past == "" {
			continue
		}
		if old == nil {
			old = make(map[*Lane]bool)
		}
		if old[l] = true; past != EndIdle {
			why = past
		}
	}
	switch len(old) {
	case 0:
		return nil
	case len(s.Lanes):
		return t.cut(now, s, why)
	}
	return t.dropLanes(s, old)
}

// since is from when on a lane's server may be expected to have answered, as far
// as this controller can know.
func (s *Session) since(l *Lane) age { return max(l.opened, s.age(s.Adopted)) }

// releaseHeld denies what was held for a sender that never became known.
func (t *Table) releaseHeld(now time.Time) []Effect {
	var out []Effect
	keep := t.held[:0]
	for _, p := range t.held {
		if now.Sub(p.Received) < holdUnknown {
			keep = append(keep, p)
			continue
		}
		d := policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonUnknownEndpoint}
		out = append(out, Denied{Packet: p, Result: admission.Result{Decision: d}})
	}
	clear(t.held[len(keep):])
	t.held = keep
	return out
}
