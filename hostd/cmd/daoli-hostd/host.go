package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/bridge"
)

func runCommand(sys system) *cobra.Command {
	var cfg agent.Config
	var insecure bool
	var logLevel, logFormat string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Join, and serve until a signal; bridge and endpoints stay as they are",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !insecure {
				return errors.New("hosts cannot join by token yet: give --insecure to talk to the controllers without TLS, on a network that you trust")
			}
			for _, c := range cfg.Controllers {
				if _, _, err := net.SplitHostPort(c); err != nil {
					return fmt.Errorf("--controller %q is not ADDRESS:PORT", c)
				}
			}
			var err error
			if cfg.Logger, err = logger(sys.err, logLevel, logFormat); err != nil {
				return err
			}
			if cfg.Name == "" {
				if cfg.Name, err = hostName(); err != nil {
					return failure{err}
				}
			}
			cfg.Socket = socketOf(cmd)
			if err := cfg.Validate(); err != nil {
				return err
			}
			if err := agent.Run(cmd.Context(), cfg); err != nil && !errors.Is(err, context.Canceled) {
				return failure{err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Controllers, "controller", nil, "ADDRESS:PORT of a controller's hosts' stream (port 7443 by default there); may be given several times")
	f.StringVar(&cfg.Name, "name", "", "the host's name (default: its hostname)")
	f.StringVar(&cfg.Uplink, "uplink", "", "device that reaches the underlay (default: the default route's)")
	f.StringVar(&cfg.Bridge, "bridge", agent.DefaultBridge, "name of the bridge")
	f.StringVar(&cfg.Datapath, "datapath", bridge.Kernel, "Open vSwitch datapath: system (kernel) or netdev (userspace)")
	f.StringVar(&cfg.OVSRunDir, "ovs-rundir", agent.DefaultOVSRunDir, "directory with Open vSwitch's sockets")
	f.StringVar(&cfg.StateDir, "state-dir", agent.DefaultStateDir, "directory for what must outlive a restart")
	f.DurationVar(&cfg.AttachTimeout, "attach-timeout", agent.DefaultAttachTimeout, "how long an attach may take before it is undone")
	f.BoolVar(&insecure, "insecure", false, "talk to the controllers without TLS; needed until hosts join by token")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&logFormat, "log-format", "text", "text or json")
	return cmd
}

func leaveCommand(sys system) *cobra.Command {
	var cfg agent.Config
	var force bool
	cmd := &cobra.Command{
		Use:   "leave",
		Short: "Give the uplink its address and routes back and delete the bridge",
		Long: `Give the uplink its address and routes back, without losing a packet, and delete
the bridge. A running daoli-hostd does it and ends; where none runs, this command
does it by what the state directory says.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := agent.NewClient(socketOf(cmd)).Leave(cmd.Context(), agent.LeaveRequest{Force: force})
			var unreachable *agent.UnreachableError
			if errors.As(err, &unreachable) {
				cfg.Logger = slog.New(slog.NewTextHandler(sys.err, nil))
				err = agent.Leave(cmd.Context(), cfg, agent.LeaveRequest{Force: force})
			}
			if err != nil {
				return failure{err}
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&force, "force", false, "detach endpoints that are attached")
	f.StringVar(&cfg.OVSRunDir, "ovs-rundir", agent.DefaultOVSRunDir, "directory with Open vSwitch's sockets, where no daoli-hostd runs")
	f.StringVar(&cfg.StateDir, "state-dir", agent.DefaultStateDir, "daoli-hostd's state directory, where none runs")
	return cmd
}

func hostName() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("read the hostname: %w: use --name", err)
	}
	return strings.ToLower(name), nil
}

func socketOf(cmd *cobra.Command) string {
	return cmd.Flag("socket").Value.String()
}
