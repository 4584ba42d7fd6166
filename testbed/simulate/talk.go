package simulate

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// talkOn has somebody send something: mostly about what was begun.
func (c *cluster) talkOn() {
	if len(c.talks) == 0 || c.chance(4) {
		c.begin()
		return
	}
	t := pick(c.rng, c.talks)
	k := t.client
	switch n := c.rng.IntN(20); {
	case n < 10:
		c.say(k, t.server, t.proto, t.cport, t.sport, pick(c.rng, []uint8{packet.SYN, packet.ACK, packet.ACK | packet.PSH}))
	case n < 18:
		if s := c.at(k.ref.VPCID(), t.server); s != nil {
			c.say(s, k.ip, t.proto, t.sport, t.cport, pick(c.rng, []uint8{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.ACK | packet.PSH}))
		}
	case n < 19:
		c.say(k, t.server, t.proto, t.cport, t.sport, packet.FIN|packet.ACK)
	default:
		c.say(k, t.server, t.proto, t.cport, t.sport, packet.RST|packet.ACK)
	}
}

// maxTalks bounds what is remembered of them.
const maxTalks = 48

func (c *cluster) begin() {
	k := c.someone()
	if k == nil {
		return
	}
	to := pick(c.rng, c.containers)
	for range 6 { // mostly somebody whom it can reach
		if to != k && to.ref.VPCID() == k.ref.VPCID() {
			break
		}
		to = pick(c.rng, c.containers)
	}
	s := pick(c.rng, services)
	t := &talk{client: k, server: to.ip, proto: s.proto, cport: pick(c.rng, clientPorts), sport: s.port}
	if c.chance(20) {
		t.sport = pick(c.rng, clientPorts)
	}
	if c.chance(30) {
		t.server = v4(10, 1, byte(c.rng.IntN(2)), byte(c.rng.IntN(16)))
	}
	if len(c.talks) < maxTalks {
		c.talks = append(c.talks, t)
	} else {
		c.talks[c.rng.IntN(maxTalks)] = t
	}
	c.say(k, t.server, t.proto, t.cport, t.sport, packet.SYN)
}

// at returns the container that somebody in a VPC may mean by an address.
func (c *cluster) at(vpc string, ip netip.Addr) *container {
	for _, k := range c.containers {
		if k.ip == ip && (k.ref.VPCID() == vpc || ip.As4()[1] == 2) {
			return k
		}
	}
	return nil
}

func (c *cluster) say(k *container, to netip.Addr, proto packet.Proto, from, port uint16, flags uint8) {
	h := k.headers(to, proto)
	switch proto {
	case packet.ICMP:
		h.ICMPType = 8
		if from == 8 { // the server speaks
			h.ICMPType = 0
		}
	case packet.TCP:
		h.Flags = flags
		fallthrough
	default:
		h.SrcPort, h.DstPort = from, port
	}
	if c.chance(50) {
		h.TTL = uint8(c.between(1, 4))
	}
	k.send(h, false)
}

// forge has a container send as somebody else, or what looks like a wire packet.
func (c *cluster) forge() {
	k := c.someone()
	if k == nil {
		return
	}
	h := k.headers(pick(c.rng, c.containers).ip, pick(c.rng, []packet.Proto{packet.TCP, packet.UDP, packet.ICMP}))
	h.SrcPort, h.DstPort, h.Flags, h.ICMPType = pick(c.rng, clientPorts), pick(c.rng, clientPorts), packet.SYN, 8
	switch c.rng.IntN(5) {
	case 0:
		if h.Src = pick(c.rng, c.containers).ip; h.Src == k.ip {
			return
		}
	case 1:
		h.EthSrc[5]++
	case 2:
		h.VLAN = packet.VLANPresent | 7
	case 3:
		h.Src, h.Dst = pick(c.rng, c.hosts).addr.Addr(), k.host.addr.Addr()
		h.SrcPort, h.DstPort = 40000, c.wirePort()
	default:
		h.Dst = pick(c.rng, c.hosts).addr.Addr()
		h.SrcPort, h.DstPort = 40000, c.wirePort()
	}
	k.send(h, true)
}

func (c *cluster) wirePort() uint16 {
	return c.wire.Value + uint16(c.rng.IntN(min(16, c.wire.Size())))
}

// hostTalks has a process of a host send something to another host.
func (c *cluster) hostTalks() {
	h, to := pick(c.rng, c.hosts), pick(c.rng, c.hosts)
	if h == to {
		return
	}
	p := packet.Headers{
		EthSrc: h.mac, EthDst: h.routerMAC, TTL: 64, Src: h.addr.Addr(), Dst: to.addr.Addr(), Proto: pick(c.rng, []packet.Proto{packet.TCP, packet.UDP}),
		SrcPort: pick(c.rng, []uint16{22, c.wirePort(), 40000, 65535, 50000}), DstPort: pick(c.rng, []uint16{22, c.wirePort(), 40000, 65535, 50000}),
		Flags: pick(c.rng, []uint8{packet.SYN, packet.ACK, packet.SYN | packet.ACK, packet.RST}),
	}
	h.receive(portLocal, packet.Build(p, c.tag(sent{
		name: h.name + "'s process", src: p.Src, dst: p.Dst, proto: p.Proto, sp: p.SrcPort, dp: p.DstPort, flags: p.Flags,
		batches: c.batches(),
	})))
}

// batches is how many batches all switches have done.
func (c *cluster) batches() (n int) {
	for _, h := range c.hosts {
		n += h.batches
	}
	return n
}

// strangerTalks has somebody outside the cluster send to a host's wire range.
func (c *cluster) strangerTalks() {
	to := pick(c.rng, c.hosts)
	p := packet.Headers{
		EthSrc: to.routerMAC, EthDst: to.mac, TTL: 60, Src: v4(203, 0, 113, 9), Dst: to.addr.Addr(), Proto: pick(c.rng, []packet.Proto{packet.TCP, packet.UDP, packet.ICMP}),
		SrcPort: 40000, DstPort: c.wirePort(), Flags: pick(c.rng, []uint8{packet.SYN, packet.ACK}), ICMPType: 8, ICMPCode: uint8(1 + c.rng.IntN(4)),
	}
	if c.chance(2) {
		p.SrcPort, p.DstPort, p.ICMPType = p.DstPort, p.SrcPort, 0
	}
	data := c.tag(sent{name: "a stranger", src: p.Src, dst: p.Dst, proto: p.Proto, sp: p.SrcPort, dp: p.DstPort, flags: p.Flags})
	if p.Proto == packet.ICMP {
		data = packet.Echo(1, 1, data)
	}
	to.receive(uplinkPort, packet.Build(p, data))
}
