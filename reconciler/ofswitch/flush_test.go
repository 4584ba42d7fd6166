package ofswitch_test

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// numbered is a batch of some flows that bear a number.
func numbered(n uint64) of.Batch {
	b := of.Batch{DPID: 7}
	for range 5 {
		f := aFlow
		f.Cookie = n
		b.Flows = append(b.Flows, of.Add(f))
	}
	return b
}

func (p *peer) wantNumbered(n uint64) {
	p.t.Helper()
	for range 5 {
		if _, m := p.want(of.TypeFlowMod); binary.BigEndian.Uint64(m[8:]) != n {
			p.t.Fatalf("flow of batch %#x came; want %#x", binary.BigEndian.Uint64(m[8:]), n)
		}
	}
}

func TestQueuedBatchesLeaveByFlush(t *testing.T) {
	test := func(t *testing.T, p *peer, sw *ofswitch.Switch) {
		const batches = 20
		queued := make(chan bool)
		go func() {
			defer close(queued)
			for n := range uint64(batches) {
				if err := sw.Queue(numbered(n)); err != nil {
					t.Error(err)
				}
			}
			sw.Flush()
			sw.Flush() // of nothing
		}()
		for n := range uint64(batches) {
			p.wantNumbered(n)
		}
		<-queued
		if err := sw.Queue(of.Batch{DPID: 8}); err == nil {
			t.Error("Queue of a batch for switch 8 to switch 7 succeeded")
		}
		sw.Close()
		p.ended()
		if err := sw.Queue(numbered(0)); err == nil {
			t.Error("Queue after Close succeeded")
		}
		sw.Flush()
	}
	t.Run("over a socket", func(t *testing.T) {
		h := newLifted(func(*ofswitch.Switch, of.PacketIn) {})
		p := listen(t, h)(7)
		test(t, p, <-h.up)
	})
	t.Run("over what is none", func(t *testing.T) {
		_, p, sw := connected(t, ofswitch.Config{})
		test(t, p, sw)
	})
}

// TestFlushKeepsTheOrderWhereTheSocketIsFull has one goroutine flush and others
// send, more than a socket keeps, to a switch that does not read before most is
// there.
func TestFlushKeepsTheOrderWhereTheSocketIsFull(t *testing.T) {
	h := newLifted(func(*ofswitch.Switch, of.PacketIn) {})
	p := listen(t, h)(7)
	sw := <-h.up
	const senders, batches = 3, 8000
	var most, all sync.WaitGroup
	most.Add(senders)
	for i := range uint64(senders) {
		all.Go(func() {
			for n := range uint64(batches) {
				if n == batches*3/4 {
					most.Done()
				}
				var err error
				if b := numbered(i<<32 | n); i == 0 {
					err = sw.Queue(b)
					if n%7 == 6 || n == batches-1 {
						sw.Flush()
					}
				} else {
					err = sw.Send(b)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	most.Wait()
	var next [senders]uint64
	for range senders * batches {
		_, m := p.want(of.TypeFlowMod)
		i := binary.BigEndian.Uint64(m[8:]) >> 32
		if n := binary.BigEndian.Uint64(m[8:]); n != i<<32|next[i] {
			t.Fatalf("batch %#x came when %d was due", n, next[i])
		}
		for range 4 {
			if _, again := p.want(of.TypeFlowMod); binary.BigEndian.Uint64(again[8:]) != i<<32|next[i] {
				t.Fatalf("flow %#x came in batch %d of sender %d", again[8:16], next[i], i)
			}
		}
		next[i]++
	}
	all.Wait()
}
