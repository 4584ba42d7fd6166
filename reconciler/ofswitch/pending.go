package ofswitch

import (
	"errors"
	"fmt"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// pendingBatch is a batch whose barrier is not yet answered.
type pendingBatch struct {
	first, barrier uint32 // xids of its first message and of its barrier
	batch          openflow.Batch
	errs           []error
	refused        int // messages refused, of which errs quotes the first
}

// maxQuoted bounds how many refused messages of one batch are quoted.
const maxQuoted = 16

// pendingBatches are in the order of their xids, which may wrap around.
type pendingBatches struct{ list []pendingBatch }

func (p *pendingBatches) len() int { return len(p.list) }

func (p *pendingBatches) add(b pendingBatch) { p.list = append(p.list, b) }

// find returns the batch that has a message with xid.
func (p *pendingBatches) find(xid uint32) *pendingBatch {
	if len(p.list) == 0 {
		return nil
	}
	base := p.list[0].first
	lo, hi := 0, len(p.list)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.list[mid].barrier-base < xid-base {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(p.list) || xid-p.list[lo].first > p.list[lo].barrier-p.list[lo].first {
		return nil
	}
	return &p.list[lo]
}

// done removes the oldest batch if its barrier has xid: switches answer barriers
// in order.
func (p *pendingBatches) done(xid uint32) (pendingBatch, bool) {
	if len(p.list) == 0 || p.list[0].barrier != xid {
		return pendingBatch{}, false
	}
	b := p.list[0]
	p.list[0] = pendingBatch{}
	p.list = p.list[1:]
	return b, true
}

// refuse notes that the switch refused the message that e names by its xid.
func (b *pendingBatch) refuse(e *openflow.ErrorMessage) {
	b.refused++
	if len(b.errs) >= maxQuoted {
		return
	}
	text := b.batch.MessageText(int(e.Xid - b.first))
	if text == "" {
		text = "barrier"
	}
	b.errs = append(b.errs, fmt.Errorf("%s: %w", text, e))
}

// err joins what the switch refused.
func (b *pendingBatch) err() error {
	errs := b.errs
	if more := b.refused - len(errs); more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", more))
	}
	return errors.Join(errs...)
}
