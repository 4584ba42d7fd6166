package packet_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/packet"
)

func FuzzDecode(f *testing.F) {
	for _, frame := range [][]byte{arpRequest, syn, synReset, udp, udpUnreachable, echoRequest, echoReply, tagged(syn, 100)} {
		f.Add(frame)
	}
	for _, frame := range hostile() {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		h, err := packet.Decode(frame)
		if _, ok := err.(packet.Malformed); err != nil && !ok {
			t.Fatalf("Decode = %v; want a Malformed", err)
		}
		checkOffsets(t, &h, len(frame))
		packet.ChecksumsValid(frame, &h)
		checkReply(t, "TCPReset", packet.TCPReset(h, frame, gwMAC), &h)
		checkReply(t, "ICMPUnreachable", packet.ICMPUnreachable(frame, h, packet.CodeAdminProhibited, gateway, gwMAC), &h)
		if h.EthType == packet.EthTypeIPv4 {
			sent := packet.Inner{Src: client, Dst: server, Proto: h.Proto, SrcPort: 999, DstPort: 80, ICMPType: h.ICMPType}
			told := h
			told.Src, told.EthSrc = client, clientMAC
			checkReply(t, "TimeExceeded", packet.TimeExceeded(frame, h, sent, gateway, clientMAC, gwMAC), &told)
		}
		if h.Inner != nil {
			h.Src = h.Inner.Src // the one whom the translated error goes to
			h.EthSrc = clientMAC
			checkReply(t, "TranslateICMPError", packet.TranslateICMPError(frame, h, *h.Inner, gateway, clientMAC, gwMAC), &h)
		}
	})
}

func checkOffsets(t *testing.T, h *packet.Headers, n int) {
	t.Helper()
	if h.IPOffset < 0 || h.IPOffset > n || h.L4Offset < h.IPOffset || h.L4Offset > n {
		t.Fatalf("offsets %d, %d of a frame of %d bytes", h.IPOffset, h.L4Offset, n)
	}
	if h.EthType == packet.EthTypeIPv4 && h.LaterFragment && (h.SrcPort != 0 || h.DstPort != 0 || h.Flags != 0) {
		t.Fatalf("later fragment has transport fields: %+v", h)
	}
}

// checkReply fails unless reply is nil or a valid frame to the sender of h.
func checkReply(t *testing.T, name string, reply []byte, h *packet.Headers) {
	t.Helper()
	if reply == nil {
		return
	}
	r, err := packet.Decode(reply)
	if err != nil || !packet.ChecksumsValid(reply, &r) {
		t.Fatalf("%s made a bad frame (%v): %x", name, err, reply)
	}
	if r.Dst != h.Src || r.EthDst != h.EthSrc || len(reply) > 14+576 && name != "TranslateICMPError" {
		t.Fatalf("%s answers %+v with %x", name, h, reply)
	}
}
