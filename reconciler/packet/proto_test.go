package packet_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/packet"
)

func TestProtoIsReadAsItIsWritten(t *testing.T) {
	for p, want := range map[packet.Proto]string{packet.ICMP: "icmp", packet.TCP: "tcp", packet.UDP: "udp", packet.SCTP: "sctp", 47: "47", 0: "0"} {
		if p.String() != want {
			t.Errorf("protocol %d is written %q; want %q", uint8(p), p, want)
		}
	}
	for n := range 256 {
		p := packet.Proto(n)
		if got, ok := packet.ParseProto(p.String()); !ok || got != p {
			t.Errorf("%q is read as %d, %t; want %d", p, uint8(got), ok, n)
		}
	}
	for _, s := range []string{"", "TCP", "tcp ", "256", "-1", "proto-47"} {
		if p, ok := packet.ParseProto(s); ok {
			t.Errorf("%q is read as %d; want nothing", s, uint8(p))
		}
	}
}
