package simulate

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// version is what the engine had been told at one moment. What a later one
// forbids may still happen at a switch until that has done all the batches that
// followed from it.
type version struct {
	n        int
	revision *revision // nil: none
	at       time.Time // for rules that end
	snap     *inventory.Snapshot
}

// changed notes that the engine was told of another world.
func (k *controller) changed() {
	v := version{at: k.looked, snap: k.engine.Snapshot()}
	if n := len(k.versions); n > 0 {
		v.n = k.versions[n-1].n
	}
	v.n++
	if k.policy != nil {
		v.revision = k.policy.revision
	}
	oldest := v.n
	for _, h := range k.hosts {
		oldest = min(oldest, h.version)
	}
	for len(k.versions) > 0 && k.versions[0].n < oldest {
		k.versions = k.versions[1:]
	}
	k.versions = append(k.versions, v)
	k.checkSessions()
	k.markAll()
}

// ticked notes that rules have ended.
func (k *controller) ticked() {
	k.looked = k.now
	if k.policy == nil || len(k.versions) == 0 {
		return
	}
	if v := k.versions[len(k.versions)-1]; v.revision == nil || v.revision.ended(v.at) != v.revision.ended(k.now) {
		k.changed()
	}
}

// complete reports whether the engine knows all that a switch's flows can
// depend on: until it once did it leaves alone what an earlier life left.
func (k *controller) complete() bool {
	if k.settled || k.policy == nil || len(k.heard) < len(k.hosts) {
		return k.settled
	}
	for _, h := range k.hosts {
		if l := k.links[h.sw.DPID]; l == nil || !l.known {
			return false
		}
	}
	k.settled = true
	return true
}

// markAll sends each switch, behind the batches, the number of the version that
// they complete.
func (k *controller) markAll() {
	if !k.complete() {
		return
	}
	n := k.versions[len(k.versions)-1].n
	for _, h := range k.hosts {
		l := k.links[h.sw.DPID]
		if l == nil || !l.known || l.version == n {
			continue
		}
		l.version = n
		l.tell(func() { h.version = max(h.version, n) })
	}
}

// permitted reports whether a packet may go from one container to another at a
// switch that has all of version since: whether ask says so of the two ends as
// some later version, or the present moment, has them.
func (c *cluster) permitted(since int, from, to *container, ask func(o *org, at time.Time, from, to *who) bool) bool {
	for i := len(c.versions) - 1; i >= 0 && c.versions[i].n >= since; i-- {
		v := &c.versions[i]
		if v.revision == nil {
			continue
		}
		a, b := v.seen(from), v.seen(to)
		if a == nil || b == nil {
			continue
		}
		if ask(v.revision.org, v.at, a, b) || ask(v.revision.org, c.now, a, b) {
			return true
		}
	}
	return false
}

// seen returns what a version has of a container, if it has its address.
func (v *version) seen(k *container) *who {
	e := v.snap.EndpointByName(inventory.EndpointRef{VPC: spec.VPCID(k.ref.VPCID()), Name: k.ref.Name})
	if e == nil || e.IP != k.ip {
		return nil
	}
	return whoOf(e)
}

func whoOf(e *inventory.Endpoint) *who {
	return &who{vpc: string(e.VPC), subnet: e.Subnet, role: e.Labels["role"], claims: e.Claims}
}

// receive takes a frame that a switch put out at the container's port.
func (k *container) receive(frame []byte) {
	h, err := packet.Decode(frame)
	if err != nil {
		k.fail(RuleDelivery, "%s gets a frame that cannot be read: %v", k.ref, err)
		return
	}
	if k.tracing() {
		k.trace("%s gets %s", k.ref, frameText(frame))
	}
	k.stats.Delivered++
	if h.EthDst != k.mac || h.EthSrc != gateway || h.VLAN != 0 {
		k.fail(RuleDelivery, "%s gets a frame from %x to %x, VLAN %#x: %s", k.ref, h.EthSrc, h.EthDst, h.VLAN, frameText(frame))
		return
	}
	if h.EthType == packet.EthTypeARP {
		if h.ARPOp != 2 {
			k.fail(RuleDelivery, "%s gets an ARP request", k.ref)
		}
		return
	}
	if h.EthType != packet.EthTypeIPv4 || h.Dst != k.ip || !packet.ChecksumsValid(frame, &h) {
		k.fail(RuleDelivery, "%s (%s) gets what is not for it, or broken: %s", k.ref, k.ip, frameText(frame))
		return
	}
	s, tagged := k.record(&h, frame)
	switch {
	case !tagged:
		k.receiveOwn(&h)
	case s != nil:
		k.receiveFrom(s, &h)
	}
}

// receiveOwn takes what the controller makes: resets and ICMP errors, about what
// the container sent.
func (k *container) receiveOwn(h *packet.Headers) {
	switch {
	case h.Proto == packet.TCP && h.Flags&packet.RST != 0:
		if !k.sentTo[way{packet.TCP, h.Src, h.SrcPort, h.DstPort}] && !k.neighbour(h) {
			k.fail(RuleDelivery, "%s gets a reset from %s:%d, which it never talked to", k.ref, h.Src, h.SrcPort)
		}
	case h.Proto == packet.ICMP && h.Inner != nil:
		in := h.Inner
		if in.Src != k.ip || !k.sentTo[way{in.Proto, in.Dst, in.DstPort, in.SrcPort}] && in.Proto != packet.ICMP {
			k.fail(RuleDelivery, "%s gets an ICMP error about %s:%d > %s:%d, which it never sent", k.ref, in.Src, in.SrcPort, in.Dst, in.DstPort)
		}
	default:
		k.fail(RuleDelivery, "%s gets a packet that nobody sent: %s", k.ref, headersText(h))
	}
}

// neighbour reports whether a reset seems to come from an endpoint that the
// container may have a session with: both ends of a cut one are told.
func (k *container) neighbour(h *packet.Headers) bool {
	for i := range k.versions {
		v := &k.versions[i]
		for _, vpc := range []string{acmeProd, globexProd, globexShared} {
			may := vpc == k.ref.VPCID() || vpc != globexProd && k.ref.VPCID() != globexProd // peered once
			if may && v.snap.EndpointByAddr(spec.VPCID(vpc), h.Src) != nil {
				return true
			}
		}
	}
	return false
}

// receiveFrom takes a packet that somebody sent.
func (k *container) receiveFrom(s *sent, h *packet.Headers) {
	broken := func(why string) { k.fail(RuleDelivery, "%s gets %s of %s: %s", k.ref, headersText(h), s.name, why) }
	switch {
	case s.batches > 0 && !k.guarded(s):
	case s.from == nil:
		broken("an endpoint gets only what endpoints send")
	case s.forged:
		broken("it is forged")
	case s.from == k && h.Src == pipeline.GatewayIP():
		if h.Proto != packet.ICMP || h.ICMPType != 0 || s.dst != pipeline.GatewayIP() {
			broken("it is no answer of the gateway")
		}
	case s.from == k:
		broken("it is its own")
	case h.Src != s.src || s.dst != k.ip || h.Proto != s.proto || h.SrcPort != s.sp || h.DstPort != s.dp || h.Flags != s.flags || h.ICMPType != s.icmpType || h.ICMPCode != 0:
		broken("it was sent as " + s.text())
	case k.permitted(k.host.version, s.from, k, func(o *org, at time.Time, from, to *who) bool {
		return o.allows(at, from, to, h.Proto, portOf(h))
	}):
		k.answer(s, h)
	case !k.mayAnswer(s, h):
		broken("neither is it allowed nor an answer to what was sent")
	case !k.permitted(k.host.version, s.from, k, func(o *org, at time.Time, from, to *who) bool {
		return o.allows(at, to, from, h.Proto, answeredPort(h))
	}):
		broken("neither way is allowed")
	default:
		k.answer(s, h)
	}
}

// guarded reports whether the switches have kept what keeps a host's own packets
// out of sessions since the packet was sent: while a session begins or ends, one
// of its hosts may have its flows and the other not.
func (k *container) guarded(s *sent) bool {
	for _, h := range k.hosts {
		if !h.quiet() {
			return false
		}
	}
	return s.batches == k.batches()
}

// portOf is what rules say of a packet that opens.
func portOf(h *packet.Headers) uint16 {
	if h.Proto == packet.ICMP {
		return uint16(h.ICMPType)
	}
	return h.DstPort
}

// answeredPort is what rules say of the packet that h answers.
func answeredPort(h *packet.Headers) uint16 {
	if h.Proto == packet.ICMP {
		return 8
	}
	return h.SrcPort
}

// mayAnswer reports whether h can be an answer. A TCP packet needs only not to
// open: its session may have been lost.
func (k *container) mayAnswer(s *sent, h *packet.Headers) bool {
	switch h.Proto {
	case packet.TCP:
		return !h.Opener()
	case packet.ICMP:
		return h.ICMPType == 0 && k.sentTo[way{proto: packet.ICMP, peer: h.Src}]
	}
	if k.sentTo[way{h.Proto, h.Src, h.SrcPort, h.DstPort}] {
		return true
	}
	return k.ref.VPCID() != acmeProd && k.sentTo[way{h.Proto, h.Src, h.SrcPort, 0}] // a session of the service takes them all
}

// answer answers as a program would, mostly.
func (k *container) answer(s *sent, h *packet.Headers) {
	if k.calm {
		k.got[s.id] = true
	}
	if k.calm && s.id != k.probing || !k.calm && k.chance(3) {
		return
	}
	r := k.headers(h.Src, h.Proto)
	r.SrcPort, r.DstPort = h.DstPort, h.SrcPort
	switch h.Proto {
	case packet.ICMP:
		if h.ICMPType != 8 {
			return
		}
	case packet.UDP:
		if !isService(packet.UDP, h.DstPort) || !k.calm && isService(packet.UDP, h.SrcPort) && !k.chance(3) {
			return
		}
	case packet.TCP:
		r.Flags = packet.ACK
		switch {
		case h.Flags&packet.RST != 0:
			return
		case h.Opener() && isService(packet.TCP, h.DstPort):
			r.Flags = packet.SYN | packet.ACK
		case h.Flags&packet.SYN != 0:
		case k.calm || !k.chance(3):
			return
		}
	}
	d := 10 * micro
	if !k.calm {
		d += k.rng.Int64N(milli)
	}
	k.after(d, func() { k.send(r, false) })
}

func isService(p packet.Proto, port uint16) bool {
	for _, s := range services {
		if s.proto == p && s.port == port {
			return true
		}
	}
	return false
}

// local takes a frame that a switch gave to its host's own stack.
func (h *host) local(frame []byte, passed []openflow.Key) {
	hd, err := packet.Decode(frame)
	if err != nil {
		return
	}
	s, _ := h.record(&hd, frame)
	if s != nil && s.from != nil {
		by := h.sw.Flow(passed[len(passed)-1])
		if by != nil && by.Table == pipeline.TableMiss && (pipeline.ParseCookie(by.Cookie).Category == pipeline.CategoryBase) {
			h.stats.Strays++
			return // a process of the host talks from or to that very port, or listens there, and no session's flows are there
		}
		h.fail(RuleHost, "the stack of %s gets %s of %s by %s", h.name, headersText(&hd), s.name, by)
	}
	if s != nil && s.from == nil && (hd.Src != s.src || hd.Dst != s.dst || hd.SrcPort != s.sp || hd.DstPort != s.dp) {
		h.fail(RuleHost, "the stack of %s gets %s, which was sent as %s", h.name, headersText(&hd), s.text())
	}
}
