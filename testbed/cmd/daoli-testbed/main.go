// Command daoli-testbed runs DaoliNet on one machine, to try an organisation's
// specs: emulated hosts from network namespaces with real Open vSwitch, the
// real daoli-hostd and the real controller.
//
//	daoli-testbed up --hosts 3 specs/
//	daoli-testbed attach web1 --host h1 --vpc acme/prod --subnet web
//	daoli-testbed exec web1 -- ping 10.1.0.3
//	daoli-testbed down
//
// With an endpoints file, the one that daoli-reconcile matrix reads too, up
// attaches what it names, and probe measures by packets what matrix says:
//
//	daoli-testbed up --hosts 3 --endpoints endpoints.yaml specs/
//	daoli-testbed probe -o json
//
// It ends with 0 when all is well, 1 after an error, 2 after wrong usage; exec
// ends as its command does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exitCode(root().ExecuteContext(ctx)))
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "daoli-testbed",
		Short:         "Run DaoliNet on one machine, from network namespaces and real Open vSwitch",
		Args:          usage(cobra.NoArgs),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	cmd.PersistentFlags().String("run", "", "id of the testbed, where several are up")
	cmd.AddCommand(upCommand(), downCommand(), statusCommand(), attachCommand(), detachCommand(), execCommand(), probeCommand())
	return cmd
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// childEnded is the exit code of a command that exec ran, which has said itself
// what was wrong.
type childEnded int

func (c childEnded) Error() string { return fmt.Sprintf("the command ended with %d", int(c)) }

// usage makes what args refuses a usageError.
func usage(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
		}
		return nil
	}
}

func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var ended childEnded
	if errors.As(err, &ended) {
		return int(ended)
	}
	fmt.Fprintln(os.Stderr, "daoli-testbed:", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}
