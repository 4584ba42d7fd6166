package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) getCommand() *cobra.Command {
	get := &cobra.Command{
		Use:   "get",
		Short: "List hosts, endpoints, sessions or revisions",
		Example: `  daolictl get hosts
  daolictl get endpoints -o yaml
  daolictl get sessions --vpc acme/prod
  daolictl get revisions`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return fmt.Errorf("say what to get: hosts, endpoints, sessions or revisions")
		},
	}
	hosts := a.hostsCommand()
	hosts.Aliases = []string{"host"} // which by itself is another command
	get.AddCommand(hosts, a.endpointsCommand(), a.sessionsCommand("sessions"), a.revisionsCommand())
	return get
}

func (a *app) hostsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "Hosts: underlay address, connections, load, trust",
		Long: `Hosts: underlay address, connections, load, trust.

SWITCH is the OpenFlow connection of the host's bridge: without it sessions go on,
and new ones are denied. HOSTD is the stream that reports the host's endpoints.
FLOWS counts those of sessions. CERTIFICATE is how long the host's last one lasts
(it renews it by itself), TENANTS whose endpoints the host may have at most, if its
join token said so.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.HostList, error) {
				hosts, err := a.client().Hosts(cmd.Context())
				return api.HostList{Hosts: hosts}, err
			}, a.printHosts)
		},
	}
}

func (a *app) printHosts(list api.HostList) {
	state := func(up bool, word string) cell {
		if up {
			return cell{word, green}
		}
		return cell{"lost", red}
	}
	var rows [][]cell
	for _, h := range list.Hosts {
		row := cells(h.Name, dash(h.Address), "", "", dash(h.NextHop), strconv.Itoa(h.MTU), strconv.Itoa(h.Endpoints), strconv.Itoa(h.Sessions), strconv.Itoa(h.Flows),
			dash(h.DPID), "", dash(strings.Join(h.Tenants, ",")))
		row[2], row[3], row[10] = state(h.Connected, "connected"), state(h.Reporting, "reporting"), a.certificate(h)
		rows = append(rows, row)
	}
	a.table([]string{"HOST", "ADDRESS", "SWITCH", "HOSTD", "NEXT HOP", "MTU", "ENDPOINTS", "SESSIONS", "FLOWS", "DPID", "CERTIFICATE", "TENANTS"}, rows)
	for _, h := range list.Hosts {
		if !h.Connected && !h.Reporting && h.Revoked == nil {
			fmt.Fprintf(a.out, "\n%s is lost. If it is gone for good, or has left without a word: daolictl host revoke %s\n", h.Name, h.Name)
			break // the next one is the same
		}
	}
}

// certificate says how long a host is trusted.
func (a *app) certificate(h api.Host) cell {
	left := h.CertificateEnds.Sub(a.now())
	switch {
	case h.Revoked != nil:
		return cell{"revoked", red}
	case h.CertificateEnds.IsZero():
		return cell{"-", plain}
	case left <= 0:
		return cell{"ended " + span(-left) + " ago", red}
	}
	return cell{span(left), green}
}

func (a *app) revisionsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "revisions",
		Aliases: []string{"revision"},
		Short:   "Revisions: what was in force when, by whom, and what was refused",
		Long: `Revisions, the newest first: what was in force from when on, who made it, and what
they say of it; and what was refused, with the first thing wrong with it (-o json
has all).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.RevisionList, error) {
				list, err := a.client().Revisions(cmd.Context())
				return api.RevisionList{Revisions: list}, err
			}, a.printRevisions)
		},
	}
}

func (a *app) printRevisions(list api.RevisionList) {
	var rows [][]cell
	for _, r := range list.Revisions {
		row := cells(short(r.ID), string(r.State), span(a.now().Sub(r.At))+" ago", "-", "-", "-")
		switch r.State {
		case api.RevisionActive:
			row[1].c = green
		case api.RevisionRefused:
			row[1].c = red
		}
		if c := r.Commit; c != nil {
			row[3].text, row[4].text, row[5].text = c.Author, c.When.Format(time.DateTime), c.Subject
		}
		rows = append(rows, row)
		for i, problem := range r.Problems[:min(1, len(r.Problems))] {
			if n := len(r.Problems) - 1 - i; n > 0 {
				problem += fmt.Sprintf(" (and %d more)", n)
			}
			rows = append(rows, cells("", "", "", "", "", problem))
		}
	}
	a.table([]string{"REVISION", "STATE", "SINCE", "AUTHOR", "COMMITTED", "SUBJECT"}, rows)
}

func (a *app) endpointsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "endpoints",
		Aliases: []string{"endpoint"},
		Short:   "Endpoints: address, host, groups",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.EndpointList, error) {
				endpoints, err := a.client().Endpoints(cmd.Context())
				return api.EndpointList{Endpoints: endpoints}, err
			}, a.printEndpoints)
		},
	}
}

func (a *app) printEndpoints(list api.EndpointList) {
	var rows [][]cell
	var notes []string
	for _, e := range list.Endpoints {
		name := fullName(e)
		rows = append(rows, cells(name, e.Subnet, e.IP, e.MAC, e.Host, strconv.Itoa(e.Port), dash(strings.Join(e.Groups, ",")), strconv.Itoa(e.Sessions)))
		if len(e.Ignored) > 0 {
			notes = append(notes, fmt.Sprintf("%s claims %s: no such group, or one that names its members; it grants nothing", name, strings.Join(e.Ignored, ",")))
		}
	}
	a.table([]string{"ENDPOINT", "SUBNET", "IP", "MAC", "HOST", "PORT", "GROUPS", "SESSIONS"}, rows)
	for _, note := range notes {
		fmt.Fprintln(a.out, a.paint(yellow, note))
	}
}

func fullName(e api.Endpoint) string { return e.Tenant + "/" + e.VPC + "/" + e.Name }

func (a *app) sessionsCommand(use string) *cobra.Command {
	var f api.SessionFilter
	cmd := &cobra.Command{
		Use:     use,
		Aliases: []string{"session"},
		Short:   "Live sessions, and the decision behind each",
		Long: `Live sessions, and the decision behind each.

A session is one admitted (source, destination, protocol, destination port); it
holds one or many connections. WIRE is the port that stands for it between its
two hosts. PACKETS and BYTES count both directions.`,
		Example: `  daolictl sessions --vpc acme/prod --port 443
  daolictl sessions --endpoint acme/prod/web1
  daolictl sessions --host h1 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.SessionList, error) { return a.client().SessionList(cmd.Context(), f) }, a.printSessions)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.VPC, "vpc", "", "only with an end in this VPC, as acme/prod")
	flags.StringVar(&f.Endpoint, "endpoint", "", "only with this endpoint at either end")
	flags.StringVar(&f.Host, "host", "", "only through this host")
	flags.StringVar(&f.Proto, "proto", "", "only tcp, udp, sctp or icmp")
	flags.IntVar(&f.Port, "port", 0, "only to this destination port")
	flags.IntVar(&f.Limit, "limit", api.DefaultLimit, "at most so many")
	cmd.AddCommand(a.killCommand())
	_ = cmd.RegisterFlagCompletionFunc("endpoint", a.completeEndpoint) // only fails for a flag that isn't there
	return cmd
}

func (a *app) printSessions(list api.SessionList) {
	var rows [][]cell
	for _, s := range list.Sessions {
		var wire []string
		for _, p := range s.WirePorts {
			wire = append(wire, strconv.Itoa(p))
		}
		rows = append(rows, cells(s.From.Name, s.To.Name, port(s.Proto, s.Port), strings.Join(s.Hosts, ">"), dash(strings.Join(wire, ",")),
			strconv.FormatUint(s.Forward.Packets+s.Reply.Packets, 10), size(s.Forward.Bytes+s.Reply.Bytes),
			span(a.now().Sub(s.Opened)), span(seconds(s.IdleSeconds)), s.Decision.Reason, dash(s.Decision.At)))
	}
	a.table([]string{"FROM", "TO", "PORT", "HOSTS", "WIRE", "PACKETS", "BYTES", "AGE", "IDLE", "REASON", "AT"}, rows)
	if list.Truncated {
		fmt.Fprintln(a.out, a.paint(yellow, "there are more: narrow it down, or raise --limit"))
	}
}

// port writes protocol and port as rules do: tcp/443, icmp/echo.
func port(proto string, n int) string {
	if proto == "icmp" && n == 8 {
		return "icmp/echo"
	}
	return fmt.Sprintf("%s/%d", proto, n)
}
