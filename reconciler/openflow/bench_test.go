package openflow_test

import (
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

func TestHotMessagesDoNotAllocate(t *testing.T) {
	mod := of.Add(sessionFlow)
	out := packetCases[0].out
	in := packetIn(make([]byte, 98))
	batch := of.Batch{Flows: []of.FlowMod{mod, mod}, Packets: []of.PacketOut{out}}
	var entries [][]byte
	for _, c := range flowCases {
		entries = append(entries, entryOf(c.mod.Flow, 0))
	}
	stats, flows := replyOf(entries...), make([]of.FlowStats, 0, len(entries))
	buf := make([]byte, 0, 4096)
	for _, c := range []struct {
		name string
		run  func()
	}{
		{"AppendFlowMod", func() { of.AppendFlowMod(buf, xid, &mod) }},
		{"AppendPacketOut", func() { of.AppendPacketOut(buf, xid, &out) }},
		{"AppendBarrierRequest", func() { of.AppendBarrierRequest(buf, xid) }},
		{"AppendEchoReply", func() { of.AppendEchoReply(buf, xid, in) }},
		{"AppendBatch", func() { of.AppendBatch(buf, xid, &batch) }},
		{"AppendText", func() { mod.AppendText(buf) }},
		{"ParseHeader", func() { of.ParseHeader(in) }},
		{"DecodePacketIn", func() { of.DecodePacketIn(in) }},
		{"AppendFlowStats", func() { of.AppendFlowStats(flows, stats) }},
		{"DecodeMatch", func() { of.DecodeMatch(in[24:]) }},
	} {
		if n := testing.AllocsPerRun(100, c.run); n != 0 {
			t.Errorf("%s allocates %v times; want 0", c.name, n)
		}
	}
}

func BenchmarkAppendFlowMod(b *testing.B) {
	mod := of.Add(sessionFlow)
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		of.AppendFlowMod(buf, xid, &mod)
	}
}

// The same message by libOpenflow, built and encoded.
func BenchmarkAppendFlowModByLibOpenflow(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := libraryFlowMod().MarshalBinary(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodePacketIn(b *testing.B) {
	in := packetIn(make([]byte, 98))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := of.DecodePacketIn(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendFlowStats(b *testing.B) {
	dst := make([]of.FlowStats, 0, 1)
	for _, c := range []struct {
		name string
		in   []byte
	}{
		{"goto", flowStats(0, matchOf(sessionFlow.Match))},
		{"session", replyOf(entryOf(sessionFlow, 0))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := of.AppendFlowStats(dst, c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkFlowText(b *testing.B) {
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		sessionFlow.AppendText(buf)
	}
}
