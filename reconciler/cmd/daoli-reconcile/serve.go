package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// options are the flags.
type options struct {
	watch, policies, stateDir, socket string
	openflow, hosts, advertise        string
	wireRange, logLevel, logFormat    string
	git                               gitFlags
	decisions                         decisionFlags
	hostLife                          time.Duration
}

func controllerCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "daoli-reconcile {--watch DIR | --git URL}",
		Short: "The DaoliNet controller",
		Long: `daoli-reconcile loads VPCs and security groups from a directory of YAML or a
branch in git, asks OPA about every first packet that a switch lifts, and answers
with the flows of its session on the hosts concerned. An edit or a commit is taken
as soon as it is whole and valid; until then the last good revision stays in force,
also over a restart.

Hosts join at --hosts-listen with a token that daolictl join-token create makes,
and stay connected there (daoli-hostd's stream) and at --openflow (their bridges),
all by TLS with certificates that this controller signs: its CA is made at the
first start, in --state-dir. Ask a running controller with daolictl.

What a directory means can be asked offline, without a controller: validate,
matrix and policies load it as the controller does.

Exit codes: 0 fine; 1 refused, or something failed; 2 wrong usage.
plan and replay also have 3: something changes.`,
		Example: `  # watch a directory; use the Rego beside it, if there is a directory policies
  daoli-reconcile --watch specs/

  # follow a branch, and take only what was signed
  daoli-reconcile --git ssh://git@git.acme.example/network --ref main --git-ssh-key /etc/daoli/key \
    --verify-signatures --git-allowed-signers /etc/daoli/signers

  # a policy of your own, all files in one place
  daoli-reconcile --watch specs/ --policies policies/ --state-dir /tmp/daoli --socket /tmp/daoli/r.sock

  # before you commit: is it right, and what does it mean?
  daoli-reconcile validate specs/
  daoli-reconcile matrix specs/ --endpoints endpoints.yaml`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
		RunE:          running(func(cmd *cobra.Command, _ []string) error { return runController(cmd.Context(), o) }),
	}
	f := cmd.Flags()
	f.StringVar(&o.watch, "watch", "", "directory of YAML to watch")
	o.git.add(f)
	o.decisions.add(f)
	f.StringVar(&o.policies, "policies", "", "directory of Rego in place of the built-in policy (default: the directory policies beside --watch, if there)")
	f.StringVar(&o.stateDir, "state-dir", "/var/lib/daoli/reconcile", "directory for what must outlive a restart")
	f.StringVar(&o.socket, "socket", api.DefaultSocket, "unix socket that daolictl asks")
	f.StringVar(&o.openflow, "openflow", ":6653", "ADDRESS:PORT where switches connect")
	f.StringVar(&o.hosts, "hosts-listen", ":7443", "ADDRESS:PORT where hosts connect")
	f.StringVar(&o.advertise, "advertise", "", "address under which hosts reach this controller (default: the address of --openflow, or of the default route's device)")
	f.StringVar(&o.wireRange, "wire-range", "16384-24575", "ports that stand for sessions between hosts: one block of a power of two, below 32768; the same on all controllers")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "text or json")
	f.DurationVar(&o.hostLife, "host-certificate-life", enrol.DefaultHostLife, "how long a host's certificate is valid")
	_ = f.MarkHidden("host-certificate-life") // for tests; only fails for a flag that isn't there
	return cmd
}

func runController(ctx context.Context, o options) error {
	log, err := logger(o)
	if err != nil {
		return err
	}
	if err := o.git.check(o.watch); err != nil {
		return usageError{err}
	}
	wire, err := parseWireRange(o.wireRange)
	if err != nil {
		return usageError{err}
	}
	if o.hostLife <= 0 {
		return usageError{fmt.Errorf("--host-certificate-life %s is not positive", o.hostLife)}
	}
	if o.policies == "" && o.watch != "" {
		o.policies = policiesBeside(o.watch)
	}
	git, err := o.git.options(ctx, o.stateDir)
	if err != nil {
		return err
	}
	of, err := net.Listen("tcp", o.openflow)
	if err != nil {
		return fmt.Errorf("listen for switches: %w", err)
	}
	hosts, err := net.Listen("tcp", o.hosts)
	if err != nil {
		return fmt.Errorf("listen for hosts: %w", err)
	}
	at, err := advertised(o.advertise, of.Addr())
	if err != nil {
		return err
	}
	decisions, err := o.decisions.open(log)
	if err != nil {
		return err
	}
	child, err := sandboxChild()
	if err != nil {
		return err
	}
	controller.TuneGC()
	return controller.Run(ctx, controller.Config{
		Specs: o.watch, Policies: o.policies, Git: git, Sandbox: child, StateDir: o.stateDir, Socket: o.socket, Decisions: decisions,
		OpenFlow: of, Hosts: hosts, Targets: []string{"ssl:" + hostPort(at, of.Addr())}, Wire: wire, Version: version(), Logger: log,
		Trust: enrol.Config{Name: controllerName(), Addresses: []string{at}, Controllers: []string{hostPort(at, hosts.Addr())}, HostLife: o.hostLife},
	})
}

func logger(o options) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: debug, info, warn and error are known", o.logLevel)}
	}
	opts := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, opts)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: text and json are known", o.logFormat)}
}

// parseWireRange reads FIRST-LAST.
func parseWireRange(s string) (pipeline.WireRange, error) {
	var r pipeline.WireRange
	first, last, found := strings.Cut(s, "-")
	a, errA := strconv.ParseUint(first, 10, 16)
	b, errB := strconv.ParseUint(last, 10, 16)
	if found && errA == nil && errB == nil && a <= b {
		r = pipeline.WireRange{Value: uint16(a), Mask: ^uint16(b - a)}
	}
	if !r.Valid() {
		return r, fmt.Errorf("--wire-range %q is not one block FIRST-LAST of 256, 512, ... ports that begins at a multiple of its size, from 1024 to 32767; 16384-24575 is", s)
	}
	return r, nil
}

// hostPort is an address that hosts are told, with the port of a listener.
func hostPort(address string, listen net.Addr) string {
	return net.JoinHostPort(address, strconv.Itoa(listen.(*net.TCPAddr).Port))
}

// controllerName is this controller's in its certificate: its machine's.
func controllerName() string {
	if name, err := os.Hostname(); err == nil && hostpb.ValidHostName(strings.ToLower(name)) {
		return strings.ToLower(name)
	}
	return "controller"
}

// advertised returns the address of this controller that hosts are told.
func advertised(advertise string, listen net.Addr) (string, error) {
	at := listen.(*net.TCPAddr).AddrPort()
	addr := advertise
	switch {
	case addr != "":
	case !at.Addr().IsUnspecified():
		addr = at.Addr().Unmap().String()
	default:
		// No packet is sent: connecting a UDP socket only chooses a source address.
		c, err := net.Dial("udp4", netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 9).String())
		if err != nil {
			return "", usageError{fmt.Errorf("no address of this machine is found to tell hosts (%w); give --advertise ADDRESS", err)}
		}
		defer c.Close()
		addr = c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().String()
	}
	return addr, nil
}
