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

// lab is two hosts in different subnets whose switches connect stack and
// uplink, an endpoint on each, and a machine outside.
type lab struct {
	net    *simnet.Network
	h1, h2 *simnet.Host
	a, b   *simnet.Stack
	world  *simnet.Stack
}

const endpointPort of.PortNo = 16

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{net: &simnet.Network{Now: t0}}
	host := func(n byte, name, addr string) *simnet.Host {
		p := netip.MustParsePrefix(addr)
		return l.net.AddHost(simnet.HostConfig{
			Name: name, DPID: uint64(n), Addr: p, MAC: packet.MAC{2, 0xaa, 0, 0, 0, n},
			Router: netip.AddrFrom4([4]byte{172, 31, n, 254}), RouterMAC: packet.MAC{2, 0xee, 0, 0, 0, n},
		})
	}
	l.h1, l.h2 = host(1, "h1", "172.31.1.1/24"), host(2, "h2", "172.31.2.1/24")
	l.world = l.net.AddOutside("world", netip.MustParseAddr("203.0.113.9"))
	l.a = &simnet.Stack{Name: "a", IP: ipA, MAC: macA, Gateway: gwMAC}
	l.b = &simnet.Stack{Name: "b", IP: ipB, MAC: macB, Gateway: gwMAC}
	l.h1.Attach(endpointPort, l.a)
	l.h2.Attach(endpointPort, l.b)
	for _, h := range l.net.Hosts() {
		l.apply(t, h, flow(1, of.Match{InPort: simnet.UplinkPort}, of.Output(of.PortLocal)),
			flow(1, of.Match{InPort: of.PortLocal}, of.Output(simnet.UplinkPort)))
	}
	return l
}

var gwMAC = packet.MAC{2, 0, 0, 0, 0, 1}

func (l *lab) apply(t *testing.T, h *simnet.Host, flows ...of.Flow) {
	t.Helper()
	if errs := l.net.Apply(of.Batch{DPID: h.Switch.DPID, Flows: adds(flows...)}); errs != nil {
		t.Fatal(errs)
	}
}

// tunnel lets the endpoints' packets go between the hosts as the hosts' own.
func (l *lab) tunnel(t *testing.T) {
	t.Helper()
	for _, e := range []struct {
		h, peer  *simnet.Host
		own, far *simnet.Stack
	}{{l.h1, l.h2, l.a, l.b}, {l.h2, l.h1, l.b, l.a}} {
		out, in := anyIP, anyIP
		out.InPort, in.InPort = endpointPort, simnet.UplinkPort
		in.IPSrc = of.IPv4(e.peer.Addr.Addr())
		l.apply(t, e.h,
			flow(9, out, of.SetMAC(of.FieldEthSrc, of.MAC(e.h.Stack.MAC)), of.SetMAC(of.FieldEthDst, of.MAC(e.h.RouterMAC)),
				of.SetIP(of.FieldIPSrc, e.h.Addr.Addr()), of.SetIP(of.FieldIPDst, e.peer.Addr.Addr()), of.Output(simnet.UplinkPort)),
			flow(9, in, of.SetMAC(of.FieldEthSrc, of.MAC(gwMAC)), of.SetMAC(of.FieldEthDst, of.MAC(e.own.MAC)),
				of.SetIP(of.FieldIPSrc, e.far.IP), of.SetIP(of.FieldIPDst, e.own.IP), of.Output(endpointPort)))
	}
}

// where returns what happened, in short.
func (l *lab) where() []string {
	names := map[simnet.EventKind]string{
		simnet.EventDelivered: "delivered", simnet.EventLocal: "local", simnet.EventWire: "wire", simnet.EventPacketIn: "packetin",
		simnet.EventLost: "lost", simnet.EventAmbiguous: "ambiguous", simnet.EventRefused: "refused",
	}
	var out []string
	for _, e := range l.net.Log {
		out = append(out, strings.TrimSpace(strings.Join([]string{names[e.Kind], e.Host, e.Where}, " ")))
	}
	l.net.Log = nil
	return out
}

func TestHostsReachEachOtherThroughTheRouter(t *testing.T) {
	l := newLab(t)
	h := l.h1.Stack.Headers(l.h2.Addr.Addr(), packet.ICMP)
	h.ICMPType = 8
	if err := l.net.Inject(l.h1, of.PortLocal, packet.Build(h, packet.Echo(1, 1, nil))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"wire h1", "local h2 h2", "wire h2", "local h1 h1"}, l.where()); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
	got, err := packet.Decode(l.h1.Stack.Received[0])
	if err != nil || got.ICMPType != 0 || got.TTL != 63 || got.EthDst != l.h1.Stack.MAC {
		t.Errorf("reply = %+v, %v; want an echo reply that passed one router", got, err)
	}
}

func TestConnectionsBetweenEndpoints(t *testing.T) {
	l := newLab(t)
	l.tunnel(t)
	l.b.Listen(packet.TCP, 80)
	for _, tt := range []struct {
		port uint16
		want simnet.ConnState
	}{{80, simnet.ConnEstablished}, {81, simnet.ConnReset}} {
		remote := netip.AddrPortFrom(ipB, tt.port)
		if err := l.net.Inject(l.h1, endpointPort, l.a.Connect(40000, remote)); err != nil {
			t.Fatal(err)
		}
		if got := l.a.Conn(40000, remote); got != tt.want {
			t.Errorf("connection to port %d: %v; want %v", tt.port, got, tt.want)
		}
	}
	l.h2.Detach(endpointPort)
	remote := netip.AddrPortFrom(ipB, 82)
	if err := l.net.Inject(l.h1, endpointPort, l.a.Connect(40000, remote)); err != nil {
		t.Fatal(err)
	}
	if got := l.a.Conn(40000, remote); got != simnet.ConnSent {
		t.Errorf("connection to an endpoint that is gone: %v; want %v", got, simnet.ConnSent)
	}
}

func TestOutsideIsReached(t *testing.T) {
	l := newLab(t)
	l.world.Listen(packet.UDP, 53)
	h := l.h1.Stack.Headers(l.world.IP, packet.UDP)
	h.SrcPort, h.DstPort = 40000, 53
	if err := l.net.Inject(l.h1, of.PortLocal, packet.Build(h, []byte("query"))); err != nil {
		t.Fatal(err)
	}
	// Nobody listens at h1:40000, so the answer is answered with an ICMP error.
	want := []string{"wire h1", "delivered  world", "local h1 h1", "wire h1", "delivered  world"}
	if d := cmp.Diff(want, l.where()); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
}

func TestRouter(t *testing.T) {
	to := func(dst string, change func(*packet.Headers)) func(l *lab) []byte {
		return func(l *lab) []byte {
			h := l.h1.Stack.Headers(netip.MustParseAddr(dst), packet.UDP)
			h.SrcPort, h.DstPort = 1, 2
			change(&h)
			return packet.Build(h, nil)
		}
	}
	tests := []struct {
		name  string
		frame func(l *lab) []byte
		want  []string
	}{
		{"answers for its own address", func(l *lab) []byte {
			return packet.Build(packet.Headers{
				EthSrc: l.h1.Stack.MAC, EthDst: packet.MAC{255, 255, 255, 255, 255, 255}, ARPOp: 1,
				ARPSrc: l.h1.Addr.Addr(), ARPDst: l.h1.Router, ARPSrcMAC: l.h1.Stack.MAC,
			}, nil)
		}, []string{"wire h1", "local h1 h1"}},
		{"has no route to endpoints", to("10.1.1.9", func(*packet.Headers) {}), []string{"wire h1", "lost"}},
		{"ends a TTL", to("172.31.2.1", func(h *packet.Headers) { h.TTL = 1 }), []string{"wire h1", "lost", "local h1 h1"}},
		{"drops tags", to("172.31.2.1", func(h *packet.Headers) { h.VLAN = packet.VLANPresent | 5 }), []string{"wire h1", "lost"}},
		{"takes only what is for it", to("172.31.2.1", func(h *packet.Headers) { h.EthDst = macB }), []string{"wire h1", "lost h1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t)
			if err := l.net.Inject(l.h1, of.PortLocal, tt.frame(l)); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, l.where()); d != "" {
				t.Errorf("events differ (-want +got):\n%s", d)
			}
		})
	}
}

func TestPacketInMayBeAnsweredFromWithin(t *testing.T) {
	l := newLab(t)
	l.apply(t, l.h1, flow(1, of.Match{InPort: endpointPort}, of.ToController()))
	l.net.OnPacketIn = func(dpid uint64, in of.PacketIn) {
		l.net.Apply(of.Batch{DPID: dpid, Packets: []of.PacketOut{{Actions: of.ActionList(of.Output(endpointPort)), Frame: in.Frame}}})
	}
	if err := l.net.Inject(l.h1, endpointPort, build(packet.TCP, nil)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"packetin h1", "delivered h1 a"}, l.where()); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
}

func TestLoopsEnd(t *testing.T) {
	l := newLab(t)
	for _, h := range l.net.Hosts() { // each host sends wire packets back to the other
		other := l.net.Hosts()[2-h.Switch.DPID]
		l.apply(t, h, flow(9, anyUDP, of.SetMAC(of.FieldEthDst, of.MAC(h.RouterMAC)), of.SetIP(of.FieldIPDst, other.Addr.Addr()),
			of.SetTTL(64), of.Output(of.PortInPort)))
	}
	h := l.h1.Stack.Headers(l.h2.Addr.Addr(), packet.UDP)
	if err := l.net.Inject(l.h1, simnet.UplinkPort, packet.Build(h, nil)); err == nil {
		t.Error("Inject into a loop = nil; want an error")
	}
}

func TestApplyTellsWhatIsRefused(t *testing.T) {
	l := newLab(t)
	if errs := l.net.Apply(of.Batch{DPID: 9}); len(errs) != 1 {
		t.Errorf("Apply for no switch = %v; want one error", errs)
	}
	if errs := l.net.Apply(of.Batch{DPID: 1, Flows: adds(of.Flow{Meter: 7})}); len(errs) != 1 {
		t.Errorf("Apply with an unknown meter = %v; want one error", errs)
	}
	if d := cmp.Diff([]string{"refused h1"}, l.where()); d != "" {
		t.Errorf("events differ (-want +got):\n%s", d)
	}
}

func TestAdvanceAgesFlows(t *testing.T) {
	l := newLab(t)
	f := flow(5, anyUDP)
	f.HardTimeout = 3
	l.apply(t, l.h1, f)
	l.net.Advance(4 * time.Second)
	if got := len(l.h1.Switch.Flows()); got != 2 {
		t.Errorf("%d flows; want the 2 without timeout", got)
	}
}

func TestStackAnswers(t *testing.T) {
	s := func() *simnet.Stack {
		s := &simnet.Stack{Name: "b", IP: ipB, MAC: macB, Gateway: gwMAC}
		s.Listen(packet.TCP, 80)
		s.Listen(packet.UDP, 53)
		return s
	}
	tcp := func(port uint16, flags uint8) func(*packet.Headers) {
		return func(h *packet.Headers) { h.DstPort, h.Flags, h.Seq, h.Ack = port, flags, 100, 200 }
	}
	tests := []struct {
		name  string
		frame []byte
		want  func(h *packet.Headers) bool // nil: no answer
	}{
		{"syn to a listener", build(packet.TCP, tcp(80, packet.SYN)), func(h *packet.Headers) bool { return h.Flags == packet.SYN|packet.ACK }},
		{"syn to a closed port", build(packet.TCP, tcp(81, packet.SYN)), func(h *packet.Headers) bool { return h.Flags == packet.RST|packet.ACK && h.EthDst == gwMAC }},
		{"stray syn-ack", build(packet.TCP, tcp(81, packet.SYN|packet.ACK)), func(h *packet.Headers) bool { return h.Flags == packet.RST && h.Seq == 200 }},
		{"data to a listener comes back", build(packet.TCP, tcp(80, packet.PSH|packet.ACK)), func(h *packet.Headers) bool {
			return h.Flags == packet.PSH|packet.ACK && h.Seq == 200 && h.Ack == 108 && h.SegLen == 8
		}},
		{"rst", build(packet.TCP, tcp(81, packet.RST)), nil},
		{"datagram to a listener comes back", build(packet.UDP, func(h *packet.Headers) { h.DstPort = 53 }), func(h *packet.Headers) bool { return h.SrcPort == 53 && h.DstPort == 40000 }},
		{"datagram to a closed port", build(packet.UDP, nil), func(h *packet.Headers) bool { return h.ICMPType == 3 && h.ICMPCode == 3 && h.EthDst == gwMAC }},
		{"ping of any code", build(packet.ICMP, func(h *packet.Headers) { h.ICMPCode = 7 }), func(h *packet.Headers) bool { return h.ICMPType == 0 && h.ICMPCode == 7 }},
		{"pong", build(packet.ICMP, func(h *packet.Headers) { h.ICMPType = 0 }), nil},
		{"arp for its address", arp(1), func(h *packet.Headers) bool { return h.ARPOp == 2 && h.ARPSrcMAC == macB }},
		{"another's hardware address", build(packet.ICMP, func(h *packet.Headers) { h.EthDst = macA }), nil},
		{"another's address", build(packet.ICMP, func(h *packet.Headers) { h.Dst = ipA }), nil},
		{"a tag", build(packet.ICMP, func(h *packet.Headers) { h.VLAN = packet.VLANPresent }), nil},
		{"a wrong checksum", append(build(packet.UDP, nil)[:49], 'x'), nil},
		{"another protocol", build(47, nil), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answers := s().Receive(tt.frame)
			if tt.want == nil {
				if len(answers) != 0 {
					t.Errorf("answers %x; want none", answers)
				}
				return
			}
			if len(answers) != 1 {
				t.Fatalf("%d answers; want one", len(answers))
			}
			h, err := packet.Decode(answers[0])
			if err != nil || !packet.ChecksumsValid(answers[0], &h) || !tt.want(&h) {
				t.Errorf("answer = %+v, %v", h, err)
			}
		})
	}
}
