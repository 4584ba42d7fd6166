package engine

import (
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Recycle gives a batch back once it is encoded: the next session's flows and
// packets are written over its own, since they are half of what a session
// allocates. The caller keeps nothing of the batch. Nobody has to call it. A batch
// with a token is left alone: it is looked at again when the switch refuses part
// of it.
func (e *Engine) Recycle(b *openflow.Batch) {
	if b.Token == 0 {
		e.spare.put(b)
	}
}

// spare are batches for the flows of one hop, to be written over.
type spare []*openflow.Batch

// maxSpare bounds a spare: a step rarely opens more sessions.
const maxSpare = 64

func (s *spare) put(b *openflow.Batch) {
	if cap(b.Flows) < flows.MaxFlows || cap(b.Flows) > 2*flows.MaxFlows || cap(b.Packets) > 1 || len(*s) == maxSpare {
		return
	}
	clear(b.Packets) // lets go of their frames
	*b = openflow.Batch{Flows: b.Flows[:0], Packets: b.Packets[:0]}
	*s = append(*s, b)
}

// take returns an empty batch for a switch, with or without room.
func (s *spare) take(dpid uint64) *openflow.Batch {
	n := len(*s)
	if n == 0 {
		return &openflow.Batch{DPID: dpid}
	}
	b := (*s)[n-1]
	(*s)[n-1] = nil
	*s = (*s)[:n-1]
	b.DPID = dpid
	return b
}
