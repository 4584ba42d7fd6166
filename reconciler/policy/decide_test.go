package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// table is the network that most tests ask about.
//
//	1 acme/prod              2 its default (same-subnet)   3 its egress.default (deny)
//	4 group api              5 ingress, 6.. its rules
//	...
func table() *world {
	return newWorld().
		vpc("acme/prod", "same-subnet", "deny"). // 1, 2, 3
		vpc("acme/open", "same-vpc", "allow").   // 4, 5, 6
		vpc("acme/shut", "deny", "").            // 7, 8
		vpc("globex/prod", "same-subnet", "").   // 9, 10
		group("acme/prod", "db", ingress(        // 11, 12
			rule("group:web", "tcp/5432", "log"),    // 13
			rule("subnet:dmz", "deny"),              // 14
			rule("role=backup", "tcp/5000-5999"),    // 15
			rule("group:batch", "reject"),           // 16
			rule("group:web", "udp"),                // 17
			rule("group:web", "icmp/8"),             // 18
			rule("vpc:globex/prod", "tcp/80"),       // 19
			rule("nobody", "tcp/1"),                 // 20
			rule("group:web", "noport"),             // 21
			rule("group:web", "tcp/20000-60000"),    // 22
			rule("tier=a", "sctp/7"),                // 23
			rule("subnet:dmz", "reject"),            // 24
			rule("group:globex/prod/api", "tcp/81"), // 25
		)).
		group("acme/prod", "alarm", ingress(rule("group:web", "tcp/5432"))).          // 26, 27, 28
		group("acme/prod", "sealed", ingress()).                                      // 29, 30
		group("acme/prod", "subtract", ingress(rule("group:web", "tcp/22", "deny"))). // 31, 32, 33
		group("acme/prod", "quiet", egress(                                           // 34, 35
			rule("group:db", "tcp/5432"),                            // 36
			rule("203.0.113.0/24!203.0.113.8/30", "tcp/443", "log"), // 37
			rule("203.0.113.4/32", "deny"),                          // 38
			rule("203.0.113.5/32", "reject"),                        // 39
			rule("any", "tcp/99"),                                   // 40
		)).
		group("acme/prod", "mute", egress()).                                    // 41, 42
		group("acme/prod", "nodmz", egress(rule("subnet:dmz", "reject"))).       // 43, 44, 45
		group("acme/open", "nomail", egress(rule("tcp/25", "deny"))).            // 46, 47, 48
		group("acme/shut", "free", egress(rule()), ingress(rule("group:free"))). // 49, 50, 51, 52, 53
		group("acme/open", "all", ingress(rule("log"))).                         // 54, 55, 56
		group("acme/prod", "nodb", egress(rule("group:db", "deny"))).            // 57, 58, 59
		group("globex/prod", "any", ingress(rule())).                            // 60, 61, 62
		group("acme/prod", "picky", ingress(rule("vpc:globex/prod", "reject"))). // 63, 64, 65
		group("acme/open", "pinned", egress(rule("198.51.100.0/24"))).           // 66, 67, 68
		link("acme/prod", "tie", "connect", "web1", "group:db").                 // 69
		link("acme/prod", "cut", "disconnect", "web2", "group:db").              // 70
		link("acme/prod", "among", "disconnect", "group:lone", "group:lone").    // 71
		link("globex/prod", "half", "connect", "g1", "web1@acme/prod").          // 72
		link("acme/prod", "other", "connect", "g2@globex/prod", "group:sealed"). // 73
		link("globex/prod", "no", "disconnect", "g3", "group:db@acme/prod").     // 74
		link("acme/open", "alien", "disconnect", "web3@acme/prod", "web4@acme/prod").
		link("initech/x", "alien", "disconnect", "web3@acme/prod", "web4@acme/prod").
		link("acme/prod", "a-tie", "connect", "web1", "group:free").                                       // 77
		link("acme/prod", "both", "disconnect", "web1", "group:free").                                     // 78
		ingress("acme/prod", "shop", "web1", "tcp/8443", "203.0.113.0/24!203.0.113.7/32", "192.0.2.1/32"). // 79
		ingress("acme/prod", "shut", "web1", "tcp/9", "nobody").                                           // 80
		service("acme/prod", "api", "group:db", "tcp/80", "udp/53").                                       // 81
		ingress("acme/prod", "api", "dual", "tcp/80").                                                     // 82
		service("acme/prod", "back", "role=back", "tcp/22").                                               // 83
		group("acme/prod", "fenced", ingress(rule("203.0.113.0/24", "tcp/22"), rule("192.0.2.1/32", "deny"),
									rule("198.51.100.9/32", "reject"))). // 84, 85, 86, 87, 88
		group("acme/prod", "grim", ingress(rule("reject"))). // 89, 90, 91
		peering("acme", "b", "acme/open", "globex/prod").    // 92
		peering("globex", "a", "acme/open", "globex/prod").  // 93
		peering("initech", "a", "acme/shut", "globex/prod"). // 94
		group("acme/prod", "brief",                          // 95
			ingress(rule("tcp/1", "until:2036-06-01T14:00:00Z"), rule("tcp/1"), rule("tcp/3")), // 96 to 99
			egress(rule("tcp/1", "until:2036-06-01T14:00:00Z")))                                // 100, 101
}

// want is a Decision in short.
type want struct {
	Verdict policy.Verdict
	Reason  policy.Reason
	Rule    string
	Line    int
	Log     bool
}

func short(d policy.Decision) want {
	return want{d.Verdict, d.Reason, d.Rule, d.At.Line, d.Log}
}

type decideCase struct {
	name     string
	src, dst *inventory.Identity
	port     string
	want     want
}

// decideCases are the rules of the verdict, by the paragraphs of the
// specification, each with a twin that misses it by a little.
func decideCases(p *policy.Policy) []decideCase {
	type ids = *inventory.Identity
	web := endpoint("acme/prod/web", "web")
	plain := endpoint("acme/prod/web")
	dmz := endpoint("acme/prod/dmz", "web")
	db := endpoint("acme/prod/db", "db")
	quiet := endpoint("acme/prod/web", "quiet")
	stranger := endpoint("globex/prod/web", "web")
	open := endpoint("acme/open/a")
	shut := endpoint("acme/shut/a")
	free := endpoint("acme/shut/a", "free")
	out := func(a string) ids { return outside(p, a) }

	return []decideCase{
		// 1. Isolation.
		{"two VPCs without Peering are isolated", stranger, web, "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"the one-sided Peering is named, first by path", open, stranger, "tcp/80", want{policy.Drop, "isolation", "acme/b", 92, false}},
		{"both ways", stranger, open, "tcp/80", want{policy.Drop, "isolation", "acme/b", 92, false}},
		{"a third tenant's Peering is none", shut, stranger, "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"two VPCs of one tenant are isolated", open, web, "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"a rule that names a stranger opens nothing", stranger, db, "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"a deny rule is not asked about a stranger", endpoint("globex/prod/dmz"), db, "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"a VPC that is gone is nobody's", endpoint("acme/gone/a"), endpoint("acme/gone/a"), "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"nor has it a way out", endpoint("acme/gone/a"), out("203.0.113.1"), "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"same names in another VPC are others", endpoint("globex/prod/web"), endpoint("acme/prod/web"), "tcp/80", want{policy.Drop, "isolation", "", 0, false}},

		// 2. Any deny wins.
		{"a deny beats an allow of another rule", dmz, db, "tcp/5432", want{policy.Drop, "rule-deny", "acme/prod/db/ingress/1", 14, false}},
		{"drop beats reject", endpoint("acme/prod/dmz", "batch"), db, "tcp/1", want{policy.Drop, "rule-deny", "acme/prod/db/ingress/1", 14, false}},
		{"a reject rejects", endpoint("acme/prod/web", "batch", "web"), db, "tcp/5432", want{policy.Reject, "rule-deny", "acme/prod/db/ingress/3", 16, false}},
		{"A's deny wins too", endpoint("acme/prod/web", "nodmz"), endpoint("acme/prod/dmz"), "tcp/80", want{policy.Reject, "rule-deny", "acme/prod/nodmz/egress/0", 45, false}},
		{"of two sides' denies B's is named", endpoint("acme/prod/dmz", "nodmz"), endpoint("acme/prod/dmz", "db"), "tcp/80", want{policy.Drop, "rule-deny", "acme/prod/db/ingress/1", 14, false}},
		{"A's drop beats B's reject", endpoint("acme/prod/web", "batch", "nodb"), db, "tcp/80", want{policy.Drop, "rule-deny", "acme/prod/nodb/egress/0", 59, false}},
		{"A's drop beats B's default", endpoint("acme/prod/db", "nodb"), db, "tcp/80", want{policy.Drop, "rule-deny", "acme/prod/nodb/egress/0", 59, false}},
		{"a deny subtracts from the default", web, endpoint("acme/prod/web", "subtract"), "tcp/22", want{policy.Drop, "rule-deny", "acme/prod/subtract/ingress/0", 33, false}},
		{"and only what it says", web, endpoint("acme/prod/web", "subtract"), "tcp/23", want{policy.Allow, "default", "acme/prod", 2, false}},

		// 2 and 3. Links.
		{"a Link disconnects", endpoint("acme/prod/web", "web", "@web2"), db, "tcp/5432", want{policy.Drop, "link-deny", "acme/prod/cut", 70, false}},
		{"both ways", db, endpoint("acme/prod/db", "@web2"), "tcp/1", want{policy.Drop, "link-deny", "acme/prod/cut", 70, false}},
		{"not another endpoint", endpoint("acme/prod/web", "web", "@web3"), db, "tcp/5432", want{policy.Allow, "rule", "acme/prod/db/ingress/0", 13, true}},
		{"a Link that disconnects beats a deny rule", endpoint("acme/prod/dmz", "@web2"), db, "tcp/1", want{policy.Drop, "link-deny", "acme/prod/cut", 70, false}},
		{"a Link within one group", endpoint("acme/prod/web", "lone"), endpoint("acme/prod/web", "lone"), "tcp/1", want{policy.Drop, "link-deny", "acme/prod/among", 71, false}},
		{"a Link does not hold within an end", db, db, "tcp/99", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"a Link of a tenant with neither end does not count", endpoint("acme/prod/web", "@web3"), endpoint("acme/prod/web", "@web4"), "tcp/1", want{policy.Drop, "link-deny", "acme/open/alien", 75, false}},
		{"a Link connects", endpoint("acme/prod/web", "@web1"), db, "tcp/1", want{policy.Allow, "link", "acme/prod/tie", 69, false}},
		{"both ways, over no default", db, endpoint("acme/prod/web", "@web1"), "gre", want{policy.Allow, "link", "acme/prod/tie", 69, false}},
		{"over A's isolating section", endpoint("acme/prod/web", "@web1", "mute"), db, "tcp/1", want{policy.Allow, "link", "acme/prod/tie", 69, false}},
		{"a Link is named before a rule", endpoint("acme/prod/web", "@web1", "web"), db, "tcp/5432", want{policy.Allow, "link", "acme/prod/tie", 69, false}},
		{"a deny rule beats a Link that connects", endpoint("acme/prod/dmz", "@web1"), db, "tcp/1", want{policy.Drop, "rule-deny", "acme/prod/db/ingress/1", 14, false}},
		{"a Link that disconnects beats one that connects", endpoint("acme/prod/web", "@web1"), endpoint("acme/prod/web", "free"), "tcp/1", want{policy.Drop, "link-deny", "acme/prod/both", 78, false}},

		// 4. B's side.
		{"a matching rule opens B", web, db, "tcp/5432", want{policy.Allow, "rule", "acme/prod/db/ingress/0", 13, true}},
		{"of several rules the first group's is named", web, endpoint("acme/prod/db", "alarm", "db"), "tcp/5432", want{policy.Allow, "rule", "acme/prod/alarm/ingress/0", 28, false}},
		{"another port is not matched", web, db, "tcp/5433", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"another protocol is not matched", web, db, "sctp/5432", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"another group is not matched", plain, db, "tcp/5432", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"a label with a port range matches", endpoint("acme/prod/web", "role=backup"), db, "tcp/5999", want{policy.Allow, "rule", "acme/prod/db/ingress/2", 15, false}},
		{"outside the range it does not", endpoint("acme/prod/web", "role=backup"), db, "tcp/6000", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"another value of the label does not", endpoint("acme/prod/web", "role=web"), db, "tcp/5999", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"a wide range holds its ends", web, db, "tcp/20000", want{policy.Allow, "rule", "acme/prod/db/ingress/9", 22, false}},
		{"a protocol without ports holds all ports", web, db, "udp/53", want{policy.Allow, "rule", "acme/prod/db/ingress/4", 17, false}},
		{"an ICMP type matches", web, db, "icmp/8", want{policy.Allow, "rule", "acme/prod/db/ingress/5", 18, false}},
		{"another ICMP type does not", web, db, "icmp/13", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"an empty from matches nobody", web, db, "tcp/1", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"other protocols follow portless rules: deny", endpoint("acme/prod/dmz"), db, "gre", want{policy.Drop, "rule-deny", "acme/prod/db/ingress/1", 14, false}},
		{"other protocols follow portless rules: none", web, db, "gre", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"other protocols follow portless rules: allow", open, endpoint("acme/open/b", "all"), "gre", want{policy.Allow, "rule", "acme/open/all/ingress/0", 56, true}},
		{"an empty section isolates", web, endpoint("acme/prod/web", "sealed"), "tcp/80", want{policy.Reject, "ingress-default", "acme/prod/sealed", 30, false}},
		{"the first isolating section is named", plain, endpoint("acme/prod/web", "alarm", "sealed"), "tcp/80", want{policy.Reject, "ingress-default", "acme/prod/alarm", 27, false}},
		{"denies alone do not isolate", plain, endpoint("acme/prod/web", "subtract"), "tcp/22", want{policy.Allow, "default", "acme/prod", 2, false}},
		{"same-subnet lets a subnet through", plain, plain, "tcp/80", want{policy.Allow, "default", "acme/prod", 2, false}},
		{"same-subnet lets no other through", plain, endpoint("acme/prod/dmz"), "tcp/80", want{policy.Reject, "ingress-default", "acme/prod", 2, false}},
		{"same-vpc lets a VPC through", open, endpoint("acme/open/b"), "tcp/80", want{policy.Allow, "default", "acme/open", 5, false}},
		{"deny lets nobody through", shut, shut, "tcp/80", want{policy.Reject, "ingress-default", "acme/shut", 8, false}},
		{"a rule opens what deny shuts", free, free, "tcp/80", want{policy.Allow, "rule", "acme/shut/free/ingress/0", 53, false}},
		{"a group that the network lacks is no group", plain, endpoint("acme/prod/web", "ghost"), "tcp/80", want{policy.Allow, "default", "acme/prod", 2, false}},

		// 4. A's side.
		{"both sides by rules name B's", endpoint("acme/prod/web", "quiet", "web"), db, "tcp/5432", want{policy.Allow, "rule", "acme/prod/db/ingress/0", 13, true}},
		{"an egress rule that asks for a log gets it", quiet, out("203.0.113.1"), "tcp/443", want{policy.Allow, "rule", "acme/prod/quiet/egress/1", 37, true}},
		{"an isolating egress closes A", endpoint("acme/prod/web", "quiet", "web"), db, "udp/53", want{policy.Reject, "egress-default", "acme/prod/quiet", 35, false}},
		{"an egress rule opens A, B is by default", quiet, plain, "tcp/99", want{policy.Allow, "default", "acme/prod", 2, false}},
		{"an empty egress section closes A", endpoint("acme/prod/web", "mute"), plain, "tcp/80", want{policy.Reject, "egress-default", "acme/prod/mute", 42, false}},
		{"both sides closed name B's", endpoint("acme/prod/web", "mute"), db, "tcp/80", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},

		// Outside.
		{"out through a matching rule", quiet, out("203.0.113.1"), "tcp/443", want{policy.Allow, "rule", "acme/prod/quiet/egress/1", 37, true}},
		{"not on another port", quiet, out("203.0.113.1"), "tcp/80", want{policy.Reject, "egress-default", "acme/prod/quiet", 35, false}},
		{"not to an except", quiet, out("203.0.113.9"), "tcp/443", want{policy.Reject, "egress-default", "acme/prod/quiet", 35, false}},
		{"not elsewhere", quiet, out("198.51.100.1"), "tcp/443", want{policy.Reject, "egress-default", "acme/prod/quiet", 35, false}},
		{"any peer is outside too", quiet, out("198.51.100.1"), "tcp/99", want{policy.Allow, "rule", "acme/prod/quiet/egress/4", 40, false}},
		{"a deny rule drops", quiet, out("203.0.113.4"), "tcp/443", want{policy.Drop, "rule-deny", "acme/prod/quiet/egress/2", 38, false}},
		{"a reject rule rejects", quiet, out("203.0.113.5"), "tcp/443", want{policy.Reject, "rule-deny", "acme/prod/quiet/egress/3", 39, false}},
		{"egress.default deny", plain, out("203.0.113.1"), "tcp/443", want{policy.Reject, "egress-default", "acme/prod", 3, false}},
		{"egress.default allow", open, out("203.0.113.1"), "tcp/443", want{policy.Allow, "default", "acme/open", 6, false}},
		{"a deny subtracts from egress.default allow", endpoint("acme/open/a", "nomail"), out("203.0.113.1"), "tcp/25", want{policy.Drop, "rule-deny", "acme/open/nomail/egress/0", 48, false}},
		{"and does not isolate", endpoint("acme/open/a", "nomail"), out("203.0.113.1"), "tcp/443", want{policy.Allow, "default", "acme/open", 6, false}},
		{"an isolating egress section overrides egress.default", endpoint("acme/open/a", "pinned"), out("203.0.113.1"), "tcp/443", want{policy.Reject, "egress-default", "acme/open/pinned", 67, false}},
		{"and lets out what it says", endpoint("acme/open/a", "pinned"), out("198.51.100.1"), "tcp/443", want{policy.Allow, "rule", "acme/open/pinned/egress/0", 68, false}},
		{"without egress there is no way out", shut, out("203.0.113.1"), "tcp/443", want{policy.Reject, "no-egress", "acme/shut", 7, false}},
		{"without egress no rule opens one", free, out("203.0.113.1"), "tcp/443", want{policy.Reject, "no-egress", "acme/shut", 7, false}},
		{"a cidr never matches an endpoint", endpoint("acme/prod/web", "quiet"), endpoint("acme/prod/web"), "tcp/443", want{policy.Reject, "egress-default", "acme/prod/quiet", 35, false}},
		{"nothing comes in from outside", out("203.0.113.1"), open, "tcp/80", want{policy.Drop, "no-ingress", "", 0, false}},
		{"not even through a rule for any", out("203.0.113.1"), endpoint("acme/open/a", "all"), "tcp/80", want{policy.Drop, "no-ingress", "", 0, false}},
		{"nor is a deny asked", out("203.0.113.1"), endpoint("acme/prod/web", "sealed"), "tcp/80", want{policy.Drop, "no-ingress", "", 0, false}},
		{"nor does a reject say that somebody is there", out("203.0.113.1"), endpoint("acme/prod/web", "grim"), "tcp/80", want{policy.Drop, "no-ingress", "", 0, false}},
		{"an Ingress lets in", out("203.0.113.1"), endpoint("acme/prod/web", "@web1"), "tcp/8443", want{policy.Allow, "open", "acme/prod/shop", 79, false}},
		{"on its target alone", out("203.0.113.1"), endpoint("acme/prod/web", "@web1"), "tcp/443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"to its endpoint alone", out("203.0.113.1"), endpoint("acme/prod/web", "@web3"), "tcp/8443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"of its VPC alone", out("203.0.113.1"), endpoint("acme/open/web", "@web1"), "tcp/8443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"not from an except", out("203.0.113.7"), endpoint("acme/prod/web", "@web1"), "tcp/8443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"not from elsewhere", out("198.51.100.1"), endpoint("acme/prod/web", "@web1"), "tcp/8443", want{policy.Drop, "no-ingress", "", 0, false}},
		{"sources [] are nobody", out("203.0.113.1"), endpoint("acme/prod/web", "@web1"), "tcp/9", want{policy.Drop, "no-ingress", "", 0, false}},
		{"an isolating section closes an Ingress", out("203.0.113.1"), endpoint("acme/prod/web", "@web1", "fenced"), "tcp/8443", want{policy.Drop, "ingress-default", "acme/prod/fenced", 85, false}},
		{"a deny rule is asked after the Ingress", out("192.0.2.1"), endpoint("acme/prod/web", "@web1", "fenced"), "tcp/8443", want{policy.Drop, "rule-deny", "acme/prod/fenced/ingress/1", 87, false}},
		{"a Service lets in", out("198.51.100.1"), endpoint("acme/prod/web", "role=back"), "tcp/22", want{policy.Allow, "open", "acme/prod/back", 83, false}},
		{"a rule opens what a Service leads to", out("203.0.113.1"), endpoint("acme/prod/web", "fenced", "role=back"), "tcp/22", want{policy.Allow, "rule", "acme/prod/fenced/ingress/0", 86, false}},
		{"a reject rule rejects from outside", out("198.51.100.9"), endpoint("acme/prod/web", "fenced", "role=back"), "tcp/22", want{policy.Reject, "rule-deny", "acme/prod/fenced/ingress/2", 88, false}},
		{"a Service to a group", out("8.8.8.8"), db, "udp/53", want{policy.Drop, "ingress-default", "acme/prod/db", 12, false}},
		{"an Ingress is named before a Service of the name", out("8.8.8.8"), endpoint("acme/prod/web", "@dual"), "tcp/80", want{policy.Allow, "open", "acme/prod/api", 82, false}},
		{"an Ingress needs no egress", out("8.8.8.8"), endpoint("acme/prod/web", "@dual", "mute"), "tcp/80", want{policy.Allow, "open", "acme/prod/api", 82, false}},
		{"an Ingress is not for endpoints", shut, endpoint("acme/prod/web", "@dual"), "tcp/80", want{policy.Drop, "isolation", "", 0, false}},
		{"from outside to outside", out("203.0.113.1"), out("203.0.113.2"), "tcp/80", want{policy.Drop, "no-ingress", "", 0, false}},
	}
}

// endingCases are of rules that end, long after now.
func endingCases() []decideCase {
	plain, brief := endpoint("acme/prod/web"), endpoint("acme/prod/web", "brief")
	return []decideCase{
		{"a rule that ends opens B", plain, brief, "tcp/1", want{policy.Allow, "rule", "acme/prod/brief/ingress/0", 97, false}},
		{"a rule that ends opens A", brief, plain, "tcp/1", want{policy.Allow, "default", "acme/prod", 2, false}},
	}
}

// allCases are those of a policy of table's with acme/prod and globex/prod as peers.
func allCases(p *policy.Policy) []decideCase {
	return slices.Concat(decideCases(p), peeringCases(p), endingCases())
}

// peeringCases hold when acme/prod and globex/prod are peers.
func peeringCases(p *policy.Policy) []decideCase {
	db := endpoint("acme/prod/db", "db")
	stranger := endpoint("globex/prod/web", "web")
	return []decideCase{
		{"a rule opens across a Peering", stranger, db, "tcp/80", want{policy.Allow, "rule", "acme/prod/db/ingress/6", 19, false}},
		{"a rule for a peer's group", endpoint("globex/prod/web", "api"), db, "tcp/81", want{policy.Allow, "rule", "acme/prod/db/ingress/12", 25, false}},
		{"does not match the own group of that name", endpoint("acme/prod/web", "api"), db, "tcp/81", want{policy.Reject, "ingress-default", "acme/prod/db", 12, false}},
		{"a peer's group of the name is not the own", stranger, db, "tcp/5432", want{policy.Drop, "ingress-default", "acme/prod/db", 12, false}},
		{"defaults never hold across a Peering", stranger, endpoint("acme/prod/web"), "tcp/80", want{policy.Drop, "ingress-default", "acme/prod", 2, false}},
		{"A's closed side drops across a Peering", endpoint("acme/prod/web", "mute"), endpoint("globex/prod/web", "any"), "tcp/80", want{policy.Drop, "egress-default", "acme/prod/mute", 42, false}},
		{"a reject rule rejects across a Peering", endpoint("globex/prod/web"), endpoint("acme/prod/web", "picky"), "tcp/80", want{policy.Reject, "rule-deny", "acme/prod/picky/ingress/0", 65, false}},
		{"a Link connects its tenant's side alone: B's is closed", endpoint("globex/prod/web", "@g1"), endpoint("acme/prod/web", "@web1"), "tcp/80", want{policy.Drop, "ingress-default", "acme/prod", 2, false}},
		{"and A's default is open", endpoint("acme/prod/web", "@web1"), endpoint("globex/prod/web", "@g1"), "tcp/80", want{policy.Allow, "link", "globex/prod/half", 72, false}},
		{"but not A's isolating section", endpoint("acme/prod/web", "@web1", "mute"), endpoint("globex/prod/web", "@g1"), "tcp/80", want{policy.Drop, "egress-default", "acme/prod/mute", 42, false}},
		{"a Link opens B's isolating section", endpoint("globex/prod/web", "@g2"), endpoint("acme/prod/web", "sealed"), "tcp/80", want{policy.Allow, "link", "acme/prod/other", 73, false}},
		{"not B's of another tenant", endpoint("acme/prod/web", "sealed"), endpoint("globex/prod/web", "@g2"), "tcp/80", want{policy.Drop, "ingress-default", "globex/prod", 10, false}},
		{"A's Link opens A, a rule B", endpoint("acme/prod/web", "sealed", "mute"), endpoint("globex/prod/web", "@g2", "any"), "tcp/80", want{policy.Allow, "rule", "globex/prod/any/ingress/0", 62, false}},
		{"either tenant's Link disconnects", endpoint("globex/prod/web", "@g3"), db, "tcp/80", want{policy.Drop, "link-deny", "globex/prod/no", 74, false}},
		{"a Peering is of two VPCs only", stranger, endpoint("acme/open/a", "all"), "tcp/80", want{policy.Drop, "isolation", "acme/b", 92, false}},
	}
}

func TestDecide(t *testing.T) {
	p := table().compile(t)
	checkCases(t, p, decideCases(p))
	if s := p.Stats(); s.Errors != 0 || s.Timeouts != 0 || s.Hits == 0 {
		t.Errorf("Stats = %+v, want hits, no errors, no timeouts", s)
	}
}

func TestDecideByRulesThatEnd(t *testing.T) {
	p := table().compile(t)
	for _, test := range endingCases() {
		got := p.Decide(now, query(test.src, test.dst, test.port))
		end := time.Date(2036, 6, 1, 14, 0, 0, 0, time.UTC)
		if diff := cmp.Diff(test.want, short(got)); diff != "" || !got.Until.Equal(end) {
			t.Errorf("%s: Decide until %v, want %v (-want +got):\n%s", test.name, got.Until, end, diff)
		}
	}
}

func TestDecideAcrossPeering(t *testing.T) {
	p := table().peer("acme/prod", "globex/prod").compile(t)
	checkCases(t, p, peeringCases(p))
}

func checkCases(t *testing.T, p *policy.Policy, tests []decideCase) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := query(test.src, test.dst, test.port)
			got := p.Decide(now, q)
			if diff := cmp.Diff(test.want, short(got)); diff != "" {
				t.Errorf("Decide (-want +got):\n%s", diff)
			}
			if got.Revision != "r1" || !got.Until.IsZero() {
				t.Errorf("Revision, Until = %q, %v; want r1, none", got.Revision, got.Until)
			}
			if again := p.Decide(now, q); again != got {
				t.Errorf("the cached decision is %+v, want %+v", again, got)
			}
		})
	}
}

func TestUntil(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const noon, one, two = "2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z", "2026-06-01T14:00:00Z"
	p := newWorld().
		vpc("acme/prod", "same-vpc", "deny").
		group("acme/prod", "a", ingress(rule("tcp/1", "until:"+one), rule("tcp/1", "until:"+two))).
		group("acme/prod", "b", ingress(rule("tcp/1", "until:"+one))).
		group("acme/prod", "c", ingress(rule("tcp/1", "deny", "until:"+one))).
		group("acme/prod", "d", egress(rule("tcp/1", "until:"+two), rule("udp/1"))).
		compile(t)
	plain := endpoint("acme/prod/x")
	member := func(group string) *inventory.Identity { return endpoint("acme/prod/x", group) }
	a, b, c, d := member("a"), member("b"), member("c"), member("d")

	tests := []struct {
		name     string
		now      string
		src, dst *inventory.Identity
		port     string
		verdict  policy.Verdict
		rule     string
		until    string
	}{
		{"the earliest end of a matching rule", noon, plain, a, "tcp/1", policy.Allow, "acme/prod/a/ingress/0", one},
		{"past from that second on", one, plain, a, "tcp/1", policy.Allow, "acme/prod/a/ingress/1", two},
		{"not a nanosecond before", "2026-06-01T12:59:59.999999999Z", plain, a, "tcp/1", policy.Allow, "acme/prod/a/ingress/0", one},
		{"all ended", two, plain, a, "tcp/1", policy.Reject, "acme/prod/a", ""},
		{"back, when the clock jumps back", noon, plain, a, "tcp/1", policy.Allow, "acme/prod/a/ingress/0", one},
		{"an ended rule never un-isolates", one, plain, b, "tcp/1", policy.Reject, "acme/prod/b", ""},
		{"a rule that does not match never ends anything", noon, plain, b, "tcp/2", policy.Reject, "acme/prod/b", ""},
		{"a deny until then", noon, plain, c, "tcp/1", policy.Drop, "acme/prod/c/ingress/0", one},
		{"and then no more", one, plain, c, "tcp/1", policy.Allow, "acme/prod", ""},
		{"A's side has ends too", noon, d, plain, "tcp/1", policy.Allow, "acme/prod", two},
		{"of both sides the earlier", noon, d, a, "tcp/1", policy.Allow, "acme/prod/a/ingress/0", one},
		{"A's side has ended", two, d, plain, "tcp/1", policy.Reject, "acme/prod/d", ""},
		{"a rule without end", noon, d, plain, "udp/1", policy.Allow, "acme/prod", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := p.Decide(at(test.now), query(test.src, test.dst, test.port))
			var until time.Time
			if test.until != "" {
				until = at(test.until)
			}
			if got.Verdict != test.verdict || got.Rule != test.rule || !got.Until.Equal(until) {
				t.Errorf("Decide at %s = %v by %q until %v; want %v by %q until %v",
					test.now, got.Verdict, got.Rule, got.Until, test.verdict, test.rule, until)
			}
		})
	}
}
