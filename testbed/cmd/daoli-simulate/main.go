// Command daoli-simulate runs DaoliNet under virtual time, from seeds, until an
// invariant breaks: see package simulate. A failure is printed with what led to
// it and how to repeat it, and the exit status is 1.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/daolinet/daolinet/testbed/simulate"
)

func main() {
	err := run(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(*simulate.Failure)):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "daoli-simulate:", err)
		os.Exit(2)
	}
}

// config is what the flags say.
type config struct {
	seed  uint64
	seeds uint64
	steps int
	tail  int
	span  time.Duration
	trace bool
	all   bool
}

func run(args []string, out io.Writer) error {
	var c config
	fs := flag.NewFlagSet("daoli-simulate", flag.ContinueOnError)
	fs.Uint64Var(&c.seed, "seed", 0, "first seed; 0: one that nobody ran before")
	fs.Uint64Var(&c.seeds, "seeds", 1, "how many seeds to run, one after another")
	fs.IntVar(&c.steps, "steps", 10_000, "steps of each")
	fs.DurationVar(&c.span, "for", 0, "run seeds until so much time has passed, in place of --seeds")
	fs.IntVar(&c.tail, "tail", 60, "lines of what led to a failure")
	fs.BoolVar(&c.trace, "trace", false, "print all that happens")
	fs.BoolVar(&c.all, "all", false, "go on after a failure, and print a line for each")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if c.seed == 0 {
		c.seed = uint64(time.Now().UnixNano())
	}
	library, err := simulate.NewLibrary()
	if err != nil {
		return err
	}
	return c.runAll(library, out)
}

func (c *config) runAll(library *simulate.Library, out io.Writer) error {
	var sum simulate.Stats
	began := time.Now()
	end := func(n uint64) bool {
		if c.span > 0 {
			return time.Since(began) >= c.span
		}
		return n >= c.seeds
	}
	n := uint64(0)
	var first error // or another one, if all are wanted
	for ; !end(n); n++ {
		o := simulate.Options{Library: library, Seed: c.seed + n, Steps: c.steps}
		if c.trace {
			o.Trace = func(line string) { fmt.Fprintln(out, line) }
		}
		stats, failure := simulate.Run(o)
		sum.Add(stats)
		switch {
		case failure == nil:
		case c.all:
			first = failure
			fmt.Fprintln(out, failure)
		default:
			c.tell(o, failure, out)
			return failure
		}
	}
	seconds := time.Since(began).Seconds()
	fmt.Fprintf(out, "seeds %d to %d: %+v, %.1f s, %.0f steps/s\n", c.seed, c.seed+n-1, sum, seconds, float64(sum.Steps)/seconds)
	return first
}

// tell prints a failure with what led to it.
func (c *config) tell(o simulate.Options, f *simulate.Failure, out io.Writer) {
	again, lines := simulate.Repeat(o, c.tail)
	fmt.Fprintf(out, "%s\n%v\n", strings.Join(lines, "\n"), f)
	if again == nil || again.Error() != f.Error() {
		fmt.Fprintf(out, "it did not repeat: %v\n", again)
	}
	fmt.Fprintf(out, "repeat it with: make simulate SEED=%d STEPS=%d\n", o.Seed, o.Steps)
}
