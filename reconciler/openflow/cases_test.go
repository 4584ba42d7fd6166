package openflow_test

import (
	"net/netip"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// Addresses of the cases: two containers on two hosts behind a router.
var (
	gatewayMAC = of.MAC{0x02, 0, 0, 0, 0, 0x01}
	c1MAC      = of.MAC{0x02, 0, 0, 0, 0x01, 0x0b}
	hostMAC    = of.MAC{0x52, 0x54, 0, 0, 0, 0x01}
	routerMAC  = of.MAC{0x52, 0x54, 0, 0, 0, 0xfe}
	c1         = netip.MustParseAddr("10.1.0.5")
	c2         = netip.MustParseAddr("10.1.1.9")
	s1         = netip.MustParseAddr("172.31.1.1")
	s2         = netip.MustParseAddr("172.31.2.1")
	anycast    = netip.MustParseAddr("169.254.1.1")
)

const cookie = 0x0310000a00000007

func ipMatch(proto uint8, in of.PortNo, src, dst netip.Addr) of.Match {
	return of.Match{InPort: in, EthType: of.EthTypeIPv4, IPProto: of.Exact(proto), IPSrc: of.IPv4(src), IPDst: of.IPv4(dst)}
}

// with returns m changed by f.
func with(m of.Match, f func(*of.Match)) of.Match {
	f(&m)
	return m
}

type flowCase struct {
	name string
	mod  of.FlowMod
}

// sessionFlow is the flow of the benchmarks: cross host, masked source port.
var sessionFlow = of.Flow{
	Table: 2, Priority: 201, Cookie: cookie,
	Match: with(ipMatch(of.ProtoTCP, 16, c1, c2), func(m *of.Match) {
		m.L4Src, m.L4Dst, m.Metadata = of.Masked[uint16](0x8000, 0x8000), of.Exact[uint16](5432), of.Masked[uint64](0, 2)
	}),
	Actions: of.ActionList(of.DecTTL(), of.SetIP(of.FieldIPSrc, s1), of.SetIP(of.FieldIPDst, s2),
		of.Set(of.FieldTCPDst, 16384), of.Group(7)),
}

var flowCases = []flowCase{
	{"cross host, towards the wire", of.Add(sessionFlow)},
	{"low source ports, towards the wire", of.Add(of.Flow{
		Table: 2, Priority: 201, Cookie: cookie,
		Match: with(ipMatch(of.ProtoTCP, 16, c1, c2), func(m *of.Match) {
			m.L4Src, m.L4Dst = of.Masked[uint16](0, 0x8000), of.Exact[uint16](5432)
		}),
		Actions: of.ActionList(of.SetTTL(64), of.SetMAC(of.FieldEthSrc, hostMAC), of.SetMAC(of.FieldEthDst, routerMAC),
			of.SetIP(of.FieldIPSrc, s1), of.SetIP(of.FieldIPDst, s2), of.Load(1, of.FieldTCPSrc, 15, 1),
			of.Set(of.FieldTCPDst, 16385), of.Output(1)),
	})},
	{"reply from the wire", of.Add(of.Flow{
		Table: 2, Priority: 200, Cookie: cookie,
		Match: with(ipMatch(of.ProtoTCP, 1, s2, s1), func(m *of.Match) {
			m.L4Src, m.L4Dst, m.Metadata = of.Exact[uint16](16384), of.Masked[uint16](0x8000, 0x8000), of.Masked[uint64](0, 3)
		}),
		Actions: of.ActionList(of.SetMAC(of.FieldEthSrc, gatewayMAC), of.SetMAC(of.FieldEthDst, c1MAC),
			of.SetIP(of.FieldIPSrc, c2), of.SetIP(of.FieldIPDst, c1), of.Set(of.FieldTCPSrc, 5432), of.DecTTL(), of.Output(16)),
	})},
	{"one tcp connection, which ends", of.Add(of.Flow{
		Table: 2, Priority: 201, Cookie: cookie,
		Match: with(ipMatch(of.ProtoTCP, 16, c1, c2), func(m *of.Match) {
			m.L4Src, m.L4Dst = of.Exact[uint16](43210), of.Exact[uint16](5432)
		}),
		Actions: of.ActionList(of.FinTimeout(60), of.Set(of.FieldTCPDst, 16384), of.Group(7)),
	})},
	{"udp connection", of.Add(of.Flow{
		Table: 2, Priority: 201, Cookie: cookie,
		Match: with(ipMatch(of.ProtoUDP, 16, c1, c2), func(m *of.Match) {
			m.L4Src, m.L4Dst = of.Exact[uint16](43210), of.Exact[uint16](53)
		}),
		Actions: of.ActionList(of.Set(of.FieldUDPSrc, 43210), of.Set(of.FieldUDPDst, 16386), of.Output(1)),
	})},
	{"ping with its tag", of.Add(of.Flow{
		Table: 2, Priority: 201, Cookie: cookie,
		Match: with(ipMatch(of.ProtoICMP, 16, c1, c2), func(m *of.Match) {
			m.ICMPType, m.ICMPCode = of.Exact[uint8](8), of.Exact[uint8](0)
		}),
		Actions: of.ActionList(of.Set(of.FieldICMPCode, 7), of.Output(1)),
	})},
	{"drop of a denied opener", of.Add(of.Flow{
		Table: 2, Priority: 150, Cookie: 0x0510000a00000008, HardTimeout: 10,
		Match: with(ipMatch(of.ProtoTCP, 16, c1, c2), func(m *of.Match) {
			m.L4Dst, m.Metadata = of.Exact[uint16](22), of.Masked[uint64](1, 1)
		}),
	})},
	{"endpoint's own addresses, without VLAN", of.Add(of.Flow{
		Table: 0, Priority: 150, Cookie: 0x0200000000000010,
		Match: of.Match{InPort: 16, EthType: of.EthTypeIPv4, NoVLAN: true, EthSrc: of.ExactMAC(c1MAC), IPSrc: of.IPv4(c1)},
		Goto:  1,
	})},
	{"gratuitous arp", of.Add(of.Flow{
		Table: 0, Priority: 151,
		Match: of.Match{InPort: 16, EthType: of.EthTypeARP, NoVLAN: true, EthSrc: of.ExactMAC(c1MAC),
			ARPSHA: of.ExactMAC(c1MAC), ARPTHA: of.ExactMAC(of.MAC{}), ARPSPA: of.IPv4(c1), ARPTPA: of.IPv4(c1)},
	})},
	{"arp answered in place", of.Add(of.Flow{
		Table: 1, Priority: 200,
		Match: of.Match{EthType: of.EthTypeARP, ARPOp: of.Exact[uint16](1)},
		Actions: of.ActionList(of.Move(of.FieldEthSrc, of.FieldEthDst), of.SetMAC(of.FieldEthSrc, gatewayMAC),
			of.Set(of.FieldARPOp, 2), of.Move(of.FieldARPSHA, of.FieldARPTHA), of.SetMAC(of.FieldARPSHA, gatewayMAC),
			of.Move(of.FieldARPSPA, of.FieldReg0), of.Move(of.FieldARPTPA, of.FieldARPSPA),
			of.Move(of.FieldReg0, of.FieldARPTPA), of.Output(of.PortInPort)),
	})},
	{"gateway's ping answered in place", of.Add(of.Flow{
		Table: 1, Priority: 200,
		Match: of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoICMP), IPDst: of.IPv4(anycast),
			ICMPType: of.Exact[uint8](8), ICMPCode: of.Exact[uint8](0)},
		Actions: of.ActionList(of.Move(of.FieldIPSrc, of.FieldIPDst), of.SetIP(of.FieldIPSrc, anycast),
			of.Set(of.FieldICMPType, 0), of.Output(of.PortInPort)),
	})},
	{"opener with ttl 1", of.Add(of.Flow{
		Table: 1, Priority: 103,
		Match: of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP), IPTTL: of.Exact[uint8](1),
			TCPFlags: of.Masked(of.TCPSyn, of.TCPSyn|of.TCPAck)},
		WriteMetadata: of.Masked[uint64](3, 3), Goto: 2,
	})},
	{"exact tcp flags", of.Add(of.Flow{
		Match:   of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP), TCPFlags: of.Exact(of.TCPSyn)},
		Actions: of.ActionList(of.Output(of.PortLocal)),
	})},
	{"rare tcp flags", of.Add(of.Flow{
		Match:   of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP), TCPFlags: of.Masked[uint16](0x202, 0x212)},
		Actions: of.ActionList(of.Output(of.PortLocal)),
	})},
	{"prefix and odd mask", of.Add(of.Flow{
		Table: 3, Priority: 101,
		Match: of.Match{InPort: 1, EthType: of.EthTypeIPv4, IPSrc: of.IPv4Prefix(netip.MustParsePrefix("172.31.0.0/16")),
			IPDst: of.Masked[uint32](0x0a000005, 0xff0000ff)},
		Meter: 1, Actions: of.ActionList(of.ToController()),
	})},
	{"lowest prefix and every prefix", of.Add(of.Flow{
		Table: 1, Priority: 190,
		Match: of.Match{EthType: of.EthTypeIPv4, IPSrc: of.IPv4Prefix(netip.MustParsePrefix("0.0.0.0/0")),
			IPDst: of.IPv4Prefix(netip.MustParsePrefix("224.0.0.0/3"))},
	})},
	{"arp between uplink and host", of.Add(of.Flow{
		Table: 0, Priority: 320, Match: of.Match{InPort: of.PortLocal, EthType: of.EthTypeARP},
		Actions: of.ActionList(of.Output(1)),
	})},
	{"icmp errors, to the host and on", of.Add(of.Flow{
		Table: 0, Priority: 310,
		Match:   of.Match{InPort: 1, EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoICMP), ICMPType: of.Exact[uint8](3)},
		Actions: of.ActionList(of.Output(of.PortLocal)), Goto: 3,
	})},
	{"host's own client, learned", of.Add(of.Flow{
		Table: 3, Priority: 120,
		Match: of.Match{InPort: of.PortLocal, EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP),
			L4Dst: of.Masked[uint16](0x4000, 0xe000)},
		Actions: of.ActionList(of.Action{Kind: of.ActionLearn}, of.Output(1)),
		Learn: of.Learn{Table: 3, Priority: 200, IdleTimeout: 7500, Cookie: 0x0110000000000006, Limit: 1000,
			InPort: 1, Proto: of.ProtoTCP, DstBits: 1},
	})},
	{"host's own client in the range, learned", of.Add(of.Flow{
		Table: 3, Priority: 121,
		Match: of.Match{InPort: of.PortLocal, EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP),
			L4Src: of.Masked[uint16](0x4000, 0xe000)},
		Actions: of.ActionList(of.Action{Kind: of.ActionLearn}, of.Output(1)),
		Learn:   of.Learn{Table: 3, Priority: 200, IdleTimeout: 7500, InPort: 1, Proto: of.ProtoTCP, DstBits: 16},
	})},
	{"host's own udp client, learned", of.Add(of.Flow{
		Table: 3, Priority: 120,
		Match: of.Match{InPort: of.PortLocal, EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoUDP),
			L4Dst: of.Masked[uint16](0x4000, 0xe000)},
		Actions: of.ActionList(of.Action{Kind: of.ActionLearn}, of.Output(1)),
		Learn: of.Learn{Table: 3, Priority: 200, IdleTimeout: 120, Cookie: 0x0110000000000011, Limit: 1000,
			InPort: 1, Proto: of.ProtoUDP, DstBits: 2},
	})},
	{"names", of.Add(of.Flow{
		Table: 1, Priority: 195,
		Match: of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoUDP), IPDst: of.IPv4(anycast), L4Dst: of.Exact[uint16](53)},
		Actions: of.ActionList(of.SetIP(of.FieldIPSrc, netip.MustParseAddr("169.254.64.0")),
			of.Action{Kind: of.ActionMove, Field2: of.FieldInPort, Field: of.FieldIPSrc, Bits: 14}, of.Output(9)),
	})},
	{"into the port it came from", of.Add(of.Flow{
		Match:   of.Match{InPort: 2},
		Actions: of.ActionList(of.Load(0, of.FieldInPort, 0, 16), of.Load(0xabcdef, of.FieldReg0, 0, 32), of.Output(2)),
	})},
	{"other set fields", of.Add(of.Flow{
		Match: of.Match{EthType: of.EthTypeARP},
		Actions: of.ActionList(of.SetIP(of.FieldARPSPA, c1), of.SetIP(of.FieldARPTPA, c2), of.SetMAC(of.FieldARPTHA, c1MAC),
			of.Set(of.FieldReg0, 500)),
	})},
	{"set nw_ttl and udp", of.Add(of.Flow{
		Match:   of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP)},
		Actions: of.ActionList(of.Set(of.FieldIPTTL, 63), of.Set(of.FieldTCPSrc, 1), of.Output(of.PortTable)),
	})},
	{"ipv6 and everything", of.Add(of.Flow{Priority: 120, Match: of.Match{EthType: of.EthTypeIPv6}})},
	{"other ethertype", of.Add(of.Flow{Priority: 119, Match: of.Match{EthType: 0x88cc, EthDst: of.ExactMAC(routerMAC)}})},
	{"other protocol", of.Add(of.Flow{Priority: 119, IdleTimeout: 5, Match: of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact[uint8](47)}})},
	{"miss", of.Add(of.Flow{Table: 3})},
	{"exact metadata", of.Add(of.Flow{Table: 3, Match: of.Match{Metadata: of.Exact[uint64](0x1234)}, WriteMetadata: of.Exact[uint64](7), Goto: 4})},
	{"delete strict", of.DeleteStrict(sessionFlow)},
	{"delete by cookie", of.DeleteByCookie(cookie, ^uint64(0))},
	{"delete a category", of.DeleteByCookie(0x0300000000000000, 0xff00000000000000)},
	{"delete by match", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: 2, Match: of.Match{InPort: 16}}}},
	{"delete all", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: of.AllTables}}},
}

type groupCase struct {
	name string
	mod  of.GroupMod
}

var groupCases = []groupCase{
	{"next hop", of.GroupMod{ID: 7, Actions: of.ActionList(of.SetMAC(of.FieldEthSrc, hostMAC),
		of.SetMAC(of.FieldEthDst, routerMAC), of.Load(0, of.FieldInPort, 0, 16), of.Output(1))}},
	{"delete", of.GroupMod{ID: 7, Delete: true}},
}

type meterCase struct {
	name string
	mod  of.MeterMod
}

var meterCases = []meterCase{
	{"endpoint's misses", of.MeterMod{ID: 16, Rate: 1000, Burst: 200}},
	{"delete", of.MeterMod{ID: 16, Delete: true}},
}

type packetCase struct {
	name string
	out  of.PacketOut
}

var packetCases = []packetCase{
	{"to a container", of.PacketOut{Frame: []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}, Actions: of.ActionList(of.Output(16))}},
	{"through the tables", of.PacketOut{InPort: 11, Frame: []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0},
		Actions: of.ActionList(of.SetMAC(of.FieldEthDst, c1MAC), of.Output(of.PortTable))}},
}
