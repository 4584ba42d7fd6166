package pipeline_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

func host() pipeline.HostConfig {
	return pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: openflow.MAC{0xa, 0, 0, 0, 0, 1}, Wire: pipeline.DefaultWireRange,
		Listeners: []pipeline.Listener{{Proto: openflow.ProtoTCP, Port: 17000}, {Proto: openflow.ProtoUDP, Port: 40000}},
	}
}

// all is every flow of a host with one endpoint and two peers, and its meters.
func all() ([]openflow.MeterMod, []openflow.Flow) {
	meters, flows := pipeline.Base(host())
	ms, fs := pipeline.Peers(pipeline.PeersConfig{
		Uplink: 1, Addr: host().Addr, Wire: pipeline.DefaultWireRange, Cookie: 6 << 56,
		Ranges: []netip.Prefix{netip.MustParsePrefix("172.31.1.0/24"), netip.MustParsePrefix("172.31.2.0/24")},
	})
	meters, flows = append(meters, ms...), append(flows, fs...)
	m, fs := pipeline.Endpoint(pipeline.EndpointConfig{Port: 16, IP: netip.MustParseAddr("10.1.0.2"), Cookie: 2 << 56})
	meters, flows = append(meters, m), append(flows, fs...)
	m, fs = pipeline.Names(pipeline.NamesConfig{
		Port: 16, IP: netip.MustParseAddr("10.1.0.2"), Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}, Cookie: 2 << 56,
	})
	return append(meters, m), append(flows, fs...)
}

// TestAliasesAreOnePortEach: an alias names its port and nothing else does.
func TestAliasesAreOnePortEach(t *testing.T) {
	for _, p := range []openflow.PortNo{1, 15, 16, 255, 256, 1<<14 - 1} {
		a := pipeline.Alias(p)
		if got := pipeline.AliasPort(a); got != p || !pipeline.AliasRange().Contains(a) {
			t.Errorf("AliasPort(Alias(%d) = %s) = %d", p, a, got)
		}
	}
	for _, a := range []string{"169.254.1.1", "169.254.63.16", "169.254.128.16", "169.254.169.254", "10.0.0.16", "::1"} {
		if got := pipeline.AliasPort(netip.MustParseAddr(a)); got != 0 {
			t.Errorf("AliasPort(%s) = %d; want 0", a, got)
		}
	}
}

// TestFlowsAreWellFormed holds what OVS refuses, or what two flows would make
// of each other: an unknown meter, a goto that does not lead forward, equal keys.
func TestFlowsAreWellFormed(t *testing.T) {
	meters, flows := all()
	known := map[uint32]bool{0: true}
	for _, m := range meters {
		if known[m.ID] {
			t.Errorf("meter %d is there twice", m.ID)
		}
		known[m.ID] = true
	}
	keys := make(map[openflow.Key]bool)
	for i := range flows {
		f := &flows[i]
		if !known[f.Meter] {
			t.Errorf("%s: unknown meter", f)
		}
		if f.Goto != 0 && f.Goto <= f.Table {
			t.Errorf("%s: goto does not lead forward", f)
		}
		if keys[f.Key()] {
			t.Errorf("%s: another flow has its key", f)
		}
		keys[f.Key()] = true
	}
}

// TestEveryTableEndsInAFlowOfItsOwn: no packet is left to what a switch does
// without a match.
func TestEveryTableEndsInAFlowOfItsOwn(t *testing.T) {
	_, flows := all()
	ends := map[openflow.TableID]bool{}
	for _, f := range flows {
		if f.Priority == 0 && f.Match == (openflow.Match{}) {
			ends[f.Table] = true
		}
	}
	for _, table := range []openflow.TableID{pipeline.TableClassify, pipeline.TableOpener, pipeline.TableSession, pipeline.TableMiss} {
		if !ends[table] {
			t.Errorf("table %d has no flow for what nothing else takes", table)
		}
	}
}

// TestAnAddressOfTheWiresOwnLeavesTheHostsStackAlone: nothing goes to the host's
// stack or comes from it, and fewer flows are enough.
func TestAnAddressOfTheWiresOwnLeavesTheHostsStackAlone(t *testing.T) {
	c := host()
	_, moved := pipeline.Base(c)
	c.OwnAddress = true
	c.Connections = []pipeline.Connection{{Proto: openflow.ProtoTCP, LocalPort: 40000, Remote: netip.MustParseAddrPort("203.0.113.9:17017")}}
	_, own := pipeline.Base(c)
	if len(own) != 18 || len(own) >= len(moved) {
		t.Errorf("%d flows, and %d where the host's address is moved; want 18", len(own), len(moved))
	}
	var texts []string
	for i := range own {
		text := own[i].String()
		texts = append(texts, text)
		if strings.Contains(text, "LOCAL") || strings.Contains(text, "learn") {
			t.Errorf("%s: concerns the host's stack", text)
		}
	}
	for _, want := range []string{"arp,in_port=1,vlan_tci=0x0000/0x1fff,arp_op=1,arp_tpa=172.31.1.1", "ip,in_port=1,vlan_tci=0x0000/0x1fff,ip_dst=172.31.1.1"} {
		if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("no flow with %q among\n%s", want, strings.Join(texts, "\n"))
		}
	}
}

func TestWireRange(t *testing.T) {
	for _, tt := range []struct {
		r     pipeline.WireRange
		valid bool
		size  int
	}{
		{pipeline.DefaultWireRange, true, 8192},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xc000}, true, 16384},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xff00}, true, 256},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xff80}, false, 128},  // too small
		{pipeline.WireRange{Value: 0x8000, Mask: 0xe000}, false, 8192}, // top bit
		{pipeline.WireRange{Value: 0x4100, Mask: 0xe000}, false, 8192}, // not at a multiple of its size
		{pipeline.WireRange{Value: 0x4000, Mask: 0xe0f0}, false, 7952}, // no block
		{pipeline.WireRange{Value: 0, Mask: 0xfc00}, false, 1024},      // privileged ports
		{pipeline.WireRange{}, false, 65536},
	} {
		if got := tt.r.Valid(); got != tt.valid {
			t.Errorf("%v.Valid() = %v; want %v", tt.r, got, tt.valid)
		}
		if got := tt.r.Size(); tt.valid && got != tt.size {
			t.Errorf("%v.Size() = %d; want %d", tt.r, got, tt.size)
		}
	}
	for p, want := range map[uint16]bool{16383: false, 16384: true, 24575: true, 24576: false, 49152: false} {
		if got := pipeline.DefaultWireRange.Contains(p); got != want {
			t.Errorf("Contains(%d) = %v; want %v", p, got, want)
		}
	}
}

func TestCookieRoundTrip(t *testing.T) {
	want := pipeline.Cookie{Category: pipeline.CategorySession, Slot: 3, Epoch: 515, Number: 0xfffffffe}
	if got := pipeline.ParseCookie(want.Bits()); got != want {
		t.Errorf("ParseCookie(Bits) = %+v; want %+v", got, want)
	}
	if got := want.Bits() & pipeline.CategoryMask; got != uint64(pipeline.CategorySession)<<56 {
		t.Errorf("category of %#x = %#x", want.Bits(), got)
	}
}

// TestConnectionsAreAsTheyWouldBeLearned compares the flows of connections with
// what learn makes of the host's packets: the same match, so the same flow.
func TestConnectionsAreAsTheyWouldBeLearned(t *testing.T) {
	server := netip.MustParseAddr("203.0.113.9")
	conn := func(proto uint8, local, remote uint16) pipeline.Connection {
		return pipeline.Connection{Proto: proto, LocalPort: local, Remote: netip.AddrPortFrom(server, remote)}
	}
	const tcp, udp = openflow.ProtoTCP, openflow.ProtoUDP
	for _, tt := range []struct {
		name  string
		conns []pipeline.Connection
		want  []string
	}{
		{"a server in the range", []pipeline.Connection{conn(tcp, 40000, 17000)}, []string{
			"table=3,priority=310,cookie=0x110000000000006,idle_timeout=7500,tcp,in_port=1,ip_src=203.0.113.9,ip_dst=172.31.1.1,tcp_src=17000,tcp_dst=0x8000/0x8000 actions=LOCAL",
		}},
		{"two connections to it", []pipeline.Connection{conn(tcp, 40000, 17000), conn(tcp, 40001, 17000)}, []string{
			"table=3,priority=310,cookie=0x110000000000006,idle_timeout=7500,tcp,in_port=1,ip_src=203.0.113.9,ip_dst=172.31.1.1,tcp_src=17000,tcp_dst=0x8000/0x8000 actions=LOCAL",
		}},
		{"a client's port in the range", []pipeline.Connection{conn(tcp, 17001, 443)}, []string{
			"table=3,priority=310,cookie=0x110000000000006,idle_timeout=7500,tcp,in_port=1,ip_src=203.0.113.9,ip_dst=172.31.1.1,tcp_src=443,tcp_dst=17001 actions=LOCAL",
		}},
		{"udp", []pipeline.Connection{conn(udp, 50000, 17000)}, []string{
			"table=3,priority=310,cookie=0x110000000000011,idle_timeout=120,udp,in_port=1,ip_src=203.0.113.9,ip_dst=172.31.1.1,udp_src=17000,udp_dst=0xc000/0xc000 actions=LOCAL",
		}},
		{"none that looks like a session's", []pipeline.Connection{conn(tcp, 40000, 443), conn(tcp, 30000, 17000), conn(tcp, 22, 50000)}, nil},
	} {
		c := host()
		_, plain := pipeline.Base(c)
		c.Connections = tt.conns
		_, with := pipeline.Base(c)
		var got []string
		for i := len(plain); i < len(with); i++ {
			got = append(got, with[i].String())
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: flows =\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	c := host()
	_, plain := pipeline.Base(c)
	for i := range 3000 {
		remote := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 17000)
		c.Connections = append(c.Connections,
			pipeline.Connection{Proto: openflow.ProtoTCP, LocalPort: 40000, Remote: remote},
			pipeline.Connection{Proto: openflow.ProtoUDP, LocalPort: 40000, Remote: remote})
	}
	_, with := pipeline.Base(c)
	if got := len(with) - len(plain); got != 2*pipeline.MaxConnections {
		t.Errorf("%d flows; want %d", got, 2*pipeline.MaxConnections)
	}
}
