package simnet_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	of "github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/simnet"
)

var (
	t0   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	macA = packet.MAC{2, 0, 0, 0, 0, 0xa}
	macB = packet.MAC{2, 0, 0, 0, 0, 0xb}
	ipA  = netip.MustParseAddr("10.1.0.5")
	ipB  = netip.MustParseAddr("10.1.1.9")
)

// from returns headers of a packet from A to B, as change makes them.
func from(p packet.Proto, change func(*packet.Headers)) packet.Headers {
	h := packet.Headers{EthSrc: macA, EthDst: macB, Src: ipA, Dst: ipB, Proto: p, TTL: 64, SrcPort: 40000, DstPort: 80}
	if p == packet.ICMP {
		h.SrcPort, h.DstPort, h.ICMPType = 0, 0, 8
	}
	if change != nil {
		change(&h)
	}
	return h
}

func build(p packet.Proto, change func(*packet.Headers)) []byte {
	return packet.Build(from(p, change), []byte("daolinet"))
}

func arp(op uint16) []byte {
	return packet.Build(packet.Headers{EthSrc: macA, EthDst: macB, ARPOp: op, ARPSrc: ipA, ARPDst: ipB, ARPSrcMAC: macA}, nil)
}

// Matches that most tests need.
var (
	anyIP   = of.Match{EthType: of.EthTypeIPv4}
	anyTCP  = of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP)}
	anyUDP  = of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoUDP)}
	anyICMP = of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoICMP)}
	anyARP  = of.Match{EthType: of.EthTypeARP}
)

// flow returns a flow of table 0.
func flow(prio uint16, m of.Match, as ...of.Action) of.Flow {
	return of.Flow{Priority: prio, Match: m, Actions: of.ActionList(as...)}
}

// newSwitch returns a switch with ports 1, 2, 3 and the given flows.
func newSwitch(t *testing.T, flows ...of.Flow) *simnet.Switch {
	t.Helper()
	s := simnet.NewSwitch("s", 1, 1, 2, 3)
	apply(t, s, t0, of.Batch{Flows: adds(flows...)})
	return s
}

func adds(flows ...of.Flow) []of.FlowMod {
	var ms []of.FlowMod
	for _, f := range flows {
		ms = append(ms, of.Add(f))
	}
	return ms
}

func apply(t *testing.T, s *simnet.Switch, now time.Time, b of.Batch) simnet.Result {
	t.Helper()
	res, errs := s.Apply(now, b)
	if len(errs) > 0 {
		t.Fatalf("Apply = %v; want no error", errs)
	}
	return res
}

// ports returns where a result's frames went.
func ports(res simnet.Result) []of.PortNo {
	var ps []of.PortNo
	for _, o := range res.Outputs {
		ps = append(ps, o.Port)
	}
	return ps
}

func TestMatch(t *testing.T) {
	with := func(m of.Match, change func(*of.Match)) of.Match { change(&m); return m }
	tcp, udp, ping := build(packet.TCP, func(h *packet.Headers) { h.Flags = packet.SYN }), build(packet.UDP, nil), build(packet.ICMP, nil)
	vlan := build(packet.TCP, func(h *packet.Headers) { h.VLAN = packet.VLANPresent | 100 })
	later := append([]byte(nil), udp...)
	later[21] = 1 // fragment offset 8
	badIHL := append([]byte(nil), tcp...)
	badIHL[14] = 0x4f
	tests := []struct {
		name  string
		m     of.Match
		frame []byte
		want  bool
	}{
		{"empty match takes everything", of.Match{}, tcp, true},
		{"empty match takes an empty frame", of.Match{}, nil, true},
		{"in_port", of.Match{InPort: 1}, tcp, true},
		{"other in_port", of.Match{InPort: 2}, tcp, false},
		{"eth_src", of.Match{EthSrc: of.ExactMAC(of.MAC(macA))}, tcp, true},
		{"other eth_src", of.Match{EthSrc: of.ExactMAC(of.MAC(macB))}, tcp, false},
		{"eth_dst", of.Match{EthDst: of.ExactMAC(of.MAC(macB))}, tcp, true},
		{"eth_type", anyIP, tcp, true},
		{"other eth_type", anyARP, tcp, false},
		{"no vlan, untagged", with(anyIP, func(m *of.Match) { m.NoVLAN = true }), tcp, true},
		{"no vlan, tagged", with(anyIP, func(m *of.Match) { m.NoVLAN = true }), vlan, false},
		{"a tag is looked behind", anyTCP, vlan, true},
		{"ip_proto", anyTCP, tcp, true},
		{"other ip_proto", anyTCP, udp, false},
		{"ip_src prefix", with(anyIP, func(m *of.Match) { m.IPSrc = of.IPv4Prefix(netip.MustParsePrefix("10.1.0.0/24")) }), tcp, true},
		{"other ip_src prefix", with(anyIP, func(m *of.Match) { m.IPSrc = of.IPv4Prefix(netip.MustParsePrefix("10.1.1.0/24")) }), tcp, false},
		{"ip_dst", with(anyIP, func(m *of.Match) { m.IPDst = of.IPv4(ipB) }), tcp, true},
		{"tcp_src under a mask", with(anyTCP, func(m *of.Match) { m.L4Src = of.Masked[uint16](0x8000, 0x8000) }), tcp, true},
		{"tcp_src under a mask, low", with(anyTCP, func(m *of.Match) { m.L4Src = of.Masked[uint16](0, 0x8000) }), tcp, false},
		{"tcp_dst", with(anyTCP, func(m *of.Match) { m.L4Dst = of.Exact[uint16](80) }), tcp, true},
		{"udp_dst", with(anyUDP, func(m *of.Match) { m.L4Dst = of.Exact[uint16](80) }), udp, true},
		{"udp_dst of a later fragment is zero", with(anyUDP, func(m *of.Match) { m.L4Dst = of.Exact[uint16](0) }), later, true},
		{"+syn-ack", with(anyTCP, func(m *of.Match) { m.TCPFlags = of.Masked(of.TCPSyn, of.TCPSyn|of.TCPAck) }), tcp, true},
		{"+ack", with(anyTCP, func(m *of.Match) { m.TCPFlags = of.Masked(of.TCPAck, of.TCPAck) }), tcp, false},
		{"icmp_type and code", with(anyICMP, func(m *of.Match) { m.ICMPType, m.ICMPCode = of.Exact[uint8](8), of.Exact[uint8](0) }), ping, true},
		{"other icmp_code", with(anyICMP, func(m *of.Match) { m.ICMPType, m.ICMPCode = of.Exact[uint8](8), of.Exact[uint8](7) }), ping, false},
		{"nw_ttl", with(anyIP, func(m *of.Match) { m.IPTTL = of.Exact[uint8](64) }), tcp, true},
		{"other nw_ttl", with(anyIP, func(m *of.Match) { m.IPTTL = of.Exact[uint8](1) }), tcp, false},
		{"arp_op", with(anyARP, func(m *of.Match) { m.ARPOp = of.Exact[uint16](1) }), arp(1), true},
		{"other arp_op", with(anyARP, func(m *of.Match) { m.ARPOp = of.Exact[uint16](1) }), arp(2), false},
		{"arp addresses", with(anyARP, func(m *of.Match) {
			m.ARPSPA, m.ARPTPA, m.ARPSHA = of.IPv4(ipA), of.IPv4(ipB), of.ExactMAC(of.MAC(macA))
		}), arp(1), true},
		{"other arp_sha", with(anyARP, func(m *of.Match) { m.ARPSHA = of.ExactMAC(of.MAC(macB)) }), arp(1), false},
		{"metadata starts at zero", of.Match{Metadata: of.Masked[uint64](0, 1)}, tcp, true},
		{"metadata bit", of.Match{Metadata: of.Masked[uint64](1, 1)}, tcp, false},
		{"broken ip header is ip of protocol 0", with(anyIP, func(m *of.Match) { m.IPProto = of.Exact[uint8](0) }), badIHL[:60], true},
		{"broken ip header is no tcp", anyTCP, badIHL[:60], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSwitch(t, flow(1, tt.m, of.Output(2)))
			if got := len(s.Receive(t0, 1, tt.frame).Outputs) == 1; got != tt.want {
				t.Errorf("%s takes the packet = %v; want %v", tt.m, got, tt.want)
			}
		})
	}
}

func TestActions(t *testing.T) {
	move := func(src of.Field, so uint8, dst of.Field, do, n uint8) of.Action {
		return of.Action{Kind: of.ActionMove, Field: dst, Field2: src, Ofs: do, Ofs2: so, Bits: n}
	}
	ipC := netip.MustParseAddr("172.31.1.1")
	tests := []struct {
		name   string
		m      of.Match
		as     []of.Action
		in     packet.Headers
		change func(*packet.Headers) // what differs in what comes out
	}{
		{"nothing", anyIP, nil, from(packet.TCP, nil), func(*packet.Headers) {}},
		{"ethernet addresses", anyIP, []of.Action{of.SetMAC(of.FieldEthSrc, of.MAC(macB)), of.SetMAC(of.FieldEthDst, of.MAC(macA))},
			from(packet.TCP, nil), func(h *packet.Headers) { h.EthSrc, h.EthDst = macB, macA }},
		{"tcp addresses and ports", anyTCP, []of.Action{
			of.SetIP(of.FieldIPSrc, ipC), of.SetIP(of.FieldIPDst, ipA), of.Set(of.FieldTCPSrc, 1), of.Set(of.FieldTCPDst, 16384)},
			from(packet.TCP, nil), func(h *packet.Headers) { h.Src, h.Dst, h.SrcPort, h.DstPort = ipC, ipA, 1, 16384 }},
		{"udp addresses and ports", anyUDP, []of.Action{
			of.SetIP(of.FieldIPSrc, ipC), of.SetIP(of.FieldIPDst, ipA), of.Set(of.FieldUDPSrc, 1), of.Set(of.FieldUDPDst, 16384)},
			from(packet.UDP, nil), func(h *packet.Headers) { h.Src, h.Dst, h.SrcPort, h.DstPort = ipC, ipA, 1, 16384 }},
		{"icmp type and code", anyICMP, []of.Action{of.Set(of.FieldICMPType, 0), of.Set(of.FieldICMPCode, 7), of.SetIP(of.FieldIPSrc, ipC)},
			from(packet.ICMP, nil), func(h *packet.Headers) { h.ICMPType, h.ICMPCode, h.Src = 0, 7, ipC }},
		{"behind a vlan tag", anyTCP, []of.Action{of.SetIP(of.FieldIPSrc, ipC), of.Set(of.FieldTCPDst, 9)},
			from(packet.TCP, func(h *packet.Headers) { h.VLAN = packet.VLANPresent | 5 }), func(h *packet.Headers) { h.Src, h.DstPort = ipC, 9 }},
		{"dec_ttl", anyIP, []of.Action{of.DecTTL()}, from(packet.TCP, nil), func(h *packet.Headers) { h.TTL = 63 }},
		{"mod_nw_ttl", anyIP, []of.Action{of.SetTTL(255)}, from(packet.TCP, nil), func(h *packet.Headers) { h.TTL = 255 }},
		{"move a whole field", anyIP, []of.Action{of.Move(of.FieldIPSrc, of.FieldIPDst)}, from(packet.TCP, nil), func(h *packet.Headers) { h.Dst = ipA }},
		{"move some bits", anyIP, []of.Action{move(of.FieldInPort, 0, of.FieldIPSrc, 0, 14)},
			from(packet.TCP, func(h *packet.Headers) { h.Src = netip.MustParseAddr("169.254.64.0") }),
			func(h *packet.Headers) { h.Src = netip.MustParseAddr("169.254.64.1") }},
		{"load the top bit", anyTCP, []of.Action{of.Load(1, of.FieldTCPSrc, 15, 1), of.Load(0, of.FieldTCPDst, 6, 1)},
			from(packet.TCP, func(h *packet.Headers) { h.SrcPort = 999 }), func(h *packet.Headers) { h.SrcPort, h.DstPort = 33767, 80&^64 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSwitch(t, flow(1, tt.m, append(tt.as, of.Output(2))...))
			res := s.Receive(t0, 1, packet.Build(tt.in, []byte("daolinet")))
			if len(res.Outputs) != 1 {
				t.Fatalf("outputs = %v; want one", res.Outputs)
			}
			got := res.Outputs[0].Frame
			tt.change(&tt.in)
			if d := cmp.Diff(packet.Build(tt.in, []byte("daolinet")), got); d != "" {
				t.Errorf("frame differs (-want +got):\n%s", d)
			}
		})
	}
}

func TestARPAnswer(t *testing.T) {
	gw := of.MAC{2, 0, 0, 0, 0, 1}
	s := newSwitch(t, flow(1, anyARP,
		of.Move(of.FieldEthSrc, of.FieldEthDst), of.SetMAC(of.FieldEthSrc, gw), of.Set(of.FieldARPOp, 2),
		of.Move(of.FieldARPSHA, of.FieldARPTHA), of.SetMAC(of.FieldARPSHA, gw), of.Move(of.FieldARPSPA, of.FieldReg0),
		of.Move(of.FieldARPTPA, of.FieldARPSPA), of.Move(of.FieldReg0, of.FieldARPTPA), of.Output(of.PortInPort)))
	res := s.Receive(t0, 3, arp(1))
	if len(res.Outputs) != 1 || res.Outputs[0].Port != 3 {
		t.Fatalf("outputs = %v; want one at port 3", res.Outputs)
	}
	b := res.Outputs[0].Frame
	h, err := packet.Decode(b)
	if err != nil || h.EthDst != macA || h.EthSrc != packet.MAC(gw) || h.ARPOp != 2 || h.ARPSrc != ipB || h.ARPDst != ipA ||
		h.ARPSrcMAC != packet.MAC(gw) || packet.MAC(b[32:38]) != macA {
		t.Errorf("answer = %+v (%v), %x", h, err, b)
	}
}

func TestOutput(t *testing.T) {
	inPort := func(p uint64) of.Action { return of.Load(p, of.FieldInPort, 0, 16) }
	tests := []struct {
		name string
		as   []of.Action
		want []of.PortNo
	}{
		{"a port", []of.Action{of.Output(2)}, []of.PortNo{2}},
		{"two ports", []of.Action{of.Output(2), of.Output(3)}, []of.PortNo{2, 3}},
		{"never back where it came from", []of.Action{of.Output(1)}, nil},
		{"back by IN_PORT", []of.Action{of.Output(of.PortInPort)}, []of.PortNo{1}},
		{"back when in_port was overwritten", []of.Action{inPort(0), of.Output(1)}, []of.PortNo{1}},
		{"IN_PORT is the overwritten one", []of.Action{inPort(3), of.Output(of.PortInPort), of.Output(3)}, []of.PortNo{3}},
		{"in_port LOCAL has 16 bits", []of.Action{inPort(0xfffe), of.Output(of.PortInPort)}, []of.PortNo{of.PortLocal}},
		{"LOCAL", []of.Action{of.Output(of.PortLocal)}, []of.PortNo{of.PortLocal}},
		{"no such port", []of.Action{of.Output(77)}, nil},
		{"nothing", nil, nil},
		{"TABLE only in packet-outs", []of.Action{of.Output(of.PortTable)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSwitch(t, flow(1, anyIP, tt.as...))
			if got := ports(s.Receive(t0, 1, build(packet.TCP, nil))); !cmp.Equal(got, tt.want) {
				t.Errorf("ports = %v; want %v", got, tt.want)
			}
		})
	}
}

func TestEachOutputHasTheHeadersOfItsMoment(t *testing.T) {
	s := newSwitch(t, flow(1, anyTCP, of.Output(2), of.Set(of.FieldTCPDst, 81), of.Output(3)))
	res := s.Receive(t0, 1, build(packet.TCP, nil))
	for i, want := range []uint16{80, 81} {
		if h, _ := packet.Decode(res.Outputs[i].Frame); h.DstPort != want {
			t.Errorf("output %d has port %d; want %d", i, h.DstPort, want)
		}
	}
}

func TestTTLEnds(t *testing.T) {
	s := newSwitch(t, of.Flow{Match: anyIP, Actions: of.ActionList(of.Output(2), of.DecTTL(), of.Output(3)), Goto: 1},
		of.Flow{Table: 1, Actions: of.ActionList(of.Output(3))})
	for _, ttl := range []byte{0, 1} {
		b := build(packet.TCP, nil)
		b[22] = ttl
		if got := ports(s.Receive(t0, 1, b)); !cmp.Equal(got, []of.PortNo{2}) {
			t.Errorf("TTL %d goes to ports %v; want only 2, from before dec_ttl", ttl, got)
		}
	}
}

func TestTables(t *testing.T) {
	mark := of.Flow{Priority: 5, Match: anyTCP, WriteMetadata: of.Masked[uint64](2, 3), Goto: 2}
	s := newSwitch(t, mark, flow(1, of.Match{}, of.Output(3)),
		of.Flow{Table: 2, Priority: 9, Match: of.Match{Metadata: of.Masked[uint64](1, 1)}, Actions: of.ActionList(of.Output(3))},
		of.Flow{Table: 2, Priority: 8, Match: of.Match{Metadata: of.Masked[uint64](2, 3)}, Actions: of.ActionList(of.Output(2), of.ToController())})
	res := s.Receive(t0, 1, build(packet.TCP, nil))
	if got := ports(res); !cmp.Equal(got, []of.PortNo{2}) {
		t.Errorf("tcp goes to ports %v; want 2 by priority, metadata and goto", got)
	}
	if len(res.PacketIns) != 1 || res.PacketIns[0].Table != 2 || res.PacketIns[0].Metadata != 2 || res.PacketIns[0].InPort != 1 {
		t.Errorf("packet-ins = %+v", res.PacketIns)
	}
	if got := ports(s.Receive(t0, 1, build(packet.UDP, nil))); !cmp.Equal(got, []of.PortNo{3}) {
		t.Errorf("udp goes to ports %v; want 3", got)
	}
	if got := ports(newSwitch(t, mark).Receive(t0, 1, build(packet.TCP, nil))); got != nil {
		t.Errorf("packet that table 2 does not know goes to ports %v; want none", got)
	}
}

func TestPacketInReason(t *testing.T) {
	lift := of.ActionList(of.ToController())
	tests := []struct {
		name string
		f    of.Flow
		want of.PacketInReason
	}{
		{"table-miss flow", of.Flow{Cookie: 7, Actions: lift}, of.ReasonNoMatch},
		{"priority 0 with a match", of.Flow{Cookie: 7, Match: of.Match{InPort: 1}, Actions: lift}, of.ReasonAction},
		{"priority 1", of.Flow{Cookie: 7, Priority: 1, Actions: lift}, of.ReasonAction},
	}
	for _, tt := range tests {
		res := newSwitch(t, tt.f).Receive(t0, 1, build(packet.TCP, nil))
		if len(res.PacketIns) != 1 || res.PacketIns[0].Reason != tt.want || res.PacketIns[0].Cookie != 7 {
			t.Errorf("%s: packet-ins = %+v; want reason %d", tt.name, res.PacketIns, tt.want)
		}
	}
}

func TestOneTableTwoFlowsOfOnePriorityIsAmbiguous(t *testing.T) {
	s := newSwitch(t, flow(5, anyTCP, of.Output(2)), flow(5, anyIP, of.Output(3)), flow(4, of.Match{}, of.Output(3)))
	if got := s.Receive(t0, 1, build(packet.TCP, nil)).Ambiguous; len(got) != 1 {
		t.Errorf("ambiguous = %q; want one", got)
	}
	if got := s.Receive(t0, 1, build(packet.UDP, nil)).Ambiguous; got != nil {
		t.Errorf("ambiguous = %q; want none", got)
	}
}

func TestMeter(t *testing.T) {
	s := newSwitch(t)
	f := of.Flow{Priority: 1, Meter: 9, Actions: of.ActionList(of.ToController())}
	apply(t, s, t0, of.Batch{Meters: []of.MeterMod{{ID: 9, Rate: 10, Burst: 3}}, Flows: adds(f)})
	passed := func(now time.Time, n int) int {
		got := 0
		for range n {
			got += len(s.Receive(now, 1, build(packet.TCP, nil)).PacketIns)
		}
		return got
	}
	for _, tt := range []struct {
		name string
		at   time.Duration
		want int
	}{
		{"burst", 0, 3},
		{"nothing left", 0, 0},
		{"one each 100 ms", 100 * time.Millisecond, 1},
		{"too early", 199 * time.Millisecond, 0},
		{"parts add up", 200 * time.Millisecond, 1},
		{"full again, no more", time.Hour, 3},
	} {
		if got := passed(t0.Add(tt.at), 10); got != tt.want {
			t.Errorf("%s: %d of 10 packets pass at %v; want %d", tt.name, got, tt.at, tt.want)
		}
	}
	if got := s.Dump()[0].Packets; got != 60 {
		t.Errorf("flow counts %d packets; want all 60", got)
	}
}

func TestMeterDropsTheWholePacketButNotWhatWasSentBefore(t *testing.T) {
	s := newSwitch(t)
	apply(t, s, t0, of.Batch{
		Meters: []of.MeterMod{{ID: 9, Rate: 1, Burst: 1}},
		Flows: adds(of.Flow{Actions: of.ActionList(of.Output(2)), Goto: 1},
			of.Flow{Table: 1, Meter: 9, Actions: of.ActionList(of.Output(3)), Goto: 2}, of.Flow{Table: 2, Actions: of.ActionList(of.Output(3))}),
	})
	s.Receive(t0, 1, build(packet.TCP, nil))
	if got := ports(s.Receive(t0, 1, build(packet.TCP, nil))); !cmp.Equal(got, []of.PortNo{2}) {
		t.Errorf("second packet goes to ports %v; want 2", got)
	}
}

func TestGroupRunsOnACopy(t *testing.T) {
	s := newSwitch(t)
	bucket := of.ActionList(of.SetMAC(of.FieldEthDst, of.MAC(macA)), of.Load(0, of.FieldInPort, 0, 16), of.Output(1))
	apply(t, s, t0, of.Batch{
		Groups: []of.GroupMod{{ID: 4, Actions: bucket}},
		Flows:  adds(flow(1, anyIP, of.Group(4), of.Output(1), of.Output(2))),
	})
	res := s.Receive(t0, 1, build(packet.TCP, nil))
	if got := ports(res); !cmp.Equal(got, []of.PortNo{1, 2}) {
		t.Fatalf("ports = %v; want 1 (the group's) and 2", got)
	}
	h0, _ := packet.Decode(res.Outputs[0].Frame)
	h1, _ := packet.Decode(res.Outputs[1].Frame)
	if h0.EthDst != macA || h1.EthDst != macB {
		t.Errorf("eth_dst = %x, %x; want changed in the group only", h0.EthDst, h1.EthDst)
	}
}

func TestPacketOut(t *testing.T) {
	s := newSwitch(t, flow(1, of.Match{InPort: 3}, of.Output(2)), flow(0, of.Match{}, of.Output(1)))
	out := func(p of.PacketOut) []of.PortNo {
		p.Frame = build(packet.TCP, nil)
		return ports(apply(t, s, t0, of.Batch{Packets: []of.PacketOut{p}}))
	}
	tests := []struct {
		name string
		p    of.PacketOut
		want []of.PortNo
	}{
		{"to a port", of.PacketOut{InPort: of.PortController, Actions: of.ActionList(of.Output(3))}, []of.PortNo{3}},
		{"in_port 0 is the controller", of.PacketOut{Actions: of.ActionList(of.Output(3))}, []of.PortNo{3}},
		{"not back", of.PacketOut{InPort: 3, Actions: of.ActionList(of.Output(3))}, nil},
		{"through the tables", of.PacketOut{InPort: 3, Actions: of.ActionList(of.Output(of.PortTable))}, []of.PortNo{2}},
		{"through the tables, from the controller", of.PacketOut{Actions: of.ActionList(of.Output(of.PortTable))}, []of.PortNo{1}},
	}
	for _, tt := range tests {
		if got := out(tt.p); !cmp.Equal(got, tt.want) {
			t.Errorf("%s: ports = %v; want %v", tt.name, got, tt.want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	idle := flow(1, anyTCP, of.Output(2))
	idle.IdleTimeout = 5
	hard := flow(1, anyUDP, of.Output(2))
	hard.HardTimeout = 5
	// A timeout ends after its seconds, not with them.
	at := func(s int) time.Time { return t0.Add(time.Duration(s)*time.Second + time.Duration(s)*time.Millisecond) }

	s := newSwitch(t, idle, hard)
	s.Receive(at(3), 1, build(packet.TCP, nil))
	s.Receive(at(3), 1, build(packet.UDP, nil))
	if got := s.Advance(at(5)); len(got) != 1 || got[0].Reason != of.RemovedHard || got[0].Packets != 1 {
		t.Errorf("removed after 5 s: %+v; want the hard one", got)
	}
	if got := s.Advance(at(8)); len(got) != 1 || got[0].Reason != of.RemovedIdle {
		t.Errorf("removed 5 s after the last packet: %+v; want the idle one", got)
	}

	s = newSwitch(t, idle, hard)
	if got := s.Advance(t0.Add(5 * time.Second)); got != nil {
		t.Errorf("removed at 5 s: %+v; want none", got)
	}

	s = newSwitch(t, idle, hard)
	apply(t, s, at(4), of.Batch{Flows: adds(idle, hard)})
	if got := s.Advance(at(6)); len(got) != 1 || got[0].Reason != of.RemovedIdle {
		t.Errorf("removed after an overwrite at 4 s: %+v; want the idle one, whose last packet counts", got)
	}
	if got := s.Advance(at(9)); len(got) != 1 || got[0].Reason != of.RemovedHard {
		t.Errorf("removed 5 s after the overwrite: %+v; want the hard one", got)
	}
	if got := s.Advance(at(1)); got != nil {
		t.Errorf("time that goes back removes %+v", got)
	}
}

func TestOverwriteKeepsCounters(t *testing.T) {
	f := flow(1, anyTCP, of.Output(2))
	s := newSwitch(t, f)
	frame := build(packet.TCP, nil)
	s.Receive(t0, 1, frame)
	f.Cookie, f.Actions = 9, of.ActionList(of.Output(3))
	apply(t, s, t0.Add(4*time.Second), of.Batch{Flows: adds(f)})
	want := []of.FlowStats{{Flow: f, Known: true, Whole: true, Packets: 1, Bytes: uint64(len(frame))}}
	if d := cmp.Diff(want, s.Dump()); d != "" {
		t.Errorf("Dump differs (-want +got):\n%s", d)
	}
	if got := ports(s.Receive(t0, 1, frame)); !cmp.Equal(got, []of.PortNo{3}) {
		t.Errorf("ports = %v; want the new action's", got)
	}
}

func TestDelete(t *testing.T) {
	f := func(table of.TableID, prio uint16, cookie uint64, m of.Match) of.Flow {
		return of.Flow{Table: table, Priority: prio, Cookie: cookie, Match: m}
	}
	web := anyTCP
	web.L4Dst = of.Exact[uint16](80)
	high := anyTCP
	high.L4Dst = of.Masked[uint16](0x8000, 0x8000)
	all := []of.Flow{f(0, 1, 0x11, anyTCP), f(0, 1, 0x12, web), f(0, 2, 0x21, web), f(1, 1, 0x11, anyUDP), f(1, 1, 0x22, high)}
	tests := []struct {
		name string
		m    of.FlowMod
		left []int
	}{
		{"everything", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: of.AllTables}}, nil},
		{"a table", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: 1}}, []int{0, 1, 2}},
		{"a match covers narrower ones", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Match: anyTCP}}, []int{3, 4}},
		{"not wider ones", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: of.AllTables, Match: web}}, []int{0, 3, 4}},
		{"masks", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: 1, Match: high}}, []int{0, 1, 2, 3}},
		{"a cookie in all tables", of.DeleteByCookie(0x11, ^uint64(0)), []int{1, 2, 4}},
		{"a cookie under a mask", of.DeleteByCookie(0x10, 0xf0), []int{2, 4}},
		{"a cookie and a match", of.FlowMod{Command: of.FlowDelete, Flow: of.Flow{Table: of.AllTables, Cookie: 0x11, Match: anyTCP}, CookieMask: 0xff}, []int{1, 2, 3, 4}},
		{"strict", of.DeleteStrict(all[1]), []int{0, 2, 3, 4}},
		{"strict, other priority", of.DeleteStrict(f(0, 7, 0, web)), []int{0, 1, 2, 3, 4}},
		{"strict, other cookie", of.FlowMod{Command: of.FlowDeleteStrict, Flow: all[1], CookieMask: 0xf0}, []int{0, 2, 3, 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, want := newSwitch(t, all...), newSwitch(t)
			apply(t, s, t0, of.Batch{Flows: []of.FlowMod{tt.m}})
			for _, i := range tt.left {
				apply(t, want, t0, of.Batch{Flows: adds(all[i])})
			}
			if d := cmp.Diff(want.Text(), s.Text()); d != "" {
				t.Errorf("flows left differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestDeletedMetersAndGroupsTakeTheirFlows(t *testing.T) {
	s := newSwitch(t)
	apply(t, s, t0, of.Batch{
		Meters: []of.MeterMod{{ID: 9, Rate: 1, Burst: 1}}, Groups: []of.GroupMod{{ID: 4, Actions: of.ActionList(of.Output(2))}},
		Flows: adds(of.Flow{Priority: 1, Meter: 9}, flow(2, of.Match{}, of.Group(4)), flow(3, of.Match{})),
	})
	apply(t, s, t0, of.Batch{
		Meters: []of.MeterMod{{ID: 9, Rate: 2, Burst: 2}}, Groups: []of.GroupMod{{ID: 4, Actions: of.ActionList(of.Output(3))}},
	})
	if got := len(s.Flows()); got != 3 {
		t.Errorf("replacing leaves %d flows; want 3", got)
	}
	apply(t, s, t0, of.Batch{Meters: []of.MeterMod{{ID: 9, Delete: true}}, Groups: []of.GroupMod{{ID: 4, Delete: true}}})
	if got, want := s.Text(), "table=0,priority=3 actions=drop\n"; got != want {
		t.Errorf("deleting leaves\n%swant\n%s", got, want)
	}
}

// refusedFlows are flows that OVS refuses, with the error.
func refusedFlows() []refusedFlow {
	tcpNoProto, ttlMask := anyIP, anyIP
	tcpNoProto.L4Dst = of.Exact[uint16](80)
	ttlMask.IPTTL = of.Masked[uint8](1, 1)
	return []refusedFlow{
		{"meter that is not there", of.Flow{Meter: 5}, "OFPMMFC_INVALID_METER"},
		{"group that is not there", flow(1, anyIP, of.Group(5)), "OFPBAC_BAD_OUT_GROUP"},
		{"goto back", of.Flow{Table: 2, Goto: 2}, "OFPBIC_BAD_TABLE_ID"},
		{"all tables", of.Flow{Table: of.AllTables}, "OFPFMFC_BAD_TABLE_ID"},
		{"port out of range", flow(1, anyIP, of.Output(0xff00)), "OFPBAC_BAD_OUT_PORT"},
		{"address without eth_type", of.Flow{Match: of.Match{IPSrc: of.IPv4(ipA)}}, "OFPBMC_BAD_PREREQ"},
		{"port without ip_proto", of.Flow{Match: tcpNoProto}, "OFPBMC_BAD_PREREQ"},
		{"mask on nw_ttl", of.Flow{Match: ttlMask}, "OFPBMC_BAD_MASK"},
		{"value outside its mask", of.Flow{Match: of.Match{Metadata: of.Bits[uint64]{Value: 3, Mask: 1}}}, "OFPBMC_BAD_WILDCARDS"},
		{"set port of any ip", flow(1, anyIP, of.Set(of.FieldTCPDst, 1)), "OFPBAC_MATCH_INCONSISTENT"},
		{"set tcp port of udp", flow(1, anyUDP, of.Set(of.FieldTCPDst, 1)), "OFPBAC_MATCH_INCONSISTENT"},
		{"arp_op over a byte", flow(1, anyARP, of.Set(of.FieldARPOp, 256)), "OFPBAC_BAD_SET_ARGUMENT"},
		{"dec_ttl of anything", flow(1, of.Match{}, of.DecTTL()), "OFPBAC_MATCH_INCONSISTENT"},
		{"load of too many bits", flow(1, anyTCP, of.Load(1, of.FieldTCPDst, 15, 2)), "OFPBAC_BAD_SET_LEN"},
		{"load of a value too large", flow(1, anyTCP, of.Load(2, of.FieldTCPDst, 15, 1)), "OFPBAC_BAD_ARGUMENT"},
	}
}

type refusedFlow struct {
	name string
	f    of.Flow
	want string
}

func TestRefused(t *testing.T) {
	for _, tt := range refusedFlows() {
		t.Run(tt.name, func(t *testing.T) {
			s := newSwitch(t)
			good := flow(7, of.Match{})
			_, errs := s.Apply(t0, of.Batch{Flows: adds(tt.f, good)})
			if len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want) {
				t.Errorf("Apply = %v; want %s", errs, tt.want)
			}
			if got, want := s.Text(), good.String()+"\n"; got != want {
				t.Errorf("flows =\n%swant\n%s", got, want)
			}
		})
	}
}

func TestLearn(t *testing.T) {
	l := of.Learn{Table: 1, Priority: 200, IdleTimeout: 10, Cookie: 0x66, Limit: 2, InPort: 2, Proto: of.ProtoTCP, DstBits: 1}
	out := flow(1, anyTCP, of.Action{Kind: of.ActionLearn}, of.Output(2))
	out.Match.InPort, out.Learn = 1, l
	back := of.Flow{Priority: 1, Match: of.Match{InPort: 2}, Goto: 1}
	s := newSwitch(t, out, back)
	reply := func(dst uint16) []byte {
		return build(packet.TCP, func(h *packet.Headers) { h.Src, h.Dst, h.SrcPort, h.DstPort = ipB, ipA, 80, dst })
	}

	s.Receive(t0, 1, build(packet.TCP, nil))
	want := "table=1,priority=200,cookie=0x66,idle_timeout=10,tcp,in_port=2,ip_src=10.1.1.9,ip_dst=10.1.0.5,tcp_src=80,tcp_dst=0x8000/0x8000 actions=output:1\n"
	if got := s.Text(); !strings.HasSuffix(got, want) {
		t.Errorf("learned\n%swant\n%s", got, want)
	}
	if got := ports(s.Receive(t0, 2, reply(55555))); !cmp.Equal(got, []of.PortNo{1}) {
		t.Errorf("reply goes to ports %v; want 1", got)
	}
	if got := ports(s.Receive(t0, 2, reply(16384))); got != nil {
		t.Errorf("reply to another half goes to ports %v; want none", got)
	}
	for _, dst := range []string{"10.9.0.1", "10.9.0.2", "10.9.0.3"} {
		s.Receive(t0, 1, build(packet.TCP, func(h *packet.Headers) { h.Dst = netip.MustParseAddr(dst) }))
	}
	if got := len(s.Flows()); got != 2+2 {
		t.Errorf("%d flows; want 2 learned, which is the limit", got)
	}
	s.Receive(t0.Add(9*time.Second), 1, build(packet.TCP, nil))
	if got := s.Advance(t0.Add(11 * time.Second)); len(got) != 1 {
		t.Errorf("%d flows aged; want the one that was not learned again", len(got))
	}
}

func TestRestartForgetsEverythingButPorts(t *testing.T) {
	s := newSwitch(t, flow(1, anyIP, of.Output(2)))
	apply(t, s, t0, of.Batch{Meters: []of.MeterMod{{ID: 1, Rate: 1, Burst: 1}}, Groups: []of.GroupMod{{ID: 1}}})
	s.Restart()
	if got := s.Text(); got != "" {
		t.Errorf("after a restart:\n%s", got)
	}
	apply(t, s, t0, of.Batch{Flows: adds(flow(1, anyIP, of.Output(2)))})
	if got := ports(s.Receive(t0, 1, build(packet.TCP, nil))); !cmp.Equal(got, []of.PortNo{2}) {
		t.Errorf("ports = %v; want 2", got)
	}
}

func TestUnknownPortsSayNothing(t *testing.T) {
	s := newSwitch(t, flow(1, of.Match{}, of.Output(2)))
	if got := ports(s.Receive(t0, 77, build(packet.TCP, nil))); got != nil {
		t.Errorf("frame at a port that is not there goes to %v", got)
	}
	s.RemovePort(2)
	if got := ports(s.Receive(t0, 1, build(packet.TCP, nil))); got != nil {
		t.Errorf("frame for a port that is gone goes to %v", got)
	}
}

func TestFinTimeout(t *testing.T) {
	f := flow(1, anyTCP, of.FinTimeout(5), of.Output(2))
	at := func(s int) time.Time { return t0.Add(time.Duration(s)*time.Second + time.Duration(s)*time.Millisecond) }
	flags := func(n uint8) []byte { return build(packet.TCP, func(h *packet.Headers) { h.Flags = n }) }

	for name, end := range map[string]uint8{"fin": packet.FIN | packet.ACK, "rst": packet.RST} {
		s := newSwitch(t, f)
		s.Receive(at(1), 1, flags(packet.ACK))
		if got := s.Advance(at(3600)); got != nil || s.Dump()[0].IdleTimeout != 0 {
			t.Errorf("%s: before it came: removed %+v", name, got)
		}
		s.Receive(at(3601), 1, flags(end))
		s.Receive(at(3604), 1, flags(packet.ACK))
		if got := s.Dump(); len(got) != 1 || got[0].IdleTimeout != 5 {
			t.Errorf("%s: flows = %+v; want one with an idle timeout", name, got)
		}
		if got := s.Advance(at(3608)); got != nil {
			t.Errorf("%s: removed 4 s after the last packet: %+v", name, got)
		}
		if got := s.Advance(at(3610)); len(got) != 1 || got[0].Reason != of.RemovedIdle {
			t.Errorf("%s: removed 6 s after the last packet: %+v; want the flow", name, got)
		}
	}
	s := newSwitch(t, f)
	s.Receive(at(1), 1, flags(packet.FIN))
	apply(t, s, at(2), of.Batch{Flows: adds(f)})
	if got := s.Advance(at(60)); got != nil {
		t.Errorf("removed after it was added anew: %+v", got)
	}
	if _, errs := s.Apply(t0, of.Batch{Flows: adds(flow(1, anyUDP, of.FinTimeout(5)))}); len(errs) != 1 {
		t.Errorf("fin_timeout of UDP: %v; want it refused", errs)
	}
}
