package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trace FROM TO:PORT",
		Short: "A live session from end to end: legs, flows, counters",
		Long: `A live session from end to end: what its packets wear on each leg of the path, and
each flow on each switch, as ovs-ofctl prints it, with its counters.`,
		Example: `  daolictl trace web1 db1:5432
  daolictl trace acme/prod/web1 acme/prod/10.1.1.9:53/udp
  daolictl trace web1 db1:icmp`,
		Args:              pairArgs,
		ValidArgsFunction: a.completeEndpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := parsePair(args)
			if err != nil {
				return err
			}
			return show(a, func() (api.Trace, error) { return a.client().Trace(cmd.Context(), q) }, a.printTrace)
		},
	}
}

func (a *app) whyCommand() *cobra.Command {
	var revision string
	cmd := &cobra.Command{
		Use:   "why FROM TO:PORT",
		Short: "What a revision says of a pair, and where it says so",
		Long: `What a revision says of a pair, and where it says so: verdict, reason, the rule with
its file and line, and the commit of the revision where it was read of git. Where
nothing allows the pair, the rules that come nearest, with the conditions that fail.

An end is a container, or an address: in a subnet that the other end reaches it is
the container that has it, else it is outside. From outside, the port is the
container's own. why asks the same policy in the same way as a first packet does,
whether a session lives or not, and sends nothing.

--revision asks any of daolictl get revisions that was in force, about the containers
that are there now.`,
		Example: `  daolictl why web1 db1:5432
  daolictl why web1 db1:53/udp -o json

  # to and from outside
  daolictl why web1 203.0.113.9:443
  daolictl why 203.0.113.9 web1:80

  # before yesterday's change
  daolictl why web1 db1:5432 --revision 9f3c2a1b`,
		Args:              pairArgs,
		ValidArgsFunction: a.completeEndpoint,
		RunE: func(cmd *cobra.Command, args []string) error {
			q, err := parsePair(args)
			if err != nil {
				return err
			}
			q.Revision = revision
			return show(a, func() (api.Why, error) { return a.client().Why(cmd.Context(), q) }, a.printWhy)
		},
	}
	cmd.Flags().StringVar(&revision, "revision", "", "revision to ask, by the beginning of its id or commit (default: the active one)")
	return cmd
}

func pairArgs(_ *cobra.Command, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("%s given: say who asks and for what, as in web1 db1:5432", plural(len(args), "argument"))
	}
	return nil
}

func parsePair(args []string) (api.Pair, error) {
	q, err := api.ParseTarget(args[1])
	q.From = args[0]
	return q, err
}

// completeEndpoint offers the names of endpoints to a shell.
func (a *app) completeEndpoint(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const ends = 2
	endpoints, err := a.client().Endpoints(cmd.Context())
	if err != nil || len(args) >= ends {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, e := range endpoints {
		names = append(names, fullName(e)+"\t"+e.IP+" on "+e.Host)
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	if len(args) == ends-1 {
		directive |= cobra.ShellCompDirectiveNoSpace // the port comes next
	}
	return names, directive
}

// adopted marks a session that an earlier controller opened.
func adopted(s api.Session) string {
	if s.Adopted {
		return ", adopted"
	}
	return ""
}

func (a *app) printWhy(w api.Why) {
	a.printDecision(w.From, w.To, port(w.Proto, w.Port), w.Decision)
	a.printCommit(w.Commit)
	if w.Session != nil {
		a.fact("session", "%s%s, open for %s, idle %s", w.Session.ID, adopted(*w.Session), span(a.now().Sub(w.Session.Opened)), span(seconds(w.Session.IdleSeconds)))
	} else {
		a.fact("session", "none open")
	}
	if len(w.Lines) > 0 {
		fmt.Fprintln(a.out)
	}
	for _, line := range w.Lines {
		fmt.Fprintf(a.out, "  %s\n", line)
	}
}

// printCommit prints a commit in a line, if there is one.
func (a *app) printCommit(c *api.Commit) {
	if c != nil {
		a.fact("commit", "%s of %s <%s>, %s: %s", short(c.Hash), c.Author, c.Email, c.When.UTC().Format(time.DateTime), c.Subject)
	}
}

// printDecision prints who asks for what, and the answer with its origin.
func (a *app) printDecision(from, to api.End, port string, d api.Decision) {
	v := verdict(d.Verdict)
	fmt.Fprintf(a.out, "%s  %s > %s  %s\n", a.paint(v.c, v.text), end(from), end(to), port)
	a.fact("reason", "%s", d.Reason)
	if d.Rule != "" {
		a.fact("rule", "%s", d.Rule)
	}
	if d.At != "" {
		a.fact("at", "%s", a.paint(bold, d.At))
	}
	a.fact("revision", "%s", short(d.Revision))
}

// end writes an endpoint with what is known of it.
func end(e api.End) string {
	var known []string
	if e.IP != "" {
		known = append(known, e.IP)
	}
	if e.Host != "" {
		known = append(known, "on "+e.Host)
	}
	if len(known) == 0 {
		return e.Name
	}
	return fmt.Sprintf("%s (%s)", e.Name, strings.Join(known, " "))
}

func (a *app) printTrace(t api.Trace) {
	s := t.Session
	a.printDecision(s.From, s.To, port(s.Proto, s.Port), s.Decision)
	a.fact("session", "%s%s, open for %s, idle %s", s.ID, adopted(s), span(a.now().Sub(s.Opened)), span(seconds(s.IdleSeconds)))
	fmt.Fprintln(a.out)
	var rows [][]cell
	for _, leg := range t.Legs {
		rows = append(rows, cells(leg.From+" > "+leg.To, leg.Source, leg.Destination))
	}
	a.table([]string{"LEG", "SOURCE", "DESTINATION"}, rows)
	for _, hop := range t.Hops {
		fmt.Fprintf(a.out, "\n%s  switch %s\n", a.paint(bold, hop.Host), hop.DPID)
		for _, f := range hop.Flows {
			fmt.Fprintf(a.out, "  %-8s %8d packets %8s\n    %s\n", f.Direction, f.Packets, size(f.Bytes), f.Text)
		}
	}
}
