package flows_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/testbed/world"
)

var update = flag.Bool("update", false, "rewrite PIPELINE.md")

// opened lets a table of a fresh world open the session of one packet and
// returns its Install.
func opened(t *testing.T, w *world.World, h packet.Headers, at *inventory.Endpoint) session.Install {
	t.Helper()
	tab := session.NewTable(session.Config{
		WireFirst: 16384, WireCount: 8192,
		Cookies: pipeline.Cookie{Category: pipeline.CategorySession, Epoch: 1}.Bits(),
	})
	tab.Step(world.Start, session.Revised{Snapshot: w.Snapshot(), Policy: w.AllowAll("r1")})
	h.EthSrc, h.EthType, h.TTL = at.MAC, 0x800, 64
	effects := tab.Step(world.Start, session.PacketArrived{Packet: &session.Packet{DPID: at.Host.DPID, InPort: at.Port, Headers: h}})
	ask, ok := effects[0].(session.Decide)
	if !ok {
		t.Fatalf("first effect = %T; want Decide", effects[0])
	}
	res := admission.Decide(ask.Snapshot, ask.Policy, world.Start, ask.Request)
	effects = tab.Step(world.Start, session.Decided{Ask: ask, Result: res})
	in, ok := effects[0].(session.Install)
	if !ok {
		t.Fatalf("effect of the decision = %#v; want Install", effects[0])
	}
	return in
}

type scene struct {
	name     string
	from, to string // endpoints of acme/prod
	proto    packet.Proto
	sport    uint16
	dport    uint16
}

var scenes = []scene{
	{name: "Same host, same subnet: a bridge, nothing rewritten but MACs", from: "web1", to: "web3", proto: packet.TCP, sport: 40000, dport: 80},
	{name: "Same host, between subnets: a router", from: "web1", to: "db1", proto: packet.TCP, sport: 40000, dport: 5432},
	{name: "Two hosts, same subnet, TCP per service", from: "web1", to: "web2", proto: packet.TCP, sport: 40000, dport: 80},
	{name: "Two hosts, between subnets, TCP per service", from: "web1", to: "db2", proto: packet.TCP, sport: 40000, dport: 5432},
	{name: "Two hosts, TCP from a source port below 32768", from: "web1", to: "db2", proto: packet.TCP, sport: 999, dport: 5432},
	{name: "Two hosts, UDP per connection", from: "web1", to: "db2", proto: packet.UDP, sport: 40001, dport: 53},
	{name: "Two hosts, UDP per connection, low source port", from: "web1", to: "db2", proto: packet.UDP, sport: 53, dport: 53},
	{name: "Two hosts, ICMP echo: the code field stands for the session", from: "web1", to: "db2", proto: packet.ICMP},
}

func (s scene) install(t *testing.T) session.Install {
	t.Helper()
	w := world.New()
	w.Hosts[0].Endpoints = append(w.Hosts[0].Endpoints, world.Endpoint("acme", "web3", "web", "10.1.0.4", 19))
	snap := w.Snapshot()
	from := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: s.from})
	to := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: s.to})
	h := packet.Headers{Src: from.IP, Dst: to.IP, Proto: s.proto, SrcPort: s.sport, DstPort: s.dport, Flags: packet.SYN}
	if s.proto == packet.ICMP {
		h.ICMPType, h.Flags = 8, 0
	}
	return opened(t, w, h, from)
}

// TestPipelineDocument keeps PIPELINE.md the same as what the code installs.
func TestPipelineDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString(pipelineHead)
	cfg := pipeline.HostConfig{
		Uplink: 1, Addr: openflow.AddrFrom32(0xac1f0101), MAC: openflow.MAC{0xa, 0, 0, 0, 0, 1}, Wire: pipeline.DefaultWireRange,
		Listeners:   []pipeline.Listener{{Proto: openflow.ProtoTCP, Port: 17000}},
		Connections: []pipeline.Connection{{Proto: openflow.ProtoTCP, LocalPort: 40000, Remote: netip.MustParseAddrPort("203.0.113.9:17017")}},
	}
	meters, fs := pipeline.Base(cfg)
	section(&b, "Base flows (hostd), here with a listener of the host's own on tcp/17000, and a connection that it has", meters, fs...)
	cfg.OwnAddress = true
	meters, fs = pipeline.Base(cfg)
	section(&b, "Base flows (hostd) where the wire has an address of its own: the host's stack has no part in it", meters, fs...)
	meters, fs = pipeline.Peers(pipeline.PeersConfig{
		Uplink: 1, Addr: cfg.Addr, Wire: cfg.Wire, Ranges: world.New().Snapshot().UnderlayRanges(),
		Cookie: pipeline.Cookie{Category: pipeline.CategoryPeer, Epoch: 1}.Bits(),
	})
	section(&b, "Peers (controller): wire packets that no session takes are lifted only from the hosts' ranges", meters, fs...)
	hop := pipeline.NextHop(1, openflow.MAC{0xa, 0, 0, 0, 0, 1}, openflow.MAC{0xa, 0, 0, 0, 0xfe, 1})
	fmt.Fprintf(&b, "\n## The next hop (controller): wire legs leave by it\n\n```\n%s\n```\n", hop.String())
	m, fs := pipeline.Endpoint(pipeline.EndpointConfig{
		Port: 16, MAC: openflow.MAC{2, 0x42, 10, 1, 0, 2}, IP: openflow.AddrFrom32(0x0a010002),
		Cookie: pipeline.Cookie{Category: pipeline.CategoryEndpoint, Epoch: 1, Number: 16}.Bits(),
	})
	section(&b, "One endpoint (controller), port 16, 10.1.0.2", []openflow.MeterMod{m}, fs...)
	m, fs = pipeline.Names(pipeline.NamesConfig{
		Port: 16, MAC: openflow.MAC{2, 0x42, 10, 1, 0, 2}, IP: openflow.AddrFrom32(0x0a010002),
		Servers: []netip.Addr{openflow.AddrFrom32(0xc0000235)},
		Cookie:  pipeline.Cookie{Category: pipeline.CategoryEndpoint, Epoch: 1, Number: 16}.Bits(),
	})
	section(&b, "Its names (controller): the resolver is on port 15, and its host asks 192.0.2.53", []openflow.MeterMod{m}, fs...)
	for _, s := range scenes {
		in := s.install(t)
		fmt.Fprintf(&b, "\n## %s\n\n", s.name)
		hops := flows.ForLane(in.Session, in.Lane)
		for i := range hops {
			fmt.Fprintf(&b, "On %s:\n\n```\n", hops[i].Host.Name)
			for _, f := range []*openflow.Flow{&hops[i].Forward, &hops[i].Reply, &hops[i].Guard} {
				if f.Table != 0 {
					fmt.Fprintln(&b, f.String())
				}
			}
			b.WriteString("```\n")
		}
	}
	section(&b, "A denied opener, for 10 s", nil, dropFlow(t, false))
	section(&b, "Openers of a client that scans a server, for 1 s", nil, dropFlow(t, true))
	const path = "PIPELINE.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("PIPELINE.md is not what the code installs; `make golden` rewrites it (-file +code):\n%s", diff)
	}
}

const pipelineHead = `# The pipeline

Generated from the code by ` + "`make golden`" + `: do not edit. Syntax: ovs-ofctl(8).
Port 1 is the uplink; h1 is 172.31.1.1, h2 is 172.31.2.1. Tables: 0 classify, 1 opener, 2 session, 3 miss.
`

func section(b *strings.Builder, title string, meters []openflow.MeterMod, fs ...openflow.Flow) {
	fmt.Fprintf(b, "\n## %s\n\n```\n", title)
	for _, m := range meters {
		fmt.Fprintln(b, m.String())
	}
	for i := range fs {
		fmt.Fprintln(b, fs[i].String())
	}
	b.WriteString("```\n")
}

func dropFlow(t *testing.T, allPorts bool) openflow.Flow {
	t.Helper()
	w := world.New()
	snap := w.Snapshot()
	from := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	req := admission.Request{DPID: 1, InPort: from.Port, Headers: packet.Headers{
		EthSrc: from.MAC, EthType: 0x800, Src: from.IP, Dst: openflow.AddrFrom32(0x0a010103), Proto: packet.TCP, SrcPort: 40000, DstPort: 22, Flags: packet.SYN,
	}}
	pol := w.Deny("r1", policy.Drop)
	d := &session.Drop{ID: 9, AllPorts: allPorts, Request: req, Result: admission.Decide(snap, pol, world.Start, req)}
	return flows.Drop(d, pipeline.Cookie{Category: pipeline.CategoryDeny, Epoch: 1, Number: d.ID}.Bits())
}

// TestGatewayMACIsThePipelines ties the two constants that must agree though
// neither package may import the other.
func TestGatewayMACIsThePipelines(t *testing.T) {
	if got, want := openflow.MAC(session.GatewayMAC()), pipeline.GatewayMAC; got != want {
		t.Errorf("session.GatewayMAC() = %v; pipeline.GatewayMAC is %v", got, want)
	}
}

// TestDropsEndTogether ties how long a drop stands in a switch to how long the
// session table believes so.
func TestDropsEndTogether(t *testing.T) {
	w := world.New()
	snap := w.Snapshot()
	tab := session.NewTable(session.Config{WireFirst: 16384, WireCount: 8192})
	tab.Step(world.Start, session.Revised{Snapshot: snap, Policy: w.Deny("r1", policy.Drop)})
	from := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	h := packet.Headers{EthSrc: from.MAC, EthType: 0x800, TTL: 64, Src: from.IP, Dst: openflow.AddrFrom32(0x0a010003), Proto: packet.UDP, SrcPort: 40000, DstPort: 9}
	ask := tab.Step(world.Start, session.PacketArrived{Packet: &session.Packet{DPID: 1, InPort: from.Port, Headers: h}})[0].(session.Decide)
	for _, ef := range tab.Step(world.Start, session.Decided{Ask: ask, Result: admission.Decide(ask.Snapshot, ask.Policy, world.Start, ask.Request)}) {
		if d, ok := ef.(session.InstallDrop); ok {
			checkDropEnds(t, d.Drop)
			return
		}
	}
	t.Error("no drop was installed")
}

func checkDropEnds(t *testing.T, d *session.Drop) {
	t.Helper()
	if got, want := d.Expires.Sub(world.Start), time.Duration(flows.Drop(d, 0).HardTimeout)*time.Second; got != want {
		t.Errorf("the table believes %s, the flow stands %s", got, want)
	}
}

// TestScanIsDroppedWhateverThePort holds what the flow of a scan takes: openers
// of the pair, for as long as the table believes.
func TestScanIsDroppedWhateverThePort(t *testing.T) {
	w := world.New()
	snap := w.Snapshot()
	tab := session.NewTable(session.Config{WireFirst: 16384, WireCount: 8192})
	tab.Step(world.Start, session.Revised{Snapshot: snap, Policy: w.AllowAll("r1")})
	from, to := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"}), snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web2"})
	h := packet.Headers{EthSrc: from.MAC, EthType: 0x800, TTL: 64, Src: from.IP, Dst: to.IP, Proto: packet.TCP, SrcPort: 40000, Flags: packet.SYN}
	for h.DstPort = 1; h.DstPort < 1000; h.DstPort++ {
		ask := tab.Step(world.Start, session.PacketArrived{Packet: &session.Packet{DPID: 1, InPort: from.Port, Headers: h}})[0].(session.Decide)
		for _, ef := range tab.Step(world.Start, session.Decided{Ask: ask, Result: admission.Decide(ask.Snapshot, ask.Policy, world.Start, ask.Request)}) {
			d, ok := ef.(session.InstallDrop)
			if !ok {
				continue
			}
			checkDropEnds(t, d.Drop)
			f := flows.Drop(d.Drop, 0)
			want := flows.Drop(&session.Drop{Request: d.Drop.Request}, 0)
			want.HardTimeout, want.Match.L4Dst = f.HardTimeout, f.Match.L4Dst
			if f != want || f.Match.L4Dst.Mask != 0 {
				t.Errorf("flow %s; want %s", f, want)
			}
			return
		}
	}
	t.Error("no drop was installed")
}

// TestForwardAndReplyNeverMeet holds the invariant of the wire leg: on a link
// between two hosts no packet can match both a forward and a reply flow, since
// exactly one of its ports has the top bit set.
func TestForwardAndReplyNeverMeet(t *testing.T) {
	for _, s := range scenes {
		if s.proto == packet.ICMP || s.from == "web1" && (s.to == "web3" || s.to == "db1") {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			in := s.install(t)
			hops := flows.ForLane(in.Session, in.Lane)
			fwd, rep := hops[1].Forward.Match, hops[0].Reply.Match
			if fwd.L4Src.Mask&fwd.L4Src.Value&0x8000 == 0 || rep.L4Dst.Mask&rep.L4Dst.Value&0x8000 == 0 {
				t.Errorf("client side of the wire lacks the top bit: forward %v, reply %v", fwd.L4Src, rep.L4Dst)
			}
			if !pipeline.DefaultWireRange.Contains(fwd.L4Dst.Value) || fwd.L4Dst != rep.L4Src {
				t.Errorf("wire port: forward %v, reply %v; want one in %v", fwd.L4Dst, rep.L4Src, pipeline.DefaultWireRange)
			}
		})
	}
}

// TestLowTTLGoesTheWholeWay: a packet that may die on its way is put out where it
// was sent, so that who lets it die can say so; others leave at the last switch.
func TestLowTTLGoesTheWholeWay(t *testing.T) {
	for _, tt := range []struct {
		scene   int
		ttl     uint8
		dpid    uint64 // of the switch, for packets of the client
		actions string
	}{
		{3, 64, 2, "dec_ttl,dec_ttl,"}, {3, 31, 1, "dec_ttl,set_field:172.31.1.1->ip_src"}, {3, 2, 1, "dec_ttl,set_field:172.31.1.1->ip_src"},
		{2, 2, 2, "mod_nw_ttl:64,"}, // one subnet: it cannot die
		{1, 2, 1, "dec_ttl,set_field:02:00:00:00:00:01->eth_src"},
	} {
		in := scenes[tt.scene].install(t)
		d := in.Delivery
		d.Packet.Headers.TTL = tt.ttl
		path := in.Session.Path(in.Lane)
		dpid, out := flows.Deliver(&d, &path)
		f := openflow.Flow{Actions: out.Actions}
		if _, actions, _ := strings.Cut(f.String(), "actions="); dpid != tt.dpid || !strings.HasPrefix(actions, tt.actions) {
			t.Errorf("%s, ttl %d: switch %d, %s; want switch %d, %s...", scenes[tt.scene].name, tt.ttl, dpid, actions, tt.dpid, tt.actions)
		}
		if d.Direction = session.Reply; tt.scene == 3 {
			dpid, _ = flows.Deliver(&d, &path)
			if want := 3 - tt.dpid; dpid != want {
				t.Errorf("%s, reply with ttl %d: switch %d; want %d", scenes[tt.scene].name, tt.ttl, dpid, want)
			}
		}
	}
}
