package simulate

import (
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// denied takes note of denials that the organisation is not the reason of.
func (k *controller) denied(ef engine.PacketDenied) {
	k.stats.Denied++
	if r := ef.Result.Decision.Reason; r == policy.ReasonWirePorts || r == policy.ReasonScan {
		k.drops = true
	}
	if k.tracing() {
		k.trace("  denied %s: %s", headersText(&ef.Head), ef.Result.Decision.Reason)
	}
}

// checkSession checks one session against the organisation in force.
func (k *controller) checkSession(s *session.Session) {
	v := k.versions[len(k.versions)-1]
	if k.tracing() {
		k.trace("  session %s, lanes %d", sessionText(s), len(s.Lanes))
	}
	a := v.snap.EndpointByAddr(s.Client.VPC, s.Client.IP)
	b := v.snap.EndpointByAddr(s.Server.VPC, s.Server.IP)
	if a == nil || b == nil || v.revision == nil {
		if k.complete() {
			k.fail(RuleSession, "session %s lives without both its ends", sessionText(s))
		}
		return
	}
	if !v.revision.allows(v.at, whoOf(a), whoOf(b), s.Proto, s.Port) && !v.revision.allows(k.now, whoOf(a), whoOf(b), s.Proto, s.Port) {
		k.fail(RuleSession, "session %s lives by %+v, which %s denies at %s", sessionText(s), *s.Decision, v.revision.name, v.at)
	}
}

func (k *controller) checkSessions() {
	for _, s := range k.engine.Sessions().Sessions() {
		k.checkSession(s)
	}
}

// checkAck checks that the flows of what a report names are in the switch, as
// long as that is the one that had them.
func (k *controller) checkAck(a engine.Ack) {
	snap := k.engine.Snapshot()
	inv := snap.Host(a.Host)
	if inv == nil {
		return
	}
	h := k.hostOf(inv.DPID)
	if l := h.conn; h.audits > 0 || l == nil || !l.known || k.links[inv.DPID] != l {
		return
	}
	ports := make(map[openflow.PortNo]bool)
	for f := range h.sw.All() {
		if pipeline.ParseCookie(f.Cookie).Category == pipeline.CategoryEndpoint && f.Table == pipeline.TableMiss {
			ports[f.Match.InPort] = true
		}
	}
	for _, e := range snap.EndpointsOf(inv) {
		p, r := openflow.PortNo(e.Port), k.reports[inventory.EndpointRef{VPC: e.VPC, Name: e.Name}]
		if box := h.ports[p]; !ports[p] && box != nil && !box.leaving && r.conn == a.Conn && r.seq <= a.Seq {
			k.fail(RuleAck, "report %d of %s is acknowledged, the flows of %s at port %d are not in the switch", a.Seq, a.Host, e.Name, e.Port)
		}
	}
}

func (c *cluster) hostOf(dpid uint64) *host { return c.hosts[dpid-1] }

// wireKey is a label as a wire packet shows it.
type wireKey struct {
	client, server uint32 // hosts' underlay addresses
	proto          uint8
	label          uint16
}

// meaning is what a label stands for, as one flow has it.
type meaning struct {
	client, server uint32
	port           uint16
	low            bool
}

// checkLabels checks the labels of flows that a batch added against all that are
// in the switches.
func (h *host) checkLabels(b *openflow.Batch) {
	for i := range b.Flows {
		if b.Flows[i].Command != openflow.FlowAdd {
			continue
		}
		f := &b.Flows[i].Flow
		key, is, ok := labelOf(f)
		if !ok {
			continue
		}
		for _, o := range h.hosts {
			for g := range o.sw.All() {
				if g.Table != pipeline.TableSession || g.Cookie == f.Cookie {
					continue
				}
				if other, was, ok := labelOf(g); ok && other == key && was != is {
					h.fail(RuleLabel, "label %d of %s > %s stands for two:\n%s: %s\n%s: %s", key.label,
						openflow.AddrFrom32(key.client), openflow.AddrFrom32(key.server), h.name, f, o.name, g)
					return
				}
			}
		}
	}
}

// labelOf reads the label that a flow takes from the wire, and what it makes of
// it: of a client's host the reply, of a server's the forward flow.
func labelOf(f *openflow.Flow) (wireKey, meaning, bool) {
	m := &f.Match
	if f.Table != pipeline.TableSession || m.InPort != uplinkPort || pipeline.ParseCookie(f.Cookie).Category != pipeline.CategorySession {
		return wireKey{}, meaning{}, false
	}
	e := overlay(f)
	proto := m.IPProto.Value
	if packet.Proto(proto) == packet.ICMP {
		k := wireKey{m.IPSrc.Value, m.IPDst.Value, proto, uint16(m.ICMPCode.Value)}
		if m.ICMPType.Value == 0 {
			k.client, k.server = k.server, k.client
			return k, meaning{client: e.dst, server: e.src}, true
		}
		return k, meaning{client: e.src, server: e.dst}, true
	}
	if f.Priority == pipeline.PrioReply {
		return wireKey{m.IPDst.Value, m.IPSrc.Value, proto, m.L4Src.Value}, meaning{e.dst, e.src, e.sp, e.low}, true
	}
	return wireKey{m.IPSrc.Value, m.IPDst.Value, proto, m.L4Dst.Value}, meaning{e.src, e.dst, e.dp, e.low}, true
}

// view is what a flow makes of the addresses and ports.
type view struct {
	src, dst uint32
	sp, dp   uint16
	low      bool // the top bit of the client's port is taken away
}

func overlay(f *openflow.Flow) (v view) {
	for _, a := range f.Actions[:f.Actions.Len()] {
		switch {
		case a.Kind == openflow.ActionLoad && a.Ofs == 15:
			v.low = a.Value == 0
		case a.Kind != openflow.ActionSetField:
		case a.Field == openflow.FieldIPSrc:
			v.src = uint32(a.Value)
		case a.Field == openflow.FieldIPDst:
			v.dst = uint32(a.Value)
		case a.Field == openflow.FieldTCPSrc || a.Field == openflow.FieldUDPSrc:
			v.sp = uint16(a.Value)
		case a.Field == openflow.FieldTCPDst || a.Field == openflow.FieldUDPDst:
			v.dp = uint16(a.Value)
		}
	}
	return v
}

// quiet reports whether a switch has all that the engine told it, and the engine
// had all that there is to know.
func (h *host) quiet() bool {
	if !h.ctl.up || !h.ctl.complete() {
		return false
	}
	for _, o := range h.hosts { // a session's flows may be replaced in steps, on one switch after the other
		if l := h.ctl.links[o.sw.DPID]; l != nil && l.awaited > 0 {
			return false
		}
	}
	l := h.conn
	return h.audits == 0 && h.swUp && l != nil && h.ctl.links[h.sw.DPID] == l && l.known && l.pending == 0
}

// checkFlows checks a quiet switch's flows: each has an owner.
func (h *host) checkFlows() {
	if !h.quiet() {
		return
	}
	e := h.ctl.engine
	snap := e.Snapshot()
	inv := snap.Host(h.name)
	for f := range h.sw.All() {
		c := pipeline.ParseCookie(f.Cookie)
		ok := false
		switch c.Category {
		case pipeline.CategoryBase:
			ok = true
		case pipeline.CategoryEndpoint:
			ok = snap.EndpointAt(inv.DPID, c.Number) != nil && c.Epoch == h.ctl.epoch
		case pipeline.CategoryPeer, pipeline.CategoryDeny:
			ok = c.Epoch == h.ctl.epoch
		case pipeline.CategorySession:
			s := e.Sessions().Get(f.Cookie)
			ok = s != nil && passes(s, h)
		}
		if !ok {
			h.fail(RuleFlows, "nobody owns a flow of switch %s: %s", h.name, f)
			return
		}
	}
}

func passes(s *session.Session, h *host) bool {
	return s.Client.Host.Name == h.name || s.Server.Host.Name == h.name
}

// checkPresent checks that a quiet switch has the flows of the live sessions.
func (h *host) checkPresent() {
	if !h.quiet() {
		return
	}
	for _, s := range h.ctl.engine.Sessions().Sessions() {
		if !passes(s, h) || !h.plugged(s.Client) || !h.plugged(s.Server) {
			continue
		}
		for _, l := range s.Lanes {
			hops := flows.ForLane(s, l)
			for i := range hops {
				if hops[i].Host.Name != h.name {
					continue
				}
				for f := range hops[i].All {
					want := *f
					if h.opt.Bug == BugReplyOpens {
						want = openReply(want)
					}
					if got := h.sw.Flow(want.Key()); got == nil || *got != want {
						h.fail(RuleFlows, "switch %s lacks a flow of session %s: %s; has %v", h.name, sessionText(s), want, got)
						return
					}
				}
			}
		}
	}
}

// plugged reports whether an endpoint is where the engine thinks that it is, and
// stays: hostd takes the flows of a port away itself.
func (h *host) plugged(e *inventory.Endpoint) bool {
	at := h.hostOf(e.Host.DPID)
	k := at.ports[openflow.PortNo(e.Port)]
	return k != nil && !k.leaving
}
