package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/docker"
)

func leaveCommand(sys system) *cobra.Command {
	var cfg agent.Config
	var force bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Give the uplink its address and routes back, and be no host any more",
		Long: `Give the uplink its address and routes back, without losing a packet, delete the
bridge, take DaoliNet's networks out of Docker, and tell a controller that the host
is gone. A running daoli-hostd does it and ends; where none runs, this command does
it by what the state directory says. The host's key and certificate are deleted.

Where no controller is reached, the host leaves all the same, and says how its name
is freed there. A Docker network that containers have, of which none runs, stays:
once they are gone, leave takes it away, and --force takes it from them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := agent.NewClient(socketOf(cmd)).Leave(cmd.Context(), agent.LeaveRequest{Force: force})
			var unreachable *agent.UnreachableError
			if errors.As(err, &unreachable) {
				cfg.Logger = slog.New(slog.NewTextHandler(sys.err, nil))
				if err = restoreKnown(cfg.StateDir, cmd.Flags()); err == nil {
					a, err = agent.Leave(cmd.Context(), cfg, agent.LeaveRequest{Force: force})
				}
			}
			if err != nil {
				return failure{err}
			}
			printLeave(sys.err, a)
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "detach endpoints that are attached, and take DaoliNet's networks from Docker's containers")
	f.StringVar(&cfg.OVSRunDir, "ovs-rundir", agent.DefaultOVSRunDir, "directory with Open vSwitch's sockets, where no daoli-hostd runs")
	f.StringVar(&cfg.StateDir, "state-dir", agent.DefaultStateDir, "daoli-hostd's state directory, where none runs")
	f.StringVar(&cfg.Docker, "docker", docker.DefaultSocket, "dockerd's socket, where no daoli-hostd runs; "+docker.None+" leaves Docker alone")
	f.StringVar(&cfg.PluginSocket, "plugin-socket", docker.DefaultPluginSocket, "where dockerd finds its driver daoli, where no daoli-hostd runs")
	return cmd
}

// printLeave says what leaving could not do, with the way out.
func printLeave(w io.Writer, a agent.LeaveAnswer) {
	if a.Untold != "" {
		host := a.Host
		if host == "" {
			host = "NAME"
		}
		fmt.Fprintf(w, "daoli-hostd: this host has left, but no controller knows: %s\n  on the controller: daolictl host revoke %s\n", a.Untold, host)
	}
	if a.Docker != "" {
		fmt.Fprintf(w, "daoli-hostd: docker keeps something of DaoliNet: %s\n  then run daoli-hostd leave once more\n", a.Docker)
	}
}
