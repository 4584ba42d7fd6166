package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/doctor"
)

func doctorCommand(sys system) *cobra.Command {
	var cfg doctor.Config
	var format, stateDir string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what is wrong with this host, and say the way out",
		Long: `Look for what is wrong with this host, and say the way out: Open vSwitch, the
uplink, the MTU of the path, offloads, the clock, the controllers, the base flows,
whether what must be dropped is dropped (two packets are put into the switch), and
Docker. The exit code is 1 where something failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Socket, cfg.IdentityDir = socketOf(cmd), agent.IdentityDir(stateDir)
			checks := doctor.Judge(doctor.Collect(cmd.Context(), cfg))
			if err := show(sys.out, format, checks, func(w io.Writer) { printChecks(w, checks) }); err != nil {
				return failure{err}
			}
			if doctor.Sick(checks) {
				return failure{errors.New("something is wrong with this host")}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.OVSRunDir, "ovs-rundir", agent.DefaultOVSRunDir, "directory with Open vSwitch's sockets")
	f.StringVar(&stateDir, "state-dir", agent.DefaultStateDir, "daoli-hostd's state directory")
	f.StringVar(&cfg.DockerSocket, "docker", "/var/run/docker.sock", "Docker's socket")
	f.StringVar(&cfg.PluginSocket, "plugin-socket", "/run/docker/plugins/daoli.sock", "socket where dockerd finds daoli-hostd")
	formatFlag(cmd, &format)
	return cmd
}

func printChecks(w io.Writer, checks []doctor.Check) {
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Result, c.Name, c.Found)
		if c.Way != "" {
			fmt.Fprintf(w, "\t\t-> %s\n", c.Way)
		}
	}
}
