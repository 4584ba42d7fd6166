package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/spec"
)

func policiesCommand(sys system) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policies",
		Short: "What OPA sees: the documents data and input, for opa eval",
		Long: `policies writes the two documents that the policy decides from, so that a decision
can be repeated, traced and debugged with the opa of your choice.`,
		Example: `  daoli-reconcile policies data specs/ > data.json
  daoli-reconcile policies input specs/ --endpoints endpoints.yaml web1 db1 tcp/5432 > input.json
  opa eval -d data.json -d policies/system -i input.json data.daoli.admission.decision`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("say which: policies data DIR, or policies input DIR --endpoints FILE FROM TO PORT")
		},
	}
	cmd.AddCommand(dataCommand(sys), inputCommand(sys))
	return cmd
}

func dataCommand(sys system) *cobra.Command {
	var f revisionFlags
	cmd := &cobra.Command{
		Use:   "data DIR",
		Short: "The document data: the YAML as it is indexed for the policy",
		Example: `  daoli-reconcile policies data specs/ > data.json
  opa eval -d data.json 'data.daoli.index'`,
		Args: directory,
		RunE: running(func(_ *cobra.Command, args []string) error {
			j, err := f.load(sys, args[0])
			if err != nil {
				return err
			}
			data, err := j.policy.Data()
			if err != nil {
				return err
			}
			return writeJSON(sys.out, data)
		}),
		ValidArgsFunction: completeDirectory,
	}
	f.addPolicies(cmd)
	f.addAt(cmd)
	return cmd
}

// inputArgs are DIR, FROM, TO and PORT.
const inputArgs = 4

func inputCommand(sys system) *cobra.Command {
	var f revisionFlags
	cmd := &cobra.Command{
		Use:   "input DIR --endpoints FILE FROM TO PORT",
		Short: "The document input: what the policy is asked for one pair and port",
		Long: `input writes what the policy is asked when FROM wants to open a session to PORT of
TO, two names of FILE. FILE is as for matrix; PORT needn't be in it.`,
		Example: `  daoli-reconcile policies input specs/ --endpoints endpoints.yaml web1 db1 tcp/5432 > input.json
  opa eval -d data.json -d policies/system -i input.json data.daoli.admission.decision`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != inputArgs {
				return fmt.Errorf("%d arguments given; write DIR FROM TO PORT, as in specs/ web1 db1 tcp/5432", len(args))
			}
			return nil
		},
		RunE: running(func(_ *cobra.Command, args []string) error {
			input, err := f.input(sys, args)
			if err != nil {
				return err
			}
			return writeJSON(sys.out, input)
		}),
		ValidArgsFunction: completeDirectory,
	}
	f.addEndpoints(cmd)
	f.addAt(cmd)
	f.addPolicies(cmd)
	return cmd
}

// input returns the document of DIR FROM TO PORT.
func (f *revisionFlags) input(sys system, args []string) ([]byte, error) {
	dir, from, to := args[0], args[1], args[2]
	port, err := spec.SinglePort(args[3])
	if err != nil {
		return nil, usageError{fmt.Errorf("PORT %w", err)}
	}
	if err := f.needEndpoints(); err != nil {
		return nil, err
	}
	j, err := f.load(sys, dir)
	if err != nil {
		return nil, err
	}
	q, err := matrix.Query(j.policy, j.now, j.sample, from, to, port)
	if err != nil {
		return nil, err
	}
	return j.policy.Input(j.now, q)
}

// writeJSON writes a document, indented.
func writeJSON(w io.Writer, document []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, document, "", "  "); err != nil {
		return fmt.Errorf("indent a document: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
