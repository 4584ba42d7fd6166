package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/replay"
)

// shownBadLines bounds the lines of a log that are named, each with what is wrong.
const shownBadLines = 20

var replayFormats = []string{"table", "json", "yaml"}

// replayFlags are the flags of replay.
type replayFlags struct {
	stateFlags
	format   string
	strict   bool
	exitZero bool
}

func replayCommand(sys system) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay LOG... DIR|REF",
		Short: "What a revision would have decided otherwise than a decision log has it",
		Long: `replay asks a state of the YAML again about each line of decision logs (the
controller's --decision-log FILE, and FILE.1 and so on that are older; - is standard
input), and shows the decisions whose verdict would have been another: who, whom,
the port, what the log says, what would have been decided and by which line. Alike
ones are one row. The state is a directory, or a commit of the git repository in which
replay is run, as for plan. It asks no controller.

Each is judged at its own time: a rule holds until its until, then and now. An end is
what the log says of it: VPC, subnet, name, host, labels, address, and the groups that
it was in count as claimed. Whether it may be there, and which groups have it as a
member, the state says.

Not judged, and counted by reason, is what no policy decided (spoofed, quota, scan,
killed, ...), and what no log has: which addresses are hosts' (address-reserved), and
who has an address that was outside and is in a subnet now (no-endpoint). "unsupported"
counts as allowed: the policy allowed it, and nothing carries it yet.

A line that is no record is named by FILE:LINE on stderr, left out and counted.

Exit 0: nothing differs. Exit 1: the state is refused, or something could not be read.
Exit 2: the command is misused. Exit 3: decisions differ; with --exit-zero 0.`,
		Example: `  # before a push: what of last week's traffic would it have decided otherwise?
  daoli-reconcile replay /var/log/daoli/decisions.log* HEAD

  # after an incident: since which commit was this denied?
  grep '"name":"web1"' decisions.log | daoli-reconcile replay - 9f3c2a1b

  # in CI: no denied connection may be let in
  daoli-reconcile replay decisions.log specs/ -o json | jq -e 'all(.changes[]; .is.verdict != "allow")'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return fmt.Errorf("%d arguments given to replay, which takes a decision log, or several, and then a directory or commit", len(args))
			}
			return nil
		},
		RunE: running(func(cmd *cobra.Command, args []string) error {
			if err := choice("--output", f.format, replayFormats...); err != nil {
				return err
			}
			return f.run(cmd.Context(), sys, cmd.InOrStdin(), args[:len(args)-1], args[len(args)-1])
		}),
	}
	f.addPolicies(cmd)
	f.addTree(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.format, "output", "o", "table", "table, json or yaml")
	flags.BoolVar(&f.strict, "strict", false, "refuse a log with a line that is no record")
	flags.BoolVar(&f.exitZero, "exit-zero", false, "exit 0 even if decisions differ")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(replayFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// run replays logs under the state that target names.
func (f *replayFlags) run(ctx context.Context, sys system, stdin io.Reader, logs []string, target string) error {
	r, err := f.revision(ctx, target)
	if err != nil {
		return err
	}
	state, err := f.judge(sys, sys.now(), r)
	if err != nil {
		return err
	}
	in := logReader{sys: sys, stdin: stdin, strict: f.strict}
	d := replay.Run(state.policy, in.records(ctx, logs))
	if in.err != nil {
		return in.err
	}
	if d.BadLines = in.bad; in.bad > shownBadLines {
		fmt.Fprintf(sys.err, "and %d more lines that are no records\n", in.bad-shownBadLines)
	}
	write := map[string]func(io.Writer) error{"table": d.WriteTable, "json": d.WriteJSON, "yaml": d.WriteYAML}[f.format]
	if err := write(sys.out); err != nil {
		return err
	}
	if d.Differ > 0 && !f.exitZero {
		return changed{}
	}
	return nil
}

// logReader reads decision logs.
type logReader struct {
	sys    system
	stdin  io.Reader
	strict bool
	bad    int   // lines that are no records
	err    error // that ended reading early
}

// records returns the records of logs until something ends that early.
func (l *logReader) records(ctx context.Context, logs []string) iter.Seq[decisionlog.Record] {
	return func(yield func(decisionlog.Record) bool) {
		for _, name := range logs {
			if !l.file(ctx, name, yield) {
				return
			}
		}
	}
}

// file reads one log, and reports whether to go on with the next.
func (l *logReader) file(ctx context.Context, name string, yield func(decisionlog.Record) bool) bool {
	in := l.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			l.err = fmt.Errorf("read the decision log: %w", err)
			return false
		}
		defer f.Close()
		in = f
	}
	for r, err := range decisionlog.Read(in) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			if l.err = l.wrong(name, err); l.err != nil {
				return false
			}
		} else if !yield(r) {
			return false
		}
	}
	return true
}

// wrong tells of a line that is no record, or returns what ends the reading.
func (l *logReader) wrong(name string, err error) error {
	var line *decisionlog.LineError
	if !errors.As(err, &line) {
		return fmt.Errorf("%s: %w", name, err)
	}
	text := fmt.Sprintf("%s:%d: %v", name, line.Line, line.Err)
	if l.strict {
		return problems{text}
	}
	if l.bad++; l.bad <= shownBadLines {
		fmt.Fprintln(l.sys.err, text)
	}
	return nil
}
