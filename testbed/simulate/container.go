package simulate

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// container is one interface of a container, from its plugging to its end.
type container struct {
	*cluster
	ref    endpoint.Ref
	subnet string
	role   string
	claims []string
	host   *host
	port   openflow.PortNo // 0: not plugged
	ip     netip.Addr
	mac    packet.MAC

	sentTo  map[way]bool    // what it sent that may be answered
	leaving bool            // hostd is taking its interface away
	got     map[uint32]bool // while it is calm: numbers of packets that came
}

// way is a peer and ports as one container sees them; own is 0 where a session
// carries answers to any port.
type way struct {
	proto     packet.Proto
	peer      netip.Addr
	port, own uint16
}

// talk is one connection that a container tried.
type talk struct {
	client       *container
	server       netip.Addr
	proto        packet.Proto
	cport, sport uint16
}

// sent is what is known of a packet, by the number that it carries.
type sent struct {
	id       uint32
	from     *container // nil: a host's process or somebody outside
	name     string
	src, dst netip.Addr
	proto    packet.Proto
	sp, dp   uint16
	flags    uint8
	icmpType uint8
	forged   bool
	batches  int // of a host's process: that the switches had done
}

// maxPackets is how many packets are remembered.
const maxPackets = 1 << 14

const tagLen = 8

var tagMark = [4]byte{'S', 'I', 'M', '!'}

// tag notes a packet and returns what it carries.
func (c *cluster) tag(s sent) []byte {
	c.lastPacket++
	s.id = c.lastPacket
	c.packets[s.id%maxPackets] = s
	return binary.BigEndian.AppendUint32(tagMark[:], s.id)
}

// record returns what is known of a frame's packet: found is false if it carries
// no number, and the result nil if it is too old.
func (c *cluster) record(h *packet.Headers, frame []byte) (s *sent, found bool) {
	at := h.L4Offset + 8
	if h.Proto == packet.TCP && len(frame) > h.L4Offset+12 {
		at = h.L4Offset + int(frame[h.L4Offset+12]>>4)*4
	}
	if h.L4Offset == 0 || h.LaterFragment || len(frame) < at+tagLen || [4]byte(frame[at:]) != tagMark {
		return nil, false
	}
	id := binary.BigEndian.Uint32(frame[at+4:])
	if s := &c.packets[id%maxPackets]; s.id == id {
		return s, true
	}
	return nil, true
}

// plugged gives the container its interface.
func (k *container) plugged(e endpoint.Endpoint) {
	if k.port != 0 {
		return // hostd was told before, and died before it knew
	}
	k.port, k.ip, k.mac = openflow.PortNo(e.Port), e.IP, packet.MAC(e.MAC)
	k.host.ports[k.port] = k
	k.host.sw.AddPort(k.port)
	k.containers = append(k.containers, k)
	k.trace("container %s is plugged at %s port %d, %s", k.ref, k.host.name, k.port, k.ip)
}

func (k *container) unplugged() {
	k.trace("container %s is unplugged from %s port %d", k.ref, k.host.name, k.port)
	delete(k.host.ports, k.port)
	for i, o := range k.containers {
		if o == k {
			k.cluster.containers = append(k.containers[:i:i], k.containers[i+1:]...)
			break
		}
	}
	k.port = 0
}

func (k *container) who() *who {
	return &who{vpc: k.ref.VPCID(), subnet: k.subnet, role: k.role, claims: k.claims}
}

// headers begins a packet to an address.
func (k *container) headers(dst netip.Addr, proto packet.Proto) packet.Headers {
	return packet.Headers{EthSrc: k.mac, EthDst: gateway, EthType: packet.EthTypeIPv4, TTL: 64, Src: k.ip, Dst: dst, Proto: proto}
}

// send sends a packet; one that is forged is nobody's to get.
func (k *container) send(h packet.Headers, forged bool) {
	if k.port == 0 {
		return
	}
	data := k.tag(sent{
		from: k, name: k.ref.String(), src: h.Src, dst: h.Dst, proto: h.Proto, sp: h.SrcPort, dp: h.DstPort, flags: h.Flags, icmpType: h.ICMPType, forged: forged,
	})
	if h.Proto == packet.ICMP {
		data = packet.Echo(1, uint16(k.lastPacket), data)
	}
	if h.Src == k.ip {
		k.sentTo[way{h.Proto, h.Dst, h.DstPort, h.SrcPort}] = true
		k.sentTo[way{h.Proto, h.Dst, h.DstPort, 0}] = true
	}
	frame := packet.Build(h, data)
	if k.tracing() {
		k.trace("%s sends %s", k.ref, frameText(frame))
	}
	k.host.receive(k.port, frame)
	if k.fault(40) { // retransmitted by whoever
		k.after(k.delay(), func() {
			if k.port != 0 {
				k.host.receive(k.port, frame)
			}
		})
	}
}

// receive runs a frame through a host's switch.
func (h *host) receive(port openflow.PortNo, frame []byte) {
	if !h.swUp {
		return
	}
	h.stats.Packets++
	res := h.sw.Receive(h.now, port, frame)
	if h.tracing() && len(res.Outputs)+len(res.PacketIns) == 0 && len(res.Passed) > 0 {
		h.trace("  switch %s drops it by %s", h.name, h.sw.Flow(res.Passed[len(res.Passed)-1]))
	}
	h.carry(res)
}

// carry takes what left a switch to where its ports lead.
func (h *host) carry(res simnet.Result) {
	for _, a := range res.Ambiguous {
		if !harmless(a) {
			h.fail(RuleSwitch, "ambiguous flows: %s", a)
		}
	}
	for _, in := range res.PacketIns {
		if h.conn != nil {
			h.conn.lift(in)
		}
	}
	for _, o := range res.Outputs {
		switch o.Port {
		case uplinkPort:
			h.leave(o.Frame)
		case openflow.PortLocal:
			h.local(o.Frame, res.Passed)
		default:
			if k := h.ports[o.Port]; k != nil {
				k.receive(o.Frame)
			}
		}
	}
}

// harmless reports whether two flows that took one packet do the same.
func harmless(ambiguous string) bool {
	first, second, _ := strings.Cut(ambiguous, " and ")
	_, one, _ := strings.Cut(first, " actions=")
	_, other, _ := strings.Cut(strings.TrimSuffix(second, " take one packet"), " actions=")
	return one == other
}

// leave brings a frame over the underlay: a router between all hosts, which
// loses, doubles and overtakes.
func (h *host) leave(frame []byte) {
	hd, err := packet.Decode(frame)
	if err != nil || hd.EthType != packet.EthTypeIPv4 || hd.EthDst != h.routerMAC || hd.TTL <= 1 || h.fault(300) {
		return
	}
	if rec, _ := h.record(&hd, frame); hd.Src != h.addr.Addr() && rec != nil && rec.from != nil {
		h.fail(RuleHost, "a packet of %s leaves %s as %s", rec.name, h.name, frameText(frame))
	}
	for _, to := range h.hosts {
		if to.addr.Addr() == hd.Dst && to != h {
			h.bring(to, frame)
			if h.fault(300) {
				h.bring(to, frame)
			}
			return
		}
	}
	if rec, _ := h.record(&hd, frame); rec != nil && rec.from != nil {
		h.fail(RuleHost, "a packet of %s leaves the cluster from %s: %s", rec.name, h.name, frameText(frame))
	}
}

func (h *host) bring(to *host, frame []byte) {
	b := append([]byte(nil), frame...)
	copy(b, to.mac[:])
	copy(b[6:], to.routerMAC[:])
	old := binary.BigEndian.Uint16(b[22:])
	b[22]--
	binary.BigEndian.PutUint16(b[24:], packet.UpdateChecksum(binary.BigEndian.Uint16(b[24:]), old, binary.BigEndian.Uint16(b[22:])))
	w := h.wires[to]
	if w == nil {
		w = &lane{}
		h.wires[to] = w
	}
	d := 20 * micro
	if !h.calm {
		d += h.rng.Int64N(200 * micro)
		if h.chance(100) {
			d = h.delay()
		}
	}
	at := h.clock() + d
	if !h.fault(20) {
		at = w.at(h.cluster, d)
	}
	h.due.push(event{at: at, run: func() { to.receive(uplinkPort, b) }})
}
