package packet_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/packet"
)

func decode(t *testing.T, frame []byte) packet.Headers {
	t.Helper()
	h, err := packet.Decode(frame)
	if err != nil {
		t.Fatalf("Decode(%x) = %v", frame, err)
	}
	if !packet.ChecksumsValid(frame, &h) {
		t.Fatalf("checksums of %x are wrong", frame)
	}
	return h
}

func TestCapturedChecksumsAreValid(t *testing.T) {
	for _, f := range [][]byte{arpRequest, syn, synReset, udp, udpUnreachable, echoRequest, echoReply} {
		decode(t, f)
	}
}

func TestChecksumsValidSeesEachFlippedBit(t *testing.T) {
	for _, f := range [][]byte{syn, udp, echoRequest} {
		for at := 14; at < len(f); at++ {
			bad := with(f, at, f[at]^0x10)
			h, err := packet.Decode(bad)
			if err == nil && packet.ChecksumsValid(bad, &h) {
				t.Errorf("ChecksumsValid(%x), byte %d flipped = true; want false", bad, at)
			}
		}
	}
}

func TestUpdateChecksumAgreesWithSummingAgain(t *testing.T) {
	f := with(syn, 0)
	h := decode(t, f)
	for _, v := range []uint16{0, 1, 0x7fff, 0x8000, 0xfffe, 0xffff} {
		for at := 14; at < 34; at += 2 {
			if at == 14 || at == 16 || at == 24 {
				continue // version and lengths, the checksum itself
			}
			g := with(f, at, byte(v>>8), byte(v))
			ck := packet.UpdateChecksum(binary.BigEndian.Uint16(f[24:]), binary.BigEndian.Uint16(f[at:]), v)
			binary.BigEndian.PutUint16(g[24:], ck)
			gh := h
			gh.Fragment = true // look at the IP header alone
			if !packet.ChecksumsValid(g, &gh) {
				t.Errorf("word at %d set to %#x: checksum %#x is wrong", at, v, ck)
			}
		}
	}
}

func TestTCPResetIsWhatLinuxSends(t *testing.T) {
	got := packet.TCPReset(decode(t, syn), syn, serverMAC)
	if !bytes.Equal(got, synReset) {
		t.Errorf("TCPReset(syn) =\n%x; want\n%x", got, synReset)
	}
}

func TestTCPReset(t *testing.T) {
	seg := func(flags uint8, payload string) []byte {
		return packet.Build(packet.Headers{
			EthSrc: clientMAC, EthDst: gwMAC, Src: client, Dst: server, Proto: packet.TCP,
			SrcPort: 1000, DstPort: 80, Flags: flags, Seq: 0xfffffffe, Ack: 77,
		}, []byte(payload))
	}
	tests := []struct {
		name     string
		frame    []byte
		flags    uint8
		seq, ack uint32
	}{
		{"seq from ack if ack is set", seg(packet.ACK|packet.PSH, "data"), packet.RST, 77, 0},
		{"syn-ack", seg(packet.SYN|packet.ACK, ""), packet.RST, 77, 0},
		{"syn is acknowledged, around zero", seg(packet.SYN, ""), packet.RST | packet.ACK, 0, 0xffffffff},
		{"data and fin are acknowledged", seg(packet.FIN, "data"), packet.RST | packet.ACK, 0, 3},
		{"no flags", seg(0, ""), packet.RST | packet.ACK, 0, 0xfffffffe},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := decode(t, packet.TCPReset(decode(t, tt.frame), tt.frame, gwMAC))
			want := packet.Headers{
				EthSrc: gwMAC, EthDst: clientMAC, EthType: packet.EthTypeIPv4, Src: server, Dst: client, Proto: packet.TCP, TTL: 64,
				SrcPort: 80, DstPort: 1000, Flags: tt.flags, Seq: tt.seq, Ack: tt.ack, IPOffset: 14, L4Offset: 34,
			}
			if d := cmp.Diff(want, got, byValue); d != "" {
				t.Errorf("TCPReset differs (-want +got):\n%s", d)
			}
		})
	}
}

// synFrom returns a SYN between two addresses with the given flags.
func synFrom(src, dst string, flags uint8) []byte {
	return packet.Build(packet.Headers{
		EthSrc: clientMAC, EthDst: gwMAC, Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst),
		Proto: packet.TCP, SrcPort: 1, DstPort: 2, Flags: flags,
	}, nil)
}

func TestTCPResetIsSilentTo(t *testing.T) {
	broadcast := with(syn, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	for name, frame := range map[string][]byte{
		"rst":                synFrom("10.0.0.1", "10.0.0.2", packet.RST),
		"rst-ack":            synReset,
		"udp":                udp,
		"arp":                arpRequest,
		"first fragment":     with(syn, 20, 0x20, 0),
		"later fragment":     with(syn, 20, 0, 1),
		"link broadcast":     broadcast,
		"to multicast":       synFrom("10.0.0.1", "224.0.0.1", packet.SYN),
		"from multicast":     synFrom("239.0.0.1", "10.0.0.1", packet.SYN),
		"from zero":          synFrom("0.0.0.0", "10.0.0.1", packet.SYN),
		"from broadcast":     synFrom("255.255.255.255", "10.0.0.1", packet.SYN),
		"from loopback":      synFrom("127.0.0.1", "10.0.0.1", packet.SYN),
		"nothing":            nil,
		"ip header cut":      syn[:30],
		"other frame's head": {},
	} {
		h, _ := packet.Decode(frame)
		if got := packet.TCPReset(h, frame, gwMAC); got != nil {
			t.Errorf("%s: TCPReset = %x; want nil", name, got)
		}
	}
	h := decode(t, syn)
	if got := packet.TCPReset(h, syn[:20], gwMAC); got != nil {
		t.Errorf("TCPReset with another frame's headers = %x; want nil", got)
	}
}

func TestICMPUnreachableIsWhatLinuxSends(t *testing.T) {
	got := packet.ICMPUnreachable(udp, decode(t, udp), 3, server, serverMAC)
	decode(t, got)
	want := append([]byte(nil), udpUnreachable...)
	// Linux numbers the packet and lets it be fragmented; we do neither.
	copy(want[18:26], got[18:26])
	if !bytes.Equal(got, want) {
		t.Errorf("ICMPUnreachable(udp) =\n%x; want\n%x", got, want)
	}
}

func TestICMPUnreachableQuotes(t *testing.T) {
	long := packet.Build(headers(packet.UDP, func(h *packet.Headers) { h.SrcPort, h.DstPort = 5, 6 }), make([]byte, 1400))
	padded := append(append([]byte(nil), udp...), make([]byte, 17)...)
	tests := []struct {
		name  string
		frame []byte
		quote int
	}{
		{"a whole short packet", udp, len(udp) - 14},
		{"no padding", padded, len(udp) - 14},
		{"548 bytes of a long one", long, 548},
		{"a packet behind a vlan tag", tagged(udp, 5), len(udp) - 14},
		{"a first fragment", with(udp, 20, 0x20, 0), len(udp) - 14},
		{"an unknown protocol", with(syn, 23, 47), len(syn) - 14},
		{"an echo request", echoRequest, len(echoRequest) - 14},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := packet.Decode(tt.frame)
			if err != nil {
				t.Fatal(err)
			}
			out := packet.ICMPUnreachable(tt.frame, in, packet.CodeAdminProhibited, gateway, gwMAC)
			h := decode(t, out)
			if h.Src != gateway || h.Dst != client || h.EthSrc != gwMAC || h.EthDst != clientMAC || h.ICMPType != 3 || h.ICMPCode != 13 {
				t.Errorf("ICMPUnreachable = %+v", h)
			}
			if got := len(out) - 14 - 20 - 8; got != tt.quote {
				t.Errorf("ICMPUnreachable quotes %d bytes; want %d", got, tt.quote)
			}
			if !bytes.Equal(out[42:], tt.frame[in.IPOffset:in.IPOffset+tt.quote]) {
				t.Errorf("ICMPUnreachable quotes %x", out[42:])
			}
		})
	}
}

func TestICMPUnreachableIsSilentTo(t *testing.T) {
	frames := map[string][]byte{
		"an icmp error":         udpUnreachable,
		"a redirect":            with(echoRequest, 34, 5),
		"source quench":         with(echoRequest, 34, 4),
		"time exceeded":         with(echoRequest, 34, 11),
		"parameter problem":     with(echoRequest, 34, 12),
		"an unknown icmp type":  with(echoRequest, 34, 40),
		"a later fragment":      with(udp, 20, 0, 1),
		"link broadcast":        with(udp, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"multicast":             synFrom("10.0.0.1", "224.0.0.251", packet.SYN),
		"broadcast":             synFrom("10.0.0.1", "255.255.255.255", packet.SYN),
		"source zero":           synFrom("0.0.0.0", "10.0.0.1", packet.SYN),
		"source loopback":       synFrom("127.1.2.3", "10.0.0.1", packet.SYN),
		"arp":                   arpRequest,
		"a header that is none": syn[:20],
	}
	for name, frame := range frames {
		h, _ := packet.Decode(frame)
		if got := packet.ICMPUnreachable(frame, h, packet.CodeAdminProhibited, gateway, gwMAC); got != nil {
			t.Errorf("%s: ICMPUnreachable = %x; want nil", name, got)
		}
	}
}

func TestICMPFragNeededCarriesMTU(t *testing.T) {
	out := packet.ICMPFragNeeded(udp, decode(t, udp), 1400, gateway, gwMAC)
	h := decode(t, out)
	if h.ICMPType != 3 || h.ICMPCode != 4 || binary.BigEndian.Uint32(out[38:]) != 1400 {
		t.Errorf("ICMPFragNeeded = %x", out)
	}
}

func TestICMPTimeExceeded(t *testing.T) {
	h := decode(t, packet.ICMPTimeExceeded(udp, decode(t, udp), gateway, gwMAC))
	want := &packet.Inner{Src: client, Dst: server, Proto: packet.UDP, SrcPort: 40001, DstPort: 53}
	if h.ICMPType != 11 || h.ICMPCode != 0 || !cmp.Equal(h.Inner, want, byValue) {
		t.Errorf("ICMPTimeExceeded = %+v", h)
	}
}

func TestTranslateICMPErrorQuotesWhatWasSent(t *testing.T) {
	sent := map[string]packet.Headers{
		"tcp":  {Proto: packet.TCP, SrcPort: 50000, DstPort: 5432, Flags: packet.ACK, Seq: 9},
		"udp":  {Proto: packet.UDP, SrcPort: 50000, DstPort: 53},
		"icmp": {Proto: packet.ICMP, ICMPType: 8},
	}
	wire := map[string]packet.Headers{
		"tcp":  {Proto: packet.TCP, SrcPort: 50000, DstPort: 16385, Flags: packet.ACK, Seq: 9},
		"udp":  {Proto: packet.UDP, SrcPort: 50000, DstPort: 16385},
		"icmp": {Proto: packet.ICMP, ICMPType: 8, ICMPCode: 7},
	}
	host1, host2, router := netip.MustParseAddr("172.31.1.1"), netip.MustParseAddr("172.31.2.1"), netip.MustParseAddr("172.31.1.254")
	payload := []byte(strings.Repeat("daolinet", 50))
	for name, s := range sent {
		t.Run(name, func(t *testing.T) {
			w := wire[name]
			s.Src, s.Dst, w.Src, w.Dst = client, server, host1, host2
			s.TTL, w.TTL = 64, 64
			onWire := packet.Build(w, payload)
			e := packet.ICMPFragNeeded(onWire, decode(t, onWire), 1400, router, serverMAC)
			inner := packet.Inner{Src: s.Src, Dst: s.Dst, Proto: s.Proto, SrcPort: s.SrcPort, DstPort: s.DstPort, ICMPType: s.ICMPType}

			out := packet.TranslateICMPError(e, decode(t, e), inner, gateway, clientMAC, gwMAC)
			h := decode(t, out)
			if h.Src != gateway || h.Dst != client || h.EthDst != clientMAC || h.ICMPCode != 4 || binary.BigEndian.Uint32(out[38:]) != 1400 {
				t.Errorf("TranslateICMPError = %+v", h)
			}
			if want := packet.Build(s, payload)[14:]; !bytes.Equal(out[42:], want) {
				t.Errorf("TranslateICMPError quotes\n%x; want\n%x", out[42:], want)
			}
		})
	}
}

func TestTimeExceededQuotesWhatWasSent(t *testing.T) {
	host1, host2 := netip.MustParseAddr("172.31.1.1"), netip.MustParseAddr("172.31.2.1")
	payload := []byte(strings.Repeat("daolinet", 90)) // longer than is quoted
	for name, tt := range map[string]struct{ sent, wire packet.Headers }{
		"tcp": {
			packet.Headers{Proto: packet.TCP, SrcPort: 999, DstPort: 5432, Flags: packet.ACK, Seq: 9},
			packet.Headers{Proto: packet.TCP, SrcPort: 33767, DstPort: 16385, Flags: packet.ACK, Seq: 9},
		},
		"udp":  {packet.Headers{Proto: packet.UDP, SrcPort: 50000, DstPort: 53}, packet.Headers{Proto: packet.UDP, SrcPort: 50000, DstPort: 16385}},
		"icmp": {packet.Headers{Proto: packet.ICMP, ICMPType: 8}, packet.Headers{Proto: packet.ICMP, ICMPType: 8, ICMPCode: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			s, w := tt.sent, tt.wire
			s.Src, s.Dst, w.Src, w.Dst = client, server, host1, host2
			s.TTL, w.TTL = 1, 1
			onWire := packet.Build(w, payload)
			before := bytes.Clone(onWire)
			inner := packet.Inner{Src: s.Src, Dst: s.Dst, Proto: s.Proto, SrcPort: s.SrcPort, DstPort: s.DstPort, ICMPType: s.ICMPType}
			out := packet.TimeExceeded(onWire, decode(t, onWire), inner, gateway, clientMAC, gwMAC)
			h := decode(t, out)
			if h.Src != gateway || h.Dst != client || h.EthSrc != gwMAC || h.EthDst != clientMAC || h.ICMPType != 11 || h.ICMPCode != 0 {
				t.Errorf("TimeExceeded = %+v", h)
			}
			if want := packet.Build(s, payload)[14:][:548]; !bytes.Equal(out[42:], want) {
				t.Errorf("TimeExceeded quotes\n%x; want\n%x", out[42:], want)
			}
			if !bytes.Equal(onWire, before) {
				t.Error("TimeExceeded changed the frame")
			}
		})
	}
	for name, f := range map[string][]byte{
		"an icmp error": udpUnreachable, "a later fragment": with(udp, 20, 0, 1), "link broadcast": with(udp, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "arp": arpRequest,
	} {
		h, _ := packet.Decode(f)
		if got := packet.TimeExceeded(f, h, packet.Inner{Src: client, Dst: server, Proto: h.Proto}, gateway, clientMAC, gwMAC); got != nil {
			t.Errorf("%s: TimeExceeded = %x; want nil", name, got)
		}
	}
}

func TestIsICMPError(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		want  bool
	}{
		"unreachable": {udpUnreachable, true}, "its quote cut": {with(udpUnreachable, 42, 0x40), true},
		"a later fragment": {with(udpUnreachable, 20, 0, 1), false}, "a redirect": {with(echoRequest, 34, 5), false},
		"echo": {echoRequest, false}, "udp": {udp, false}, "arp": {arpRequest, false},
	} {
		h, _ := packet.Decode(tt.frame)
		if got := h.IsICMPError(); got != tt.want {
			t.Errorf("%s: IsICMPError = %v; want %v", name, got, tt.want)
		}
	}
}

func TestTranslateICMPErrorWantsAnError(t *testing.T) {
	for _, f := range [][]byte{syn, echoRequest, arpRequest, with(udpUnreachable, 42, 0x40)} {
		h, _ := packet.Decode(f)
		if got := packet.TranslateICMPError(f, h, packet.Inner{}, gateway, clientMAC, gwMAC); got != nil {
			t.Errorf("TranslateICMPError(%x) = %x; want nil", f, got)
		}
	}
}

func BenchmarkTCPReset(b *testing.B) {
	h, err := packet.Decode(syn)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		packet.TCPReset(h, syn, gwMAC)
	}
}
