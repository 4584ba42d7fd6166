package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/plan"
)

// planFormats are how a plan is written.
var planFormats = []string{"text", "json", "yaml", "markdown"}

// exitChanges is the exit code of plan --detailed-exitcode when something changes.
const exitChanges = 2

// planFlags are the flags of plan.
type planFlags struct {
	revisionFlags
	against  string
	format   string
	detailed bool
}

func planCommand(sys system) *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan DIR --against DIR",
		Short: "What a change does: objects, who reaches whom, sessions that are cut",
		Long: `plan compares two states of the YAML as the controller reads them: the objects that
are added, changed and removed, and who reaches whom by one and not by the other,
with the port and the line that decides. It asks about the pairs that the changed
objects select: endpoints as they may be (in each subnet alone, with each group
that can be claimed, with each set of labels that is named), those of --endpoints
by name, and outside addresses.

Exit 0: DIR is a revision that a controller takes. Exit 1: it is not, and all that
is wrong stands on stderr by FILE:LINE. With --detailed-exitcode, exit 2: it is,
and something changes.`,
		Example: `  daoli-reconcile plan specs/ --against /srv/network/specs

  # for a pull request
  daoli-reconcile plan specs/ --against main/specs -o markdown

  # in CI: is there anything to review?
  daoli-reconcile plan specs/ --against main/specs --detailed-exitcode`,
		Args: directory,
		RunE: running(func(_ *cobra.Command, args []string) error { return f.run(sys, args[0]) }),

		ValidArgsFunction: completeDirectory,
	}
	f.addAt(cmd)
	f.addPolicies(cmd)
	cmd.Flags().StringVar(&f.endpoints, "endpoints", "", "FILE of endpoints that are there (default: none)")
	cmd.Flags().StringVar(&f.against, "against", "", "directory of the YAML before the change (required)")
	cmd.Flags().StringVarP(&f.format, "output", "o", "text", "text, json, yaml or markdown")
	cmd.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit 2 if something changes")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(planFormats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *planFlags) run(sys system, target string) error {
	if err := choice("--output", f.format, planFormats...); err != nil {
		return err
	}
	if f.against == "" {
		return usageError{errors.New("--against DIR is required: the YAML before the change")}
	}
	after, err := f.load(sys, target)
	if err != nil {
		return err
	}
	earlier := revisionFlags{policies: f.policies, at: f.at}
	quiet := sys
	quiet.err = discard{} // what is odd about the past is no news
	before, err := earlier.load(quiet, f.against)
	if err != nil {
		return err
	}
	var reported []inventory.EndpointReport
	if after.sample != nil {
		for i := range after.sample.Endpoints {
			e := &after.sample.Endpoints[i]
			reported = append(reported, inventory.EndpointReport{
				Name: e.Name, Tenant: e.Tenant, VPC: e.VPC, Subnet: e.Subnet, Claims: e.Groups, Labels: e.Labels, IP: e.IP,
			})
		}
	}
	return f.show(sys, plan.Compute(after.now, before.policy, after.policy, reported))
}

// discard takes what nobody wants to read.
type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

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
