package engine

import (
	"maps"

	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// DriftKind says how a switch differs from what it should hold.
type DriftKind string

// Kinds of drift.
const (
	DriftMissing DriftKind = "missing" // a flow that should be there
	DriftAltered DriftKind = "altered" // one that does something else
	DriftStray   DriftKind = "stray"   // one that nothing explains
)

// Drift records flows that a switch held or lacked twice in a row though nobody
// told it so. Each was mended.
type Drift struct {
	DPID  uint64
	Kind  DriftKind
	Count int
	First string // one of them, in ovs-ofctl's syntax
}

// suspect is one difference; a change under way shows as one too, but not in two
// audits.
type suspect struct {
	kind   DriftKind
	key    openflow.Key
	cookie uint64
}

// scope is cookies that are always of one part, and how their flows were asked for.
// Differences are compared with those of the same scope, so that it doesn't matter
// in how many parts a switch is audited.
type scope struct {
	share uint32 // cookies by what they leave, divided by session.Shares
	known bool
}

func (a *audit) scopeOf(cookie uint64) scope { return scope{uint32(cookie) % session.Shares, a.Known} }

// Cookies returns the cookies of a part of what a connected switch should hold,
// but for drops, which go by themselves within seconds: its peers' flows, its
// endpoints', and those of the sessions that pass it, in no order.
func (e *Engine) Cookies(dpid uint64, part Part) []uint64 {
	h := e.snap.HostByDPID(dpid)
	if h == nil {
		return nil
	}
	var out []uint64
	if part.has(0) {
		out = append(out, e.cookie(pipeline.CategoryPeer, 0))
	}
	for _, ep := range e.snap.EndpointsOf(h) {
		if part.has(uint64(ep.Port)) {
			out = append(out, e.cookie(pipeline.CategoryEndpoint, ep.Port))
		}
	}
	for s := range e.sessions.Passing(dpid, part.Index, max(part.Of, 1)) {
		out = append(out, s.ID)
	}
	return out
}

// CookieCount is how many cookies Cookies has for all of a switch, at once.
func (e *Engine) CookieCount(dpid uint64) int {
	h := e.snap.HostByDPID(dpid)
	if h == nil {
		return 0
	}
	return 1 + len(e.snap.EndpointsOf(h)) + e.sessions.PassingLen(dpid)
}

// audit compares a part of a switch's flows with what should be there. Hostd's own
// flows are hostd's matter.
type audit struct {
	FlowsCounted
	byCookie map[uint64][]int // flows that may be wanted, by their place in Flows
	known    []bool           // flows that are explained, likewise
	found    map[suspect]discrepancy
}

// discrepancy is a suspect's flows.
type discrepancy struct{ held, want openflow.Flow }

func newAudit(ev FlowsCounted) *audit {
	a := &audit{
		FlowsCounted: ev, byCookie: make(map[uint64][]int, len(ev.Flows)/3), known: make([]bool, len(ev.Flows)),
		found: make(map[suspect]discrepancy),
	}
	for i := range ev.Flows {
		if c := ev.Flows[i].Cookie; ours(c) {
			a.byCookie[c] = append(a.byCookie[c], i)
		}
	}
	return a
}

// session compares the flows of a live session, and returns what they counted.
func (a *audit) session(s *session.Session) []session.Counted {
	var out []session.Counted
	held := a.byCookie[s.ID]
	for _, l := range s.Lanes {
		if !s.Passes(a.DPID) {
			continue
		}
		hops := flows.ForLane(s, l)
		for i := range hops {
			hf := &hops[i]
			if hf.Host.DPID != a.DPID {
				continue
			}
			for f := range hf.All {
				at := a.compare(held, f)
				if at < 0 || f == &hf.Guard {
					continue
				}
				st := &a.Flows[at]
				c := session.Counted{
					Session: s.ID, Set: l.Set, Hop: i, Count: session.Count{Packets: st.Packets, Bytes: st.Bytes}, Ending: st.IdleTimeout != 0,
				}
				if f == &hf.Reply {
					c.Direction = session.Reply
				}
				out = append(out, c)
			}
		}
	}
	return out
}

// compare looks for a wanted flow among some of the held ones, and returns its
// place, or -1 if it is missing.
func (a *audit) compare(among []int, want *openflow.Flow) int {
	for _, i := range among {
		f := &a.Flows[i]
		if f.Priority != want.Priority || f.Table != want.Table || f.Match != want.Match {
			continue
		}
		if a.known[i] = true; !asWanted(f, want) {
			a.found[suspect{DriftAltered, f.Key(), f.Cookie}] = discrepancy{f.Flow, *want}
		}
		return i
	}
	a.found[suspect{DriftMissing, want.Key(), want.Cookie}] = discrepancy{want: *want}
	return -1
}

// rest compares what is no live session's: the flows of endpoints and peers, drops,
// and what nothing explains.
func (a *audit) rest(e *Engine, sw *switchState) {
	for want := range e.fixedFlows(a.DPID, a.Part) {
		among := a.byCookie[want[0].Cookie]
		for i := range want {
			a.compare(among, &want[i])
		}
	}
	for i := range a.Flows {
		f := &a.Flows[i]
		c := pipeline.ParseCookie(f.Cookie)
		switch {
		case a.known[i] || c.Category == pipeline.CategoryBase:
		case c.Category == pipeline.CategoryDeny && e.sessions.Dropping(c.Number):
		case sw.byCookie[f.Cookie] != nil:
		default:
			a.found[suspect{DriftStray, f.Key(), f.Cookie}] = discrepancy{held: f.Flow}
		}
	}
}

// mendDrift mends what the audit before found too.
func (e *Engine) mendDrift(sw *switchState, a *audit) []Effect {
	b := &openflow.Batch{DPID: a.DPID}
	drift := make(map[DriftKind]*Drift)
	before := sw.replaceSuspects(a)
	var missing []openflow.Flow
	for s, d := range a.found {
		if !before[s] {
			continue
		}
		shown := d.held
		if s.kind == DriftStray {
			b.Flows = append(b.Flows, deleteOf(openflow.FlowStats{Flow: d.held, Known: true}))
		} else {
			missing = append(missing, d.want)
			if s.kind == DriftMissing {
				shown = d.want
			}
		}
		note(drift, a.DPID, s.kind, shown.String())
	}
	if len(drift) == 0 {
		return nil
	}
	sortMods(b.Flows)
	for _, f := range ordered(missing) {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	if len(missing) > 0 { // which may be gone with what they name
		all := e.fixed(a.DPID, Part{})
		b.Meters, b.Groups = sorted(all.meters), sorted(all.groups)
	}
	out := []Effect{Send{b}}
	for _, k := range []DriftKind{DriftMissing, DriftAltered, DriftStray} {
		if d := drift[k]; d != nil {
			e.count.Drift[k] += uint64(d.Count)
			out = append(out, *d)
		}
	}
	return out
}

// replaceSuspects remembers what an audit found, and returns what the one before
// had found of the same cookies.
func (sw *switchState) replaceSuspects(a *audit) (before map[suspect]bool) {
	before = make(map[suspect]bool)
	for i := a.Part.Index; i < session.Shares; i += max(a.Part.Of, 1) {
		in := scope{i, a.Known}
		maps.Copy(before, sw.suspects[in])
		delete(sw.suspects, in)
	}
	for s := range a.found {
		in := a.scopeOf(s.cookie)
		if sw.suspects[in] == nil {
			sw.suspects[in] = make(map[suspect]bool)
		}
		sw.suspects[in][s] = true
	}
	return before
}

// Suspected reports whether the last audit of a part that listed all flows, whatever
// their cookies, found something wrong, which another look would mend.
func (e *Engine) Suspected(dpid uint64, part Part) bool {
	sw := e.switches[dpid]
	if sw == nil {
		return false
	}
	for in := range sw.suspects {
		if !in.known && part.has(uint64(in.share)) {
			return true
		}
	}
	return false
}

// note adds a flow to the drift of its kind.
func note(drift map[DriftKind]*Drift, dpid uint64, kind DriftKind, flow string) {
	d := drift[kind]
	if d == nil {
		d = &Drift{DPID: dpid, Kind: kind, First: flow}
		drift[kind] = d
	}
	d.Count++
	d.First = min(d.First, flow)
}

// asWanted reports whether a switch holds just the flow that is wanted. One of a
// TCP connection gets an idle timeout when the switch sees the connection's end.
func asWanted(held *openflow.FlowStats, want *openflow.Flow) bool {
	f := held.Flow
	if want.Actions[0].Kind == openflow.ActionFinTimeout && f.IdleTimeout == uint16(want.Actions[0].Value) {
		f.IdleTimeout = want.IdleTimeout
	}
	return held.Whole && f == *want
}
