package session_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

var byValue = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func ping() packet.Headers { return packet.Headers{Proto: packet.ICMP, ICMPType: 8} }

// under returns what a host's uplink lifts: an ICMP error about a packet.
func (b *bench) under(host string, in *packet.Inner) session.Packet {
	b.Helper()
	h := b.host(host)
	return session.Packet{DPID: h.DPID, InPort: h.Uplink.Port, Received: b.now, Headers: packet.Headers{
		EthType: 0x800, TTL: 60, Src: netip.MustParseAddr("198.51.100.7"), Dst: h.Uplink.Addr.Addr(),
		Proto: packet.ICMP, ICMPType: 3, ICMPCode: 4, Inner: in,
	}}
}

func (b *bench) host(name string) *inventory.Host {
	b.Helper()
	for _, e := range []string{"web1", "web2"} {
		if h := b.endpoint(e).Host; h.Name == name {
			return h
		}
	}
	b.Fatalf("no host %q", name)
	return nil
}

func (b *bench) underlay(name string) netip.Addr { return b.host(name).Uplink.Addr.Addr() }

// opened opens a session of web1 (h1) and db2 (h2) by one packet, and returns
// the label that stands for that packet on the wire.
func (b *bench) opened(h packet.Headers) (label uint16) {
	b.Helper()
	b.arrive(b.packet("web1", "db2", h))
	s := b.table.Sessions()[b.table.Len()-1]
	high, low := s.WirePorts()
	if h.Proto != packet.ICMP && h.SrcPort < 0x8000 {
		return low
	}
	return high
}

func TestUnderlayErrorsGoToWhoSentThePacket(t *testing.T) {
	tests := []struct {
		name string
		open packet.Headers
		// the client's port on the wire, and what comes of the reply's error
		wirePort, port uint16
	}{
		{"tcp", syn(40000, 80), 40000, 40000},
		{"another connection of the service", syn(40000, 80), 50000, 50000},
		{"tcp from a low port", syn(999, 80), 33767, 999},
		{"udp", udp(40000, 53), 40000, 40000},
		{"udp from a low port", udp(53, 53), 32821, 53},
		{"echo", ping(), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			label := b.opened(tt.open)
			h1, h2 := b.underlay("h1"), b.underlay("h2")
			web1, db2 := b.endpoint("web1"), b.endpoint("db2")
			wire := packet.Inner{Src: h1, Dst: h2, Proto: tt.open.Proto, SrcPort: tt.wirePort, DstPort: label}
			sent := packet.Inner{Src: web1.IP, Dst: db2.IP, Proto: tt.open.Proto, SrcPort: tt.port, DstPort: tt.open.DstPort}
			if tt.open.Proto == packet.ICMP {
				wire.DstPort, wire.ICMPType, wire.ICMPCode, sent.ICMPType = 0, 8, uint8(label), 8
			}
			got := only[session.UnderlayError](b, b.arrive(b.under("h1", &wire)))
			if d := cmp.Diff(sent, got.Sent, byValue); got.To != web1 || d != "" {
				t.Errorf("error about the client's packet goes to %s (-want +got):\n%s", got.To.Name, d)
			}
			wire.Src, wire.Dst, wire.SrcPort, wire.DstPort = wire.Dst, wire.Src, wire.DstPort, wire.SrcPort
			sent.Src, sent.Dst, sent.SrcPort, sent.DstPort = sent.Dst, sent.Src, sent.DstPort, sent.SrcPort
			wire.ICMPType, sent.ICMPType = 0, 0
			got = only[session.UnderlayError](b, b.arrive(b.under("h2", &wire)))
			if d := cmp.Diff(sent, got.Sent, byValue); got.To != db2 || d != "" {
				t.Errorf("error about the server's packet goes to %s (-want +got):\n%s", got.To.Name, d)
			}
		})
	}
}

func TestUnderlayErrorsThatAreAboutNoLanesPacketAreIgnored(t *testing.T) {
	b := newBench(t)
	label := b.opened(udp(40000, 53))
	tag := uint8(b.opened(ping()))
	h1, h2 := b.underlay("h1"), b.underlay("h2")
	good := packet.Inner{Src: h1, Dst: h2, Proto: packet.UDP, SrcPort: 40000, DstPort: label}
	only[session.UnderlayError](b, b.arrive(b.under("h1", &good)))
	for name, change := range map[string]func(*session.Packet, *packet.Inner){
		"another wire port":       func(_ *session.Packet, in *packet.Inner) { in.DstPort++ },
		"another client port":     func(_ *session.Packet, in *packet.Inner) { in.SrcPort++ },
		"the other half of ports": func(_ *session.Packet, in *packet.Inner) { in.SrcPort &^= 0x8000 },
		"another protocol":        func(_ *session.Packet, in *packet.Inner) { in.Proto = packet.TCP },
		"a protocol without ports": func(_ *session.Packet, in *packet.Inner) {
			in.Proto, in.SrcPort, in.DstPort = 47, 0, 0
		},
		"another source":      func(_ *session.Packet, in *packet.Inner) { in.Src = netip.MustParseAddr("172.31.1.9") },
		"another destination": func(_ *session.Packet, in *packet.Inner) { in.Dst = netip.MustParseAddr("172.31.3.1") },
		"ports the wrong way": func(_ *session.Packet, in *packet.Inner) { in.SrcPort, in.DstPort = in.DstPort, in.SrcPort },
		"the endpoints' own addresses": func(_ *session.Packet, in *packet.Inner) {
			in.Src, in.Dst, in.DstPort = b.endpoint("web1").IP, b.endpoint("db2").IP, 53
		},
		"another echo tag": func(_ *session.Packet, in *packet.Inner) {
			*in = packet.Inner{Src: h1, Dst: h2, Proto: packet.ICMP, ICMPType: 8, ICMPCode: tag + 1}
		},
		"a reply that this host did not send": func(_ *session.Packet, in *packet.Inner) {
			*in = packet.Inner{Src: h2, Dst: h1, Proto: packet.UDP, SrcPort: label, DstPort: 40000}
		},
		"an icmp type that no session carries": func(_ *session.Packet, in *packet.Inner) {
			*in = packet.Inner{Src: h1, Dst: h2, Proto: packet.ICMP, ICMPType: 13, ICMPCode: tag}
		},
		"a quote that was cut":   func(p *session.Packet, _ *packet.Inner) { p.Headers.Inner = nil },
		"a fragment":             func(p *session.Packet, _ *packet.Inner) { p.Headers.Fragment = true },
		"to another address":     func(p *session.Packet, _ *packet.Inner) { p.Headers.Dst = h2 },
		"arrived at another":     func(p *session.Packet, _ *packet.Inner) { p.DPID = b.host("h2").DPID },
		"behind a VLAN tag":      func(p *session.Packet, _ *packet.Inner) { p.Headers.VLAN = packet.VLANPresent },
		"not the first fragment": func(p *session.Packet, _ *packet.Inner) { p.Headers.LaterFragment = true },
	} {
		in := good
		p := b.under("h1", &in)
		change(&p, &in)
		for _, ef := range b.arrive(p) {
			if _, ignored := ef.(session.Ignored); !ignored {
				t.Errorf("%s: effect = %#v; want Ignored", name, ef)
			}
		}
	}
}

func TestErrorsEndWithTheirSession(t *testing.T) {
	b := newBench(t)
	label := b.opened(udp(40000, 53))
	b.w.Hosts[1].Endpoints = nil
	in := packet.Inner{Src: b.underlay("h1"), Dst: b.underlay("h2"), Proto: packet.UDP, SrcPort: 40000, DstPort: label}
	late := b.under("h1", &in)
	b.revise()
	for _, ef := range b.arrive(late) {
		if _, told := ef.(session.UnderlayError); told && b.table.Len() == 0 {
			t.Error("an error about a session that ended was passed on")
		}
	}
}

// ttl returns a packet with another TTL.
func ttl(p session.Packet, n uint8) session.Packet {
	p.Headers.TTL = n
	return p
}

func TestDyingPacketIsToldAndOpensNothing(t *testing.T) {
	for name, h := range map[string]packet.Headers{"tcp": syn(40000, 80), "udp": udp(40000, 33434), "echo": ping()} {
		b := newBench(t)
		got := only[session.TimeExceeded](b, b.arrive(ttl(b.packet("web1", "db2", h), 1)))
		if got.To != b.endpoint("web1") || got.Sent != nil {
			t.Errorf("%s: told %s about %v; want the sender about its packet", name, got.To.Name, got.Sent)
		}
		if n := b.table.Len(); n != 0 {
			t.Errorf("%s: %d sessions; want none", name, n)
		}
		b.arrive(b.packet("web1", "db2", h))
		only[session.TimeExceeded](b, b.arrive(ttl(b.packet("web1", "db2", h), 1)))
		b.arrive(b.packet("web1", "web2", h))
		if got := all[session.TimeExceeded](b.arrive(ttl(b.packet("web1", "web2", h), 1))); len(got) != 0 {
			t.Errorf("%s within a subnet: told %v; want nothing", name, got)
		}
	}
}

func TestDyingPacketThatIsDeniedMeetsThat(t *testing.T) {
	for _, v := range []policy.Verdict{policy.Drop, policy.Reject} {
		b := newBench(t)
		b.pol = b.w.Deny("r2", v)
		b.revise()
		effects := b.arrive(ttl(b.packet("web1", "db2", syn(40000, 80)), 1))
		if got := all[session.Denied](effects); len(got) != 1 || got[0].Result.Decision.Verdict != v || len(all[session.TimeExceeded](effects)) != 0 {
			t.Errorf("effects = %#v; want a denial with %v", effects, v)
		}
	}
}

// TestDyingPacketsWaitWithOthers lets two packets of one new session wait for one
// decision: one lives, one dies.
func TestDyingPacketsWaitWithOthers(t *testing.T) {
	b := newBench(t)
	p := b.packet("web1", "db2", udp(40000, 33434))
	ask := only[session.Decide](b, b.lift(ttl(p, 1)))
	if got := b.lift(p); len(got) != 0 {
		t.Fatalf("effects = %#v; want none", got)
	}
	effects := b.settle([]session.Effect{ask})
	in := all[session.Install](effects)
	if len(all[session.TimeExceeded](effects)) != 1 || len(in) != 1 {
		t.Errorf("effects = %#v; want one TimeExceeded and one Install", effects)
	}
}

func TestWirePacketThatDiesIsToldAsItWasSent(t *testing.T) {
	b := newBench(t)
	label := b.opened(syn(999, 80))
	h1, h2 := b.host("h1"), b.host("h2")
	wire := session.Packet{DPID: h2.DPID, InPort: h2.Uplink.Port, Headers: packet.Headers{
		EthType: 0x800, TTL: 1, Src: b.underlay("h1"), Dst: b.underlay("h2"), Proto: packet.TCP, SrcPort: 33767, DstPort: label, Flags: packet.ACK,
	}}
	got := only[session.TimeExceeded](b, b.arrive(wire))
	want := packet.Inner{Src: b.endpoint("web1").IP, Dst: b.endpoint("db2").IP, Proto: packet.TCP, SrcPort: 999, DstPort: 80}
	if got.To != b.endpoint("web1") || got.Sent == nil || *got.Sent != want {
		t.Errorf("told %s about %v; want web1 about %v", got.To.Name, got.Sent, want)
	}
	only[session.Deliver](b, b.arrive(ttl(wire, 2)))

	back := session.Packet{DPID: h1.DPID, InPort: h1.Uplink.Port, Headers: packet.Headers{
		EthType: 0x800, TTL: 1, Src: b.underlay("h2"), Dst: b.underlay("h1"), Proto: packet.TCP, SrcPort: label, DstPort: 33767, Flags: packet.ACK,
	}}
	got = only[session.TimeExceeded](b, b.arrive(back))
	want = packet.Inner{Src: want.Dst, Dst: want.Src, Proto: packet.TCP, SrcPort: 80, DstPort: 999}
	if got.To != b.endpoint("db2") || got.Sent == nil || *got.Sent != want {
		t.Errorf("told %s about %v; want db2 about %v", got.To.Name, got.Sent, want)
	}
}

func TestPeersErrorBelongsToTheSession(t *testing.T) {
	b := newBench(t)
	b.opened(udp(40000, 53))
	b.arrive(b.packet("db2", "web1", udp(7000, 8000)))
	web1, db2 := b.endpoint("web1"), b.endpoint("db2")
	report := func(src, dst uint16) session.Packet {
		in := packet.Inner{Src: web1.IP, Dst: db2.IP, Proto: packet.UDP, SrcPort: src, DstPort: dst}
		return b.packet("db2", "web1", packet.Headers{Proto: packet.ICMP, ICMPType: 3, ICMPCode: 3, Inner: &in})
	}
	for _, ports := range [][2]uint16{{40000, 53}, {8000, 7000}} { // of its server, of its client
		if got := only[session.PeerError](b, b.arrive(report(ports[0], ports[1]))); got.To != web1 {
			t.Errorf("told %s; want web1", got.To.Name)
		}
	}
	for name, p := range map[string]session.Packet{
		"of no session":      report(40001, 53),
		"of another service": report(40000, 54),
	} {
		if got := all[session.PeerError](b.arrive(p)); len(got) != 0 {
			t.Errorf("%s: told %v; want nothing", name, got)
		}
	}
	for name, change := range map[string]func(*session.Packet){
		"about a packet to somebody else":          func(p *session.Packet) { p.Headers.Inner.Dst = b.endpoint("web2").IP },
		"about a packet of somebody else":          func(p *session.Packet) { p.Headers.Inner.Src = b.endpoint("web2").IP },
		"to somebody else":                         func(p *session.Packet) { p.Headers.Dst = b.endpoint("web2").IP },
		"with another sender":                      func(p *session.Packet) { p.Headers.Src = b.endpoint("web2").IP },
		"with another hardware address":            func(p *session.Packet) { p.Headers.EthSrc = web1.MAC },
		"whose quote was cut":                      func(p *session.Packet) { p.Headers.Inner = nil },
		"behind a VLAN tag":                        func(p *session.Packet) { p.Headers.VLAN = packet.VLANPresent },
		"in fragments, of which this is the first": func(p *session.Packet) { p.Headers.Fragment = true },
	} {
		p := report(40000, 53)
		change(&p)
		if got := all[session.PeerError](b.arrive(p)); len(got) != 0 {
			t.Errorf("%s: told %v; want nothing", name, got)
		}
	}
}
