package engine

import (
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
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

// audit compares the flows of a switch with what should be there. Hostd's own
// flows are hostd's matter.
func (e *Engine) audit(sw *switchState, ev FlowsCounted, want entries) []Effect {
	dpid := ev.DPID
	found := e.suspects(sw, ev.Flows, want.flows)
	b := openflow.Batch{DPID: dpid}
	drift := make(map[DriftKind]*Drift)
	var missing []openflow.Flow
	for s, f := range found {
		if !sw.suspects[ev.Part][s] {
			continue
		}
		d := drift[s.kind]
		if d == nil {
			d = &Drift{DPID: dpid, Kind: s.kind, First: f.String()}
			drift[s.kind] = d
		}
		d.Count++
		d.First = min(d.First, f.String())
		if s.kind == DriftStray {
			b.Flows = append(b.Flows, deleteOf(openflow.FlowStats{Flow: f, Known: true}))
		} else {
			missing = append(missing, want.flows[s.key])
		}
	}
	seen := make(map[suspect]bool, len(found))
	for s := range found {
		seen[s] = true
	}
	sw.suspects[ev.Part] = seen
	if len(drift) == 0 {
		return nil
	}
	sortMods(b.Flows)
	for _, f := range ordered(missing) {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	if len(missing) > 0 { // which may be gone with what they name
		all := e.fixed(dpid, Part{})
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

// asWanted reports whether a switch holds just the flow that is wanted. One of a
// TCP connection gets an idle timeout when the switch sees the connection's end.
func asWanted(held *openflow.FlowStats, want *openflow.Flow) bool {
	f := held.Flow
	if want.Actions[0].Kind == openflow.ActionFinTimeout && f.IdleTimeout == uint16(want.Actions[0].Value) {
		f.IdleTimeout = want.IdleTimeout
	}
	return held.Whole && f == *want
}

// suspects returns how held differs from want, each difference with its flow: the
// wanted one if that is missing, else the held one.
func (e *Engine) suspects(sw *switchState, held []openflow.FlowStats, want map[openflow.Key]openflow.Flow) map[suspect]openflow.Flow {
	out := make(map[suspect]openflow.Flow)
	there := make(map[openflow.Key]bool, len(held))
	for i := range held {
		f := &held[i]
		c := pipeline.ParseCookie(f.Cookie).Category
		if c == pipeline.CategoryBase {
			continue
		}
		w, wanted := want[f.Key()]
		switch {
		case wanted && asWanted(f, &w):
			there[f.Key()] = true
		case wanted:
			there[f.Key()] = true
			out[suspect{DriftAltered, f.Key(), f.Cookie}] = f.Flow
		case c == pipeline.CategoryDeny && e.sessions.Dropping(pipeline.ParseCookie(f.Cookie).Number):
		case sw.byCookie[f.Cookie] != nil:
		default:
			out[suspect{DriftStray, f.Key(), f.Cookie}] = f.Flow
		}
	}
	for k, f := range want {
		if !there[k] {
			out[suspect{DriftMissing, k, f.Cookie}] = f
		}
	}
	return out
}
