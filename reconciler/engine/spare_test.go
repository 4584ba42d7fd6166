package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// recycled opens sessions of several kinds, and returns what the switches were told
// of each. After each one its batches are given to after.
func recycled(t *testing.T, after func(*engine.Engine, *openflow.Batch)) (told []string) {
	b := started(t)
	b.step(engine.RevisionLoaded{Policy: remembering{b.w.AllowAll("r2")}})
	for _, s := range []struct {
		to string
		h  packet.Headers
	}{
		{"db2", syn(80)},
		{"db2", packet.Headers{Proto: packet.UDP, SrcPort: 999, DstPort: 53}},
		{"db1", syn(80)}, // on one host: no guards
		{"db2", packet.Headers{Proto: packet.ICMP, ICMPType: 8}},
		{"db2", syn(81)},
	} {
		var batches []*openflow.Batch
		lifted := engine.PacketIn{DPID: 1, In: openflow.PacketIn{InPort: 16, Frame: b.frame("web1", s.to, s.h)}}
		for _, ef := range b.e.Step(b.now, lifted) {
			if send, ok := ef.(engine.Send); ok {
				batches = append(batches, send.Batch)
			}
		}
		for _, batch := range batches {
			for i := range batch.Flows {
				told = append(told, batch.Flows[i].String())
			}
			for i := range batch.Packets {
				told = append(told, batch.Packets[i].String())
			}
		}
		for _, batch := range batches {
			after(b.e, batch)
		}
	}
	return told
}

func TestRecycledBatchesLeaveNothingBehind(t *testing.T) {
	want := recycled(t, func(*engine.Engine, *openflow.Batch) {})
	got := recycled(t, (*engine.Engine).Recycle)
	if diff := cmp.Diff(want, got); diff != "" || len(want) != 29 {
		t.Errorf("%d flows and packets; those of recycled batches differ: %s", len(want), diff)
	}
}

func TestBatchesWithATokenAreNotWrittenOver(t *testing.T) {
	var kept openflow.Batch
	var was []openflow.FlowMod
	recycled(t, func(e *engine.Engine, b *openflow.Batch) {
		if kept.Flows == nil {
			b.Token = 1
			kept, was = *b, append(was, b.Flows...)
			e.Recycle(b)
		}
	})
	if diff := cmp.Diff(was, kept.Flows); diff != "" {
		t.Errorf("flows that a switch may still refuse have changed: %s", diff)
	}
	// Without the token they are.
	kept = openflow.Batch{}
	was = nil
	recycled(t, func(e *engine.Engine, b *openflow.Batch) {
		if kept.Flows == nil {
			kept, was = *b, append(was, b.Flows...)
			e.Recycle(b)
		}
	})
	if cmp.Equal(was, kept.Flows) {
		t.Error("flows of a recycled batch are as they were; want them written over")
	}
}
