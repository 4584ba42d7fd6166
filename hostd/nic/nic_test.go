package nic

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/reconciler/packet"
)

func TestNamespacePath(t *testing.T) {
	tests := []struct{ in, want string }{
		{"web1", "/run/netns/web1"},
		{"/proc/1/ns/net", "/proc/1/ns/net"},
		{"/run/netns/../netns/a", "/run/netns/a"},
		{"", ""}, {".", ""}, {"..", ""}, {"a/b", ""}, {"../a", ""},
	}
	for _, tt := range tests {
		got, err := NamespacePath(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("NamespacePath(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestChainNamesAreWhatNftAllows(t *testing.T) {
	for in, want := range map[string]string{"dl16": "drop-dl16", "eth0.100": "drop-eth0.100", "a@b:c": "drop-a_b_c"} {
		if got := chain(in); got != want {
			t.Errorf("chain(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestDefaultRouteHasTheLowestMetric(t *testing.T) {
	_, all, _ := net.ParseCIDR("0.0.0.0/0")
	_, some, _ := net.ParseCIDR("10.0.0.0/8")
	routes := []netlink.Route{
		{LinkIndex: 1, Dst: some}, {LinkIndex: 2, Dst: all, Priority: 100}, {LinkIndex: 3, Priority: 50}, {LinkIndex: 4, Dst: all, Priority: 200},
		{LinkIndex: 0, Dst: all},
	}
	if r := defaultRoute(routes, 0); r == nil || r.LinkIndex != 3 {
		t.Errorf("defaultRoute = %+v; want the one through 3", r)
	}
	if r := defaultRoute(routes, 4); r == nil || r.LinkIndex != 4 {
		t.Errorf("defaultRoute through 4 = %+v", r)
	}
	if r := defaultRoute(routes, 1); r != nil {
		t.Errorf("defaultRoute through 1 = %+v; want none", r)
	}
}

func TestParseDiagLeavesLoopbackOut(t *testing.T) {
	msg := func(port uint16, addr ...byte) []byte {
		b := make([]byte, diagMinSize)
		binary.BigEndian.PutUint16(b[diagPortOffset:], port)
		copy(b[diagAddrOffset:], addr)
		return b
	}
	mapped := append(make([]byte, 10), 0xff, 0xff, 127, 0, 0, 1)
	tests := []struct {
		name   string
		family uint8
		msg    []byte
		ok     bool
	}{
		{"any", unix.AF_INET, msg(20000), true},
		{"an address", unix.AF_INET, msg(20000, 172, 31, 1, 1), true},
		{"loopback", unix.AF_INET, msg(20000, 127, 0, 0, 53), false},
		{"any of both families", unix.AF_INET6, msg(20000), true},
		{"IPv6 loopback", unix.AF_INET6, msg(20000, append(make([]byte, 15), 1)...), false},
		{"mapped loopback", unix.AF_INET6, msg(20000, mapped...), false},
		{"no port", unix.AF_INET, msg(0), false},
		{"short", unix.AF_INET, msg(20000)[:diagMinSize-1], false},
	}
	for _, tt := range tests {
		if l, ok := parseDiag(diagRequest{family: tt.family, proto: packet.TCP}, tt.msg); ok != tt.ok {
			t.Errorf("%s: parseDiag = %+v, %v; want ok = %v", tt.name, l, ok, tt.ok)
		}
	}
}

func TestListenersFindsOurOwn(t *testing.T) {
	tcp, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	local, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	got, err := Listeners(1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Listener{
		{packet.TCP, uint16(tcp.Addr().(*net.TCPAddr).Port)}, {packet.UDP, uint16(udp.LocalAddr().(*net.UDPAddr).Port)},
	} {
		if !slices.Contains(got, want) {
			t.Errorf("Listeners = %v; want %v among them", got, want)
		}
	}
	if hidden := (Listener{packet.TCP, uint16(local.Addr().(*net.TCPAddr).Port)}); slices.Contains(got, hidden) {
		t.Errorf("Listeners has %v, which listens on loopback only", hidden)
	}
	if none, err := Listeners(65535); err != nil || len(none) > 2 {
		t.Errorf("Listeners(65535) = %v, %v", none, err)
	}
}

func TestAddressesAreOursOnAllDevices(t *testing.T) {
	got, err := Addresses()
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if want := p.Addr().Is4(); slices.Contains(got, p.Addr()) != want {
			t.Errorf("Addresses = %v; want %s among them: %v", got, p.Addr(), want)
		}
	}
	if !slices.IsSortedFunc(got, netip.Addr.Compare) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("Addresses = %v; want them sorted, each once", got)
	}
}

func TestConnectionsFindsOurOwn(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tcp, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.Dial("udp4", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	got, err := Connections(loopback)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Connection{
		{packet.TCP, tcp.LocalAddr().(*net.TCPAddr).AddrPort().Port(), netip.MustParseAddrPort(ln.Addr().String())},
		{packet.UDP, udp.LocalAddr().(*net.UDPAddr).AddrPort().Port(), netip.MustParseAddrPort("127.0.0.1:9")},
	} {
		if !slices.Contains(got, want) {
			t.Errorf("Connections(%s) = %v; want %v among them", loopback, got, want)
		}
	}
	listening := uint16(ln.Addr().(*net.TCPAddr).Port)
	if i := slices.IndexFunc(got, func(c Connection) bool { return c.LocalPort == listening && c.Remote.Port() == 0 }); i >= 0 {
		t.Errorf("Connections has the listener %v", got[i])
	}
	if got, err := Connections(netip.MustParseAddr("192.0.2.1")); err != nil || len(got) != 0 {
		t.Errorf("Connections of an address that is not ours = %v, %v", got, err)
	}
}

func TestParseConnection(t *testing.T) {
	msg := func(lport, rport uint16, local, remote []byte) []byte {
		b := make([]byte, diagMinSize)
		binary.BigEndian.PutUint16(b[diagPortOffset:], lport)
		binary.BigEndian.PutUint16(b[diagRemotePortOffset:], rport)
		copy(b[diagAddrOffset:], local)
		copy(b[diagRemoteAddrOffset:], remote)
		return b
	}
	mapped := func(last byte) []byte {
		a := netip.MustParseAddr("::ffff:192.0.2.0").As16()
		a[15] = last
		return a[:]
	}
	want := Connection{packet.TCP, 40000, netip.MustParseAddrPort("192.0.2.2:17000")}
	for _, tt := range []struct {
		name   string
		family uint8
		msg    []byte
		ok     bool
	}{
		{"IPv4", unix.AF_INET, msg(40000, 17000, []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}), true},
		{"IPv4 by an IPv6 socket", unix.AF_INET6, msg(40000, 17000, mapped(1), mapped(2)), true},
		{"IPv6", unix.AF_INET6, msg(40000, 17000, []byte{0xfd, 1}, []byte{0xfd, 2}), false},
		{"not connected", unix.AF_INET, msg(40000, 0, []byte{192, 0, 2, 1}, nil), false},
		{"short", unix.AF_INET, make([]byte, diagMinSize-1), false},
	} {
		got, local, ok := parseConnection(diagRequest{family: tt.family, proto: packet.TCP}, tt.msg)
		if ok != tt.ok || ok && (got != want || local != netip.MustParseAddr("192.0.2.1")) {
			t.Errorf("%s: parseConnection = %v of %s, %v; want %v", tt.name, got, local, ok, want)
		}
	}
}
