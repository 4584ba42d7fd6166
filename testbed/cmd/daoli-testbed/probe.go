package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/probe"
)

func probeCommand() *cobra.Command {
	var file, output string
	var opt probe.Options
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Measure by real packets who reaches whom, on each port of the endpoints file",
		Long: `Measure by real packets who reaches whom: every ordered pair of two different
names of the endpoints file, on each of its ports. The controller is not asked.

  allow   the target saw the probe, and its answer came back
  reject  the sender was told: TCP RST, ICMP administratively prohibited
  drop    silence after several tries

-o json is in the order and form of daoli-reconcile matrix -o json, of which it
has from, to, port and verdict. Ports that can't be probed (sctp, icmp but echo)
are named on stderr and left out. Pairs with the outside that policy allows
measure as drop: nothing leaves or enters a VPC yet.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("probe: -o %q: must be table or json", output)}
			}
			if opt.Timeout <= 0 {
				return usageError{fmt.Errorf("probe: --timeout %s: must be more than 0", opt.Timeout)}
			}
			t, err := open(cmd)
			if err != nil {
				return err
			}
			m, err := runProbe(cmd, t, file, opt)
			if err != nil {
				return err
			}
			return writeMatrix(cmd.OutOrStdout(), m, output)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "endpoints", "", "endpoints file, whose endpoints are attached (default: that of up)")
	f.StringVarP(&output, "output", "o", "table", "table or json")
	f.DurationVar(&opt.Timeout, "timeout", probe.DefaultTimeout, "time of silence that is a drop")
	return cmd
}

func runProbe(cmd *cobra.Command, t *netns.Testbed, file string, opt probe.Options) (probe.Matrix, error) {
	stderr := cmd.ErrOrStderr()
	if file == "" {
		file = filepath.Join(t.Dir, sampleFile)
	}
	s, err := readSample(stderr, io.Discard, file, t.Specs()) // up and the controller warn
	if err != nil {
		return probe.Matrix{}, err
	}
	plan, left, err := probe.NewPlan(s.net, s.Sample, namespaces(t, s))
	if err != nil {
		return probe.Matrix{}, err
	}
	for _, port := range left {
		fmt.Fprintf(stderr, "%s: can't be probed, left out\n", port)
	}
	start := time.Now()
	m, notes, err := plan.Measure(cmd.Context(), opt)
	if err != nil {
		return probe.Matrix{}, err
	}
	for _, n := range notes {
		fmt.Fprintln(stderr, n)
	}
	fmt.Fprintf(stderr, "measured %d verdicts in %.1f s\n", len(m.Pairs), time.Since(start).Seconds())
	return m, nil
}

// namespaces finds the namespace of each name of the file in the testbed.
func namespaces(t *netns.Testbed, s *sample) func(string) (string, error) {
	type machine struct {
		namespace string
		addr      netip.Addr
	}
	want := map[string]machine{} // by what the testbed calls it
	for _, e := range t.Endpoints() {
		want[e.Path()] = machine{e.Namespace, e.Addr}
	}
	for _, o := range t.OutsideMachines() {
		want[o.Name] = machine{o.Namespace, o.Addr}
	}
	found := map[string]string{}
	for _, e := range s.Endpoints {
		if m := want[e.Tenant+"/"+e.VPC+"/"+e.Name]; m.addr == e.IP {
			found[e.Name] = m.namespace
		}
	}
	for _, o := range s.Outside {
		if m := want[o.Name]; m.addr == o.IP {
			found[o.Name] = m.namespace
		}
	}
	return func(name string) (string, error) {
		if ns := found[name]; ns != "" {
			return ns, nil
		}
		return "", fmt.Errorf("%s is not in the testbed as the endpoints file has it; daoli-testbed status shows what is", name)
	}
}

func writeMatrix(w io.Writer, m probe.Matrix, output string) error {
	if output == "table" {
		return m.WriteTable(w)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(m)
}
