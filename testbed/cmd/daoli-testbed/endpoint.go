package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func attachCommand() *cobra.Command {
	var spec netns.EndpointSpec
	cmd := &cobra.Command{
		Use:   "attach NAME --host HOST --vpc TENANT/VPC --subnet SUBNET",
		Short: "Make a container (a network namespace) and attach it to a host",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if spec.VPC == "" || spec.Subnet == "" {
				return usageError{errors.New("attach: --vpc TENANT/NAME and --subnet NAME are required")}
			}
			t, err := open(cmd)
			if err != nil {
				return err
			}
			spec.Name = args[0]
			e, err := t.Attach(cmd.Context(), spec)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is %s on %s, in namespace %s\n", e.Path(), e.Addr, e.Host, e.Namespace)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&spec.Host, "host", "h1", "host to attach it to")
	f.StringVar(&spec.VPC, "vpc", "", "its VPC, TENANT/NAME")
	f.StringVar(&spec.Subnet, "subnet", "", "its subnet")
	f.StringVar(&spec.IP, "ip", "", "its address (default: the controller chooses)")
	f.StringVar(&spec.MAC, "mac", "", "its hardware address (default: from VPC and address)")
	f.StringSliceVar(&spec.Groups, "group", nil, "security group that it claims; may be given several times")
	f.StringToStringVar(&spec.Labels, "label", nil, "label KEY=VALUE; may be given several times")
	return cmd
}

func detachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "detach ENDPOINT",
		Short: "Detach a container from its host and remove it",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := open(cmd)
			if err != nil {
				return err
			}
			e, err := find(t, args[0])
			if err != nil {
				return err
			}
			return e.Detach(cmd.Context())
		},
	}
}

func execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec ENDPOINT -- COMMAND [ARG...]",
		Short: "Run a command in a container, or in a machine outside",
		Args:  usage(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := open(cmd)
			if err != nil {
				return err
			}
			namespace, err := findNamespace(t, args[0])
			if err != nil {
				return err
			}
			argv := args[1:]
			if argv[0] == "--" && len(argv) > 1 {
				argv = argv[1:]
			}
			c := t.Command(cmd.Context(), argv...)
			c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
			if err := inside.Do(namespace, c.Start); err != nil {
				return err
			}
			err = c.Wait()
			var ended *exec.ExitError
			if errors.As(err, &ended) && ended.Exited() && ended.ExitCode() != 0 {
				return childEnded(ended.ExitCode())
			}
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// findNamespace returns the namespace of an outside machine, or of what find
// finds.
func findNamespace(t *netns.Testbed, name string) (string, error) {
	for _, o := range t.OutsideMachines() {
		if o.Name == name {
			return o.Namespace, nil
		}
	}
	e, err := find(t, name)
	if err != nil {
		return "", err
	}
	return e.Namespace, nil
}

// find returns the endpoint called name: NAME where only one has it, or
// TENANT/VPC/NAME.
func find(t *netns.Testbed, name string) (*netns.Endpoint, error) {
	var found []*netns.Endpoint
	var paths []string
	for _, e := range t.Endpoints() {
		if e.Path() == name || e.Name == name {
			found = append(found, e)
			paths = append(paths, e.Path())
		}
	}
	switch len(found) {
	case 0:
		return nil, usageError{fmt.Errorf("no endpoint %q; daoli-testbed status lists them", name)}
	case 1:
		return found[0], nil
	}
	return nil, usageError{fmt.Errorf("endpoint %q: name one of %s", name, strings.Join(paths, ", "))}
}
