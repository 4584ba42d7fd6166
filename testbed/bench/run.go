package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/testbed/netns"
)

// Effort says how long and how often to measure.
type Effort struct {
	Rounds   int           // of each comparison
	Round    time.Duration // of each side in a round
	Core     time.Duration // the same, where only this process computes
	Sessions int           // live ones, where lines speak of 10,000
	Tenants  int           // of a big revision, with 100 rules each
	Edits    int           // of a revision, where a percentile of them is told
}

// Full is the effort behind published numbers.
func Full() Effort {
	return Effort{Rounds: 5, Round: 1500 * time.Millisecond, Core: 500 * time.Millisecond, Sessions: 10_000, Tenants: 1000, Edits: 10}
}

// Smoke is enough to see that all measures something.
func Smoke() Effort {
	return Effort{Rounds: 1, Round: 200 * time.Millisecond, Core: 50 * time.Millisecond, Sessions: 200, Tenants: 10, Edits: 2}
}

// Measurement measures some lines together.
type Measurement struct {
	Name  string   // for progress
	Lines []string // all that Run returns values for
	Run   func(ctx context.Context, e *Env) ([]Value, error)
}

// Measurements returns all, in the order in which they run.
func Measurements() []Measurement {
	return []Measurement{
		{"engine", []string{"engine-cached", "engine-allocated"}, measureEngine},
		{"decision", []string{"decide-uncached"}, measureDecision},
		{"codec", []string{"codec-flowmod"}, measureCodec},
		{"revision", []string{"revision-cold", "revision-edit"}, measureRevision},
		{"rejudge", []string{"rejudge"}, measureRejudge},
		{"adopt", []string{"adopt"}, measureAdopt},
		{"sockets", []string{"sockets-answers", "sockets-cpu"}, measureSockets},
		{"cut", []string{"cut-p99"}, measureCut},
		{"revoke", []string{"revoke-p99", "revoke-cpu", "revoke-memory"}, measureRevoke},
		{"restart", []string{"restart"}, measureRestart},
		{"idle", []string{"idle-controller", "idle-hostd", "idle-cpu"}, measureIdle},
		{"docker", []string{"docker-run"}, measureDockerRun},
		{"packets", []string{"first-packet-200-p50", "first-packet-200-p99", "first-packet-200-lost",
			"first-packet-500-p50", "first-packet-500-p99", "first-packet-500-lost"}, measureFirstPacket},
		{"sessions", []string{"sessions-one-switch"}, measureSessions},
		{"connect", []string{"connect-cross-host", "connect-one-host"}, measureConnect},
		{"flood", []string{"flood-first-packet-p99", "flood-first-packet-lost"}, measureFlood},
		{"scale", []string{"scale-endpoint-memory", "scale-session-memory", "scale-delta", "scale-audit"}, measureScale},
		{"scale-packets", []string{"scale-first-packet-p50", "scale-first-packet-p99", "scale-first-packet-lost", "scale-controller"}, measureScalePackets},
	}
}

// Options says what to run.
type Options struct {
	Lines    *regexp.Regexp // names of lines; nil: all
	Effort   Effort
	Binaries string    // directory of the programs; "": build them
	Self     string    // daoli-bench, which is its own null controller
	Progress io.Writer // nil: none
}

// Env is what measurements share. What it makes it makes when first asked.
type Env struct {
	Options
	dir  string // of this run's files; "": none yet
	beds *pair  // nil: none yet
}

// pair returns the two testbeds.
func (e *Env) pair(ctx context.Context) (*pair, error) {
	if e.beds != nil {
		return e.beds, nil
	}
	var err error
	if e.beds, err = newPair(ctx, e); err != nil {
		e.beds = nil // it has closed what there was of it
	}
	return e.beds, err
}

// binaries returns the directory of the programs that are measured.
func (e *Env) binaries(ctx context.Context) (string, error) {
	if e.Binaries != "" {
		return e.Binaries, nil
	}
	var err error
	if e.dir, err = os.MkdirTemp("", "dlb"); err != nil {
		return "", err
	}
	dir := filepath.Join(e.dir, "bin")
	if err := netns.Build(ctx, dir); err != nil {
		return "", err
	}
	e.Binaries = dir
	return dir, nil
}

// close removes what was made.
func (e *Env) close() error {
	var err error
	if e.beds != nil {
		err = e.beds.close()
	}
	if e.dir != "" {
		err = errors.Join(err, os.RemoveAll(e.dir))
	}
	return err
}

// Run measures the lines that are asked for. A measurement that fails makes its
// lines' rows say why, and stops no other; the error is of ctx, or a mistake in
// the tables.
func Run(ctx context.Context, o Options) (rows []Row, err error) {
	e := &Env{Options: o}
	if e.Progress == nil {
		e.Progress = io.Discard
	}
	defer func() { err = errors.Join(err, e.close()) }()
	found := map[string]Row{}
	lines := Lines()
	for _, m := range Measurements() {
		if !slices.ContainsFunc(m.Lines, o.selects) {
			continue
		}
		begin := time.Now()
		fmt.Fprintf(e.Progress, "%-10s ...\n", m.Name)
		values, failed := m.within(ctx, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		fmt.Fprintf(e.Progress, "%-10s %.1f s\n", m.Name, time.Since(begin).Seconds())
		if failed != nil {
			fmt.Fprintf(e.Progress, "%-10s failed: %v\n", m.Name, failed)
		}
		if err := collect(found, lines, m, values, failed); err != nil {
			return nil, err
		}
	}
	for _, l := range lines {
		if r, ok := found[l.Name]; ok && o.selects(l.Name) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// patience bounds a measurement, so that one which hangs stops no other.
const patience = 3 * time.Minute

// within runs a measurement with the collector's pace of a controller's process,
// and without what those before it left on the heap: else it would pay for
// marking that again and again.
func (m *Measurement) within(ctx context.Context, e *Env) ([]Value, error) {
	controller.TuneGC()
	debug.FreeOSMemory()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not measured within %s", patience))
	defer cancel()
	return m.Run(ctx, e)
}

func (o *Options) selects(name string) bool { return o.Lines == nil || o.Lines.MatchString(name) }

// collect adds a row for each line of a measurement.
func collect(found map[string]Row, lines []Line, m Measurement, values []Value, failed error) error {
	for _, name := range m.Lines {
		at := slices.IndexFunc(lines, func(l Line) bool { return l.Name == name })
		if at < 0 {
			return fmt.Errorf("measurement %s has no line %s in the table", m.Name, name)
		}
		v := slices.IndexFunc(values, func(v Value) bool { return v.Line == name })
		switch {
		case failed != nil:
			found[name] = Row{Line: lines[at], Err: failed}
		case v < 0:
			return fmt.Errorf("measurement %s gave no value for its line %s", m.Name, name)
		default:
			r, err := join(lines[at], values[v])
			if err != nil {
				return err
			}
			found[name] = r
		}
	}
	return nil
}
