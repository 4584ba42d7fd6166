package simulate

import (
	"slices"
	"strings"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
)

// wireUp is a connection of a host with one life of the controller. Messages
// keep their order. When it is cut, of what is under way the beginning may still
// arrive.
type wireUp struct {
	*cluster
	host     *host
	id       uint64
	life     int
	cut      bool
	upUntil  int64 // what would reach the controller later is lost, once cut
	until    int64 // likewise of what would reach the host
	up, down lane
}

// end marks the connection cut, by the host or by the controller. What the other
// had sent may still arrive.
func (w *wireUp) end(byController bool) {
	w.cut, w.upUntil, w.until = true, -1, -1
	switch {
	case !w.chance(2):
	case byController:
		w.until = w.clock() + w.delay()
	default:
		w.upUntil = w.clock() + w.delay()
	}
}

// toController has run happen at the controller.
func (w *wireUp) toController(run func()) {
	if w.cut {
		return
	}
	at := w.up.at(w.cluster, w.delay())
	w.due.push(event{at: at, run: func() {
		if (!w.cut || at <= w.upUntil) && w.ctl.up && w.ctl.life == w.life {
			run()
		}
	}})
}

// toHost has run happen at the host.
func (w *wireUp) toHost(run func()) {
	if w.cut {
		return
	}
	at := w.down.at(w.cluster, w.delay())
	w.due.push(event{at: at, run: func() {
		if !w.cut || at <= w.until {
			run()
		}
	}})
}

// noticed has the controller notice the end, behind all that arrives.
func (w *wireUp) noticed(run func()) {
	w.up.last = max(w.up.last, w.upUntil)
	w.due.push(event{at: w.up.at(w.cluster, w.delay()), run: func() {
		if w.ctl.up && w.ctl.life == w.life {
			run()
		}
	}})
}

// ofConn is the OpenFlow connection of a switch.
type ofConn struct {
	wireUp
	lifted  lane // PacketIns have a queue of their own in the controller
	known   bool // the engine had its SwitchUp
	exact   bool // the last question was of cookies
	pending int  // messages to the switch that are under way
	awaited int  // confirmations that the engine waits for
	version int  // of the world that the engine told the switch last
}

// connect opens the switch's connection, if the controller listens.
func (h *host) connect() {
	if !h.ctl.up || !h.swUp || h.conn != nil {
		return
	}
	l := &ofConn{wireUp: wireUp{cluster: h.cluster, host: h, id: h.id(), life: h.ctl.life}}
	h.conn = l
	h.trace("switch %s connects", h.name)
	l.toController(func() {
		if old := h.ctl.links[h.sw.DPID]; old != nil {
			old.replaced()
		}
		h.ctl.links[h.sw.DPID] = l
		l.ask(nil, func(flows []openflow.FlowStats) {
			l.known = true
			h.ctl.do(engine.SwitchUp{DPID: h.sw.DPID, Flows: flows})
			l.poll()
		})
		if h.opt.Bug == BugCookieOnly {
			l.tell(h.tamper)
		}
	})
}

// ask has the switch list its flows: those of some cookies, or all.
func (l *ofConn) ask(cookies []uint64, then func([]openflow.FlowStats)) {
	l.tell(func() {
		var flows []openflow.FlowStats
		tinkered := l.host.tinkered
		l.host.sw.Advance(l.now)
		for f := range l.host.sw.Stats() {
			if cookies == nil || slices.Contains(cookies, f.Cookie) {
				flows = append(flows, f)
			}
		}
		l.toController(func() {
			if l.ctl.links[l.host.sw.DPID] != l {
				return
			}
			if tinkered == l.host.tinkered && cookies == nil {
				l.host.audits = max(0, l.host.audits-1)
			}
			then(flows)
		})
	})
}

func (l *ofConn) poll() {
	l.beat(pollEvery, func() {
		if l.cut || !l.ctl.up || l.ctl.life != l.life {
			return
		}
		var cookies []uint64
		if l.exact = !l.exact; l.exact {
			cookies = l.ctl.engine.Cookies(l.host.sw.DPID, engine.Part{})
		}
		l.ask(cookies, func(flows []openflow.FlowStats) {
			l.ctl.do(engine.FlowsCounted{DPID: l.host.sw.DPID, Flows: flows, Known: cookies != nil})
		})
		l.poll()
	})
}

// tell has run happen at the switch.
func (l *ofConn) tell(run func()) {
	if l.cut {
		return
	}
	l.pending++
	l.toHost(func() {
		l.pending--
		run()
	})
}

// toSwitch sends a batch. It may be done in two parts with other packets
// between them.
func (l *ofConn) toSwitch(b openflow.Batch) {
	known := l.known
	if n := len(b.Flows); n > 1 && l.fault(8) {
		at := l.between(1, n)
		first := openflow.Batch{DPID: b.DPID, Meters: b.Meters, Groups: b.Groups, Flows: b.Flows[:at]}
		l.tell(func() { l.host.apply(l, first, known) })
		b.Meters, b.Groups, b.Flows = nil, nil, b.Flows[at:]
	}
	if b.Token != 0 {
		l.awaited++
	}
	l.tell(func() { l.host.apply(l, b, known) })
}

// apply does what a batch says.
func (h *host) apply(l *ofConn, b openflow.Batch, known bool) {
	if h.tracing() {
		h.trace("switch %s does %s", h.name, batchText(&b))
	}
	res, errs := h.sw.Apply(h.now, b)
	h.batches++
	h.checkLabels(&b)
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	if len(errs) > 0 && known {
		h.fail(RuleSwitch, "switch %s refuses: %s", h.name, strings.Join(texts, "; "))
	}
	h.carry(res)
	if b.Token != 0 {
		l.toController(func() {
			l.awaited--
			h.ctl.batchDone(l, b.Token, strings.Join(texts, "; "))
		})
	}
}

// lift brings a packet to the controller. It may be read before and handled
// after the connection's end.
func (l *ofConn) lift(in openflow.PacketIn) {
	if l.cut {
		return
	}
	at := l.lifted.at(l.cluster, l.delay())
	l.due.push(event{at: at, run: func() {
		if (!l.cut || at <= l.upUntil) && l.ctl.up && l.ctl.life == l.life {
			l.stats.Lifted++
			l.ctl.do(engine.PacketIn{DPID: l.host.sw.DPID, In: in})
		}
	}})
}

// reset ends the connection from the switch's side, which tries again; the
// controller notices sooner or later.
func (l *ofConn) reset() {
	h := l.host
	h.trace("switch %s disconnects", h.name)
	l.end(false)
	h.conn = nil
	l.noticed(func() {
		if l.ctl.links[h.sw.DPID] == l {
			delete(l.ctl.links, h.sw.DPID)
			l.ctl.do(engine.SwitchDown{DPID: h.sw.DPID})
		}
	})
}

// replaced ends the connection because the controller has another of its switch;
// whichever of two finishes its handshake last is that (reconciler/ofswitch).
func (l *ofConn) replaced() {
	h := l.host
	h.trace("connection %d of switch %s is replaced", l.id, h.name)
	l.cut, l.until, l.upUntil = true, -1, -1
	if h.conn == l {
		h.conn = nil
	}
	delete(h.ctl.links, h.sw.DPID)
	h.ctl.do(engine.SwitchDown{DPID: h.sw.DPID})
}

// lost is the connection's end because the controller died: what it had sent
// comes first.
func (l *ofConn) lost() {
	l.end(true)
	l.due.push(event{at: max(l.until, l.clock()) + 1, run: func() {
		if l.host.conn == l {
			l.host.conn = nil
		}
	}})
}

// stream is a host's stream to the controller.
type stream struct{ wireUp }

// dial opens the host's stream, if the controller listens.
func (h *host) dial() {
	if !h.ctl.up || !h.hostdUp || h.stream != nil {
		return
	}
	s := &stream{wireUp{cluster: h.cluster, host: h, id: h.id(), life: h.ctl.life}}
	h.stream = s
	h.trace("host %s connects, conn %d", h.name, s.id)
	h.machineStep(endpoint.StreamUp{})
}

// hello brings a full report.
func (s *stream) hello(r inventory.HostReport) {
	s.toController(func() {
		s.ctl.streams[s.id] = s
		s.ctl.do(engine.HostUp{Conn: s.id, Report: r})
	})
}

// event brings anything else.
func (s *stream) event(ev engine.Event) { s.toController(func() { s.ctl.do(ev) }) }

// answer brings an answer to the host's machine.
func (s *stream) answer(ev endpoint.Event) {
	s.toHost(func() {
		if s.host.stream == s {
			s.host.machineStep(ev)
		}
	})
}

// reset ends the stream from the host's side. hostd is told unless it died.
func (s *stream) reset() {
	h := s.host
	h.trace("host %s disconnects, conn %d", h.name, s.id)
	s.end(false)
	h.stream = nil
	if h.hostdUp {
		h.machineStep(endpoint.StreamDown{})
	}
	s.noticed(func() {
		delete(s.ctl.streams, s.id)
		s.ctl.do(engine.HostDown{Conn: s.id, Host: h.name})
	})
}

// lost is the stream's end because the controller died.
func (s *stream) lost() {
	s.end(true)
	s.due.push(event{at: max(s.until, s.clock()) + 1, run: func() {
		if s.host.stream == s {
			s.host.stream = nil
			s.host.machineStep(endpoint.StreamDown{})
		}
	}})
}
