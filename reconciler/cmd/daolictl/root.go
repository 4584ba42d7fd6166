package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

// Exit codes, the same for all programs.
const (
	exitFine        = 0
	exitRefused     = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// system is what the program needs of the process it runs in.
type system struct {
	out, err io.Writer
	env      func(string) string
	now      func() time.Time
	coloured bool // out is a terminal
}

// app is one invocation.
type app struct {
	system
	socket string
	format string // table, json or yaml
}

func run(ctx context.Context, args []string, sys system) int {
	a := &app{system: sys}
	a.coloured = a.coloured && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
	root := a.command()
	root.SetArgs(args)
	return a.explain(root.ExecuteContext(ctx))
}

// failure is an error of a command that was well written; any other error is
// cobra's and says that it was not.
type failure struct{ err error }

func (f failure) Error() string { return f.err.Error() }
func (f failure) Unwrap() error { return f.err }

// explain prints an error with the way out and returns the exit code.
func (a *app) explain(err error) int {
	if err == nil {
		return exitFine
	}
	var (
		failed      failure
		refused     *api.Error
		unreachable *api.UnreachableError
	)
	code, hint := exitRefused, ""
	switch {
	case errors.As(err, &unreachable):
		code, hint = exitUnreachable, "is daoli-reconcile running? --socket or DAOLI_SOCKET says where its socket is"
		if errors.Is(err, fs.ErrPermission) {
			hint = "only the controller's user may open its socket: try sudo"
		}
	case errors.As(err, &refused):
		hint = refused.Hint
		if refused.Code == api.CodeInvalid {
			code = exitUsage
		}
	case !errors.As(err, &failed):
		code, hint = exitUsage, "daolictl --help shows examples"
	}
	fmt.Fprintf(a.err, "daolictl: %v\n", err)
	if hint != "" {
		fmt.Fprintf(a.err, "  %s\n", hint)
	}
	return code
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "daolictl",
		Short: "See what a DaoliNet controller does, and why",
		Long: `See what a DaoliNet controller does, and why.

An endpoint is written by its name where only one has it (web1), or in full
(acme/prod/web1), or by its address in its VPC (acme/prod/10.1.0.5). A destination
has its port behind it: db1:5432 (tcp), db1:53/udp, db1:icmp.

Exit codes: 0 fine; 1 refused or failed; 2 wrong usage; 3 the controller can't be
reached. A denied pair is an answer, so "why" says it with 0.`,
		Example: `  daolictl status                          # is all well? which revision is active?
  daolictl get endpoints                   # who is there
  daolictl sessions --endpoint web1        # whom does web1 talk to
  daolictl why web1 db1:5432               # may it, and which file and line says so
  daolictl bisect web1 db1:5432            # and whose commit made it so
  daolictl trace web1 db1:5432             # each flow on each switch, with counters
  daolictl receipts                        # what was cut, and who confirmed
  daolictl join-token create               # the command by which a host joins
  daolictl hosts                           # and until when each is trusted
  daolictl sessions -o json | jq '.sessions[].id'`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return checkFormat(a.format)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	flags := root.PersistentFlags()
	flags.StringVar(&a.socket, "socket", a.setting("DAOLI_SOCKET", api.DefaultSocket), "the controller's unix socket (env DAOLI_SOCKET)")
	flags.StringVarP(&a.format, "output", "o", a.setting("DAOLI_OUTPUT", "table"), "table, json or yaml (env DAOLI_OUTPUT)")
	root.AddCommand(a.statusCommand(), a.getCommand(), a.sessionsCommand("sessions"), a.receiptsCommand(), a.traceCommand(), a.whyCommand(), a.bisectCommand(),
		a.joinTokenCommand(), a.hostsCommand(), a.hostCommand(), a.versionCommand())
	return root
}

// setting is a flag's default: what the environment says, or else fallback.
func (a *app) setting(name, fallback string) string {
	if v := a.env(name); v != "" {
		return v
	}
	return fallback
}

func checkFormat(format string) error {
	switch format {
	case "table", "json", "yaml":
		return nil
	}
	return fmt.Errorf("unknown output %q: use table, json or yaml", format)
}

func (a *app) client() *api.Client { return api.NewClient(a.socket) }

// show asks and prints the answer, as a table by the given function.
func show[T any](a *app, ask func() (T, error), table func(T)) error {
	answer, err := ask()
	if err != nil {
		return failure{err}
	}
	if a.format == "table" {
		table(answer)
		return nil
	}
	if err := encode(a.out, a.format, answer); err != nil {
		return failure{err}
	}
	return nil
}
