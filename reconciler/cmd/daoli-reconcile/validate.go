package main

import (
	"github.com/spf13/cobra"
)

func validateCommand(sys system) *cobra.Command {
	var f revisionFlags
	cmd := &cobra.Command{
		Use:   "validate DIR",
		Short: "Is a directory of YAML right? All errors at once, by file and line",
		Long: `validate loads a directory as the controller would: each file is read strictly,
names are looked up, the Rego is compiled, and every Assertion is tried over all
identities that the YAML can tell apart. It needs no controller.

Exit 0: a revision that the controller takes, and a summary of it. Exit 1: all
that is wrong, as FILE:LINE: TEXT on stderr, FILE relative to DIR. A warning
(FILE:LINE: warning: TEXT) refuses nothing; it is shown with exit 1 as well,
before what is wrong.`,
		Example: `  daoli-reconcile validate specs/

  # in a hook of git
  daoli-reconcile validate specs/ >/dev/null || exit 1

  # will it still hold when the rules with an until have ended?
  daoli-reconcile validate specs/ --at 2027-01-01T00:00:00Z`,
		Args: directory,
		RunE: running(func(_ *cobra.Command, args []string) error {
			j, err := f.load(sys, args[0])
			if err != nil {
				return err
			}
			return summarize(sys.out, j)
		}),
		ValidArgsFunction: completeDirectory,
	}
	f.addPolicies(cmd)
	f.addAt(cmd)
	return cmd
}

// completeDirectory offers directories for the first argument.
func completeDirectory(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}
