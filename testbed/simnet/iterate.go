package simnet

import (
	"iter"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// All yields the flows by table, highest priority first, then oldest: cheaper
// than Flows. The switch must not change meanwhile, nor may the caller change
// what it is given.
func (s *Switch) All() iter.Seq[*openflow.Flow] {
	return func(yield func(*openflow.Flow) bool) {
		for _, id := range s.tableIDs() {
			for _, e := range s.tables[id] {
				if !yield(&e.Flow) {
					return
				}
			}
		}
	}
}

// Stats yields what Dump returns, in the order of All.
func (s *Switch) Stats() iter.Seq[openflow.FlowStats] {
	return func(yield func(openflow.FlowStats) bool) {
		for _, id := range s.tableIDs() {
			for _, e := range s.tables[id] {
				if !yield(s.stats(e)) {
					return
				}
			}
		}
	}
}

func (s *Switch) stats(e *entry) openflow.FlowStats {
	f := e.Flow
	f.IdleTimeout = e.idle()
	return openflow.FlowStats{
		Flow: f, Known: true, Whole: true,
		DurationSec: uint32(s.now.Sub(e.created) / time.Second), Packets: e.packets, Bytes: e.bytes,
	}
}

// Flow returns the flow of a key, or nil.
func (s *Switch) Flow(k openflow.Key) *openflow.Flow {
	if e := s.byKey[k]; e != nil {
		return &e.Flow
	}
	return nil
}
