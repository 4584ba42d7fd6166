package engine

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// switchState is what is known of a connected switch.
type switchState struct {
	waiting map[uint64]waiter // by token of the batch
	// held is what the switch came with. Once that was compared with what should
	// be there, it is what is left of an earlier controller's sessions and cannot
	// be judged yet.
	held     []openflow.FlowStats
	byCookie map[uint64][]openflow.FlowStats
	since    time.Time // of the comparison
	compared bool
	suspects map[scope]map[suspect]bool // what the last audits found
	resync   uint64                     // token of the last batch that makes it hold what it should
}

// waiter is who wants to know that a batch is done.
type waiter struct {
	session uint64 // session.Confirmed's token
	receipt *Receipt
	resync  bool   // the switch holds what it should
	host    string // whose report is to be acknowledged
	conn    uint64
	seq     uint64
	redraw  *redrawing
}

// switchUp takes a switch that finished its handshake.
func (e *Engine) switchUp(now time.Time, ev SwitchUp) []Effect {
	out := e.switchDown(now, ev.DPID) // if this connection takes an older one's place
	delete(e.cuts.away, ev.DPID)
	e.switches[ev.DPID] = &switchState{waiting: make(map[uint64]waiter), suspects: make(map[scope]map[suspect]bool), held: ev.Flows}
	e.sessions.Step(now, session.SwitchLost{DPID: ev.DPID})
	out = append(out, e.resync(now, ev.DPID)...)
	if !e.switches[ev.DPID].compared {
		return out // acknowledged when it is known what should be there
	}
	name := e.snap.HostByDPID(ev.DPID).Name
	return append(out, e.ackWhenIn(name, e.hosts[name].lastSeq)...)
}

// switchDown forgets a switch. What waited for it goes on: when it comes back it
// is given all that it should hold.
func (e *Engine) switchDown(now time.Time, dpid uint64) []Effect {
	sw := e.switches[dpid]
	if sw == nil {
		return nil
	}
	delete(e.switches, dpid)
	e.cuts.lost(now, dpid)
	out := e.step(now, session.SwitchLost{DPID: dpid})
	for _, token := range slices.Sorted(maps.Keys(sw.waiting)) {
		if r := sw.waiting[token].redraw; r != nil {
			out = append(out, e.redrawn(now, r, dpid)...)
		}
	}
	return out
}

// ours reports whether a flow is of a category that the controller owns.
func ours(cookie uint64) bool {
	switch pipeline.ParseCookie(cookie).Category {
	case pipeline.CategoryEndpoint, pipeline.CategorySession, pipeline.CategoryDeny, pipeline.CategoryPeer:
		return true
	}
	return false
}

func deleteOf(f openflow.FlowStats) openflow.FlowMod {
	if !f.Known {
		return openflow.DeleteByCookie(f.Cookie, ^uint64(0))
	}
	m := openflow.DeleteStrict(openflow.Flow{Table: f.Table, Priority: f.Priority, Cookie: f.Cookie, Match: f.Match})
	m.CookieMask = ^uint64(0) // whoever has taken its place since stays
	return m
}

// entries are what a switch holds or should hold.
type entries struct {
	meters map[uint32]openflow.MeterMod
	groups map[uint32]openflow.GroupMod
	flows  map[openflow.Key]openflow.Flow
}

func newEntries() entries {
	return entries{make(map[uint32]openflow.MeterMod), make(map[uint32]openflow.GroupMod), make(map[openflow.Key]openflow.Flow)}
}

func (t *entries) add(ms []openflow.MeterMod, fs []openflow.Flow) {
	for _, m := range ms {
		t.meters[m.ID] = m
	}
	for i := range fs {
		t.flows[fs[i].Key()] = fs[i]
	}
}

// sorted returns the values of m in the order of their keys.
func sorted[V any](m map[uint32]V) []V {
	out := make([]V, 0, len(m))
	for _, id := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[id])
	}
	return out
}

// desired is all that the controller wants on a switch: the flows of its
// endpoints and peers, and of its live sessions. Drops are not put back: their
// time would begin anew.
func (e *Engine) desired(dpid uint64) entries {
	want := e.fixed(dpid, Part{})
	for s := range e.sessions.All {
		e.addSession(want.flows, dpid, s)
	}
	return want
}

// addSession adds the flows that a session, unless nil, needs on a switch.
func (e *Engine) addSession(want map[openflow.Key]openflow.Flow, dpid uint64, s *session.Session) {
	if s == nil {
		return
	}
	for _, l := range s.Lanes {
		if !s.Passes(dpid) {
			continue
		}
		hops := flows.ForLane(s, l)
		for i := range hops {
			if hops[i].Host.DPID != dpid {
				continue
			}
			for f := range hops[i].All {
				want[f.Key()] = *f
			}
		}
	}
}

// fixed is what a switch holds whether or not anybody talks: the meters and
// flows of its endpoints, those that lift wire packets of its peers, and the
// group by which wire legs leave.
func (e *Engine) fixed(dpid uint64, part Part) entries {
	want := newEntries()
	h := e.snap.HostByDPID(dpid)
	if h == nil {
		return want
	}
	if part.has(0) {
		want = e.uplinkEntries(e.snap, h)
	}
	for _, ep := range e.snap.EndpointsOf(h) {
		if part.has(uint64(ep.Port)) {
			want.add(e.endpoint(e.snap, ep))
		}
	}
	return want
}

// fixedFlows yields the flows of fixed, those of one cookie together.
func (e *Engine) fixedFlows(dpid uint64, part Part) func(yield func([]openflow.Flow) bool) {
	return func(yield func([]openflow.Flow) bool) {
		h := e.snap.HostByDPID(dpid)
		if h == nil {
			return
		}
		if part.has(0) {
			if _, fs := e.peers(e.snap, h); !yield(fs) {
				return
			}
		}
		for _, ep := range e.snap.EndpointsOf(h) {
			if !part.has(uint64(ep.Port)) {
				continue
			}
			if _, fs := e.endpoint(e.snap, ep); !yield(fs) {
				return
			}
		}
	}
}

func (e *Engine) uplinkEntries(snap *inventory.Snapshot, h *inventory.Host) entries {
	want := newEntries()
	want.groups[pipeline.GroupNextHop] = pipeline.NextHop(openflow.PortNo(h.Uplink.Port), openflow.MAC(h.Uplink.MAC), openflow.MAC(h.Uplink.NextHopMAC))
	want.add(e.peers(snap, h))
	return want
}

// peers are what lifts wire packets of a host's peers.
func (e *Engine) peers(snap *inventory.Snapshot, h *inventory.Host) ([]openflow.MeterMod, []openflow.Flow) {
	return pipeline.Peers(pipeline.PeersConfig{
		Uplink: openflow.PortNo(h.Uplink.Port), Addr: h.Uplink.Addr.Addr(), Wire: e.cfg.Wire, Ranges: snap.UnderlayRanges(),
		Cookie: e.cookie(pipeline.CategoryPeer, 0),
	})
}

// endpoint is what an endpoint needs on its switch.
func (e *Engine) endpoint(snap *inventory.Snapshot, ep *inventory.Endpoint) ([]openflow.MeterMod, []openflow.Flow) {
	cookie := e.cookie(pipeline.CategoryEndpoint, ep.Port)
	lift, fs := pipeline.Endpoint(pipeline.EndpointConfig{
		Port: openflow.PortNo(ep.Port), MAC: openflow.MAC(ep.MAC), IP: ep.IP, Cookie: cookie,
	})
	ask, names := pipeline.Names(pipeline.NamesConfig{
		Port: openflow.PortNo(ep.Port), MAC: openflow.MAC(ep.MAC), IP: ep.IP, Servers: snap.NameServers(ep), Cookie: cookie,
	})
	return []openflow.MeterMod{lift, ask}, append(fs, names...)
}

// syncEndpoints tells each connected switch how its fixed flows differ between
// two snapshots.
func (e *Engine) syncEndpoints(old, snap *inventory.Snapshot) []Effect {
	var out []Effect
	moved := !slices.Equal(old.UnderlayRanges(), snap.UnderlayRanges())
	for _, dpid := range slices.Sorted(maps.Keys(e.switches)) {
		if !e.switches[dpid].compared {
			continue // resync brings all
		}
		was, is := newEntries(), newEntries()
		before, after := old.HostByDPID(dpid), snap.HostByDPID(dpid)
		if moved || before != after {
			was, is = e.uplinkOf(old, before), e.uplinkOf(snap, after)
		}
		e.addChanged(&was, old, before, snap)
		e.addChanged(&is, snap, after, old)
		out = append(out, difference(dpid, was, is)...)
	}
	return out
}

func (e *Engine) uplinkOf(snap *inventory.Snapshot, h *inventory.Host) entries {
	if h == nil {
		return newEntries()
	}
	return e.uplinkEntries(snap, h)
}

// addChanged adds the endpoints that snap has of a host and other has not.
func (e *Engine) addChanged(to *entries, snap *inventory.Snapshot, h *inventory.Host, other *inventory.Snapshot) {
	for _, ep := range snap.EndpointsOf(h) {
		if other.EndpointAt(ep.Host.DPID, ep.Port) != ep {
			to.add(e.endpoint(snap, ep))
		}
	}
}

// difference is what makes a switch that holds was hold is.
func difference(dpid uint64, was, is entries) []Effect {
	b := &openflow.Batch{DPID: dpid}
	for _, m := range sorted(is.meters) {
		if was.meters[m.ID] != m {
			b.Meters = append(b.Meters, m)
		}
	}
	for _, g := range sorted(is.groups) {
		if was.groups[g.ID] != g {
			b.Groups = append(b.Groups, g)
		}
	}
	for _, f := range missingFrom(is.flows, was.flows) {
		b.Flows = append(b.Flows, openflow.DeleteStrict(f))
	}
	var added []openflow.Flow
	for k, f := range is.flows {
		if f != was.flows[k] {
			added = append(added, f)
		}
	}
	for _, f := range ordered(added) {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	gone := &openflow.Batch{DPID: dpid} // after the flows that name them
	for _, m := range sorted(was.meters) {
		if _, stays := is.meters[m.ID]; !stays {
			gone.Meters = append(gone.Meters, openflow.MeterMod{Delete: true, ID: m.ID})
		}
	}
	var out []Effect
	if len(b.Meters)+len(b.Groups)+len(b.Flows) > 0 {
		out = append(out, Send{b})
	}
	if len(gone.Meters) > 0 {
		out = append(out, Send{gone})
	}
	return out
}

// missingFrom returns the flows of was whose keys is has not.
func missingFrom(is, was map[openflow.Key]openflow.Flow) []openflow.Flow {
	var out []openflow.Flow
	for k, f := range was {
		if _, stays := is[k]; !stays {
			out = append(out, f)
		}
	}
	return ordered(out)
}

// ordered sorts flows, so that the same change always is the same batch.
func ordered(fs []openflow.Flow) []openflow.Flow {
	text := make(map[openflow.Key]string, len(fs))
	for i := range fs {
		text[fs[i].Key()] = fs[i].String()
	}
	slices.SortFunc(fs, func(a, b openflow.Flow) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(b.Priority, a.Priority), cmp.Compare(text[a.Key()], text[b.Key()]))
	})
	return fs
}

// ackWhenIn acknowledges a host's report once its switch has confirmed all that
// it was told so far; a switch that is not connected confirms when it comes.
func (e *Engine) ackWhenIn(name string, seq uint64) []Effect {
	h := e.hosts[name]
	h.lastSeq = seq
	sw := e.switches[h.report.DPID]
	if sw == nil || e.pol == nil || h.conn == 0 {
		return nil
	}
	e.lastToken++
	sw.waiting[e.lastToken] = waiter{host: name, conn: h.conn, seq: seq}
	return []Effect{Send{&openflow.Batch{DPID: h.report.DPID, Token: e.lastToken}}}
}

// batchDone tells whoever waited for a batch.
func (e *Engine) batchDone(now time.Time, ev BatchDone) []Effect {
	var out []Effect
	if ev.Err != "" {
		out = append(out, BatchRefused{ev.DPID, ev.Err})
	}
	sw := e.switches[ev.DPID]
	if sw == nil {
		return out
	}
	w, found := sw.waiting[ev.Token]
	if !found {
		return out
	}
	delete(sw.waiting, ev.Token)
	switch {
	case w.redraw != nil:
		return append(out, e.redrawn(now, w.redraw, ev.DPID)...)
	case w.session != 0:
		if w.receipt != nil {
			out = append(out, w.receipt.barrier(now, ev.DPID, ev.Err)...)
		}
		return append(out, e.step(now, session.Confirmed{DPID: ev.DPID, Token: w.session})...)
	case w.resync && ev.Token == sw.resync:
		out = append(out, e.cuts.resynced(now, ev.DPID)...)
		return append(out, e.step(now, session.Resynced{DPID: ev.DPID})...)
	case w.resync:
		return out
	}
	return append(out, Ack{Conn: w.conn, Host: w.host, Seq: w.seq, Refused: e.refused[w.host]})
}

// flowsCounted gives the lanes whose flows they are a switch's counters, and looks
// for drift.
func (e *Engine) flowsCounted(now time.Time, ev FlowsCounted) []Effect {
	sw := e.switches[ev.DPID]
	if sw == nil || !sw.compared || e.snap.HostByDPID(ev.DPID) == nil {
		return nil
	}
	a := newAudit(ev)
	var out []Effect
	for s := range e.sessions.Passing(ev.DPID, ev.Part.Index, max(ev.Part.Of, 1)) {
		for _, c := range a.session(s) {
			out = append(out, e.step(now, c)...)
		}
	}
	a.rest(e, sw)
	return append(out, e.mendDrift(sw, a)...)
}

// sortMods orders deletions, so that the same change always is the same batch.
func sortMods(ms []openflow.FlowMod) {
	slices.SortFunc(ms, func(a, b openflow.FlowMod) int { return cmp.Compare(a.String(), b.String()) })
}
