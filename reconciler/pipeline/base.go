package pipeline

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Listener is a socket of the host's own, TCP or UDP, at or above the wire
// range's start.
type Listener struct {
	Proto uint8 // openflow.ProtoTCP or ProtoUDP
	Port  uint16
}

// Connection is one that the host's own stack has, TCP or UDP.
type Connection struct {
	Proto     uint8 // openflow.ProtoTCP or ProtoUDP
	LocalPort uint16
	Remote    netip.AddrPort
}

// MaxConnections bounds the flows of a protocol that stand for connections which
// the host has already, as it bounds those that are learned.
const MaxConnections = 1000

// HostConfig is all that a host's base flows depend on.
type HostConfig struct {
	Uplink    openflow.PortNo // ofport of the uplink
	Addr      netip.Addr      // the host's underlay address
	MAC       openflow.MAC    // its hardware address
	Wire      WireRange
	Listeners []Listener
	// Connections are those that the host's stack has when the flows are installed.
	// Their packets would be taken for a session's until the host sends and so the
	// way back is learned; a server may be the first to speak.
	Connections []Connection
	// OwnAddress says that Addr and MAC belong to the wire alone and not to the
	// host: the host's stack sends and gets nothing through the bridge. Listeners
	// and Connections mean nothing then.
	OwnAddress bool
}

// GatewayIP is the address of every endpoint's on-link gateway (RFC 3927 range,
// never on the wire).
func GatewayIP() netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1}) }

// Base returns the meters and flows that hostd keeps on the bridge of a host:
// what lets the host itself talk, tells wire packets from the host's own, and
// drops everything else. Meters must be installed before the flows.
func Base(c HostConfig) ([]openflow.MeterMod, []openflow.Flow) {
	meters := []openflow.MeterMod{
		{ID: MeterGateway, Rate: GatewayRate, Burst: GatewayBurst},
	}
	var fs []openflow.Flow
	if c.OwnAddress {
		fs = append(fs, classifyWire(c)...)
	} else {
		fs = append(fs, classifyUplink(c)...)
		fs = append(fs, classifyHost(c)...)
	}
	fs = append(fs,
		flow(TableClassify, 120, openflow.Match{EthType: openflow.EthTypeIPv6}),
		flow(TableClassify, 120, openflow.Match{EthType: openflow.EthTypeARP, ARPSPA: openflow.Exact[uint32](0)}), // duplicate address detection
		flow(TableClassify, 0, openflow.Match{}),
	)
	fs = append(fs, opener()...)
	fs = append(fs, flow(TableSession, 0, openflow.Match{}, to(TableMiss)))
	if !c.OwnAddress {
		fs = append(fs, missOfHost(c)...)
	}
	fs = append(fs,
		flow(TableMiss, 100, openflow.Match{InPort: c.Uplink}),
		flow(TableMiss, 0, openflow.Match{}))
	for i := range fs {
		fs[i].Cookie = BaseCookie
	}
	if c.OwnAddress {
		return meters, fs
	}
	return meters, append(fs, connections(c)...)
}

// connections returns the flows that the host's connections would have learned:
// one a server, with the learned flows' cookies and timeouts, so that they end
// and are counted like those.
func connections(c HostConfig) []openflow.Flow {
	var fs []openflow.Flow
	known, count := make(map[openflow.Key]bool), make(map[uint8]int)
	for _, conn := range c.Connections {
		l := wayBack(c.Uplink, conn.Proto, 16)
		if !c.Wire.Contains(conn.LocalPort) {
			if !c.Wire.Contains(conn.Remote.Port()) || conn.LocalPort&TopHalf.Mask == 0 {
				continue // no packet of it looks like a session's
			}
			l = wayBack(c.Uplink, conn.Proto, halfBits(conn.Proto))
		}
		mask := ^uint16(0) << (16 - l.DstBits)
		m := l4Match(c.Uplink, conn.Proto)
		m.IPSrc, m.IPDst = openflow.IPv4(conn.Remote.Addr()), openflow.IPv4(c.Addr)
		m.L4Src, m.L4Dst = openflow.Exact(conn.Remote.Port()), openflow.Masked(conn.LocalPort&mask, mask)
		f := flow(l.Table, l.Priority, m, output(openflow.PortLocal))
		f.Cookie, f.IdleTimeout = l.Cookie, l.IdleTimeout
		if known[f.Key()] || count[conn.Proto] >= MaxConnections {
			continue
		}
		known[f.Key()] = true
		count[conn.Proto]++
		fs = append(fs, f)
	}
	return fs
}

// classifyUplink sorts what comes in from the underlay. Wire packets, those
// that may belong to a session, go on; the rest is the host's.
func classifyUplink(c HostConfig) []openflow.Flow {
	in := c.Uplink
	fs := []openflow.Flow{
		flow(TableClassify, 320, openflow.Match{InPort: in, EthType: openflow.EthTypeARP}, output(openflow.PortLocal)),
	}
	for _, t := range icmpEcho {
		own := icmpMatch(in, t)
		own.ICMPCode = openflow.Exact[uint8](0)
		tagged := icmpMatch(in, t)
		tagged.NoVLAN, tagged.IPDst = true, openflow.IPv4(c.Addr)
		fs = append(fs,
			flow(TableClassify, 310, own, output(openflow.PortLocal)),
			flow(TableClassify, 300, tagged, to(TableOpener)))
	}
	for _, p := range l4Protos {
		fwd := l4Match(in, p)
		fwd.NoVLAN, fwd.IPDst, fwd.L4Dst = true, openflow.IPv4(c.Addr), c.Wire.bits()
		rep := l4Match(in, p)
		rep.NoVLAN, rep.IPDst, rep.L4Src, rep.L4Dst = true, openflow.IPv4(c.Addr), c.Wire.bits(), TopHalf
		fs = append(fs,
			flow(TableClassify, 300, fwd, to(TableOpener)),
			flow(TableClassify, 300, rep, to(TableOpener)))
	}
	for _, t := range icmpErrors { // the host's, and perhaps an endpoint's
		fs = append(fs, flow(TableClassify, 310, icmpMatch(in, t), output(openflow.PortLocal), to(TableMiss)))
	}
	return append(fs, flow(TableClassify, 200, openflow.Match{InPort: in}, output(openflow.PortLocal)))
}

// classifyWire sorts what comes in from the underlay where the address is the
// wire's own: nobody's stack answers ARP for it, so the switch does, and all that
// is sent to it may belong to a session. The rest falls through and is dropped.
func classifyWire(c HostConfig) []openflow.Flow {
	who := openflow.Match{
		InPort: c.Uplink, NoVLAN: true, EthType: openflow.EthTypeARP,
		ARPOp: openflow.Exact[uint16](1), ARPTPA: openflow.IPv4(c.Addr),
	}
	wire := openflow.Match{InPort: c.Uplink, NoVLAN: true, EthType: openflow.EthTypeIPv4, IPDst: openflow.IPv4(c.Addr)}
	return []openflow.Flow{
		flow(TableClassify, 320, who, apply(arpAnswer(c.MAC)...)),
		flow(TableClassify, 300, wire, to(TableOpener)),
	}
}

// classifyHost sorts what the host's own stack sends. What touches the wire
// range passes the session table, where guards may stand, and is learned in
// TableMiss; answers of the host's own listeners are not learned.
func classifyHost(c HostConfig) []openflow.Flow {
	local := openflow.PortLocal
	fs := []openflow.Flow{
		flow(TableClassify, 320, openflow.Match{InPort: local, EthType: openflow.EthTypeARP}, output(c.Uplink)),
	}
	for _, l := range c.Listeners {
		m := l4Match(local, l.Proto)
		m.L4Src = openflow.Exact(l.Port)
		fs = append(fs, flow(TableClassify, 305, m, output(c.Uplink)))
	}
	for _, p := range l4Protos {
		dst, src := l4Match(local, p), l4Match(local, p)
		dst.IPSrc, dst.L4Dst = openflow.IPv4(c.Addr), c.Wire.bits()
		src.IPSrc, src.L4Src = openflow.IPv4(c.Addr), c.Wire.bits()
		fs = append(fs,
			flow(TableClassify, 300, dst, to(TableSession)),
			flow(TableClassify, 300, src, to(TableSession)))
	}
	return append(fs, flow(TableClassify, 200, openflow.Match{InPort: local}, output(c.Uplink)))
}

// opener answers ARP and the gateway's ping in place, drops addresses that no
// endpoint may reach, and marks openers and dying TTLs.
func opener() []openflow.Flow {
	ping := openflow.Match{
		EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(openflow.ProtoICMP), IPDst: openflow.IPv4(GatewayIP()),
		ICMPType: openflow.Exact[uint8](8), ICMPCode: openflow.Exact[uint8](0),
	}
	fs := []openflow.Flow{
		flow(TableOpener, 200, openflow.Match{EthType: openflow.EthTypeARP, ARPOp: openflow.Exact[uint16](1)}, apply(arpAnswer(GatewayMAC)...)),
		flow(TableOpener, 200, ping, meter(MeterGateway), apply(gatewayPong()...)),
		flow(TableOpener, 190, openflow.Match{EthType: openflow.EthTypeARP}),
	}
	for _, p := range []string{"169.254.0.0/16", "224.0.0.0/3", "127.0.0.0/8"} {
		m := openflow.Match{EthType: openflow.EthTypeIPv4, IPDst: openflow.IPv4Prefix(netip.MustParsePrefix(p))}
		fs = append(fs, flow(TableOpener, 190, m))
	}
	syn := openflow.Match{
		EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(openflow.ProtoTCP),
		TCPFlags: openflow.Masked(openflow.TCPSyn, openflow.TCPSyn|openflow.TCPAck),
	}
	ttl := openflow.Match{EthType: openflow.EthTypeIPv4, IPTTL: openflow.Exact[uint8](1)}
	both := syn
	both.IPTTL = ttl.IPTTL
	return append(fs,
		flow(TableOpener, 103, both, mark(MetaOpener|MetaTTL), to(TableSession)),
		flow(TableOpener, 102, ttl, mark(MetaTTL), to(TableSession)),
		flow(TableOpener, 101, syn, mark(MetaOpener), to(TableSession)),
		flow(TableOpener, 0, openflow.Match{}, to(TableSession)),
	)
}

// missOfHost says what is the host's own among what no session took. Any other
// wire packet is never the host's: its stack would answer RST into a live
// session. From outside the cluster it is dropped; Peers lifts what comes from
// inside.
func missOfHost(c HostConfig) []openflow.Flow {
	var fs []openflow.Flow
	for _, l := range c.Listeners {
		m := l4Match(c.Uplink, l.Proto)
		m.IPDst, m.L4Dst = openflow.IPv4(c.Addr), openflow.Exact(l.Port)
		fs = append(fs, flow(TableMiss, prioListener, m, output(openflow.PortLocal)))
	}
	for _, p := range l4Protos {
		src, dst := l4Match(openflow.PortLocal, p), l4Match(openflow.PortLocal, p)
		src.L4Src, dst.L4Dst = c.Wire.bits(), c.Wire.bits()
		fs = append(fs,
			flow(TableMiss, 121, src, learn(c.Uplink, p, 16), output(c.Uplink)),
			flow(TableMiss, 120, dst, learn(c.Uplink, p, halfBits(p)), output(c.Uplink)))
	}
	return fs
}

// halfBits is how many high bits of the client's port a learned way back
// matches: enough that it cannot take packets for the wire range.
func halfBits(proto uint8) uint8 {
	if proto == openflow.ProtoUDP {
		return 2
	}
	return 1
}

// PeersConfig is all that the flows which lift wire packets depend on.
type PeersConfig struct {
	Uplink openflow.PortNo
	Addr   netip.Addr // the host's underlay address
	Wire   WireRange
	Ranges []netip.Prefix // in which the cluster's hosts lie, as this host sees them
	Cookie uint64
}

// Peers returns the meters and the flows that lift wire packets which no session
// takes, and what the underlay says of those that this host sent. They are the
// controller's: hostd knows no other host.
func Peers(c PeersConfig) ([]openflow.MeterMod, []openflow.Flow) {
	meters := []openflow.MeterMod{
		{ID: MeterWireMiss, Rate: WireMissRate, Burst: WireMissBurst},
		{ID: MeterICMPError, Rate: ICMPErrorRate, Burst: ICMPErrorBurst},
		{ID: MeterWireTTL, Rate: WireTTLRate, Burst: WireTTLBurst},
	}
	var fs []openflow.Flow
	for _, t := range icmpErrors { // from any router, so from any address
		m := icmpMatch(c.Uplink, t)
		m.NoVLAN, m.IPDst = true, openflow.IPv4(c.Addr)
		fs = append(fs, flow(TableMiss, 110, m, meter(MeterICMPError), apply(openflow.ToController())))
	}
	for _, r := range c.Ranges {
		m := openflow.Match{InPort: c.Uplink, EthType: openflow.EthTypeIPv4, IPSrc: openflow.IPv4Prefix(r)}
		fs = append(fs, lifted(101, m)...)
		for _, p := range l4Protos {
			m := l4Match(c.Uplink, p)
			m.IPSrc, m.L4Src, m.L4Dst = openflow.IPv4Prefix(r), c.Wire.bits(), TopHalf
			fs = append(fs, lifted(prioReplyGuard, m)...)
		}
	}
	for i := range fs {
		fs[i].Cookie = c.Cookie
	}
	return meters, fs
}

// lifted lifts what m takes. Packets whose TTL ends here have a meter of their
// own, or an endpoint could send so many of them that packets of new sessions
// found none left.
func lifted(prio uint16, m openflow.Match) []openflow.Flow {
	dying := m
	dying.Metadata = openflow.Masked(MetaTTL, MetaTTL)
	return []openflow.Flow{
		flow(TableMiss, prio+1, dying, meter(MeterWireTTL), apply(openflow.ToController())),
		flow(TableMiss, prio, m, meter(MeterWireMiss), apply(openflow.ToController())),
	}
}

// NextHop returns the group that sends a packet to the next hop of the underlay.
// It serves packets that came in by the uplink too: OpenFlow lets nothing out by
// the port it came in (1.3.5, 5.9), so the group clears that.
func NextHop(uplink openflow.PortNo, own, nextHop openflow.MAC) openflow.GroupMod {
	return openflow.GroupMod{ID: GroupNextHop, Actions: openflow.ActionList(
		openflow.SetMAC(openflow.FieldEthSrc, own),
		openflow.SetMAC(openflow.FieldEthDst, nextHop),
		openflow.Load(0, openflow.FieldInPort, 0, 16),
		openflow.Output(uplink),
	)}
}

// EndpointConfig is all that an endpoint's flows depend on.
type EndpointConfig struct {
	Port   openflow.PortNo // from FirstEndpointPort on
	MAC    openflow.MAC
	IP     netip.Addr
	Cookie uint64
}

// Endpoint returns the meter and the flows of one endpoint: it may send only as
// itself, untagged, and what no session takes is lifted, metered.
func Endpoint(c EndpointConfig) (openflow.MeterMod, []openflow.Flow) {
	ip := openflow.Match{
		InPort: c.Port, NoVLAN: true, EthType: openflow.EthTypeIPv4,
		EthSrc: openflow.ExactMAC(c.MAC), IPSrc: openflow.IPv4(c.IP),
	}
	arp := openflow.Match{
		InPort: c.Port, NoVLAN: true, EthType: openflow.EthTypeARP, EthSrc: openflow.ExactMAC(c.MAC),
		ARPSHA: openflow.ExactMAC(c.MAC), ARPSPA: openflow.IPv4(c.IP),
	}
	gratuitous, request := arp, arp
	gratuitous.ARPTPA = openflow.IPv4(c.IP)
	request.ARPOp = openflow.Exact[uint16](1)
	port := openflow.Match{InPort: c.Port}
	fs := []openflow.Flow{
		flow(TableClassify, 151, gratuitous),
		flow(TableClassify, 150, ip, to(TableOpener)),
		flow(TableClassify, 150, request, to(TableOpener)),
		flow(TableClassify, 100, port), // its counter counts spoofed frames
		flow(TableMiss, 100, port, meter(uint32(c.Port)), apply(openflow.ToController())),
	}
	for i := range fs {
		fs[i].Cookie = c.Cookie
	}
	return openflow.MeterMod{ID: uint32(c.Port), Rate: PortRate, Burst: PortBurst}, fs
}
