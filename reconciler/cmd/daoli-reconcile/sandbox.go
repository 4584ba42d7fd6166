package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/sandbox"
)

const sandboxCommandName = "tenant-rego"

// sandboxChild is the command that runs tenants' Rego.
func sandboxChild() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, which runs tenants' Rego in a process of its own: %w", err)
	}
	return []string{self, sandboxCommandName}, nil
}

// sandboxCommand is the process that runs tenants' Rego: the controller starts it.
func sandboxCommand() *cobra.Command {
	return &cobra.Command{
		Use:    sandboxCommandName,
		Short:  "Run tenants' Rego, for the controller",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := sandbox.Confine()
			if err == nil {
				err = sandbox.Serve(cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if err != nil {
				return failure{err}
			}
			return nil
		},
	}
}
