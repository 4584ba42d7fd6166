// Command daoli-reconcile is the controller: it watches the network's intent,
// decides every lifted first packet and programs the switches. Its subcommands
// judge a directory of YAML offline, with the controller's own code.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes, the same in all of DaoliNet's commands.
const (
	exitFine    = 0
	exitRefused = 1
	exitUsage   = 2
)

// system is what the program needs of the process it runs in.
type system struct {
	out, err io.Writer
	env      func(string) (string, bool)
	now      func() time.Time
	coloured bool // out is a terminal that shows colours
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], system{
		out: os.Stdout, err: os.Stderr, env: os.LookupEnv, now: time.Now,
		coloured: onTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	})
	stop()
	os.Exit(code)
}

func onTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// failure is an error of a command that was well written; any other error says
// that it was not.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// problems are all lines that say why something is refused, each complete.
type problems []string

func (p problems) Error() string { return strings.Join(p, "\n") }

// usageError is the caller's mistake that shows only when a command runs.
type usageError struct{ error }

func run(ctx context.Context, args []string, sys system) int {
	root := command(sys)
	root.SetArgs(args)
	executed, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	if errors.As(err, new(changed)) {
		return exitChanges
	}
	var refused problems
	if errors.As(err, &refused) {
		fmt.Fprintln(sys.err, refused)
		return exitRefused
	}
	fmt.Fprintln(sys.err, "daoli-reconcile:", err)
	if errors.As(err, new(failure)) {
		return exitRefused
	}
	fmt.Fprintf(sys.err, "  %s --help shows how it is used\n", executed.CommandPath())
	return exitUsage
}

// running makes a failure of every error of f but a usageError.
func running(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		if err == nil || errors.As(err, new(usageError)) {
			return err
		}
		return failure{err}
	}
}

func command(sys system) *cobra.Command {
	root := controllerCommand()
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd.Flags(), sys.env) }
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	root.AddCommand(validateCommand(sys), matrixCommand(sys), planCommand(sys), replayCommand(sys), policiesCommand(sys), fetchCommand(), sandboxCommand())
	return root
}

// fromEnv sets each flag that was not given from DAOLI_<FLAG>.
func fromEnv(flags *pflag.FlagSet, env func(string) (string, bool)) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "DAOLI_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, found := env(name); found && !f.Changed && failed == nil {
			if err := flags.Set(f.Name, v); err != nil {
				failed = fmt.Errorf("environment %s=%q: %w", name, v, err)
			}
		}
	})
	return failed
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return info.Main.Version
}
