package packet_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/packet"
)

var byValue = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// ip returns the headers of a packet from client to server.
func ip(p packet.Proto) packet.Headers {
	return packet.Headers{
		EthSrc: clientMAC, EthDst: serverMAC, EthType: packet.EthTypeIPv4,
		Src: client, Dst: server, Proto: p, TTL: 64, IPOffset: 14, L4Offset: 34,
	}
}

// headers returns ip(p) as f changes it.
func headers(p packet.Proto, f func(*packet.Headers)) packet.Headers {
	h := ip(p)
	f(&h)
	return h
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name  string
		frame []byte
		want  packet.Headers
	}{
		{"arp request", arpRequest, packet.Headers{
			EthSrc: clientMAC, EthDst: packet.MAC{255, 255, 255, 255, 255, 255}, EthType: packet.EthTypeARP,
			ARPOp: 1, ARPSrc: client, ARPDst: server, ARPSrcMAC: clientMAC,
		}},
		{"tcp syn takes one number", syn, headers(packet.TCP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.Flags, h.Seq, h.SegLen = 40000, 81, packet.SYN, 0xc4c5158c, 1
		})},
		{"padding is no payload", append(append([]byte(nil), syn...), make([]byte, 20)...), headers(packet.TCP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.Flags, h.Seq, h.SegLen = 40000, 81, packet.SYN, 0xc4c5158c, 1
		})},
		{"tcp fin with data", with(with(syn, 46, 0x50), 47, packet.FIN|packet.ACK), headers(packet.TCP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.Flags, h.Seq, h.SegLen = 40000, 81, packet.FIN|packet.ACK, 0xc4c5158c, 21
		})},
		{"udp", udp, headers(packet.UDP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 40001, 53 })},
		{"echo request", echoRequest, headers(packet.ICMP, func(h *packet.Headers) { h.ICMPType = 8 })},
		{"vlan tag", tagged(udp, 100), headers(packet.UDP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.VLAN, h.IPOffset, h.L4Offset = 40001, 53, packet.VLANPresent|100, 18, 38
		})},
		{"priority tag", tagged(udp, 0xe000), headers(packet.UDP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.VLAN, h.IPOffset, h.L4Offset = 40001, 53, packet.VLANPresent, 18, 38
		})},
		{"second vlan tag is not looked behind", tagged(tagged(udp, 100), 200), packet.Headers{
			EthSrc: clientMAC, EthDst: serverMAC, EthType: 0x8100, VLAN: packet.VLANPresent | 200,
		}},
		{"don't fragment is no fragment", with(udp, 20, 0x40, 0), headers(packet.UDP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 40001, 53 })},
		{"first fragment has ports, and udp's whole length", with(with(udp, 20, 0x20, 0), 38, 9, 9), headers(packet.UDP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.Fragment = 40001, 53, true
		})},
		{"later fragment has no ports", with(udp, 20, 0x00, 1), headers(packet.UDP, func(h *packet.Headers) {
			h.Fragment, h.LaterFragment = true, true
		})},
		{"sctp", with(syn, 23, 132), headers(packet.SCTP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 40000, 81 })},
		{"other protocol", with(syn, 23, 47), ip(47)},
		{"icmp error", udpUnreachable, packet.Headers{
			EthSrc: serverMAC, EthDst: clientMAC, EthType: packet.EthTypeIPv4, Src: server, Dst: client,
			Proto: packet.ICMP, TTL: 64, ICMPType: 3, ICMPCode: 3, IPOffset: 14, L4Offset: 34,
			Inner: &packet.Inner{Src: client, Dst: server, Proto: packet.UDP, SrcPort: 40001, DstPort: 53},
		}},
		{"icmp error about a later fragment", with(udpUnreachable, 48, 0, 1), packet.Headers{
			EthSrc: serverMAC, EthDst: clientMAC, EthType: packet.EthTypeIPv4, Src: server, Dst: client,
			Proto: packet.ICMP, TTL: 64, ICMPType: 3, ICMPCode: 3, IPOffset: 14, L4Offset: 34,
		}},
		{"ipv6 is not looked behind", hopByHop(), packet.Headers{EthSrc: clientMAC, EthDst: serverMAC, EthType: 0x86dd}},
		{"802.3 length", with(syn[:20], 12, 0, 6), packet.Headers{EthSrc: clientMAC, EthDst: serverMAC, EthType: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := packet.Decode(tt.frame)
			if err != nil {
				t.Fatalf("Decode = %v; want no error", err)
			}
			if d := cmp.Diff(tt.want, got, byValue); d != "" {
				t.Errorf("Decode differs (-want +got):\n%s", d)
			}
		})
	}
}

func TestDecodeRefusesMalformed(t *testing.T) {
	want := map[string]packet.Malformed{
		"ihl 0":                         packet.BadIPHeaderLen,
		"ihl 4":                         packet.BadIPHeaderLen,
		"ihl 15 beyond the packet":      packet.Truncated,
		"ihl 15 over the tcp header":    packet.Truncated,
		"vlan header at the end":        packet.Truncated,
		"vlan header cut":               packet.Truncated,
		"vlan header, nothing behind":   packet.Truncated,
		"short ip":                      packet.Truncated,
		"short arp":                     packet.Truncated,
		"total length 0":                packet.BadIPTotalLen,
		"total length beyond frame":     packet.BadIPTotalLen,
		"tcp cut":                       packet.Truncated,
		"tcp data offset 0":             packet.BadTCPOffset,
		"tcp data offset 15":            packet.BadTCPOffset,
		"udp length 7":                  packet.BadUDPLen,
		"udp length beyond packet":      packet.BadUDPLen,
		"icmp cut":                      packet.Truncated,
		"arp with long addresses":       packet.BadARP,
		"first fragment of 8 bytes tcp": packet.Truncated,
	}
	for name, frame := range hostile() {
		h, err := packet.Decode(frame)
		w, bad := want[name]
		switch {
		case !bad && err != nil:
			t.Errorf("%s: Decode = %v; want no error", name, err)
		case bad && err != w:
			t.Errorf("%s: Decode = %v; want %v", name, err, w)
		}
		if h.Inner != nil {
			t.Errorf("%s: Decode found inner packet %v; want none", name, h.Inner)
		}
	}
	if _, err := packet.Decode(with(syn, 14, 0x65)); err != packet.BadIPVersion {
		t.Errorf("Decode(version 6) = %v; want %v", err, packet.BadIPVersion)
	}
	if _, err := packet.Decode(nil); err != packet.Truncated {
		t.Errorf("Decode(nil) = %v; want %v", err, packet.Truncated)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	for name, frame := range map[string][]byte{
		"syn": syn, "udp": udp, "echo": echoRequest, "arp": arpRequest, "malformed": with(syn, 14, 0x40),
	} {
		if n := testing.AllocsPerRun(100, func() { packet.Decode(frame) }); n != 0 {
			t.Errorf("Decode(%s) allocates %v times; want 0", name, n)
		}
	}
}

func TestOpener(t *testing.T) {
	tests := []struct {
		name string
		h    packet.Headers
		want bool
	}{
		{"syn", packet.Headers{Proto: packet.TCP, Flags: packet.SYN}, true},
		{"syn with other flags", packet.Headers{Proto: packet.TCP, Flags: packet.SYN | packet.RST | packet.PSH | packet.FIN}, true},
		{"syn-ack", packet.Headers{Proto: packet.TCP, Flags: packet.SYN | packet.ACK}, false},
		{"ack", packet.Headers{Proto: packet.TCP, Flags: packet.ACK}, false},
		{"no flags", packet.Headers{Proto: packet.TCP}, false},
		{"echo request", packet.Headers{Proto: packet.ICMP, ICMPType: 8}, true},
		{"echo reply", packet.Headers{Proto: packet.ICMP}, false},
		{"udp", packet.Headers{Proto: packet.UDP}, true},
	}
	for _, tt := range tests {
		if got := tt.h.Opener(); got != tt.want {
			t.Errorf("%s: Opener() = %v; want %v", tt.name, got, tt.want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, f := range []struct {
		name  string
		frame []byte
	}{{"tcp", syn}, {"udp", udp}, {"arp", arpRequest}} {
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := packet.Decode(f.frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
