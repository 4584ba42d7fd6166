package ofswitch

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Batches are found by xid also when the xids wrap around, and no xid between
// batches belongs to one.
func TestPendingBatchesAreFoundByXid(t *testing.T) {
	for _, start := range []uint32{1, 0xffffffff - 25, 0xffffffff - 5} {
		var p pendingBatches
		xid := start
		for token := range uint64(10) {
			p.add(pendingBatch{first: xid, barrier: xid + 4, batch: openflow.Batch{Token: token + 1}})
			xid += 6 // one xid between is a message without a batch
		}
		for i := range uint32(60) {
			b := p.find(start + i)
			switch want := uint64(i/6) + 1; {
			case i%6 == 5 && b != nil:
				t.Errorf("start %#x: xid %d found batch %d; want none", start, i, b.batch.Token)
			case i%6 != 5 && (b == nil || b.batch.Token != want):
				t.Errorf("start %#x: xid %d found %+v; want batch %d", start, i, b, want)
			}
		}
		for _, outside := range []uint32{start - 1, xid, xid + 100} {
			if b := p.find(outside); b != nil {
				t.Errorf("start %#x: xid %#x found batch %d; want none", start, outside, b.batch.Token)
			}
		}
		if _, ok := p.done(start + 10); ok {
			t.Errorf("start %#x: the second batch was done before the first", start)
		}
		for token := range uint64(10) {
			b, ok := p.done(start + uint32(token)*6 + 4)
			if !ok || b.batch.Token != token+1 {
				t.Errorf("start %#x: done = %d, %v; want %d", start, b.batch.Token, ok, token+1)
			}
		}
		if p.find(start) != nil || p.len() != 0 {
			t.Errorf("start %#x: %d batches are left", start, p.len())
		}
	}
}
