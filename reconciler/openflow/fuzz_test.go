package openflow_test

import (
	"bytes"
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// hostileFrames are frames that a container can send and that libOpenflow panics
// or spins on; here they are a PacketIn's content and must pass untouched.
func hostileFrames() map[string][]byte {
	eth := func(ethType ...byte) []byte {
		return append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0x0b}, ethType...)
	}
	ipv4 := func(ihl byte) []byte {
		return append(eth(8, 0), append([]byte{0x40 | ihl, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0}, make([]byte, 8)...)...)
	}
	ipv6 := append(eth(0x86, 0xdd), make([]byte, 552)...) // 566 bytes in all
	ipv6[14], ipv6[14+6] = 0x60, 0                        // next header: hop-by-hop
	ipv6[54], ipv6[55] = 59, 63                           // its length, 512 bytes
	ipv6[56], ipv6[57] = 1, 254                           // an option of length 254
	return map[string][]byte{
		"ihl 0":                  ipv4(0),
		"ihl 4":                  ipv4(4),
		"ihl 15":                 ipv4(15),
		"vlan header at the end": eth(0x81, 0, 0, 1),
		"vlan tag cut":           eth(0x81, 0),
		"short ipv4":             eth(8, 0, 0x45),
		"short arp":              eth(8, 6, 0, 1),
		"hop-by-hop option 254":  ipv6,
		"empty":                  {},
	}
}

func TestPacketInsPassHostileFramesUntouched(t *testing.T) {
	for name, frame := range hostileFrames() {
		p, err := of.DecodePacketIn(packetIn(frame))
		if err != nil || !bytes.Equal(p.Frame, frame) {
			t.Errorf("%s: DecodePacketIn = %x, %v; want %x", name, p.Frame, err, frame)
		}
	}
}

func FuzzDecodePacketIn(f *testing.F) {
	for _, frame := range hostileFrames() {
		f.Add(packetIn(frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := of.DecodePacketIn(b)
		if err == nil && len(p.Frame) > len(b) {
			t.Errorf("DecodePacketIn of %d bytes has a frame of %d", len(b), len(p.Frame))
		}
	})
}

// FuzzDecode gives any bytes to every decoder: none may panic, spin, or grow
// beyond what its input can hold.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens() {
		f.Add(g.bytes)
	}
	for _, frame := range hostileFrames() {
		f.Add(packetIn(frame))
	}
	f.Add(flowStats(1, matchOf(sessionFlow.Match), matchOf(of.Match{})))
	f.Add(message(f, of.TypeFeaturesReply, "0000525400000001 00000000 fe 00 0000 0000004f 00000000", portBytes))
	f.Add(message(f, of.TypeMultipartReply, "000d 0000 00000000", portBytes))
	f.Add(message(f, of.TypePortStatus, "02 00000000000000", portBytes))
	f.Add(message(f, of.TypeError, "000c 0001 041d0020"))
	f.Add(message(f, of.TypeError, "ffff 08fe 00002320 0102"))
	f.Add(message(f, of.TypeRoleReply, "00000002 00000000 0102030405060708"))
	f.Add(message(f, of.TypeFlowRemoved, "0310000a00000007 00c8 01 02 00000004 00000000 0000 000a",
		"0000000000000005 00000000000001f4 0001000400000000"))
	f.Add([]byte{6, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x50})
	f.Fuzz(func(t *testing.T, b []byte) {
		of.ParseHeader(b)
		of.DecodeHello(b)
		of.DecodePacketIn(b)
		of.DecodeFlowRemoved(b)
		of.DecodePortStatus(b)
		of.DecodeFeatures(b)
		of.DecodeRole(b)
		of.DecodeMultipart(b)
		if e, err := of.DecodeError(b); err == nil {
			_ = e.Error()
		}
		if flows, err := of.AppendFlowStats(nil, b); err == nil && len(flows) > len(b)/48 {
			t.Errorf("AppendFlowStats of %d bytes has %d flows", len(b), len(flows))
		}
		if ports, err := of.AppendPorts(nil, b); err == nil && len(ports) > len(b)/64 {
			t.Errorf("AppendPorts of %d bytes has %d ports", len(b), len(ports))
		}
	})
}

// FuzzDecodeMatch: what is decoded and fully known encodes to a match that
// decodes to the same value.
func FuzzDecodeMatch(f *testing.F) {
	for _, c := range flowCases {
		f.Add(matchOf(c.mod.Flow.Match))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, known, _, ok := of.DecodeMatch(b)
		if !ok || !known {
			return
		}
		again, known, _, ok := of.DecodeMatch(matchOf(m))
		if again != m || !known || !ok {
			t.Errorf("DecodeMatch(%x) = %s; encoded and decoded again %s, known %v, ok %v", b, m, again, known, ok)
		}
	})
}

// FuzzFlowStats: whatever a switch reports, a whole flow is one that encodes to
// what decodes to the same flow, and one in part at least never fails to encode.
func FuzzFlowStats(f *testing.F) {
	var entries [][]byte
	for _, c := range flowCases {
		entries = append(entries, entryOf(c.mod.Flow, 0))
		f.Add(replyOf(entries[len(entries)-1]))
	}
	for _, c := range readCaptured(f) {
		f.Add(replyOf(c.entry))
	}
	f.Add(replyOf(entries[:4]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		flows, err := of.AppendFlowStats(nil, b)
		if err != nil {
			if flows != nil {
				t.Errorf("AppendFlowStats = %d flows with %v", len(flows), err)
			}
			return
		}
		if len(flows) > len(b)/56 { // an entry and the shortest match
			t.Errorf("AppendFlowStats of %d bytes has %d flows", len(b), len(flows))
		}
		for i := range flows {
			want := &flows[i]
			if want.Whole && !want.Known {
				t.Errorf("%s is whole, but its match is not known", want.Flow)
			}
			again, err := of.AppendFlowStats(nil, replyOf(entryOf(want.Flow, 0)))
			if err != nil || len(again) != 1 {
				t.Fatalf("%s, encoded and decoded again: %d flows, %v", want.Flow, len(again), err)
			}
			if want.Known && (again[0].Flow != want.Flow || !again[0].Whole) {
				t.Errorf("%s, encoded and decoded again: %s, whole %v", want.Flow, again[0].Flow, again[0].Whole)
			}
		}
	})
}

// matchFrom makes any match that a Match can hold from random bytes.
func matchFrom(b []byte) (m of.Match) {
	next := func() byte {
		if len(b) == 0 {
			return 0
		}
		c := b[0]
		b = b[1:]
		return c
	}
	number := func(n int) (v uint64) {
		for range n {
			v = v<<8 | uint64(next())
		}
		return v
	}
	mac := func() of.OptMAC {
		if next()&1 == 0 {
			return of.OptMAC{}
		}
		return of.ExactMAC(of.MAC{next(), next(), next(), next(), next(), next()})
	}
	u8 := func() of.Bits[uint8] { return of.Masked(next(), next()) }
	u16 := func() of.Bits[uint16] { return of.Masked(uint16(number(2)), uint16(number(2))) }
	u32 := func() of.Bits[uint32] { return of.Masked(uint32(number(4)), uint32(number(4))) }
	m.IPProto = u8()
	m.L4Src, m.L4Dst = u16(), u16()
	m.IPSrc, m.IPDst = u32(), u32()
	m.EthType = uint16(number(2))
	m.InPort = of.PortNo(number(4))
	m.Metadata = of.Masked(number(8), number(8))
	m.EthSrc, m.EthDst = mac(), mac()
	m.NoVLAN = next()&1 == 1
	m.IPTTL = u8()
	m.TCPFlags = u16()
	if m.TCPFlags.Mask &= 0xfff; m.TCPFlags.Mask == 0xfff {
		m.TCPFlags.Mask = 0xffff // the flag bits that exist are all of them
	}
	m.TCPFlags.Value &= m.TCPFlags.Mask
	m.ICMPType, m.ICMPCode = u8(), u8()
	m.ARPOp = u16()
	m.ARPSPA, m.ARPTPA = u32(), u32()
	m.ARPSHA, m.ARPTHA = mac(), mac()
	return m
}

// FuzzEncodeMatch: every match survives its encoding.
func FuzzEncodeMatch(f *testing.F) {
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 160))
	f.Add(bytes.Repeat([]byte{0x11, 0xff, 0x80}, 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		want := matchFrom(b)
		mod := of.FlowMod{Flow: of.Flow{Match: want}}
		encoded := of.AppendFlowMod(nil, xid, &mod)
		if h, err := of.ParseHeader(encoded); err != nil || int(h.Length) != len(encoded) {
			t.Fatalf("header %+v of %d bytes: %v", h, len(encoded), err)
		}
		got, known, rest, ok := of.DecodeMatch(encoded[48:])
		if got != want || !known || len(rest) != 0 || !ok {
			t.Errorf("match %s came back as %s, known %v, ok %v", want, got, known, ok)
		}
	})
}
