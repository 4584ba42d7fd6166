package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/matrix"
)

// formats of a matrix.
var formats = []string{"table", "json", "csv", "yaml"}

func matrixCommand(sys system) *cobra.Command {
	var (
		f       revisionFlags
		format  string
		explain bool
	)
	cmd := &cobra.Command{
		Use:   "matrix DIR --endpoints FILE",
		Short: "Who reaches whom: the verdict of every pair, and the line that gives it",
		Long: `matrix says what a directory of YAML means for the endpoints of FILE: for every
ordered pair and every port the verdict, its reason, the rule, and the file and
line where that is written. It asks the controller's own code, and no controller.
What is wrong with DIR or FILE is refused as by validate; the Assertions are
tried over FILE's endpoints too.

FILE:
  endpoints:
    - {name: web1, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2, groups: [web], labels: {role: web}}
    - {name: db1, tenant: acme, vpc: prod, subnet: db, ip: 10.1.1.2}
  outside:
    - {name: client, ip: 203.0.113.9}
  ports: [tcp/5432, udp/53, icmp/echo]

groups are claims, as a container's label daoli.groups makes them. From outside,
the port is the endpoint's own, after translation.`,
		Example: `  daoli-reconcile matrix specs/ --endpoints endpoints.yaml

  # why, one line a pair
  daoli-reconcile matrix specs/ --endpoints endpoints.yaml --explain

  # what will change when a rule ends
  daoli-reconcile matrix specs/ --endpoints endpoints.yaml --at 2026-12-24T18:00:00Z -o csv > then.csv

  # what an edit changes
  daoli-reconcile matrix specs/ --endpoints endpoints.yaml -o json | jq -r '.pairs[] | "\(.from) \(.to) \(.port) \(.verdict)"'`,
		Args: directory,
		RunE: running(func(_ *cobra.Command, args []string) error {
			if err := choice("--output", format, formats...); err != nil {
				return err
			}
			m, err := f.matrix(sys, args[0], explain)
			if err != nil {
				return err
			}
			return writeMatrix(sys, m, format, explain)
		}),
		ValidArgsFunction: completeDirectory,
	}
	f.addEndpoints(cmd)
	f.addAt(cmd)
	f.addPolicies(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table, json, csv or yaml")
	cmd.Flags().BoolVar(&explain, "explain", false, "say why, one line a pair; json, csv and yaml get a field why")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// matrix computes the matrix of the endpoints file.
func (f *revisionFlags) matrix(sys system, dir string, explain bool) (*matrix.Matrix, error) {
	if err := f.needEndpoints(); err != nil {
		return nil, err
	}
	j, err := f.load(sys, dir)
	if err != nil {
		return nil, err
	}
	compute := matrix.Compute
	if explain {
		compute = matrix.Explain
	}
	m, found := compute(j.policy, j.now, j.sample)
	if m == nil {
		var lines problems
		for _, p := range found {
			lines = append(lines, p.String())
		}
		return nil, lines
	}
	warn(sys, found)
	return m, nil
}

func (f *revisionFlags) needEndpoints() error {
	if f.endpoints == "" {
		return usageError{errors.New("--endpoints FILE is required: the endpoints to ask about")}
	}
	return nil
}

func writeMatrix(sys system, m *matrix.Matrix, format string, explain bool) error {
	style := matrix.Plain
	if sys.coloured {
		style = matrix.Colour
	}
	switch {
	case format == "json":
		return m.WriteJSON(sys.out)
	case format == "csv":
		return m.WriteCSV(sys.out)
	case format == "yaml":
		return m.WriteYAML(sys.out)
	case explain:
		return m.WriteWhy(sys.out, style)
	}
	return m.WriteTable(sys.out, style)
}
