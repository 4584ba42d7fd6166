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
	// maxAhead is what those may take together, as far as is known: so long nobody else
	// gets a turn.
	maxAhead = 2 * time.Millisecond
)

// question is one Ask.
type question struct {
	q      *policy.HookQuery
	module *policy.HookModule
	answer chan policy.HookAnswer // capacity 1
	since  time.Time
}

// late denies: there was no answer in time.
func (q *question) late() { q.answer <- *q.module.Failing(policy.ReasonPolicyTimeout) }

// lane is a child and those who ask it.
type lane struct {
	command  []string
	deadline time.Duration // for one answer
	load     time.Duration // for one module to be compiled
	lag      time.Duration // a module that takes more of the CPU on the whole is diverted; 0: none
	queue    chan question
	waiting  turns
	pace     pace
	// failed is told whose question the child was at when it had to be killed, and
	// answers it.
	failed func(question, error)
	// divert takes a question away that is not for this child any more.
	divert func(question) bool
	// lags is told of a module that takes more than lag.
	lags func(*policy.HookModule)
	// fair has nobody blamed for the death of a child that had others' modules as well,
	// which may have left it no memory: the question is asked again in one that is new.
	fair bool
	proc *process
}

// run serves the queue until ctx ends.
func (l *lane) run(ctx context.Context) {
	defer l.stop()
	for {
		if l.waiting.n == 0 {
			select {
			case <-ctx.Done():
				return
			case q := <-l.queue:
				l.waiting.add(q)
			}
		}
		l.gather()
		for batch := l.batch(); len(batch) > 0 && ctx.Err() == nil; {
			batch = l.serve(batch)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// gather takes what is queued.
func (l *lane) gather() {
	for l.waiting.n < maxQueued {
		select {
		case q := <-l.queue:
			l.waiting.add(q)
		default:
			return
		}
	}
}

// batch returns the questions whose turn it is.
func (l *lane) batch() (batch []question) {
	for ahead := time.Duration(0); l.waiting.n > 0 && len(batch) < maxBatch && ahead < maxAhead; {
		q := l.waiting.next()
		if takes, known := l.pace[q.module.Hash]; known {
			ahead += takes
		} else {
			ahead += maxAhead
		}
		batch = append(batch, q)
	}
	return batch
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
	batch = slices.DeleteFunc(batch, func(q question) bool {
		if time.Since(q.since) > maxWait {
			q.late() // to nobody
			return true
		}
		return l.divert(q)
	})
	if len(batch) == 0 {
		return nil
	}
	if l.proc != nil && len(l.proc.loaded) > maxLoaded {
		l.stop() // it has modules of many revisions
	}
	if l.proc == nil {
		p, err := start(l.command)
		if err != nil {
			for _, q := range batch {
				q.late() // it is not remembered: there may be room for a process soon
			}
			return nil
		}
		l.proc, l.pace = p, pace{}
	}
	for i, q := range batch {
		if err := l.prepare(q.module); err != nil {
			crowded := l.proc.crowded(q.module)
			l.stop()
			l.died(q, crowded, err)
			return append(batch[:i:i], batch[i+1:]...)
		}
	}
	// A child that hangs doesn't read, and what is asked may be more than its pipe holds.
	written := make(chan struct{})
	go func(p *process) {
		defer close(written)
		for _, q := range batch {
			_ = p.send(&request{Ask: q.q}) // whether it arrived shows in the reply
		}
		_ = p.flush()
	}(l.proc)
	for i, q := range batch {
		r, err := l.proc.receive(l.deadline)
		if err != nil {
			crowded := l.proc.crowded(q.module)
			l.stop() // so what was not written yet fails
			<-written
			l.died(q, crowded, err)
			return batch[i+1:]
		}
		l.answer(q, &r)
	}
	<-written
	return nil
}

// answer passes an answer on.
func (l *lane) answer(q question, r *reply) {
	if r.Answer.Failed != "" && r.Answer.Module == "" {
		f := q.module.Failing(r.Answer.Failed)
		if r.Answer.At.File != "" {
			f.At = r.Answer.At
		}
		r.Answer = *f
	}
	q.answer <- r.Answer
	if took := l.pace.took(q.module.Hash, r.Took); l.lag > 0 && took > l.lag {
		l.lags(q.module)
	}
}

// died says whose question the child was at when it had to be killed, or asks it again.
func (l *lane) died(q question, crowded bool, err error) {
	if l.fair && crowded {
		l.serve([]question{q})
		return
	}
	l.failed(q, err)
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
