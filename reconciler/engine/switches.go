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
	waiting map[uint64]waiter    // by token of the batch
	held    []openflow.FlowStats // what it came with, as long as compare is set
	compare bool
}

// waiter is who wants to know that a batch is done.
type waiter struct {
	session uint64 // session.Confirmed's token
	resync  bool   // the switch holds what it should
	host    string // whose report is to be acknowledged
	conn    uint64
	seq     uint64
}

// switchUp takes a switch that finished its handshake.
func (e *Engine) switchUp(ev SwitchUp) []Effect {
	e.switches[ev.DPID] = &switchState{waiting: make(map[uint64]waiter), held: ev.Flows, compare: true}
	out := e.resync(ev.DPID)
	if out == nil {
		return nil // acknowledged when it is known what should be there
	}
	name := e.snap.HostByDPID(ev.DPID).Name
	return append(out, e.ackWhenIn(name, e.hosts[name].lastSeq)...)
}

// resync brings a switch that came to what it should hold, without ever flushing
// it: all that should be there is added, what is there under the controller's
// categories and should not be is deleted, and flows that stay keep their
// counters. Before there is a revision and the host's report, nothing is known
// of what should be there, and what an earlier run left goes on.
func (e *Engine) resync(dpid uint64) []Effect {
	sw := e.switches[dpid]
	if sw == nil || !sw.compare || e.pol == nil || e.snap.HostByDPID(dpid) == nil {
		return nil
	}
	meters, want := e.desired(dpid)
	b := openflow.Batch{DPID: dpid, Meters: meters}
	for _, f := range sw.held {
		if ours(f.Cookie) && !stays(f, want) {
			b.Flows = append(b.Flows, deleteOf(f))
		}
	}
	for _, f := range ordered(slices.Collect(maps.Values(want))) {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	e.lastToken++
	b.Token = e.lastToken
	sw.waiting[b.Token] = waiter{resync: true}
	sw.held, sw.compare = nil, false
	return []Effect{Send{b}}
}

// ours reports whether a flow is of a category that the controller owns.
func ours(cookie uint64) bool {
	switch pipeline.ParseCookie(cookie).Category {
	case pipeline.CategoryEndpoint, pipeline.CategorySession, pipeline.CategoryDeny, pipeline.CategoryPeer:
		return true
	}
	return false
}

func stays(f openflow.FlowStats, want map[openflow.Key]openflow.Flow) bool {
	w, found := want[openflow.Key{Table: f.Table, Priority: f.Priority, Match: f.Match}]
	return found && f.Known && w.Cookie == f.Cookie
}

func deleteOf(f openflow.FlowStats) openflow.FlowMod {
	if !f.Known {
		return openflow.DeleteByCookie(f.Cookie, ^uint64(0))
	}
	return openflow.DeleteStrict(openflow.Flow{Table: f.Table, Priority: f.Priority, Match: f.Match})
}

// desired is all that the controller wants on a switch: the flows of its
// endpoints and peers, and of its live sessions. Drops are not put back: their
// time would begin anew.
func (e *Engine) desired(dpid uint64) ([]openflow.MeterMod, map[openflow.Key]openflow.Flow) {
	meters, want := e.fixed(e.snap, dpid)
	for _, s := range e.sessions.Sessions() {
		for _, l := range s.Lanes {
			for _, hf := range flows.ForLane(s, l, e.SessionCookie(s)) {
				if hf.Host.DPID == dpid {
					want[hf.Forward.Key()], want[hf.Reply.Key()] = hf.Forward, hf.Reply
				}
			}
		}
	}
	var ordered []openflow.MeterMod
	for _, id := range slices.Sorted(maps.Keys(meters)) {
		ordered = append(ordered, meters[id])
	}
	return ordered, want
}

// fixed is what a switch holds whether or not anybody talks: the meters and
// flows of its endpoints, and those that lift wire packets of its peers.
func (e *Engine) fixed(snap *inventory.Snapshot, dpid uint64) (map[uint32]openflow.MeterMod, map[openflow.Key]openflow.Flow) {
	meters, want := make(map[uint32]openflow.MeterMod), make(map[openflow.Key]openflow.Flow)
	h := snap.HostByDPID(dpid)
	if h == nil {
		return meters, want
	}
	m, fs := pipeline.Peers(openflow.PortNo(h.Uplink.Port), e.cookie(pipeline.CategoryPeer, 0), snap.UnderlayRanges())
	meters[m.ID] = m
	for _, f := range fs {
		want[f.Key()] = f
	}
	for _, ep := range snap.EndpointsOf(h) {
		m, fs := pipeline.Endpoint(pipeline.EndpointConfig{
			Port: openflow.PortNo(ep.Port), MAC: openflow.MAC(ep.MAC), IP: ep.IP,
			Cookie: e.cookie(pipeline.CategoryEndpoint, ep.Port),
		})
		meters[m.ID] = m
		for _, f := range fs {
			want[f.Key()] = f
		}
	}
	return meters, want
}

// syncEndpoints tells each connected switch how its fixed flows differ between
// two snapshots.
func (e *Engine) syncEndpoints(old, snap *inventory.Snapshot) []Effect {
	var out []Effect
	for _, dpid := range slices.Sorted(maps.Keys(e.switches)) {
		oldMeters, was := e.fixed(old, dpid)
		newMeters, is := e.fixed(snap, dpid)
		b := openflow.Batch{DPID: dpid}
		for _, id := range slices.Sorted(maps.Keys(newMeters)) {
			if oldMeters[id] != newMeters[id] {
				b.Meters = append(b.Meters, newMeters[id])
			}
		}
		for _, f := range missingFrom(is, was) {
			b.Flows = append(b.Flows, openflow.DeleteStrict(f))
		}
		var added []openflow.Flow
		for k, f := range is {
			if f != was[k] {
				added = append(added, f)
			}
		}
		for _, f := range ordered(added) {
			b.Flows = append(b.Flows, openflow.Add(f))
		}
		gone := openflow.Batch{DPID: dpid} // after the flows that name them
		for _, id := range slices.Sorted(maps.Keys(oldMeters)) {
			if _, stays := newMeters[id]; !stays {
				gone.Meters = append(gone.Meters, openflow.MeterMod{Delete: true, ID: id})
			}
		}
		if len(b.Meters)+len(b.Flows) > 0 {
			out = append(out, Send{b})
		}
		if len(gone.Meters) > 0 {
			out = append(out, Send{gone})
		}
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
	return []Effect{Send{openflow.Batch{DPID: h.report.DPID, Token: e.lastToken}}}
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
	case w.session != 0:
		return append(out, e.step(now, session.Confirmed{DPID: ev.DPID, Token: w.session})...)
	case w.resync:
		return append(out, e.step(now, session.Resynced{DPID: ev.DPID})...)
	}
	return append(out, Ack{Conn: w.conn, Host: w.host, Seq: w.seq, Refused: e.refused[w.host]})
}

// flowsCounted matches a switch's counters with the lanes whose flows they are.
func (e *Engine) flowsCounted(now time.Time, ev FlowsCounted) []Effect {
	byCookie := make(map[uint64][]openflow.FlowStats)
	for _, f := range ev.Flows {
		byCookie[f.Cookie] = append(byCookie[f.Cookie], f)
	}
	var out []Effect
	for _, cookie := range slices.Sorted(maps.Keys(byCookie)) {
		s := e.sessions.Get(pipeline.ParseCookie(cookie).Number)
		if s == nil || e.SessionCookie(s) != cookie {
			continue
		}
		for _, c := range countsOf(s, ev.DPID, byCookie[cookie]) {
			out = append(out, e.step(now, c)...)
		}
	}
	return out
}

func countsOf(s *session.Session, dpid uint64, stats []openflow.FlowStats) []session.Counted {
	counted := make(map[openflow.Key]session.Count, len(stats))
	for _, f := range stats {
		counted[openflow.Key{Table: f.Table, Priority: f.Priority, Match: f.Match}] = session.Count{Packets: f.Packets, Bytes: f.Bytes}
	}
	var out []session.Counted
	for _, l := range s.Lanes {
		for i, hf := range flows.ForLane(s, l, 0) {
			if hf.Host.DPID != dpid {
				continue
			}
			for dir, f := range []*openflow.Flow{session.Forward: &hf.Forward, session.Reply: &hf.Reply} {
				if c, found := counted[f.Key()]; found {
					out = append(out, session.Counted{
						Session: s.ID, Set: l.Set, Hop: i, Direction: session.Direction(dir), Count: c,
					})
				}
			}
		}
	}
	return out
}
