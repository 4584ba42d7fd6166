package sandbox

import (
	"context"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
)

const (
	maxQueued = 4096 // questions that wait for one child
	maxBatch  = 32   // that are written to it at once
	maxLoaded = 2048 // modules that it has
)

// question is one Ask.
type question struct {
	q      *policy.HookQuery
	module *policy.HookModule
	answer chan policy.HookAnswer // capacity 1
}

// lane is a child and those who ask it.
type lane struct {
	command  []string
	deadline time.Duration // for one answer
	load     time.Duration // for one module to be compiled
	queue    chan question
	// failed is told whose question the child was at when it had to be killed, and
	// answers it.
	failed func(question, error)
	// divert takes a question away that is not for this child any more.
	divert func(question) bool
	proc   *process
}

// run serves the queue until ctx ends.
func (l *lane) run(ctx context.Context) {
	defer l.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-l.queue:
			batch := []question{first}
		more:
			for len(batch) < maxBatch {
				select {
				case q := <-l.queue:
					batch = append(batch, q)
				default:
					break more
				}
			}
			for len(batch) > 0 && ctx.Err() == nil {
				batch = l.serve(batch)
			}
		}
	}
}

func (l *lane) stop() {
	if l.proc != nil {
		l.proc.kill()
		l.proc = nil
	}
}

// serve asks the child all of a batch, and returns what is left of it when the child
// had to be killed: those behind the one that did it.
func (l *lane) serve(batch []question) []question {
	batch = slices.DeleteFunc(batch, l.divert)
	if l.proc != nil && len(l.proc.loaded) > maxLoaded {
		l.stop() // it has modules of many revisions
	}
	if l.proc == nil {
		p, err := start(l.command)
		if err != nil {
			for _, q := range batch {
				q.answer <- *q.module.Failing(policy.ReasonPolicyError)
			}
			return nil
		}
		l.proc = p
	}
	for i, q := range batch {
		if err := l.prepare(q.module); err != nil {
			l.stop()
			l.failed(q, err)
			return append(batch[:i:i], batch[i+1:]...)
		}
	}
	for _, q := range batch {
		_ = l.proc.send(&request{Ask: q.q}) // whether it arrived shows in the reply
	}
	_ = l.proc.flush()
	for i, q := range batch {
		r, err := l.proc.receive(l.deadline)
		if err != nil {
			l.stop()
			l.failed(q, err)
			return batch[i+1:]
		}
		if r.Answer.Failed != "" && r.Answer.Module == "" {
			f := q.module.Failing(r.Answer.Failed)
			if r.Answer.At.File != "" {
				f.At = r.Answer.At
			}
			r.Answer = *f
		}
		q.answer <- r.Answer
	}
	return nil
}

// prepare has the child compile a module that it has not yet.
func (l *lane) prepare(m *policy.HookModule) error {
	if l.proc.loaded[m.Hash] {
		return nil
	}
	if err := l.proc.send(&request{Load: m}); err != nil {
		return err
	}
	if err := l.proc.flush(); err != nil {
		return err
	}
	if _, err := l.proc.receive(l.load); err != nil {
		return err
	}
	l.proc.loaded[m.Hash] = true
	return nil
}
