package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/session"
)

// revisionLoaded makes a revision the active one. Hosts that reported before
// there was any are acknowledged now: until then nothing could be said of their
// endpoints.
func (e *Engine) revisionLoaded(now time.Time, pol Policy) []Effect {
	first := e.pol == nil
	e.pol, e.net = pol, pol.Network()
	out := e.rebuild(now)
	if first {
		for _, name := range e.order {
			h := e.hosts[name]
			out = append(out, e.resync(now, h.report.DPID)...)
			out = append(out, e.ackWhenIn(name, h.lastSeq)...)
		}
		out = append(out, e.answerEarly(now)...)
	}
	return out
}

// hostUp takes a host's full report in place of whatever it said before.
func (e *Engine) hostUp(now time.Time, ev HostUp) []Effect {
	r := ev.Report
	for name, other := range e.hosts {
		if name != r.Name && other.report.DPID == r.DPID {
			text := fmt.Sprintf("datapath id %016x is host %q's; give this host's bridge another", r.DPID, name)
			return []Effect{Ack{Conn: ev.Conn, Host: r.Name, Refused: []inventory.Refusal{{Host: r.Name, Text: text}}}}
		}
	}
	var out []Effect
	was := e.hosts[r.Name]
	replaced := was != nil && was.report.DPID != r.DPID
	switch {
	case was == nil:
		e.order = append(e.order, r.Name)
	case replaced:
		out = e.switchDown(now, was.report.DPID)
	}
	e.hosts[r.Name] = &host{report: r, conn: ev.Conn}
	if e.switches[r.DPID] == nil {
		e.sessions.Step(now, session.SwitchLost{DPID: r.DPID})
	}
	out = append(out, e.rebuild(now)...)
	if replaced {
		out = append(out, e.gone(now, was.report.DPID, CutReplaced)...)
	}
	out = append(out, e.resync(now, r.DPID)...)
	out = append(out, e.settleOthers(now, r.DPID)...)
	out = append(out, e.reconcileLeases(now, &r)...)
	return append(out, e.ackWhenIn(r.Name, 0)...)
}

// hostChanged applies a delta to what a host said.
func (e *Engine) hostChanged(now time.Time, ev HostChanged) []Effect {
	h := e.hosts[ev.Host]
	if h == nil || h.conn != ev.Conn {
		return nil // of a stream that a newer one replaced
	}
	h.report = apply(h.report, &ev.Delta)
	return append(e.rebuild(now), e.ackWhenIn(ev.Host, ev.Delta.Seq)...)
}

// hostRevoked forgets a host and its switch, whose connections are ending.
func (e *Engine) hostRevoked(now time.Time, name string) []Effect {
	var out []Effect
	if h := e.hosts[name]; h != nil {
		out = e.switchDown(now, h.report.DPID)
		delete(e.hosts, name)
		e.order = slices.DeleteFunc(e.order, func(n string) bool { return n == name })
		out = append(out, e.rebuild(now)...)
		out = append(out, e.gone(now, h.report.DPID, CutRevoked)...)
	}
	return append(out, e.reconcileLeases(now, &inventory.HostReport{Name: name})...)
}

// gone forgets what was known of a switch that is down and will not come back, after
// the sessions that passed it have ended: nobody waits for it any more.
func (e *Engine) gone(now time.Time, dpid uint64, as CutState) []Effect {
	delete(e.compared, dpid)
	return append(e.step(now, session.SwitchGone{DPID: dpid}), e.cuts.gone(now, dpid, as)...)
}

// apply returns r as changed by d; r's own lists stay as they are.
func apply(r inventory.HostReport, d *inventory.HostDelta) inventory.HostReport {
	if d.Uplink != nil {
		r.Uplink = *d.Uplink
	}
	if d.Listeners != nil {
		r.Listeners = *d.Listeners
	}
	if d.Addresses != nil {
		r.AddressLists = *d.Addresses
	}
	gone := make(map[inventory.EndpointRef]bool, len(d.Up)+len(d.Down))
	for _, ref := range d.Down {
		gone[ref] = true
	}
	for i := range d.Up {
		gone[refOf(&d.Up[i])] = true
	}
	eps := slices.DeleteFunc(slices.Clone(r.Endpoints), func(ep inventory.EndpointReport) bool { return gone[refOf(&ep)] })
	r.Endpoints = append(eps, d.Up...)
	return r
}

func refOf(ep *inventory.EndpointReport) inventory.EndpointRef {
	return inventory.EndpointRef{VPC: ep.VPCID(), Name: ep.Name}
}

// rebuild joins what is desired with what is seen, tells the switches what
// changed of their endpoints, and has the sessions judged again.
func (e *Engine) rebuild(now time.Time) []Effect {
	snap, refused := inventory.Rebuild(e.interner, e.net, e.Reports(), e.snap)
	told := e.refuse(refused)
	old := e.snap
	e.snap = snap
	out := e.syncEndpoints(old, snap)
	if e.pol == nil {
		return out // all are refused, as of tenants that nobody knows yet
	}
	return append(append(out, told...), e.step(now, session.Revised{Snapshot: snap, Policy: e.pol})...)
}

// refuse takes what is refused now, and tells what was not before, a host at a time.
func (e *Engine) refuse(now []inventory.Refusal) (out []Effect) {
	before := make(map[inventory.Refusal]bool)
	for _, rs := range e.refused {
		for _, r := range rs {
			before[r] = true
		}
	}
	clear(e.refused)
	at := make(map[string]int) // by host: in out
	for _, r := range now {
		e.refused[r.Host] = append(e.refused[r.Host], r)
		if before[r] {
			continue
		}
		i, found := at[r.Host]
		if !found {
			at[r.Host] = len(out)
			out = append(out, EndpointRefused{r, 1})
			continue
		}
		told := out[i].(EndpointRefused)
		told.Count++
		out[i] = told
	}
	return out
}

// Reports returns what the hosts said last, in the order in which they came.
// The caller only reads it; it stays as it is.
func (e *Engine) Reports() []inventory.HostReport {
	reports := make([]inventory.HostReport, 0, len(e.order))
	for _, name := range e.order {
		reports = append(reports, e.hosts[name].report)
	}
	return reports
}
