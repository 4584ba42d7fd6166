package main

import (
	"cmp"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/daolinet/daolinet/reconciler/api"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The controller at a glance: revision, hosts, counters",
		Long: `The controller at a glance: the active revision and, while its source has
another, why that was refused; hosts, endpoints, sessions; how many
packets the switches lifted and what became of them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return show(a, func() (api.Status, error) { return a.client().Status(cmd.Context()) }, a.printStatus)
		},
	}
}

func (a *app) printStatus(s api.Status) {
	a.fact("controller", "%s, up %s", s.Version, span(seconds(s.UptimeSeconds)))
	a.printRevision(s.Revision)
	hosts := fmt.Sprintf("%d of %d connected", s.Hosts.Connected, s.Hosts.Total)
	if s.Hosts.Connected < s.Hosts.Total {
		hosts = a.paint(yellow, hosts)
	}
	a.fact("hosts", "%s", hosts)
	a.fact("endpoints", "%d", s.Endpoints)
	a.fact("sessions", "%d", s.Sessions)
	a.fact("packet-ins", "%d: %d from endpoints, %d from the wire; %d more lost to full queues",
		s.PacketIns.Total, s.PacketIns.FromEndpoints, s.PacketIns.FromWire, s.PacketIns.QueueDrops)
	a.printCounts(s.PacketIns.Outcomes)
	var decisions uint64
	for _, n := range s.Decisions.Reasons {
		decisions += n
	}
	a.fact("decisions", "%d, %.0f %% from the cache", decisions, 100*s.Decisions.HitRatio())
	a.printCounts(s.Decisions.Reasons)
	if l := s.DecisionLog; l != nil && l.LeftOut > 0 {
		a.fact("", "%s", a.paint(yellow, fmt.Sprintf("the decision log lacks %d of them", l.LeftOut)))
	}
	if len(s.Drift) > 0 {
		a.fact("drift mended", "flows that switches lacked or held though nobody told them so")
		a.printCounts(s.Drift)
	}
}

func (a *app) printRevision(r api.RevisionStatus) {
	if r.ID == "" {
		a.fact("revision", "%s", a.paint(red, "none yet: every new session is denied"))
	} else {
		a.fact("revision", "%s, %s, active for %s", short(r.ID), plural(r.Files, "file"), span(a.now().Sub(r.Since)))
	}
	if c := r.Commit; c != nil {
		signed := ""
		if c.Signer != "" {
			signed = ", signed by " + c.Signer
		}
		a.fact("", "%s, by %s on %s%s", c.Subject, c.Author, c.When.Format(time.DateTime), signed)
	}
	for _, warning := range r.Warnings {
		a.fact("", "%s", warning)
	}
	for _, problem := range r.Tenants {
		a.fact("", "%s", a.paint(yellow, problem))
	}
	if r.Refused == nil {
		return
	}
	a.fact("", "%s", a.paint(red, fmt.Sprintf("%s was refused %s ago:", refusedWhat(r.Refused), span(a.now().Sub(r.Refused.At)))))
	for _, problem := range r.Refused.Problems {
		a.fact("", "  %s", problem)
	}
}

// refusedWhat names what was refused.
func refusedWhat(r *api.RefusedRevision) string {
	if r.Commit == nil {
		return "what is there now"
	}
	return fmt.Sprintf("commit %s (%s, by %s)", short(r.Commit.Hash), r.Commit.Subject, r.Commit.Author)
}

// printCounts prints the counts that are not zero, the greatest first.
func (a *app) printCounts(counts map[string]uint64) {
	names := slices.SortedFunc(maps.Keys(counts), func(x, y string) int {
		return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y))
	})
	var parts []string
	for _, name := range names {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
		}
	}
	if len(parts) > 0 {
		a.fact("", "%s", strings.Join(parts, ", "))
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "The version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			return show(a, func() (version, error) { return v, nil }, func(v version) {
				fmt.Fprintf(a.out, "daolictl %s (%s)\n", v.Version, v.Go)
			})
		},
	}
}

type version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
}

// buildVersion is the module's version, which holds the commit where it has no
// tag.
func buildVersion() version {
	info, read := debug.ReadBuildInfo()
	if !read {
		return version{Version: "unknown", Go: "unknown"}
	}
	v := version{Version: info.Main.Version, Go: info.GoVersion}
	if v.Version == "" {
		v.Version = "(devel)"
	}
	return v
}
