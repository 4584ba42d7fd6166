package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/endpoint"
)

func attachCommand(sys system) *cobra.Command {
	var q agent.AttachRequest
	var ip, mac, format string
	var labels []string
	cmd := &cobra.Command{
		Use:   "attach --netns NETNS --vpc TENANT/VPC --subnet SUBNET --name NAME",
		Short: "Give a network namespace an endpoint",
		Long: `Give a network namespace an endpoint. When the command returns, the controller
knows the endpoint and its flows are in the switch; if anything fails, nothing of
it is left.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := complete(&q, ip, mac, labels); err != nil {
				return err
			}
			e, err := agent.NewClient(socketOf(cmd)).Attach(cmd.Context(), q)
			if err != nil {
				return failure{err}
			}
			return show(sys.out, format, e, func(w io.Writer) { printEndpoints(w, []agent.Endpoint{e}) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Netns, "netns", "", "the namespace: a path, or a name that ip netns knows (required)")
	f.StringVar(&q.VPC, "vpc", "", "TENANT/VPC (required)")
	f.StringVar(&q.Subnet, "subnet", "", "subnet of the VPC (required)")
	f.StringVar(&q.Name, "name", "", "the endpoint's name, unique in its VPC (required)")
	f.StringVar(&q.Interface, "interface", endpoint.DefaultInterface, "the interface's name in the namespace")
	f.StringVar(&ip, "ip", "", "address (default: the controller chooses)")
	f.StringVar(&mac, "mac", "", "hardware address (default: made of VPC and address)")
	f.StringArrayVar(&q.Groups, "group", nil, "security group to claim; may be given several times")
	f.StringArrayVar(&labels, "label", nil, "label KEY=VALUE; may be given several times")
	formatFlag(cmd, &format)
	for _, name := range []string{"netns", "vpc", "subnet", "name"} {
		_ = cmd.MarkFlagRequired(name) // the flag exists
	}
	return cmd
}

// complete adds what needs parsing to q.
func complete(q *agent.AttachRequest, ip, mac string, labels []string) (err error) {
	if ip != "" {
		if q.IP, err = netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("--ip %q is no address", ip)
		}
	}
	if mac != "" {
		if q.MAC, err = endpoint.ParseMAC(mac); err != nil {
			return fmt.Errorf("--mac: %w", err)
		}
	}
	for _, l := range labels {
		k, v, found := strings.Cut(l, "=")
		if !found {
			return fmt.Errorf("--label %q is not KEY=VALUE", l)
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[k] = v
	}
	return nil
}

func detachCommand(sys system) *cobra.Command {
	var q agent.DetachRequest
	var format string
	cmd := &cobra.Command{
		Use:   "detach NAME | detach --vpc TENANT/VPC --name NAME",
		Short: "Take an endpoint away",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (q.Name != "") {
				return errors.New("say which endpoint: detach NAME, or detach --vpc TENANT/VPC --name NAME")
			}
			if len(args) == 1 {
				q.Name = args[0]
			}
			e, err := agent.NewClient(socketOf(cmd)).Detach(cmd.Context(), q)
			if err != nil {
				return failure{err}
			}
			return show(sys.out, format, e, func(io.Writer) {})
		},
	}
	cmd.Flags().StringVar(&q.VPC, "vpc", "", "TENANT/VPC (default: the one that has the name)")
	cmd.Flags().StringVar(&q.Name, "name", "", "the endpoint's name")
	formatFlag(cmd, &format)
	return cmd
}

func endpointsCommand(sys system) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "endpoints",
		Short: "List the host's endpoints",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := agent.NewClient(socketOf(cmd)).Endpoints(cmd.Context())
			if err != nil {
				return failure{err}
			}
			return show(sys.out, format, list, func(w io.Writer) { printEndpoints(w, list.Endpoints) })
		},
	}
	formatFlag(cmd, &format)
	return cmd
}

func statusCommand(sys system) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the host at a glance",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := agent.NewClient(socketOf(cmd)).Status(cmd.Context())
			if err != nil {
				return failure{err}
			}
			return show(sys.out, format, s, func(w io.Writer) { printStatus(w, s) })
		},
	}
	formatFlag(cmd, &format)
	return cmd
}

func formatFlag(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", "table", "table or json")
}

// show prints v as JSON, or by table.
func show(w io.Writer, format string, v any, table func(io.Writer)) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table(tw)
	return tw.Flush()
}

func printEndpoints(w io.Writer, es []agent.Endpoint) {
	fmt.Fprintln(w, "VPC\tNAME\tSUBNET\tIP\tMAC\tPORT\tSTATE\tPROBLEM")
	for _, e := range es {
		ip := "-"
		if e.IP.IsValid() {
			ip = e.IP.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", e.VPC, e.Name, e.Subnet, ip, e.MAC, e.Port, e.State, orDash(e.Problem))
	}
}

func printStatus(w io.Writer, s agent.Status) {
	fmt.Fprintf(w, "host\t%s\n", s.Host)
	whose := "the host's address"
	if s.Uplink.OwnAddress {
		whose = "an address of the wire's own"
	}
	fmt.Fprintf(w, "uplink\t%s %s (%s) mtu %d\n", s.Uplink.Device, s.Uplink.Addr, whose, s.Uplink.MTU)
	hop := "none"
	if s.Uplink.NextHop.IsValid() {
		hop = s.Uplink.NextHop.String() + " " + s.Uplink.NextHopMAC.String()
	}
	fmt.Fprintf(w, "next hop\t%s\n", hop)
	fmt.Fprintf(w, "bridge\t%s (%s), datapath id %s, switch %s\n", s.Bridge, s.Datapath, s.DPID, upDown(s.Switch))
	stream := "none"
	if s.Controller != "" {
		stream = s.Controller + ", report not confirmed yet"
		if s.Ready {
			stream = s.Controller + ", report confirmed"
		}
	}
	fmt.Fprintf(w, "controller\t%s\n", stream)
	fmt.Fprintf(w, "certificate\t%s\n", certificate(s, time.Now()))
	for _, t := range slices.Sorted(maps.Keys(s.OpenFlow)) {
		fmt.Fprintf(w, "openflow\t%s %s\n", t, upDown(s.OpenFlow[t]))
	}
	fmt.Fprintf(w, "wire ports\t%s\n", s.WirePorts)
	fmt.Fprintf(w, "listeners\t%d\n", s.Listeners)
	fmt.Fprintf(w, "endpoints\t%d\n", s.Endpoints)
	fmt.Fprintf(w, "docker\t%s\n", dockerText(s.Docker))
	n := s.Names
	fmt.Fprintf(w, "names\t%d answered, %d asked of the host's name servers, %d failed, %d invalid, %d too many\n", n.Ours, n.Forwarded, n.Failed, n.Invalid, n.Excess)
}

// renewSlack is how long a renewal may take before something is wrong.
const renewSlack = 10 * time.Minute

// certificate says how long the host is trusted.
func certificate(s agent.Status, now time.Time) string {
	at := s.CertificateEnds.Local().Format(time.DateTime)
	switch {
	case now.After(s.CertificateEnds):
		return fmt.Sprintf("ended at %s: it is renewed as soon as a controller is reached, up to 30 days after that", at)
	case now.After(s.RenewAt.Add(renewSlack)):
		return fmt.Sprintf("until %s; it should have been renewed by now: the log says why it was not", at)
	}
	return "until " + at
}

// dockerText says how the host's Docker is.
func dockerText(d *agent.DockerStatus) string {
	switch {
	case d == nil:
		return "left alone"
	case !d.Answers:
		return "does not answer: what runs goes on"
	case d.Problem != "":
		return fmt.Sprintf("%d networks; not in line: %s", d.Networks, d.Problem)
	}
	return fmt.Sprintf("%d networks", d.Networks)
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
