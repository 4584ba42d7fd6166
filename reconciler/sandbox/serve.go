// Package sandbox runs tenants' Rego where it can do no harm: in child processes
// that are killed when they take too long, and that the kernel stops when they take
// too much memory. Whoever's question it was is known exactly, since a child answers
// one after the other.
//
//	Take ──► preflight child: vet, compile, run the tests of what is new
//	Ask  ──► quick child: 50 ms for an answer ──overrun──► slow child: 250 ms ──overrun──► quarantine
//
// A module that overran once, or takes more than a millisecond on the whole, is asked in
// the slow child from then on, where it delays only its like. One that overruns there as
// well is in quarantine: it is not asked again, and the tenant's last good module takes
// its place. Tenants have turns in each child, and whoever waits for one is told by Slow
// who must not wait beside others.
package sandbox

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/reconciler/confine"
	"github.com/daolinet/daolinet/reconciler/hook"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// request is what a child is asked; one of its fields is set.
type request struct {
	Load *policy.HookModule // compile it; its Hash is its name from then on
	Test bool               // of Load: run its tests, and keep nothing of it
	Ask  *policy.HookQuery
}

// reply answers one request, in order.
type reply struct {
	Problems []string // of Load: why not, each FILE:LINE: TEXT
	Answer   policy.HookAnswer
	Took     time.Duration // of Ask: of the CPU, so that a busy machine doesn't make it slow
}

const (
	maxProblems = 20
	maxProblem  = 300 // bytes
	maxMemory   = 512 << 20
	softMemory  = 384 << 20 // from here on the collector works harder
	maxStack    = 64 << 20
)

// Confine puts this process, a child, under its limits. Its time is bounded by who
// waits for it.
func Confine() error {
	debug.SetMemoryLimit(softMemory)
	debug.SetMaxStack(maxStack)
	return confine.Limits{Memory: maxMemory, CPU: 0, FDs: 16}.Apply()
}

// Serve answers requests until in ends.
func Serve(in io.Reader, out io.Writer) error {
	buffered := bufio.NewWriter(out)
	reader := bufio.NewReader(in)
	requests, replies := gob.NewDecoder(reader), gob.NewEncoder(buffered)
	modules := map[string]*hook.Module{}
	for {
		var q request
		if err := requests.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		if err := replies.Encode(serve(modules, &q)); err != nil {
			return fmt.Errorf("write reply: %w", err)
		}
		if err := buffered.Flush(); err != nil {
			return fmt.Errorf("write reply: %w", err)
		}
	}
}

func serve(modules map[string]*hook.Module, q *request) (r reply) {
	switch {
	case q.Load != nil:
		m, problems := hook.Compile(q.Load, q.Test)
		switch {
		case len(problems) > 0:
		case q.Test:
			problems = m.Test()
		default:
			modules[q.Load.Hash] = m
		}
		r.Problems = bounded(problems)
	case modules[q.Ask.Hash] == nil:
		r.Answer = policy.HookAnswer{Failed: policy.ReasonPolicyError}
	default:
		began := used()
		r.Answer = modules[q.Ask.Hash].Ask(q.Ask)
		r.Took = used() - began
	}
	return r
}

// used returns the time of the CPU that this process has used.
func used() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bounded cuts what tenants' text may have swollen.
func bounded(problems []string) []string {
	problems = problems[:min(len(problems), maxProblems)]
	for i, p := range problems {
		problems[i] = p[:min(len(p), maxProblem)]
	}
	return problems
}
