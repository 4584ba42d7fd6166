package engine

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// resync brings a switch that came to what it should hold, without ever flushing
// it: sessions of an earlier controller are adopted, what is missing is added,
// what is of the controller's categories and nobody's is deleted, and flows that
// are as they should be are not touched. Before there is a revision and the
// host's report, nothing is known of what should be there, and what an earlier
// run left goes on.
func (e *Engine) resync(now time.Time, dpid uint64) []Effect {
	sw := e.switches[dpid]
	if sw == nil || sw.compared || e.pol == nil || e.snap.HostByDPID(dpid) == nil {
		return nil
	}
	sw.compared, e.compared[dpid] = true, true
	adopted, later, out := e.adopt(now, dpid, sw.held)
	want := e.desired(dpid)
	b := &openflow.Batch{DPID: dpid, Meters: sorted(want.meters), Groups: sorted(want.groups)}
	unused := unusedMeters(dpid, sw.held, want.meters)
	sw.keep(now, e.mend(now, b, dpid, sw.held, later, want.flows))
	out = append(out, e.confirm(b)...)
	if len(unused.Meters) > 0 {
		out = append(out, Send{unused})
	}
	return append(append(out, e.spread(now, dpid, adopted)...), e.settleOthers(now, dpid)...)
}

// unusedMeters deletes the meters of endpoints that are gone; their flows, which
// name them, are the only trace of them.
func unusedMeters(dpid uint64, held []openflow.FlowStats, want map[uint32]openflow.MeterMod) *openflow.Batch {
	b := &openflow.Batch{DPID: dpid}
	gone := make(map[uint32]openflow.MeterMod)
	for i := range held {
		id := held[i].Meter
		_, wanted := want[id]
		if id != 0 && !wanted && pipeline.ParseCookie(held[i].Cookie).Category == pipeline.CategoryEndpoint {
			gone[id] = openflow.MeterMod{Delete: true, ID: id}
		}
	}
	b.Meters = sorted(gone)
	return b
}

// adopt has the table take over the sessions whose clients are on a switch.
func (e *Engine) adopt(now time.Time, dpid uint64, held []openflow.FlowStats) (adopted []*session.Session, later map[uint64]bool, out []Effect) {
	uplink := openflow.PortNo(e.snap.HostByDPID(dpid).Uplink.Port)
	var claims []session.Claim
	for i := range held {
		if !e.inherited(held[i].Cookie) {
			continue
		}
		if c, ok := flows.Claim(dpid, uplink, &held[i]); ok {
			claims = append(claims, c)
		}
	}
	a, effects := e.sessions.Adopt(now, claims)
	if len(effects) > 0 {
		e.cuts.adopting()
	}
	for _, ef := range effects {
		out = append(out, e.perform(now, ef)...)
	}
	for _, s := range a.Adopted {
		out = append(out, SessionAdopted{s})
	}
	return a.Adopted, a.Later, out
}

// inherited reports whether a flow is of a session that this engine did not open.
func (e *Engine) inherited(cookie uint64) bool {
	c := pipeline.ParseCookie(cookie)
	return c.Category == pipeline.CategorySession && (c.Slot != e.cfg.Slot || c.Epoch != e.cfg.Epoch)
}

// mend puts into b what makes a switch that holds held hold want, and returns
// those flows that cannot be judged yet, which stay. Deletions come first; a flow
// that is only overwritten is not deleted, so that there is no moment without it.
func (e *Engine) mend(
	now time.Time, b *openflow.Batch, dpid uint64, held []openflow.FlowStats, later map[uint64]bool, want map[openflow.Key]openflow.Flow,
) []openflow.FlowStats {
	var kept []openflow.FlowStats
	as := make(map[openflow.Key]bool, len(want)) // flows that are as they should be
	waits := e.waiting(dpid, held, later)
	for i := range held {
		f := &held[i]
		w, wanted := want[f.Key()]
		switch {
		case !ours(f.Cookie):
		case wanted && f.Known:
			as[f.Key()] = asWanted(f, &w)
		case waits[f.Cookie] && e.sessions.Get(f.Cookie) == nil:
			kept = append(kept, *f)
		default:
			b.Flows = append(b.Flows, deleteOf(*f))
			e.restLabel(now, dpid, f)
		}
	}
	var missing []openflow.Flow
	for k, f := range want {
		if !as[k] {
			missing = append(missing, f)
		}
	}
	for _, f := range ordered(missing) {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	return kept
}

// restLabel keeps what stood for a session that nobody adopts from others, while
// packets of it may be on their way: its flow on a switch is being deleted. What a
// switch holds may be made up, so it tells only of its own host and another known one.
func (e *Engine) restLabel(now time.Time, dpid uint64, f *openflow.FlowStats) {
	h := e.snap.HostByDPID(dpid)
	if h == nil || !e.inherited(f.Cookie) {
		return
	}
	w, ok := flows.Remnant(openflow.PortNo(h.Uplink.Port), f)
	if !ok {
		return
	}
	client, server := e.snap.HostByUnderlay(w.Client), e.snap.HostByUnderlay(w.Server)
	if client != nil && server != nil && (client == h || server == h) {
		e.sessions.RestLabel(now, w, e.ownerOf(dpid, &w))
	}
}

// ownerOf is whose a label was that a switch's flow tells of; zero if not both ends
// are known.
func (e *Engine) ownerOf(dpid uint64, w *session.Remnant) session.Key {
	here := e.snap.EndpointAt(dpid, w.Out)
	if here == nil || here.IP != w.To {
		return session.Key{}
	}
	there := e.snap.EndpointSeen(here, w.From)
	if there == nil {
		return session.Key{}
	}
	k := session.Key{
		Client: inventory.AddrKey{VPC: there.VPC, IP: there.IP}, Server: inventory.AddrKey{VPC: here.VPC, IP: here.IP},
		Proto: w.Proto, Port: w.Port,
	}
	if w.Reply {
		k.Client, k.Server = k.Server, k.Client
	}
	return k
}

// waiting returns the cookies of an earlier controller's sessions on a switch
// that cannot be judged before somebody reports: the server's host, or the
// client's host and switch, since that is where sessions are adopted from.
func (e *Engine) waiting(dpid uint64, held []openflow.FlowStats, later map[uint64]bool) map[uint64]bool {
	waits := maps.Clone(later)
	if waits == nil {
		waits = make(map[uint64]bool)
	}
	uplink := openflow.PortNo(e.snap.HostByDPID(dpid).Uplink.Port)
	for i := range held {
		if !e.inherited(held[i].Cookie) || e.sessions.Disowned(held[i].Cookie) {
			continue
		}
		if from, ok := flows.Origin(uplink, &held[i]); ok && !e.adoptedFrom(from) {
			waits[held[i].Cookie] = true
		}
	}
	return waits
}

// adoptedFrom reports whether the sessions of the host with an underlay address
// were adopted, as far as they could be; its switch may be away again.
func (e *Engine) adoptedFrom(underlay netip.Addr) bool {
	h := e.snap.HostByUnderlay(underlay)
	return h != nil && e.compared[h.DPID]
}

// confirm sends a batch whose end says that its switch holds what it should.
func (e *Engine) confirm(b *openflow.Batch) []Effect {
	sw := e.switches[b.DPID]
	e.lastToken++
	b.Token = e.lastToken
	sw.resync = b.Token
	sw.waiting[b.Token] = waiter{resync: true}
	return []Effect{Send{b}}
}

// keep remembers what cannot be judged yet, since when.
func (sw *switchState) keep(since time.Time, left []openflow.FlowStats) {
	sw.held, sw.since, sw.byCookie = left, since, make(map[uint64][]openflow.FlowStats)
	for _, f := range left {
		sw.byCookie[f.Cookie] = append(sw.byCookie[f.Cookie], f)
	}
}

// maxLeft is how long flows of an earlier controller's sessions are left alone
// whose other host does not report.
const maxLeft = 10 * time.Minute

// dropLeft deletes what waited too long for a report.
func (e *Engine) dropLeft(now time.Time) []Effect {
	var out []Effect
	for _, dpid := range slices.Sorted(maps.Keys(e.switches)) {
		sw := e.switches[dpid]
		if len(sw.held) == 0 || !sw.compared || now.Sub(sw.since) < maxLeft {
			continue
		}
		b := &openflow.Batch{DPID: dpid}
		for _, f := range sw.held {
			b.Flows = append(b.Flows, deleteOf(f))
			e.restLabel(now, dpid, &f)
		}
		sw.keep(now, nil)
		out = append(out, Send{b})
	}
	return out
}

// spread gives the other hosts' switches the flows of sessions adopted at dpid,
// where they have been compared already.
func (e *Engine) spread(now time.Time, dpid uint64, adopted []*session.Session) []Effect {
	var bs batches
	for _, s := range adopted {
		for _, l := range s.Lanes {
			hops := flows.ForLane(s, l)
			for i := range hops {
				sw := e.switches[hops[i].Host.DPID]
				if hops[i].Host.DPID == dpid || sw == nil || !sw.compared {
					continue
				}
				b := bs.at(hops[i].Host.DPID)
				for f := range hops[i].All {
					if !sw.holds(f) {
						b.Flows = append(b.Flows, openflow.Add(*f))
					}
				}
			}
		}
	}
	bs = slices.DeleteFunc(bs, func(b *openflow.Batch) bool { return len(b.Flows) == 0 })
	return e.sendAll(bs)
}

// holds reports whether f is among what is left of what the switch came with.
func (sw *switchState) holds(f *openflow.Flow) bool {
	return slices.ContainsFunc(sw.byCookie[f.Cookie], func(o openflow.FlowStats) bool { return o.Whole && o.Flow == *f })
}

// settleOthers looks again at what was left on the other switches, now that dpid
// was compared.
func (e *Engine) settleOthers(now time.Time, dpid uint64) []Effect {
	var out []Effect
	for _, other := range slices.Sorted(maps.Keys(e.switches)) {
		if other != dpid {
			out = append(out, e.settle(now, other)...)
		}
	}
	return out
}

// settle judges what was left on a switch of an earlier controller's sessions,
// as far as that can be done by now.
func (e *Engine) settle(now time.Time, dpid uint64) []Effect {
	sw := e.switches[dpid]
	if !sw.compared || len(sw.held) == 0 || e.snap.HostByDPID(dpid) == nil {
		return nil
	}
	adopted, later, out := e.adopt(now, dpid, sw.held)
	want := make(map[openflow.Key]openflow.Flow)
	for i := range sw.held {
		e.addSession(want, dpid, e.sessions.Get(sw.held[i].Cookie))
	}
	b := &openflow.Batch{DPID: dpid}
	sw.keep(sw.since, e.mend(now, b, dpid, sw.held, later, want))
	if len(b.Flows) > 0 {
		e.sessions.Step(now, session.SwitchLost{DPID: dpid}) // until the deletions are confirmed
		out = append(out, e.confirm(b)...)
	}
	return append(out, e.spread(now, dpid, adopted)...)
}
