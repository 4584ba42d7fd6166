package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/testbed/bench"
)

// nullCommand is what measurements start beside a testbed.
func nullCommand() *cobra.Command {
	var listen, trust, hosts string
	cmd := &cobra.Command{
		Use:    bench.NullCommand,
		Short:  "Answer lifted packets as the controller would, without a decision",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := os.Open(hosts)
			if err != nil {
				return fmt.Errorf("open the hosts of a null controller: %w", err)
			}
			defer f.Close()
			return bench.RunNull(cmd.Context(), listen, trust, f, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "ADDRESS:PORT where switches connect")
	cmd.Flags().StringVar(&trust, "trust", "", "directory with the CA and the registry of the hosts")
	cmd.Flags().StringVar(&hosts, "hosts", "", "file with the reports of their hosts")
	return cmd
}
