// Command daoli-bench measures DaoliNet against the numbers that it is to reach,
// and against others in the same run. See package bench.
//
//	daoli-bench                          # all lines; root, for those on real switches
//	daoli-bench --run 'engine|codec'     # some, by regular expression
//	daoli-bench -o markdown              # as the README holds them
//
// It ends with 0 when all was measured, 1 after an error or, with --strict, when
// a target was missed, 2 after wrong usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/testbed/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exitCode(root().ExecuteContext(ctx)))
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "daoli-bench:", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// flags are what the command line says.
type flags struct {
	run, output, binaries, profile string
	list, strict                   bool
}

func root() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "daoli-bench",
		Short:         "Measure DaoliNet against its targets, and against others in the same run",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q; see daoli-bench --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return f.execute(cmd) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.Flags().StringVar(&f.run, "run", "", "measure only lines whose name matches this regular expression")
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table, json or markdown")
	cmd.Flags().StringVar(&f.binaries, "binaries", "", "directory of the programs to measure (default: they are built)")
	cmd.Flags().StringVar(&f.profile, "cpuprofile", "", "file for a CPU profile of this process, which is what the lines without sockets run in")
	cmd.Flags().BoolVar(&f.list, "list", false, "only list the lines and their targets")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "end with 1 if a target is missed")
	cmd.AddCommand(nullCommand())
	return cmd
}

func (f *flags) execute(cmd *cobra.Command) error {
	o := bench.Options{Effort: bench.Full(), Binaries: f.binaries, Progress: cmd.ErrOrStderr()}
	var err error
	if o.Lines, err = regexp.Compile(f.run); err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	write, found := writers()[f.output]
	if !found {
		return usageError{fmt.Errorf("--output %q: must be table, json or markdown", f.output)}
	}
	if f.list {
		return list(cmd.OutOrStdout(), o)
	}
	if o.Self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	stop, err := f.startProfile()
	if err != nil {
		return err
	}
	rows, err := bench.Run(cmd.Context(), o)
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if err := write(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	return judge(rows, f.strict)
}

// startProfile begins the profile that was asked for; stop ends it.
func (f *flags) startProfile() (stop func() error, err error) {
	if f.profile == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(f.profile)
	if err != nil {
		return nil, fmt.Errorf("--cpuprofile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("--cpuprofile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// judge returns what is wrong with a report that was written.
func judge(rows []bench.Row, strict bool) error {
	missed, failed := 0, 0
	for _, r := range rows {
		switch r.Verdict() {
		case bench.Miss:
			missed++
		case bench.Failed:
			failed++
		}
	}
	switch {
	case len(rows) == 0:
		return usageError{errors.New("--run matches no line; see daoli-bench --list")}
	case failed > 0:
		return fmt.Errorf("%d lines could not be measured", failed)
	case strict && missed > 0:
		return fmt.Errorf("%d targets are missed", missed)
	}
	return nil
}

func writers() map[string]func(io.Writer, []bench.Row) error {
	text := func(w io.Writer, s string) error {
		_, err := io.WriteString(w, s)
		return err
	}
	return map[string]func(io.Writer, []bench.Row) error{
		"table": func(w io.Writer, rows []bench.Row) error {
			return text(w, bench.Machine()+"\n\n"+bench.Table(rows))
		},
		"markdown": func(w io.Writer, rows []bench.Row) error { return text(w, bench.Markdown(rows, bench.Machine())) },
		"json": func(w io.Writer, rows []bench.Row) error {
			b, err := bench.JSON(rows, bench.Machine())
			if err != nil {
				return err
			}
			return text(w, string(b)+"\n")
		},
	}
}

func list(out io.Writer, o bench.Options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range bench.Lines() {
		if o.Lines.MatchString(l.Name) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", l.Name, l.Target, l.What)
		}
	}
	return w.Flush()
}
