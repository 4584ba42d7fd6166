package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/hostd/names"
)

func runCommand(sys system) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve a host that has joined until a signal; bridge and endpoints stay as they are",
		Long: `Serve a host that has joined until a signal; bridge and endpoints stay as they are.

Flags that were given to join hold here too, unless given again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := restoreFlags(o.cfg.StateDir, cmd.Flags()); err != nil {
				return failure{err}
			}
			if err := o.complete(sys, cmd); err != nil {
				return err
			}
			var err error
			if o.cfg.Identity, err = identity.Open(agent.IdentityDir(o.cfg.StateDir)); err != nil {
				return failure{err}
			}
			if err := agent.Run(cmd.Context(), o.cfg); err != nil && !errors.Is(err, context.Canceled) {
				return failure{err}
			}
			return nil
		},
	}
	o.add(cmd.Flags())
	return cmd
}

// runOptions are run's flags, which join takes too.
type runOptions struct {
	cfg                 agent.Config
	logLevel, logFormat string
}

// complete checks what the flags say, and derives the rest.
func (o *runOptions) complete(sys system, cmd *cobra.Command) (err error) {
	for _, c := range o.cfg.Controllers {
		if _, _, err := net.SplitHostPort(c); err != nil {
			return fmt.Errorf("--controller %q is not ADDRESS:PORT", c)
		}
	}
	if o.cfg.Logger, err = logger(sys.err, o.logLevel, o.logFormat); err != nil {
		return err
	}
	o.cfg.Socket = socketOf(cmd)
	return o.cfg.Validate()
}

func (o *runOptions) add(f *pflag.FlagSet) {
	cfg := &o.cfg
	f.StringSliceVar(&cfg.Controllers, "controller", nil, "ADDRESS:PORT of a controller's hosts' stream, in place of those that the host was told; may be given several times")
	f.StringVar(&cfg.Uplink, "uplink", "", "device that reaches the underlay (default: the default route's)")
	f.StringVar(&cfg.Bridge, "bridge", agent.DefaultBridge, "name of the bridge")
	f.StringVar(&cfg.Datapath, "datapath", bridge.Kernel, "Open vSwitch datapath: system (kernel) or netdev (userspace)")
	f.StringVar(&cfg.OVSRunDir, "ovs-rundir", agent.DefaultOVSRunDir, "directory with Open vSwitch's sockets")
	f.StringVar(&cfg.StateDir, "state-dir", agent.DefaultStateDir, "directory for what must outlive a restart")
	f.DurationVar(&cfg.AttachTimeout, "attach-timeout", agent.DefaultAttachTimeout, "how long an attach may take before it is undone")
	f.StringVar(&cfg.Docker, "docker", docker.DefaultSocket, "dockerd's socket, used from when it is there; "+docker.None+" leaves Docker alone")
	f.StringVar(&cfg.PluginSocket, "plugin-socket", docker.DefaultPluginSocket, "where dockerd finds its driver daoli; a socket that systemd opened comes first")
	f.StringVar(&cfg.ResolvConf, "resolv-conf", names.DefaultResolvConf, "file with the name servers that answer what is no name of the host's endpoints")
	wireFlags(f, cfg)
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
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
