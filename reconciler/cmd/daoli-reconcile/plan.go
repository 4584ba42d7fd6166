package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/plan"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// planFormats are how a plan is written.
var planFormats = []string{"text", "json", "yaml", "markdown"}

// exitChanges is the exit code of replay, and of plan --detailed-exitcode, when something
// changes.
// It is not Terraform's 2, which says here that a command was misused.
const exitChanges = 3

// runningName stands for what the controller has in force.
const runningName = "RUNNING"

// planFlags are the flags of plan.
type planFlags struct {
	stateFlags
	against    string
	format     string
	detailed   bool
	socket     string
	preReceive bool
	ref        string
}

func planCommand(sys system) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan DIR|REF [--against RUNNING|DIR|REF]",
		Short: "What a change does: objects, who reaches whom, sessions that are cut",
		Long: `plan compares two states of the YAML as the controller reads them: the objects that
are added, changed and removed, and who reaches whom by one and not by the other,
with the port and the line that decides. Each is a directory, or a commit of the git
repository in which plan is run, by any name that git knows; a commit is read from
its objects, and what is checked out doesn't matter.

It asks about the pairs that the changed objects select: endpoints as they may be
(in each subnet alone, with each group that can be claimed, with each set of labels
that is named), outside addresses, and the endpoints that are there: those of
--endpoints, or of the controller.

Against RUNNING, the default, it asks the controller on this machine what is in
force, and which of the sessions that live now would be cut. The controller judges
them by the code that does it when the revision becomes active. What was denied and
would now pass is not part of the plan: the controller keeps no list of that.

With --pre-receive it is the hook of a git server: it reads "OLD NEW REF" lines,
refuses a push of --ref that a controller would refuse, with all that is wrong, and
shows the plan of a good one. Put this into hooks/pre-receive of the repository:
  #!/bin/sh
  exec daoli-reconcile plan --pre-receive --ref main

Exit 0: a revision that a controller takes. Exit 1: it is refused, or could not be
read; all that is wrong stands on stderr by FILE:LINE. Exit 2: the command is
misused. Exit 3, with --detailed-exitcode only: it is taken, and something changes.`,
		Example: `  # what would happen now?
  daoli-reconcile plan specs/

  # what a branch changes, for a pull request
  daoli-reconcile plan HEAD --against origin/main -o markdown

  # in CI: is there anything to review?
  daoli-reconcile plan HEAD --against origin/main --detailed-exitcode`,
		Args: f.arguments,
		RunE: running(func(cmd *cobra.Command, args []string) error {
			if err := choice("--output", f.format, planFormats...); err != nil {
				return err
			}
			if f.preReceive {
				return f.receive(cmd.Context(), sys, cmd.InOrStdin())
			}
			return f.run(cmd.Context(), sys, args[0])
		}),
		ValidArgsFunction: completeDirectory,
	}
	f.addAt(cmd)
	f.addPolicies(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.endpoints, "endpoints", "", "FILE of endpoints that are there (default: the controller's; against anything else none)")
	flags.StringVar(&f.against, "against", runningName, "the state before the change: RUNNING, a directory of YAML, or a commit")
	flags.StringVarP(&f.format, "output", "o", "text", "text, json, yaml or markdown")
	flags.BoolVar(&f.detailed, "detailed-exitcode", false, "exit 3 if something changes")
	flags.StringVar(&f.socket, "socket", api.DefaultSocket, "the controller's socket, for RUNNING")
	flags.BoolVar(&f.preReceive, "pre-receive", false, "be a git server's pre-receive hook; compares with the commit before unless --against is given")
	flags.StringVar(&f.ref, "ref", "main", "branch that --pre-receive guards, or a full name such as refs/tags/v1")
	f.addTree(cmd)
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(planFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// arguments takes the one argument of plan, or none of a hook.
func (f *planFlags) arguments(_ *cobra.Command, args []string) error {
	switch {
	case f.preReceive && len(args) > 0:
		return errors.New("--pre-receive takes no argument: git says on standard input what is pushed")
	case !f.preReceive && len(args) != 1:
		return fmt.Errorf("%d arguments given to plan, which takes one: the directory or commit of the change", len(args))
	}
	return nil
}

// run plans one change.
func (f *planFlags) run(ctx context.Context, sys system, target string) error {
	r, err := f.revision(ctx, target)
	if err != nil {
		return err
	}
	return f.plan(ctx, sys, r)
}

// plan plans a revision against what --against says.
func (f *planFlags) plan(ctx context.Context, sys system, r gitsource.Revision) error {
	now, err := f.moment(sys)
	if err != nil {
		return err
	}
	after, err := f.judge(sys, now, r)
	if err != nil {
		return err
	}
	if f.against == runningName {
		return f.planRunning(ctx, sys, after, r)
	}
	earlier, err := f.revision(ctx, f.against)
	if err != nil {
		return err
	}
	return f.compare(sys, earlier, after, reportsOf(after.sample), nil)
}

// compare shows the plan from a revision to a judged one.
func (f *planFlags) compare(
	sys system, earlier gitsource.Revision, after judged, reported []inventory.EndpointReport, add func(*plan.Plan),
) error {
	// Only what it says counts, not its promises: it is past, and those are what it
	// may have been about.
	loader, err := newLoader()
	if err != nil {
		return err
	}
	loaded, refused := loader.Load(after.now, earlier, nil)
	if len(refused) > 0 {
		return fmt.Errorf("the state before the change can't be compared with:\n%w", problems(refused))
	}
	p := plan.Compute(after.now, loaded.Policy, after.policy, reported)
	if add != nil {
		add(p)
	}
	return f.show(sys, p)
}

// reportsOf returns the endpoints of a sample as hosts would report them.
func reportsOf(sample *spec.Sample) []inventory.EndpointReport {
	if sample == nil {
		return nil
	}
	var all []inventory.EndpointReport
	for i := range sample.Endpoints {
		e := &sample.Endpoints[i]
		all = append(all, inventory.EndpointReport{
			Name: e.Name, Tenant: e.Tenant, VPC: e.VPC, Subnet: e.Subnet, Claims: e.Groups, Labels: e.Labels, IP: e.IP,
		})
	}
	return all
}

func (f *planFlags) show(sys system, p *plan.Plan) error {
	write := map[string]func() error{
		"text":     func() error { return p.WriteText(sys.out) },
		"json":     func() error { return p.WriteJSON(sys.out) },
		"yaml":     func() error { return p.WriteYAML(sys.out) },
		"markdown": func() error { return p.WriteMarkdown(sys.out) },
	}[f.format]
	if err := write(); err != nil {
		return err
	}
	if f.detailed && p.Changes() {
		return changed{}
	}
	return nil
}

// changed is no failure: it says by the exit code that something changes.
type changed struct{}

func (changed) Error() string { return "something changes" }
