package inside_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 10}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 11}
	ipA  = netip.MustParseAddr("10.1.0.2")
	ipB  = netip.MustParseAddr("10.1.0.3")
)

func frames() map[string]inside.Frame {
	base := inside.Frame{EthSrc: macA, EthDst: macB, EthType: inside.EtherIPv4, Src: ipA, Dst: ipB, TTL: 9, Payload: []byte("odd")}
	tcp, udp, ping, other, tagged := base, base, base, base, base
	tcp.Proto, tcp.SrcPort, tcp.DstPort, tcp.Flags, tcp.Seq, tcp.Ack, tcp.Length = inside.TCP, 40000, 80, inside.SYN|inside.ACK, 7, 8, 43
	udp.Proto, udp.SrcPort, udp.DstPort, udp.Length = inside.UDP, 53, 5353, 31
	ping.Proto, ping.ICMPType, ping.ICMPCode, ping.ID, ping.Length = inside.ICMP, 8, 3, 99, 31
	other.Proto, other.Length = 47, 23
	tagged.Proto, tagged.SrcPort, tagged.DstPort, tagged.Length, tagged.VLAN = inside.UDP, 1, 2, 31, 100
	arp := inside.Frame{EthSrc: macA, EthDst: macB, EthType: inside.EtherARP, Src: ipA, Dst: ipB, ICMPType: 1, ARPSrc: macA, ARPDst: macB}
	return map[string]inside.Frame{"tcp": tcp, "udp": udp, "icmp": ping, "other protocol": other, "tagged": tagged, "arp": arp}
}

func TestParseReadsWhatBytesWrites(t *testing.T) {
	for name, want := range frames() {
		got, ok := inside.Parse(want.Bytes())
		if !ok {
			t.Errorf("%s: Parse refused its bytes", name)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

func TestParseRefusesFramesCutShort(t *testing.T) {
	for name, f := range frames() {
		b := f.Bytes()
		for n := range b {
			if _, ok := inside.Parse(b[:n]); ok {
				t.Errorf("%s: Parse took %d of %d bytes", name, n, len(b))
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, frame := range frames() {
		f.Add(frame.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, _ := inside.Parse(b)
		_ = frame.String()
	})
}
