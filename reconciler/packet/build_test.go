package packet_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/packet"
)

func TestDecodeReadsWhatBuildWrote(t *testing.T) {
	tests := []struct {
		name    string
		h       packet.Headers
		payload []byte
	}{
		{"tcp", headers(packet.TCP, func(h *packet.Headers) {
			h.SrcPort, h.DstPort, h.Flags, h.Seq, h.Ack, h.SegLen = 40000, 80, packet.PSH|packet.ACK, 1, 2, 3
		}), []byte("abc")},
		{"udp of odd length", headers(packet.UDP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 7946, 7946 }), []byte("abc")},
		{"udp without payload", headers(packet.UDP, func(h *packet.Headers) { h.SrcPort, h.DstPort, h.TTL = 1, 65535, 1 }), nil},
		{"echo", headers(packet.ICMP, func(h *packet.Headers) { h.ICMPType = 8 }), packet.Echo(1, 2, []byte("ping"))},
		{"icmp without payload", headers(packet.ICMP, func(h *packet.Headers) { h.ICMPType, h.ICMPCode = 8, 7 }), nil},
		{"sctp", headers(packet.SCTP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 1, 2 }), nil},
		{"gre", ip(47), []byte("abc")},
		{"vlan", headers(packet.UDP, func(h *packet.Headers) {
			h.VLAN, h.IPOffset, h.L4Offset = packet.VLANPresent|7, 18, 38
		}), nil},
		{"arp", packet.Headers{
			EthSrc: clientMAC, EthDst: gwMAC, EthType: packet.EthTypeARP, ARPOp: 2, ARPSrc: client, ARPDst: server, ARPSrcMAC: clientMAC,
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, packet.Build(tt.h, tt.payload))
			if d := cmp.Diff(tt.h, got, byValue); d != "" {
				t.Errorf("Decode(Build(h)) differs (-h +got):\n%s", d)
			}
		})
	}
}

func TestBuildDefaultsTTL(t *testing.T) {
	h := ip(packet.UDP)
	h.TTL = 0
	if got := decode(t, packet.Build(h, nil)).TTL; got != 64 {
		t.Errorf("TTL = %d; want 64", got)
	}
}

// TestBuildWritesNoZeroUDPChecksum looks for the payload whose checksum is zero,
// which must be sent as 0xffff.
func TestBuildWritesNoZeroUDPChecksum(t *testing.T) {
	h := ip(packet.UDP)
	for i := range 1 << 16 {
		f := packet.Build(h, []byte{byte(i >> 8), byte(i)})
		if f[40] == 0 && f[41] == 0 {
			t.Fatalf("Build(payload %04x) has no udp checksum", i)
		}
	}
}
