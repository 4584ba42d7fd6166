package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/testbed/netns"
)

func upCommand() *cobra.Command {
	var opt netns.Options
	var file string
	cmd := &cobra.Command{
		Use:   "up [SPECS]",
		Short: "Bring a testbed up and leave it running; SPECS (default: specs) is watched",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			opt.Specs = append(args, "specs")[0]
			return runUp(cmd, opt, file)
		},
	}
	cmd.Flags().IntVar(&opt.Hosts, "hosts", 3, "number of emulated hosts, each in an underlay subnet of its own")
	cmd.Flags().StringVar(&file, "endpoints", "", "endpoints file, as for daoli-reconcile matrix: attach what it names, each on its host: or in turn")
	cmd.Flags().StringVar(&opt.Policies, "policies", "", "directory of Rego (default: the controller's)")
	cmd.Flags().StringVar(&opt.Binaries, "binaries", "", "directory with daoli-reconcile, daoli-hostd and daolictl (default: build them; outside their source: those beside daoli-testbed)")
	return cmd
}

func runUp(cmd *cobra.Command, opt netns.Options, file string) error {
	ctx, w := cmd.Context(), cmd.OutOrStdout()
	s, err := prepare(cmd, &opt, file)
	if err != nil {
		return err
	}
	start := time.Now()
	fmt.Fprintf(w, "bringing up %d hosts\n", opt.Hosts)
	t, err := netns.Up(ctx, opt)
	if err != nil {
		return err
	}
	if s != nil {
		if err := s.attach(ctx, w, t); err != nil {
			return errors.Join(err, t.Close())
		}
	}
	if err := t.Detach(); err != nil {
		return errors.Join(err, t.Close())
	}
	fmt.Fprintf(w, "testbed %s is up after %.1f s and watches %s\n\n", t.ID, time.Since(start).Seconds(), t.Specs())
	printHosts(w, t)
	printEndpoints(w, t)
	printHelp(w, t)
	return nil
}

// prepare completes the options, and reads the endpoints file if there is one:
// all that can be refused before anything is started.
func prepare(cmd *cobra.Command, opt *netns.Options, file string) (s *sample, err error) {
	if info, err := os.Stat(opt.Specs); err != nil || !info.IsDir() {
		return nil, usageError{fmt.Errorf("specs %s: not a directory; name the one with your YAML", opt.Specs)}
	}
	if opt.Binaries == "" {
		if opt.Binaries, err = findBinaries(); err != nil {
			return nil, err
		}
	}
	if file == "" {
		return nil, nil
	}
	if s, err = readSample(cmd.ErrOrStderr(), cmd.ErrOrStderr(), file, opt.Specs); err != nil {
		return nil, err
	}
	return s, s.place(opt.Hosts)
}

// printHelp says what to do next.
func printHelp(w io.Writer, t *netns.Testbed) {
	if len(t.Endpoints()) == 0 {
		fmt.Fprint(w, `
Attach containers, and let them talk:
  daoli-testbed attach web1 --host h1 --vpc TENANT/VPC --subnet SUBNET
  daoli-testbed exec web1 -- ping -c 3 ADDRESS
`)
	} else {
		fmt.Fprint(w, `
Measure who reaches whom, attach more, and let them talk:
  daoli-testbed probe
  daoli-testbed attach NAME --host h1 --vpc TENANT/VPC --subnet SUBNET
  daoli-testbed exec NAME -- ping -c 3 ADDRESS
`)
	}
	fmt.Fprintf(w, `Look at it:
  %s --socket %s sessions
  OVS_RUNDIR=%s ovs-ofctl -O OpenFlow13 dump-flows %s
  ip netns exec %s tcpdump -ni h1
Programs and their output are in %s. End it with
  daoli-testbed down
`, t.Binary("daolictl"), t.Controller.Socket, t.Hosts[0].OVSDir, netns.Bridge, t.Namespace("rt"), t.Dir)
}

func downCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the testbed, and remove what crashed ones left behind",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			swept, err := netns.Sweep(cmd.Context(), "")
			if err != nil {
				return err
			}
			for _, id := range swept {
				fmt.Fprintf(cmd.OutOrStdout(), "testbed %s, whose owner had died, is removed\n", id)
			}
			t, err := open(cmd)
			if errors.Is(err, errNoTestbed) && len(swept) > 0 {
				return nil
			}
			if err != nil {
				return err
			}
			if err := t.Close(); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "testbed %s is down\n", t.ID)
			return nil
		},
	}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the testbed's hosts, endpoints and controller",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := open(cmd)
			if err != nil {
				return err
			}
			w := cmd.OutOrStdout()
			fmt.Fprintf(w, "testbed %s watches %s\n\n", t.ID, t.Specs())
			printHosts(w, t)
			printEndpoints(w, t)
			s, err := t.Controller.API().Status(cmd.Context())
			if err != nil {
				return fmt.Errorf("ask the controller: %w", err)
			}
			fmt.Fprintf(w, "\nrevision %s, %d of %d hosts connected, %d endpoints, %d sessions, %d PacketIns\n",
				s.Revision.ID, s.Hosts.Connected, s.Hosts.Total, s.Endpoints, s.Sessions, s.PacketIns.Total)
			return nil
		},
	}
}

func printHosts(w io.Writer, t *netns.Testbed) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "MACHINE\tNAMESPACE\tADDRESS\tSOCKET")
	fmt.Fprintf(tw, "controller\t%s\t%s\t%s\n", t.Controller.Namespace, t.Controller.Addr(), t.Controller.Socket)
	for _, h := range t.Hosts {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", h.Name, h.Namespace, h.Addr, h.Socket)
	}
	fmt.Fprintf(tw, "router\t%s\t\t\ninternet\t%s\t%s\t\n", t.Namespace("rt"), t.Namespace("in"), t.Internet())
	for _, o := range t.OutsideMachines() {
		fmt.Fprintf(tw, "%s\t%s\t%s/32\t\n", o.Name, o.Namespace, o.Addr)
	}
	tw.Flush()
}

func printEndpoints(w io.Writer, t *netns.Testbed) {
	if len(t.Endpoints()) == 0 {
		return
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\nENDPOINT\tNAMESPACE\tADDRESS\tHOST\tGROUPS")
	for _, e := range t.Endpoints() {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", e.Path(), e.Namespace, e.Addr, e.Host, strings.Join(e.Groups, ","))
	}
	tw.Flush()
}

// errNoTestbed says that there is nothing to open.
var errNoTestbed = errors.New("no testbed is up; start one with: daoli-testbed up SPECS")

// open returns the one testbed that is up, or that which --run names.
func open(cmd *cobra.Command) (*netns.Testbed, error) {
	id, err := cmd.Flags().GetString("run")
	if err != nil {
		return nil, err
	}
	runs, err := netns.Runs("")
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, dir := range runs {
		if filepath.Base(dir) == id {
			return netns.Open(dir)
		}
		ids = append(ids, filepath.Base(dir))
	}
	switch {
	case id != "":
		return nil, usageError{fmt.Errorf("no testbed %q is up; there are: %s", id, strings.Join(ids, ", "))}
	case len(runs) == 0:
		return nil, errNoTestbed
	case len(runs) > 1:
		return nil, usageError{fmt.Errorf("several testbeds are up: choose one by --run %s", strings.Join(ids, ", --run "))}
	}
	return netns.Open(runs[0])
}
