package engine_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// inParts counts a switch's flows as the controller does.
func (b *bench) inParts(dpid uint64, flows []openflow.FlowStats) {
	for _, part := range (engine.FlowsCounted{DPID: dpid, Flows: flows}).Split(8) {
		b.step(part)
	}
}

func (b *bench) audit(dpid uint64) []engine.Drift {
	b.other = nil
	b.inParts(dpid, b.stats(dpid))
	var out []engine.Drift
	for _, ef := range b.other {
		if d, ok := ef.(engine.Drift); ok {
			d.First = ""
			out = append(out, d)
		}
	}
	return out
}

// TestDriftIsMendedWhenItIsSeenTwice in each of the categories that are the
// controller's, and of strangers' flows.
func TestDriftIsMendedWhenItIsSeenTwice(t *testing.T) {
	pick := func(b *bench, c pipeline.Category) openflow.Flow {
		for _, f := range b.tables[1] {
			if pipeline.ParseCookie(f.Cookie).Category == c {
				return f
			}
		}
		t.Fatalf("no flow of category %d", c)
		return openflow.Flow{}
	}
	take := func(c pipeline.Category) func(b *bench) {
		return func(b *bench) {
			f := pick(b, c)
			delete(b.tables[1], f.Key())
		}
	}
	alter := func(c pipeline.Category) func(b *bench) {
		return func(b *bench) {
			f := pick(b, c)
			f.Actions = openflow.ActionList(openflow.Output(99))
			b.tables[1][f.Key()] = f
		}
	}
	put := func(cookie uint64) func(b *bench) {
		return func(b *bench) {
			f := openflow.Flow{Table: 2, Priority: 999, Cookie: cookie, Actions: openflow.ActionList(openflow.Output(16))}
			b.tables[1][f.Key()] = f
		}
	}
	for name, tt := range map[string]struct {
		drift func(*bench)
		kind  engine.DriftKind
	}{
		"an endpoint's flow is gone": {take(pipeline.CategoryEndpoint), engine.DriftMissing},
		"a session's flow is gone":   {take(pipeline.CategorySession), engine.DriftMissing},
		"a peers' flow is gone":      {take(pipeline.CategoryPeer), engine.DriftMissing},
		"an endpoint's is altered":   {alter(pipeline.CategoryEndpoint), engine.DriftAltered},
		"a session's is altered":     {alter(pipeline.CategorySession), engine.DriftAltered},
		"nobody's":                   {put(0), engine.DriftStray},
		"of a session that is none":  {put(pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 7, Number: 4711}.Bits()), engine.DriftStray},
		"of an older controller":     {put(pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 6, Number: 1}.Bits()), engine.DriftStray},
		"a drop that is none":        {put(pipeline.Cookie{Category: pipeline.CategoryDeny, Epoch: 7, Number: 4711}.Bits()), engine.DriftStray},
	} {
		t.Run(name, func(t *testing.T) {
			b := busy(t)
			want := b.held(1)
			tt.drift(b)
			if d := b.audit(1); len(d) != 0 {
				t.Fatalf("first audit = %+v; want nothing yet, since it may be a change under way", d)
			}
			if diff := cmp.Diff([]engine.Drift{{DPID: 1, Kind: tt.kind, Count: 1}}, b.audit(1)); diff != "" {
				t.Errorf("second audit (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, b.held(1)); diff != "" {
				t.Errorf("flows (-before +after):\n%s", diff)
			}
			if d := b.audit(1); len(d) != 0 {
				t.Errorf("third audit = %+v; want nothing", d)
			}
		})
	}
}

// held is a copy of what a switch holds.
func (b *bench) held(dpid uint64) map[openflow.Key]openflow.Flow {
	out := make(map[openflow.Key]openflow.Flow, len(b.tables[dpid]))
	for k, f := range b.tables[dpid] {
		out[k] = f
	}
	return out
}

// TestCookiesAreThoseOfAllThatASwitchShouldHold: asking for them finds whatever is
// missing or altered, and takes nothing for a stray.
func TestCookiesAreThoseOfAllThatASwitchShouldHold(t *testing.T) {
	b := busy(t)
	known := func() []engine.Drift {
		b.other = nil
		for i := range uint32(8) {
			part := engine.Part{Index: i, Of: 8}
			ev := engine.FlowsCounted{DPID: 1, Part: part, Known: true}
			cookies := b.e.Cookies(1, part)
			for _, f := range b.stats(1) {
				if slices.Contains(cookies, f.Cookie) {
					ev.Flows = append(ev.Flows, f)
				}
			}
			b.step(ev)
		}
		var out []engine.Drift
		for _, ef := range b.other {
			if d, ok := ef.(engine.Drift); ok {
				d.First = ""
				out = append(out, d)
			}
		}
		return out
	}
	all := b.e.Cookies(1, engine.Part{})
	if n := b.e.CookieCount(1); len(all) == 0 || n != len(all) {
		t.Errorf("%d cookies; want some, and %d", len(all), n)
	}
	for _, f := range b.tables[1] {
		if c := pipeline.ParseCookie(f.Cookie).Category; c != pipeline.CategoryDeny && !slices.Contains(all, f.Cookie) {
			t.Errorf("nobody asks for %s", &f)
		}
	}
	want := b.held(1)
	if d := append(known(), known()...); len(d) > 0 {
		t.Fatalf("drift of a switch in order = %+v; want none", d)
	}
	n := 0
	for k, f := range want {
		c := pipeline.ParseCookie(f.Cookie).Category
		if c == pipeline.CategoryDeny {
			continue
		}
		if n++; n%2 == 0 {
			delete(b.tables[1], k)
			continue
		}
		f.Actions = openflow.ActionList(openflow.Output(99))
		b.tables[1][k] = f
	}
	if d := known(); len(d) > 0 {
		t.Errorf("first audit = %+v; want nothing yet", d)
	}
	b.audit(1) // of all flows; it is no second look
	got := 0
	for _, d := range known() {
		got += d.Count
	}
	if got != n {
		t.Errorf("%d flows were mended; want %d", got, n)
	}
	if diff := cmp.Diff(want, b.held(1)); diff != "" {
		t.Errorf("flows (-before +after):\n%s", diff)
	}
	if all := b.e.Cookies(99, engine.Part{}); len(all) > 0 || b.e.CookieCount(99) > 0 {
		t.Errorf("cookies of a switch that nobody knows = %v; want none", all)
	}
}

// TestDriftIsSeenTwiceHoweverTheSwitchIsDivided: the number of parts changes with
// that of its flows.
func TestDriftIsSeenTwiceHoweverTheSwitchIsDivided(t *testing.T) {
	b := busy(t)
	want := b.held(1)
	stray := openflow.Flow{Table: 2, Priority: 999, Cookie: 3, Actions: openflow.ActionList(openflow.Output(16))}
	b.tables[1][stray.Key()] = stray
	look := func(parts uint32) {
		for _, ev := range (engine.FlowsCounted{DPID: 1, Flows: b.stats(1)}).Split(parts) {
			b.step(ev)
		}
	}
	of8 := engine.Part{Index: 3, Of: 8}
	if look(4); !b.e.Suspected(1, engine.Part{}) || !b.e.Suspected(1, of8) || b.e.Suspected(1, engine.Part{Index: 2, Of: 8}) {
		t.Error("what is suspected is not just the part of the stray flow")
	}
	look(8)
	if diff := cmp.Diff(want, b.held(1)); diff != "" {
		t.Errorf("flows after two audits in other parts (-before +after):\n%s", diff)
	}
	if look(1); b.e.Suspected(1, engine.Part{}) || b.e.Suspected(99, engine.Part{}) {
		t.Error("a switch in order is suspected, or one that nobody knows")
	}
	b.tables[1][stray.Key()] = stray // once more: what was mended is forgotten
	if look(2); b.tables[1][stray.Key()] != stray {
		t.Error("a flow is mended that was seen once")
	}
}

// TestHostdsFlowsAreNotTheControllersMatter.
func TestHostdsFlowsAreNotTheControllersMatter(t *testing.T) {
	b := busy(t)
	for _, c := range []uint64{pipeline.BaseCookie, pipeline.LearnedTCPCookie} {
		f := openflow.Flow{Table: 3, Priority: uint16(c & 0xff), Cookie: c}
		b.tables[1][f.Key()] = f
	}
	want := b.held(1)
	b.audit(1)
	if d := b.audit(1); len(d) != 0 {
		t.Errorf("drift = %+v; want none", d)
	}
	if diff := cmp.Diff(want, b.held(1)); diff != "" {
		t.Errorf("flows (-before +after):\n%s", diff)
	}
}

// TestChangesUnderWayAreNoDrift: what an audit saw before it reached the switch,
// the next one finds in order.
func TestChangesUnderWayAreNoDrift(t *testing.T) {
	b := started(t)
	before := b.stats(1)
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	b.inParts(1, before)
	b.lift(1, 16, b.frame("web1", "db1", syn(5432)))
	if d := b.audit(1); len(d) != 0 {
		t.Errorf("drift = %+v; want none", d)
	}
}

// TestMeterOfAnEndpointThatWentUnseenIsDeleted when its switch comes back.
func TestMeterOfAnEndpointThatWentUnseenIsDeleted(t *testing.T) {
	b := started(t)
	held := b.stats(1)
	b.step(engine.SwitchDown{DPID: 1})
	b.w.Hosts[0].Endpoints = b.w.Hosts[0].Endpoints[1:]
	b.hostUp(0)
	var deleted []uint32
	for _, ef := range b.e.Step(b.now, engine.SwitchUp{DPID: 1, Flows: held}) {
		if s, ok := ef.(engine.Send); ok {
			for _, m := range s.Batch.Meters {
				if m.Delete {
					deleted = append(deleted, m.ID)
				}
			}
		}
	}
	if diff := cmp.Diff([]uint32{16, pipeline.MeterResolver + 16}, deleted); diff != "" {
		t.Errorf("deleted meters (-want +got):\n%s", diff)
	}
}

// TestFlowThatSawItsConnectionsEndIsNoDrift: the switch lowered its idle timeout.
func TestFlowThatSawItsConnectionsEndIsNoDrift(t *testing.T) {
	b := busy(t)
	for k, f := range b.tables[1] {
		if f.Actions[0].Kind == openflow.ActionFinTimeout {
			t.Fatalf("%s: a flow of a service ends with one of its connections", &f)
		}
		if pipeline.ParseCookie(f.Cookie).Category == pipeline.CategorySession && k.Match.IPProto == openflow.Exact(openflow.ProtoTCP) {
			f.IdleTimeout = pipeline.FinTimeout
			b.tables[1][k] = f
		}
	}
	b.audit(1)
	if d := b.audit(1); len(d) == 0 || d[0].Kind != engine.DriftAltered {
		t.Errorf("drift of a service's flows = %+v; want altered ones", d)
	}

	b = started(t)
	b.e.Snapshot().Net.VPCs["acme/prod"].Sessions.TCP = spec.PerConnection
	b.lift(1, 16, b.frame("web1", "web2", syn(80)))
	ended := 0
	for k, f := range b.tables[1] {
		if f.Actions[0] == openflow.FinTimeout(pipeline.FinTimeout) {
			ended++
			f.IdleTimeout = pipeline.FinTimeout
			b.tables[1][k] = f
		}
	}
	b.audit(1)
	if d := b.audit(1); len(d) != 0 || ended != 2 {
		t.Errorf("drift of %d flows of a connection = %+v; want none, of 2", ended, d)
	}
}
