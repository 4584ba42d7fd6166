package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	p := newWorld().
		vpc("acme/prod", "same-subnet", "deny"). // 1, 2, 3
		vpc("acme/shut", "deny", "").            // 4, 5
		vpc("globex/prod", "same-vpc", "").      // 6, 7
		group("acme/prod", "db", ingress(        // 8, 9
			rule("group:api", "tcp/80"),                                // 10
			rule("group:web", "tcp/80", "tcp/8000-8999"),               // 11
			rule("group:web", "tcp/443", "until:2026-06-01T10:00:00Z"), // 12
			rule("nobody"),              // 13
			rule("group:batch", "deny"), // 14
			rule("group:web", "tcp/22", "until:2026-06-01T14:00:00Z"), // 15
		)).
		group("acme/prod", "web", egress(rule("10.0.0.0/8!10.1.0.0/16", "udp"))). // 16, 17, 18
		ingress("acme/prod", "shop", "web1", "tcp/80").                           // 19
		ingress("acme/prod", "tiny", "web2", "tcp/80", "9.0.0.0/8").              // 20
		peering("globex", "ask", "acme/shut", "globex/prod").                     // 21
		link("acme/prod", "cut", "disconnect", "web1", "group:db").               // 22
		link("acme/prod", "tie", "connect", "web2", "group:db").                  // 23
		compile(t)
	web := endpoint("acme/prod/web", "web")
	plain := endpoint("acme/prod/web")
	db := endpoint("acme/prod/db", "db")

	tests := []struct {
		name string
		got  []string
		want string
	}{
		{"nearest rules of a closed ingress", p.Explain(now, query(endpoint("acme/prod/db", "web"), db, "tcp/443")), `
reject: ingress-default by acme/prod/db at net.yaml:9
group db isolates: its ingress at net.yaml:9 admits only what a rule allows
acme/prod/db/ingress/1 at net.yaml:11 does not match: group:acme/prod/web matches, but port tcp/443 is not in tcp/80,tcp/8000-8999
acme/prod/db/ingress/2 at net.yaml:12 does not match: group:acme/prod/web matches, but it ended at 2026-06-01T10:00:00Z
acme/prod/db/ingress/3 at net.yaml:13 does not match: the peer is not in []`},
		{"nearest rules of a closed egress", p.Explain(now, query(web, plain, "icmp/8")), `
reject: egress-default by acme/prod/web at net.yaml:17
group web isolates: its egress at net.yaml:17 admits only what a rule allows
acme/prod/web/egress/0 at net.yaml:18 does not match: the peer is not in cidr:10.0.0.0/8!10.1.0.0/16, port icmp/8 is not in udp`},
		{"the default same-subnet", p.Explain(now, query(db, plain, "tcp/443")), `
reject: ingress-default by acme/prod at net.yaml:2
no group isolates, and the default of VPC acme/prod is same-subnet: db is not web`},
		{"the default deny", p.Explain(now, query(endpoint("acme/shut/a"), endpoint("acme/shut/a"), "tcp/443")), `
reject: ingress-default by acme/shut at net.yaml:5
no group isolates, and the default of VPC acme/shut is deny`},
		{"egress.default", p.Explain(now, query(plain, outside(p, "10.0.0.1"), "udp/53")), `
reject: egress-default by acme/prod at net.yaml:3
no group isolates, and egress.default of VPC acme/prod is deny`},
		{"no egress", p.Explain(now, query(endpoint("acme/shut/a"), outside(p, "10.0.0.1"), "udp/53")), `
reject: no-egress by acme/shut at net.yaml:4
VPC acme/shut has no egress: no way out`},
		{"no ingress", p.Explain(now, query(outside(p, "10.0.0.1"), db, "udp/53")), `
drop: no-ingress
no Ingress or Service of VPC acme/prod lets this in from outside
acme/prod/shop at net.yaml:19 does not match: it is for endpoint:acme/prod/web1, any matches, but port udp/53 is not in tcp/80
acme/prod/tiny at net.yaml:20 does not match: it is for endpoint:acme/prod/web2, the peer is not in cidr:9.0.0.0/8, port udp/53 is not in tcp/80`},
		{"an Ingress", p.Explain(now, query(outside(p, "10.0.0.1"), endpoint("acme/prod/web", "@web1"), "tcp/80")), `
allow: open by acme/prod/shop at net.yaml:19
no group isolates, so what listens for the outside decides alone`},
		{"a one-sided Peering", p.Explain(now, query(endpoint("globex/prod/a"), endpoint("acme/shut/a"), "udp/53")), `
drop: isolation by globex/ask at net.yaml:21
globex/prod and acme/shut are two VPCs without a Peering in force: tenant globex declares one, tenant acme does not`},
		{"a Link that disconnects", p.Explain(now, query(endpoint("acme/prod/db", "@web1"), db, "tcp/80")), `
drop: link-deny by acme/prod/cut at net.yaml:22
the Link between endpoint:acme/prod/web1 and group:acme/prod/db disconnects, whatever rules allow`},
		{"a Link that connects", p.Explain(now, query(endpoint("acme/prod/db", "@web2"), db, "tcp/80")), `
allow: link by acme/prod/tie at net.yaml:23
the Link between endpoint:acme/prod/web2 and group:acme/prod/db connects, over defaults and missing rules`},
		{"isolation", p.Explain(now, query(endpoint("globex/prod/a"), db, "udp/53")), `
drop: isolation
globex/prod and acme/prod are two VPCs without a Peering in force`},
		{"a VPC that is gone", p.Explain(now, query(endpoint("acme/gone/a"), endpoint("acme/gone/a"), "udp/53")), `
drop: isolation
VPC acme/gone is not in revision r1`},
		{"an allow that ends", p.Explain(now, query(endpoint("acme/prod/db", "web2", "web"), db, "tcp/22")), `
reject: egress-default by acme/prod/web at net.yaml:17
group web isolates: its egress at net.yaml:17 admits only what a rule allows
acme/prod/web/egress/0 at net.yaml:18 does not match: the peer is not in cidr:10.0.0.0/8!10.1.0.0/16, port tcp/22 is not in udp
this may change at 2026-06-01T14:00:00Z`},
		{"a rule that denies", p.Explain(now.Add(time.Hour), query(endpoint("acme/prod/db", "batch"), db, "tcp/22")), `
drop: rule-deny by acme/prod/db/ingress/4 at net.yaml:14`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.Split(strings.TrimPrefix(test.want, "\n"), "\n"), test.got); diff != "" {
				t.Errorf("Explain (-want +got):\n%s", diff)
			}
		})
	}
	if diff := cmp.Diff([]string{"allow: rule by acme/open/all/ingress/0 at net.yaml:56"},
		table().compile(t).Explain(now, query(endpoint("acme/open/a"), endpoint("acme/open/b", "all"), "tcp/1"))); diff != "" {
		t.Errorf("Explain of an allow (-want +got):\n%s", diff)
	}
}
