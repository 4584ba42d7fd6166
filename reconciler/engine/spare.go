package engine

import (
	"github.com/daolinet/daolinet/reconciler/flows"
	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Recycle gives a batch's flows back once they are encoded: the next session's are
// written over them, since they are half of what a session allocates. The caller
// keeps nothing of the batch. Nobody has to call it. A batch with a token is left
// alone: it is looked at again when the switch refuses part of it.
func (e *Engine) Recycle(b openflow.Batch) {
	if b.Token == 0 {
		e.spare.put(b.Flows)
	}
}

// spare are lists of FlowMods for the flows of one hop, to be written over.
type spare [][]openflow.FlowMod

// maxSpare bounds a spare: a step rarely opens more sessions.
const maxSpare = 64

func (s *spare) put(list []openflow.FlowMod) {
	if cap(list) >= flows.MaxFlows && cap(list) <= 2*flows.MaxFlows && len(*s) < maxSpare {
		*s = append(*s, list[:0])
	}
}

// take returns an empty list, with or without room.
func (s *spare) take() []openflow.FlowMod {
	n := len(*s)
	if n == 0 {
		return nil
	}
	list := (*s)[n-1]
	*s = (*s)[:n-1]
	return list
}
