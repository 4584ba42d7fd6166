package simulate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// rest lets everything come to rest and checks that it is as it should be.
func (c *cluster) rest() {
	c.calm = true
	defer func() {
		c.calm = false
		c.beat(milli, c.act)
	}()
	c.trace("everything comes to rest")
	c.stats.Rests++
	for _, h := range c.hosts {
		if h.hostdUp {
			h.linkSoon() // in case that it was not noticed
		}
	}
	if !c.settle() {
		return
	}
	c.runFor(12 * second) // drops end
	if !c.settle() {
		return
	}
	for _, h := range c.hosts {
		h.checkTables()
	}
	c.probe(8)
	c.goOn(6)
	for _, k := range c.containers {
		clear(k.got)
	}
}

// settle runs until nothing is under way, and reports whether that came about.
func (c *cluster) settle() bool {
	if !c.ctl.up {
		c.ctl.start()
	}
	for _, h := range c.hosts {
		if !h.swUp {
			h.startSwitch()
		}
		if !h.hostdUp {
			h.startHostd()
		}
		h.connect()
		h.dial()
	}
	if c.ctl.policy != nil && c.ctl.policy.revision != c.desired {
		c.ctl.load()
	}
	end, steps := c.clock()+180*second, c.step+50_000
	for c.failure == nil {
		why := c.unrest()
		if why == "" {
			return true
		}
		if c.clock() > end || c.step > steps {
			c.fail(RuleRest, "it does not settle: %s", why)
			return false
		}
		c.once()
	}
	return false
}

func (c *cluster) runFor(d int64) {
	for end := c.clock() + d; c.clock() < end && c.failure == nil; {
		c.once()
	}
}

// unrest says what is still under way, or "".
func (c *cluster) unrest() string {
	if c.due.work > 0 {
		return fmt.Sprintf("%d things are under way", c.due.work)
	}
	if !c.ctl.complete() || c.ctl.policy.revision != c.desired {
		return "the controller does not know everything"
	}
	for _, h := range c.hosts {
		if h.stream == nil || !h.quiet() {
			return h.name + " is not connected"
		}
		for _, e := range h.machine.Endpoints() {
			if e.State != endpoint.Up {
				return fmt.Sprintf("%s is %s", e.Ref, e.State)
			}
		}
	}
	return ""
}

// checkTables compares a switch with one that a new controller would fill, but
// for the flows of live sessions, which are those of just these.
func (h *host) checkTables() {
	if h.failure != nil {
		return
	}
	h.sw.Advance(h.now)
	live := make(map[string]bool)
	for _, s := range h.ctl.engine.Sessions().Sessions() {
		for _, l := range s.Lanes {
			hops := flows.ForLane(s, l)
			for i := range hops {
				if hops[i].Host.Name != h.name {
					continue
				}
				for f := range hops[i].All {
					g := *f
					if h.opt.Bug == BugReplyOpens {
						g = openReply(g)
					}
					live[g.String()] = true
				}
			}
		}
	}
	is, want := lines(h.sw.Text()), lines(h.clean().Text())
	for f := range live {
		want[f] = true
	}
	var diff []string
	for _, l := range slices.Sorted(maps.Keys(is)) {
		// A meter outlives an endpoint whose flows hostd took away while no
		// controller was there: its id is the port's, which comes again.
		if !want[l] && !learned(l) && !strings.HasPrefix(l, "meter=") {
			diff = append(diff, "+"+l)
		}
	}
	for _, l := range slices.Sorted(maps.Keys(want)) {
		if !is[l] {
			diff = append(diff, "-"+l)
		}
	}
	if diff != nil {
		h.fail(RuleRest, "switch %s at rest is not as after a clean start (-missing +too many):\n%s", h.name, strings.Join(diff, "\n"))
	}
}

// learned reports whether a line is a flow that the host's own traffic made.
func learned(line string) bool {
	return strings.Contains(line, fmt.Sprintf("cookie=%#x,", pipeline.LearnedTCPCookie)) || strings.Contains(line, fmt.Sprintf("cookie=%#x,", pipeline.LearnedUDPCookie))
}

func lines(text string) map[string]bool {
	out := make(map[string]bool)
	for _, l := range strings.Split(strings.TrimSpace(text), "\n") {
		out[l] = true
	}
	return out
}

// clean returns the host's switch as a new controller of the same epoch fills it
// that is told the same.
func (h *host) clean() *simnet.Switch {
	sw := simnet.NewSwitch(h.name, h.sw.DPID, uplinkPort)
	meters, base := h.base()
	b := openflow.Batch{DPID: h.sw.DPID, Meters: meters}
	for _, f := range base {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	sw.Apply(h.now, b)
	e := engine.New(engine.Config{Slot: 1, Epoch: h.ctl.epoch, Wire: h.wire})
	step := func(ev engine.Event) {
		for _, ef := range e.Step(h.now, ev) {
			if s, is := ef.(engine.Send); is && s.Batch.DPID == h.sw.DPID {
				sw.Apply(h.now, *s.Batch)
			}
		}
	}
	step(engine.RevisionLoaded{Policy: h.ctl.policy})
	for i, r := range h.ctl.engine.Reports() {
		step(engine.HostUp{Conn: uint64(i + 1), Report: r})
	}
	step(engine.SwitchUp{DPID: h.sw.DPID})
	return sw
}

// probe tries connections between containers.
func (c *cluster) probe(n int) {
	for range n {
		if len(c.containers) < 2 || c.failure != nil {
			return
		}
		a, b := pick(c.rng, c.containers), pick(c.rng, c.containers)
		if a == b || !a.inForce() || !b.inForce() {
			continue
		}
		s := pick(c.rng, services)
		c.try(a, b, s, pick(c.rng, clientPorts))
	}
}

// goOn has the server's end of connections say something, whoever forgot them
// meanwhile: it comes if the client may still open them.
func (c *cluster) goOn(n int) {
	for range n {
		if len(c.talks) == 0 || c.failure != nil {
			return
		}
		t := pick(c.rng, c.talks)
		a, b := t.client, c.at(t.client.ref.VPCID(), t.server)
		if t.proto != packet.TCP || b == nil || a == b || !a.inForce() || !b.inForce() || c.at(b.ref.VPCID(), a.ip) != a {
			continue
		}
		mirror := session.Key{Client: b.key(), Server: a.key(), Proto: packet.TCP, Port: t.cport}
		if !c.ctl.policy.allows(c.now, a.who(), b.who(), packet.TCP, t.sport) || c.ctl.cut[mirror] {
			continue // a packet of a connection that was cut is nothing else
		}
		h := b.headers(a.ip, packet.TCP)
		h.SrcPort, h.DstPort, h.Flags = t.sport, t.cport, packet.ACK
		c.ctl.drops = false
		c.trace("%s goes on talking to %s", b.ref, a.ref)
		b.send(h, false)
		id := c.lastPacket
		if !c.settle() {
			return
		}
		c.stats.Probes++
		switch {
		case a.got[id]:
			c.stats.Worked++
		case !c.ctl.drops:
			c.fail(RuleRest, "%s may talk to %s, and what that says does not come: %s", a.ref, b.ref, headersText(&h))
		}
	}
}

func (k *container) key() inventory.AddrKey {
	return inventory.AddrKey{VPC: spec.VPCID(k.ref.VPCID()), IP: k.ip}
}

// inForce reports whether the controller took the container's report.
func (k *container) inForce() bool {
	e := k.versions[len(k.versions)-1].snap.EndpointAt(k.host.sw.DPID, uint32(k.port))
	return e != nil && e.MAC == k.mac && k.host.ports[k.port] == k
}

// try sends what opens a connection and checks whether it comes, and is answered.
func (c *cluster) try(a, b *container, s orgPort, from uint16) {
	h := a.headers(b.ip, s.proto)
	switch s.proto {
	case packet.ICMP:
		h.ICMPType = 8
	case packet.TCP:
		h.Flags = packet.SYN
		fallthrough
	default:
		h.SrcPort, h.DstPort = from, s.port
	}
	if other := c.at(a.ref.VPCID(), b.ip); other != b {
		return // in a's eyes the address is somebody else's
	}
	c.ctl.drops = false
	clear(a.got)
	clear(b.got)
	c.trace("probe %s > %s %s", a.ref, b.ref, s.text())
	c.probing = c.lastPacket + 1
	a.send(h, false)
	id := c.probing
	if !c.settle() {
		return
	}
	came, back := b.got[id], len(a.got) > 0
	want := c.ctl.policy.allows(c.now, a.who(), b.who(), s.proto, s.port)
	c.stats.Probes++
	if came && back {
		c.stats.Worked++
	}
	switch {
	case c.ctl.drops || c.failure != nil: // no label was left
	case want && !came:
		c.fail(RuleRest, "%s may open %s to %s, and nothing comes: %s", a.ref, s.text(), b.ref, headersText(&h))
	case want && !back:
		c.fail(RuleRest, "%s may open %s to %s, and no answer comes: %s", a.ref, s.text(), b.ref, headersText(&h))
	case !want && came && !c.mirrors(a, b, s, from):
		c.fail(RuleRest, "%s may not open %s to %s, and it does: %s", a.ref, s.text(), b.ref, headersText(&h))
	}
}

// mirrors reports whether what a sends may pass as an answer to b.
func (c *cluster) mirrors(a, b *container, s orgPort, from uint16) bool {
	return s.proto == packet.UDP && c.ctl.policy.allows(c.now, b.who(), a.who(), s.proto, from)
}

// sleep lets everything grow old and checks that nothing is remembered.
func (c *cluster) sleep() {
	c.calm = true
	if !c.settle() {
		return
	}
	c.runFor(6 * second) // what the last packets counted
	c.jump(4 * 3600 * second)
	c.runFor(90 * second)
	if c.failure != nil {
		return
	}
	if n := c.ctl.engine.Sessions().Len(); n > 0 {
		c.fail(RuleRest, "%d sessions outlive hours of silence, such as %s", n, sessionText(c.ctl.engine.Sessions().Sessions()[0]))
	}
	for _, h := range c.hosts {
		h.checkTables()
	}
	for _, r := range c.ctl.engine.Receipts() {
		if !r.Done() || slices.ContainsFunc(r.Hosts, func(h engine.CutHost) bool { return h.State != engine.CutConfirmed && h.State != engine.CutRevoked }) {
			c.fail(RuleRest, "hours after the last packet receipt %d is not confirmed by all: %+v", r.ID, r.Hosts)
		}
	}
	if left := remembered(reflect.ValueOf(c.ctl.engine).Elem(), "engine"); left != "" {
		c.fail(RuleRest, "hours after the last packet the controller still has %s", left)
	}
}

// lasting are the fields of an engine that may stay: what goes by host, endpoint,
// identity or tenant, what has a bound of its own, and what is not its memory.
var lasting = map[string]bool{
	"engine.cfg": true, "engine.interner": true, "engine.pol": true, "engine.net": true, "engine.hosts": true, "engine.order": true,
	"engine.snap": true, "engine.compared": true, "engine.refused": true, "engine.leases": true, "engine.count": true,
	"engine.outcomes": true, "engine.reasons": true, // counts, by what is counted
	"engine.lifted":            true, // the last packet
	"engine.spare":             true, // 64 batches at most
	"engine.cuts.kept":         true, // 100 at most, of 20,000 lines
	"engine.cuts.current":      true, // the last event's
	"engine.switches.suspects": true, // what the last audit found
	"engine.sessions.snap":     true, "engine.sessions.pol": true, "engine.sessions.memory": true, "engine.sessions.tenants": true,
	"engine.sessions.forbidden": true, // 65,536 at most
}

// remembered returns the first map or list in a struct that is not empty, but for
// lists of the connected switches. A list of pointers by number is empty when they
// are nil.
func remembered(v reflect.Value, name string) string {
	if lasting[name] {
		return ""
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return remembered(v.Elem(), name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if left := remembered(v.Field(i), name+"."+v.Type().Field(i).Name); left != "" {
				return left
			}
		}
	case reflect.Map:
		if name == "engine.switches" {
			for it := v.MapRange(); it.Next(); {
				if left := remembered(it.Value(), name); left != "" {
					return left
				}
			}
			return ""
		}
		if v.Len() > 0 {
			return fmt.Sprintf("%d of %s", v.Len(), name)
		}
	case reflect.Array:
		for i := range v.Len() {
			if left := remembered(v.Index(i), name); left != "" {
				return left
			}
		}
	case reflect.Slice:
		n := 0
		for i := range v.Len() {
			if e := v.Index(i); e.Kind() != reflect.Pointer || !e.IsNil() {
				n++
			}
		}
		if n > 0 {
			return fmt.Sprintf("%d of %s", n, name)
		}
	}
	return ""
}
