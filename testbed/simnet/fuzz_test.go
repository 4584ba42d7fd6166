package simnet_test

import (
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// FuzzReceive lets any bytes pass flows that read and write every header: the
// switch must not break, and must leave right checksums right.
func FuzzReceive(f *testing.F) {
	for _, p := range []packet.Proto{packet.TCP, packet.UDP, packet.ICMP, packet.SCTP} {
		f.Add(build(p, nil))
		f.Add(build(p, func(h *packet.Headers) { h.VLAN = packet.VLANPresent | 7 }))
	}
	f.Add(arp(1))
	f.Add([]byte("\x02\x00\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x0a\x00\x08\xaa\xaa\x03\x00\x00\x00\x08\x00"))
	rewrite := func(table of.TableID, m of.Match, as ...of.Action) of.Flow {
		return of.Flow{Table: table, Priority: 1, Match: m, Actions: of.ActionList(as...), Goto: table + 1}
	}
	flows := []of.Flow{
		rewrite(0, of.Match{}, of.SetMAC(of.FieldEthSrc, of.MAC(macB)), of.Load(1, of.FieldEthDst, 3, 2)),
		rewrite(1, anyIP, of.SetIP(of.FieldIPSrc, ipB), of.Move(of.FieldIPSrc, of.FieldIPDst), of.SetTTL(9)),
		rewrite(1, anyARP, of.Set(of.FieldARPOp, 2), of.Move(of.FieldARPSHA, of.FieldARPTHA), of.SetIP(of.FieldARPSPA, ipB)),
		rewrite(2, anyTCP, of.Set(of.FieldTCPSrc, 7), of.Load(1, of.FieldTCPDst, 15, 1)),
		rewrite(2, anyUDP, of.Set(of.FieldUDPSrc, 7), of.Load(1, of.FieldUDPDst, 15, 1)),
		rewrite(2, anyICMP, of.Set(of.FieldICMPType, 0), of.Set(of.FieldICMPCode, 7)),
		{Table: 3, Actions: of.ActionList(of.Output(2))},
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := simnet.NewSwitch("s", 1, 1, 2)
		apply(t, s, t0, of.Batch{Flows: adds(flows...)})
		before, err := packet.Decode(frame)
		valid := err == nil && packet.ChecksumsValid(frame, &before)
		for _, o := range s.Receive(t0, 1, frame).Outputs {
			if len(o.Frame) != len(frame) {
				t.Fatalf("%d bytes became %d", len(frame), len(o.Frame))
			}
			after, err := packet.Decode(o.Frame)
			if valid && (err != nil || !packet.ChecksumsValid(o.Frame, &after)) {
				t.Fatalf("valid frame became %x (%v)", o.Frame, err)
			}
		}
	})
}
