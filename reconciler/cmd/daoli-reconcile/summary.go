package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// shownTenants bounds the summary to one page.
const shownTenants = 20

// summarize writes on one page what a revision holds.
func summarize(w io.Writer, j judged) error {
	net := j.policy.Network()
	t := totals(net, j.now)
	var b strings.Builder
	fmt.Fprintf(&b, "valid: %s from %s\n\n", j.policy.Revision(), plural(j.files, "file"))
	row := func(n int, noun, detail string) {
		if n > 0 {
			fmt.Fprintf(&b, "%7d %s%s\n", n, ending(n, noun), detail)
		}
	}
	row(len(net.Tenants), "tenant", "")
	row(len(net.VPCs), "VPC", " with "+plural(t.subnets, "subnet"))
	row(t.groups, "security group", " with "+plural(t.rules, "rule")+t.expiry())
	row(len(net.Peerings), "Peering", fmt.Sprintf(", %d in force", t.peeringsInForce))
	row(len(net.Links), "Link", "")
	row(len(net.Ingresses), "Ingress", "")
	row(len(net.Services), "Service", "")
	row(len(net.Gateways), "Gateway", "")
	row(len(net.Sites), "Site", "")
	row(len(net.Assertions), "Assertion", ", kept")
	if len(net.Tenants) > 0 {
		b.WriteString("\n")
		writeTenants(&b, net)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// total counts what a network holds.
type total struct {
	subnets, groups, rules, peeringsInForce int
	ended, ending                           int // rules with until
	next                                    time.Time
}

func totals(net *spec.Network, now time.Time) total {
	var t total
	for _, v := range net.VPCs {
		t.subnets += len(v.Subnets)
	}
	for _, p := range net.Peerings {
		if p.InForce {
			t.peeringsInForce++
		}
	}
	for _, groups := range net.Groups {
		t.groups += len(groups)
		for _, g := range groups {
			t.section(g.Ingress, now)
			t.section(g.Egress, now)
		}
	}
	return t
}

func (t *total) section(s *spec.Section, now time.Time) {
	if s == nil {
		return
	}
	t.rules += len(s.Rules)
	for i := range s.Rules {
		until := s.Rules[i].Until
		switch {
		case until.IsZero():
		case !until.After(now):
			t.ended++
		default:
			if t.ending++; t.next.IsZero() || until.Before(t.next) {
				t.next = until
			}
		}
	}
}

// expiry says how many rules have ended or will.
func (t *total) expiry() string {
	text := ""
	if t.ended > 0 {
		text += fmt.Sprintf(", %d ended", t.ended)
	}
	if t.ending > 0 {
		text += fmt.Sprintf(", %d will end, the first at %s", t.ending, t.next.UTC().Format(time.RFC3339))
	}
	return text
}

// writeTenants writes one line for each tenant, as many as fit on a page.
func writeTenants(b *strings.Builder, net *spec.Network) {
	vpcs := make(map[string][]string, len(net.Tenants))
	for _, v := range net.VPCs {
		vpcs[v.Tenant] = append(vpcs[v.Tenant], v.Name)
	}
	names := make([]string, 0, len(net.Tenants))
	for name := range net.Tenants {
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	for i, name := range names {
		if i == shownTenants {
			fmt.Fprintf(b, "  and %s\n", plural(len(names)-i, "tenant"))
			return
		}
		slices.Sort(vpcs[name])
		fmt.Fprintf(b, "  %s: %s\n", name, shortList(vpcs[name]))
	}
}

// shortList joins the first names of a list.
func shortList(names []string) string {
	const most = 6
	switch {
	case len(names) == 0:
		return "no VPC"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// plural writes a count with its noun.
func plural(n int, noun string) string { return fmt.Sprintf("%d %s", n, ending(n, noun)) }

// ending returns noun as it follows the number n.
func ending(n int, noun string) string {
	switch {
	case n == 1:
		return noun
	case strings.HasSuffix(noun, "ss"):
		return noun + "es"
	}
	return noun + "s"
}
