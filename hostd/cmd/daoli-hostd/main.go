// Command daoli-hostd is a host of DaoliNet: it owns the host's bridge, attaches
// endpoints and reports to the controllers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/hostd/agent"
)

// Exit codes, the same for all programs.
const (
	exitFine        = 0
	exitRefused     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	endInTime(ctx, endWait, os.Stderr, os.Exit)
	os.Exit(run(ctx, os.Args[1:], system{out: os.Stdout, err: os.Stderr, env: os.LookupEnv, exec: again}))
}

// endWait is how long the program may take to end once it was told to: what it
// keeps is saved at each change, so nothing is lost by ending.
const endWait = 4 * time.Second

// endInTime ends the program if it has not ended by itself so long after ctx, and
// says where it hangs.
func endInTime(ctx context.Context, wait time.Duration, w io.Writer, exit func(int)) {
	context.AfterFunc(ctx, func() {
		time.AfterFunc(wait, func() {
			fmt.Fprintf(w, "daoli-hostd: still not ended after %s; it hangs here:\n", wait)
			pprof.Lookup("goroutine").WriteTo(w, 1)
			exit(exitRefused)
		})
	})
}

// system is what the program needs of the process it runs in.
type system struct {
	out, err io.Writer
	env      func(string) (string, bool)
	exec     func(args []string) error // goes on as daoli-hostd with these arguments
}

func run(ctx context.Context, args []string, sys system) int {
	root := command(sys)
	root.SetArgs(args)
	return explain(sys.err, root.ExecuteContext(ctx))
}

// failure is an error of a command that was well written; any other error is
// cobra's and says that it was not.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// explain prints an error with the way out and returns the exit code.
func explain(w io.Writer, err error) int {
	if err == nil {
		return exitFine
	}
	var (
		failed      failure
		unreachable *agent.UnreachableError
	)
	code, hint := exitRefused, ""
	switch {
	case errors.As(err, &unreachable):
		code, hint = exitUnreachable, "is daoli-hostd running? --socket or DAOLI_SOCKET says where its socket is"
		if errors.Is(err, fs.ErrPermission) {
			hint = "only daoli-hostd's user may open its socket: try sudo"
		}
	case !errors.As(err, &failed):
		code, hint = exitUsage, "daoli-hostd --help shows how it is used"
	}
	fmt.Fprintf(w, "daoli-hostd: %v\n", err)
	if hint != "" {
		fmt.Fprintf(w, "  %s\n", hint)
	}
	return code
}

func command(sys system) *cobra.Command {
	root := &cobra.Command{
		Use:   "daoli-hostd",
		Short: "A host of DaoliNet",
		Long: `daoli-hostd makes a server a host of DaoliNet: "join" gets it a certificate by a
token and starts "run", which puts its uplink into an Open vSwitch bridge without
losing a packet and reports to the controllers; "attach" gives a network namespace
an endpoint; "leave" puts everything back.

Each flag can also be set by the environment: --ovs-rundir by DAOLI_OVS_RUNDIR.

Exit codes: 0 fine; 1 refused or failed; 2 wrong usage; 3 daoli-hostd can't be
reached.`,
		Example: `  # become a host of the controller at 172.31.250.1: daolictl join-token create
  # prints this line there
  daoli-hostd join 172.31.250.1:7443 --token ID.SECRET --ca-hash sha256:...

  # give the namespace web1 an endpoint in the subnet web, and take it back
  daoli-hostd attach --netns web1 --vpc acme/prod --subnet web --name web1
  daoli-hostd detach web1`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnv(sys, cmd.Flags()); err != nil {
				return err
			}
			if f := cmd.Flag("output"); f != nil && f.Value.String() != "json" && f.Value.String() != "table" {
				return fmt.Errorf("--output %q: table and json are known", f.Value)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(sys.out)
	root.SetErr(sys.err)
	root.PersistentFlags().String("socket", agent.DefaultSocket, "unix socket of the running daoli-hostd")
	root.AddCommand(joinCommand(sys), runCommand(sys), attachCommand(sys), detachCommand(sys), endpointsCommand(sys), statusCommand(sys), leaveCommand(sys), doctorCommand(sys))
	return root
}

// fromEnv sets each flag that was not given from DAOLI_<FLAG>.
func fromEnv(sys system, flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "DAOLI_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v, found := sys.env(name)
		if !found || f.Changed || f.Name == "help" || failed != nil {
			return
		}
		if err := flags.Set(f.Name, v); err != nil {
			failed = fmt.Errorf("environment %s=%q: %w", name, v, err)
		}
	})
	return failed
}

// logger returns the log of a running daoli-hostd.
func logger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: debug, info, warn and error are known", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: text and json are known", format)
}
