//go:build e2e

package ofswitch_test

import (
	"cmp"
	"net/netip"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

// pipelineBatch is everything but sessions that hostd and the controller put into
// a switch, with two endpoints and listeners of the host's own.
func pipelineBatch(w *world.World) of.Batch {
	c := pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: of.MAC{0xa, 0, 0, 0, 0, 1}, Wire: pipeline.DefaultWireRange,
		Listeners: []pipeline.Listener{{Proto: of.ProtoTCP, Port: 17000}, {Proto: of.ProtoUDP, Port: 40000}},
		Connections: []pipeline.Connection{
			{Proto: of.ProtoTCP, LocalPort: 40000, Remote: netip.MustParseAddrPort("203.0.113.9:17017")},
			{Proto: of.ProtoUDP, LocalPort: 17018, Remote: netip.MustParseAddrPort("203.0.113.9:53")},
		},
	}
	meters, fs := pipeline.Base(c)
	peerMeters, peers := pipeline.Peers(pipeline.PeersConfig{Uplink: c.Uplink, Addr: c.Addr, Wire: c.Wire,
		Ranges: w.Snapshot().UnderlayRanges(), Cookie: pipeline.Cookie{Category: pipeline.CategoryPeer, Epoch: 1}.Bits()})
	meters, fs = append(meters, peerMeters...), append(fs, peers...)
	for port := pipeline.FirstEndpointPort; port < pipeline.FirstEndpointPort+2; port++ {
		m, own := pipeline.Endpoint(pipeline.EndpointConfig{Port: port, MAC: of.MAC{2, 0x42, 10, 1, 0, byte(port)},
			IP:     netip.AddrFrom4([4]byte{10, 1, 0, byte(port)}),
			Cookie: pipeline.Cookie{Category: pipeline.CategoryEndpoint, Epoch: 1, Number: uint32(port)}.Bits()})
		meters, fs = append(meters, m), append(fs, own...)
	}
	hop := pipeline.NextHop(1, of.MAC{0xa, 0, 0, 0, 0, 1}, of.MAC{0xa, 0, 0, 0, 0xfe, 1})
	return of.Batch{Meters: meters, Groups: []of.GroupMod{hop}, Flows: adds(fs...)}
}

// conversation is one session to be opened in a world.
type conversation struct {
	from, to string // endpoints of acme/prod
	headers  packet.Headers
}

// conversations have each kind of path and of protocol once.
func conversations() (all []conversation) {
	tcp := func(sport, dport uint16) packet.Headers {
		return packet.Headers{Proto: packet.TCP, Flags: packet.SYN, SrcPort: sport, DstPort: dport}
	}
	udp := func(sport uint16) packet.Headers {
		return packet.Headers{Proto: packet.UDP, SrcPort: sport, DstPort: 53}
	}
	ping := packet.Headers{Proto: packet.ICMP, ICMPType: 8}
	for _, to := range []string{"web3", "db1", "web2", "db2"} { // bridged and routed, on one host and on two
		for _, h := range []packet.Headers{tcp(40000, 80), tcp(999, 5432), udp(40001), udp(53), ping} {
			all = append(all, conversation{"web1", to, h})
		}
	}
	return all
}

// sessionFlows returns the flows of all conversations, by the host they are for.
func sessionFlows(t *testing.T, w *world.World) map[string][]of.Flow {
	t.Helper()
	tab := session.NewTable(session.Config{WireFirst: 16384, WireCount: 8192,
		Cookies: pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 1}.Bits()})
	snap := w.Snapshot()
	tab.Step(world.Start, session.Revised{Snapshot: snap, Policy: w.AllowAll("r1")})
	byHost := map[string][]of.Flow{}
	for _, c := range conversations() {
		in := opened(t, tab, snap, c)
		hops := flows.ForLane(in.Session, in.Lane)
		for i := range hops {
			for f := range hops[i].All {
				byHost[hops[i].Host.Name] = append(byHost[hops[i].Host.Name], *f)
			}
		}
	}
	return byHost
}

// opened gives the first packet of c to tab and returns what is to be installed;
// it may be a session that an earlier conversation opened.
func opened(t *testing.T, tab *session.Table, snap *inventory.Snapshot, c conversation) session.Install {
	t.Helper()
	from := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: c.from})
	h := c.headers
	h.EthSrc, h.EthType, h.TTL, h.Src = from.MAC, of.EthTypeIPv4, 64, from.IP
	h.Dst = snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: c.to}).IP
	p := session.Packet{DPID: from.Host.DPID, InPort: from.Port, Headers: h}
	effect := tab.Step(world.Start, session.PacketArrived{Packet: &p})[0]
	if ask, ok := effect.(session.Decide); ok {
		res := admission.Decide(ask.Snapshot, ask.Policy, world.Start, ask.Request)
		effect = tab.Step(world.Start, session.Decided{Ask: ask, Result: res})[0]
	}
	in, ok := effect.(session.Install)
	if !ok {
		t.Fatalf("%+v: effect %#v; want Install", c, effect)
	}
	return in
}

// denied is the flow of a refused opener.
func denied(w *world.World) of.Flow {
	snap := w.Snapshot()
	from := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	req := admission.Request{DPID: from.Host.DPID, InPort: from.Port, Headers: packet.Headers{EthSrc: from.MAC, EthType: of.EthTypeIPv4,
		Src: from.IP, Dst: netip.MustParseAddr("10.1.1.3"), Proto: packet.TCP, SrcPort: 40000, DstPort: 22, Flags: packet.SYN}}
	d := &session.Drop{ID: 9, Request: req, Result: admission.Decide(snap, w.Deny("r1", policy.Drop), world.Start, req)}
	return flows.Drop(d, pipeline.Cookie{Category: pipeline.CategoryDeny, Epoch: 1, Number: d.ID}.Bits())
}

// everyAction are flows with each action that this repository can encode.
func everyAction() []of.Flow {
	mac, ip := of.MAC{2, 0, 0, 0, 0, 9}, netip.MustParseAddr("10.1.0.9")
	match := func(proto uint8) of.Match {
		return of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(proto)}
	}
	lists := []struct {
		match   of.Match
		actions of.Actions
	}{
		{match(of.ProtoTCP), of.ActionList(of.SetMAC(of.FieldEthSrc, mac), of.SetMAC(of.FieldEthDst, mac), of.SetIP(of.FieldIPSrc, ip),
			of.SetIP(of.FieldIPDst, ip), of.Set(of.FieldIPTTL, 9), of.Set(of.FieldTCPSrc, 0), of.Set(of.FieldTCPDst, 65535),
			of.DecTTL(), of.SetTTL(64), of.Load(1, of.FieldTCPSrc, 15, 1), of.Load(0, of.FieldTCPDst, 0, 16), of.Group(pipeline.GroupNextHop))},
		{match(of.ProtoUDP), of.ActionList(of.Set(of.FieldUDPSrc, 1), of.Set(of.FieldUDPDst, 2), of.Load(3, of.FieldUDPDst, 4, 8),
			of.Action{Kind: of.ActionMove, Field2: of.FieldInPort, Field: of.FieldIPSrc, Bits: 14, Ofs: 3, Ofs2: 1},
			of.Load(0, of.FieldInPort, 0, 16), of.Output(of.PortInPort))},
		{match(of.ProtoICMP), of.ActionList(of.Set(of.FieldICMPType, 0), of.Set(of.FieldICMPCode, 255), of.Set(of.FieldReg0, 500),
			of.Load(0xabcdef, of.FieldReg0, 0, 32), of.Load(^uint64(0)>>16, of.FieldEthDst, 0, 48), of.Output(of.PortLocal), of.ToController())},
		{of.Match{EthType: of.EthTypeARP}, of.ActionList(of.Set(of.FieldARPOp, 2), of.SetIP(of.FieldARPSPA, ip), of.SetIP(of.FieldARPTPA, ip),
			of.SetMAC(of.FieldARPSHA, mac), of.SetMAC(of.FieldARPTHA, mac), of.Move(of.FieldARPSHA, of.FieldARPTHA),
			of.Move(of.FieldARPSPA, of.FieldReg0), of.Move(of.FieldReg0, of.FieldARPTPA), of.Output(of.PortInPort))},
	}
	var all []of.Flow
	for i, l := range lists {
		all = append(all, of.Flow{Table: 9, Priority: uint16(i), Cookie: uint64(i), Match: l.match, Actions: l.actions,
			IdleTimeout: 600, HardTimeout: 6000, Meter: pipeline.MeterWireMiss, WriteMetadata: of.Exact[uint64](7), Goto: 10})
	}
	all[1].WriteMetadata = of.Masked[uint64](0, 2)
	return append(all, of.Flow{Table: 9, Priority: 100, Match: of.Match{InPort: 16}})
}

// wantReadBack compares what the switch reports, as a whole, with flows.
func wantReadBack(t *testing.T, sw *ofswitch.Switch, want []of.Flow) {
	t.Helper()
	byKey := func(a, b of.Flow) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Match.String(), b.Match.String()))
	}
	var got []of.Flow
	for _, s := range flowStats(t, sw, everything) {
		if !s.Whole {
			t.Errorf("%s: is not whole", s.Flow)
		}
		got = append(got, s.Flow)
	}
	want = slices.SortedFunc(slices.Values(want), byKey)
	slices.SortFunc(got, byKey)
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("flows (-want +got):\n%s", gocmp.Diff(want, got))
}

// Whatever this repository puts into a switch, the switch reports as the very
// Flow that was put there, so that a restarted controller can compare with ==.
func TestOVSReportsFlowsAsTheyWereAdded(t *testing.T) {
	w := world.New()
	w.Hosts[0].Endpoints = append(w.Hosts[0].Endpoints, world.Endpoint("acme", "web3", "web", "10.1.0.4", 19))
	for host, fs := range sessionFlows(t, w) {
		t.Run(host, func(t *testing.T) {
			b := newBridge(t)
			r, sw := b.connect(ofswitch.Config{})
			batch := pipelineBatch(w)
			batch.Flows = append(batch.Flows, adds(fs...)...)
			batch.Flows = append(batch.Flows, adds(denied(w))...)
			batch.Flows = append(batch.Flows, adds(everyAction()...)...)
			var want []of.Flow
			at := map[of.Key]int{}
			for _, m := range batch.Flows {
				i, known := at[m.Flow.Key()]
				if !known {
					i = len(want)
					at[m.Flow.Key()], want = i, append(want, m.Flow)
				}
				want[i] = m.Flow // lanes share a guard
			}
			for range 2 { // reported flows are also those that a repeated addition leaves
				if err := sent(t, r, sw, batch); err != nil {
					t.Fatalf("BatchDone: %v", err)
				}
				wantReadBack(t, sw, want)
			}
			t.Logf("%d flows", len(want))
		})
	}
}

// What others put into a switch is reported as well, and is never taken for a
// flow that Flow can express when it is more than that.
func TestOVSReportsWhatFlowCannotExpressAsNotWhole(t *testing.T) {
	b := newBridge(t)
	_, sw := b.connect(ofswitch.Config{})
	for _, c := range []struct {
		flow  string
		whole bool
	}{
		{"actions=output:17", true},
		{"send_flow_rem,actions=output:17", false},
		{"sctp,tp_dst=5,actions=output:17", false},
		{"actions=controller(max_len=65535)", true},
		{"actions=controller(max_len=128)", false},
		{"actions=controller(reason=no_match,max_len=65535,id=3)", false},
		{"actions=output(port=17,max_len=64)", false},
		{"actions=NORMAL", true},
		{"actions=resubmit(,6)", false},
		{"actions=write_actions(output:17),goto_table:6", false},
		{"actions=output:17,clear_actions,goto_table:6", false},
		{"tcp,actions=ct(commit,zone=5,nat(src=10.0.0.1)),output:17", false},
		{"tcp,actions=learn(table=6,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])", false},
		{"ip,actions=mod_nw_ttl:7,mod_nw_src:10.0.0.9,mod_dl_dst:02:00:00:00:00:01,output:17", true},
		{"ip,actions=set_field:10.0.0.0/8->ip_dst,output:17", true}, // OVS reports it as a load
		{"actions=load:5->NXM_NX_REG0[4..9],output:17", true},
		{"actions=push_vlan:0x8100,set_field:4101->vlan_vid,output:17", false},
		{"actions=clone(output:17),note:01.02.03", false},
		{"ip,actions=dec_ttl(1,2)", false},
		{"actions=set_queue:3,output:17", false},
		{"ipv6,actions=set_field:fe80::1->ipv6_src,load:0x5->NXM_NX_IPV6_DST[0..63],output:17", false},
		{"actions=1,2,3,4,5,6,7,8,9,10,11,12", true},
		{"actions=1,2,3,4,5,6,7,8,9,10,11,12,13", false},
	} {
		b.ofctl("del-flows", "br")
		b.ofctl("add-flow", "br", "table=5,cookie=7,idle_timeout=60,"+c.flow)
		got := flowStats(t, sw, everything)
		if len(got) != 1 || got[0].Whole != c.whole || got[0].Table != 5 || got[0].Cookie != 7 || got[0].IdleTimeout != 60 {
			t.Errorf("%s: reported as %+v; want one flow, whole %v", c.flow, got, c.whole)
			continue
		}
		t.Logf("%s: %s", c.flow, got[0].Flow)
	}
}

// A flow that somebody changed is reported as what it has become.
func TestOVSReportsAChangedFlowAsAnother(t *testing.T) {
	b := newBridge(t)
	r, sw := b.connect(ofswitch.Config{})
	if err := sent(t, r, sw, of.Batch{Meters: []of.MeterMod{portMeter}, Flows: adds(lifting...)}); err != nil {
		t.Fatalf("BatchDone: %v", err)
	}
	wantReadBack(t, sw, lifting)
	b.ofctl("mod-flows", "br", "table=3,actions=output:9")
	changed := lifting[1]
	changed.Meter, changed.Actions = 0, of.ActionList(of.Output(9))
	wantReadBack(t, sw, []of.Flow{lifting[0], changed})
	if err := sent(t, r, sw, of.Batch{Flows: adds(lifting[1])}); err != nil {
		t.Fatalf("BatchDone: %v", err)
	}
	wantReadBack(t, sw, lifting)
}
