package policy_test

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// TestIndexIsTheOneOfTheRegoTests keeps the document that the tests in Rego
// are written against the one that the network gives.
func TestIndexIsTheOneOfTheRegoTests(t *testing.T) {
	p := newWorld().
		vpc("acme/prod", "same-subnet", "deny"). // 1, 2, 3
		vpc("acme/open", "same-vpc", "allow").   // 4, 5, 6
		vpc("acme/shut", "deny", "").            // 7, 8
		vpc("globex/prod", "same-vpc", "").      // 9, 10
		group("acme/prod", "db", ingress(        // 11, 12
			rule("group:web", "tcp/5432", "log"),                      // 13
			rule("group:globex/prod/api", "tcp/80", "tcp/8000-8999"),  // 14
			rule("role=batch", "reject"),                              // 15
			rule("role=batch", "subnet:dmz", "deny", "tcp/1"),         // 16
			rule("group:web", "udp/53", "until:2026-06-01T14:00:00Z"), // 17
		)).
		group("acme/prod", "quiet", egress( // 18, 19
			rule("8.0.0.0/8!8.8.8.0/24", "tcp/443"), // 20
			rule("group:db", "tcp/5432"),            // 21
		)).
		group("acme/prod", "sealed", ingress()).                                        // 22, 23
		link("acme/prod", "cut", "disconnect", "web1", "group:db").                     // 24
		link("acme/prod", "tie", "connect", "web2", "group:sealed").                    // 25
		link("globex/prod", "half", "connect", "group:api", "group:sealed@acme/prod").  // 26
		link("globex/prod", "half2", "connect", "group:sealed@acme/prod", "group:api"). // 27: says the same
		link("globex/prod", "far", "disconnect", "group:api", "web1@acme/open").        // 28: isolated
		ingress("acme/prod", "shop", "web1", "tcp/8443", "8.0.0.0/8!8.8.8.0/24").       // 29
		service("acme/prod", "api", "group:sealed", "tcp/80").                          // 30
		ingress("acme/prod", "twin", "web1", "tcp/8443").                               // 31: the first is named
		service("acme/prod", "out", "group:guarded", "tcp/80").                         // 32
		group("acme/prod", "guarded", ingress(rule("9.0.0.0/8", "tcp/80"))).            // 33, 34, 35
		peering("acme", "ask", "acme/open", "globex/prod").                             // 36
		group("acme/prod", "waning", egress(                                            // 37, 38
			rule("group:db", "tcp/5432", "until:2026-06-01T14:00:00Z"), // 39
		)).
		peer("acme/prod", "globex/prod").
		compile(t)

	text, err := os.ReadFile("../../policies/system/fixture_test.rego")
	if err != nil {
		t.Fatal(err)
	}
	module := ast.MustParseModule(string(text))
	var want ast.Value
	for _, r := range module.Rules {
		if r.Head.Name == "index" {
			want = r.Head.Value.Value
		}
	}
	if got := p.Index(); want == nil || want.Compare(got) != 0 {
		t.Errorf("the index is\n%s\nand in fixture_test.rego\n%s", got, want)
	}
}

func TestOutsideCIDRs(t *testing.T) {
	p := newWorld().
		vpc("acme/prod", "deny", "deny").
		group("acme/prod", "a", egress(rule("0.0.0.0/0!10.0.0.0/8"), rule("10.1.0.0/16", "8.8.8.8/32"))).
		compile(t)
	tests := []struct{ addr, want string }{
		{"1.2.3.4", "[0.0.0.0/0]"},
		{"10.2.0.1", "[0.0.0.0/0 10.0.0.0/8]"},
		{"10.1.0.1", "[0.0.0.0/0 10.0.0.0/8 10.1.0.0/16]"},
		{"8.8.8.8", "[0.0.0.0/0 8.8.8.8/32]"},
		{"2001:db8::1", "[]"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(p.OutsideCIDRs(netip.MustParseAddr(test.addr))); got != test.want {
			t.Errorf("OutsideCIDRs(%s) = %s; want %s", test.addr, got, test.want)
		}
	}
	if got := newWorld().compile(t).OutsideCIDRs(netip.MustParseAddr("8.8.8.8")); got != nil {
		t.Errorf("OutsideCIDRs without cidr peers = %v; want none", got)
	}
}

// TestPeersThatAreAlikeDiffer has peers whose keys could be taken for others'.
func TestPeersThatAreAlikeDiffer(t *testing.T) {
	labels := func(pairs ...string) spec.Rule {
		r := rule("nobody")
		r.Peers = []spec.Peer{{Labels: map[string]string{}}}
		for i := 0; i < len(pairs); i += 2 {
			r.Peers[0].Labels[pairs[i]] = pairs[i+1]
		}
		return r
	}
	p := newWorld().
		vpc("acme/prod", "deny", "").
		group("acme/prod", "quoted", ingress(labels("a", `1","b"="2`))).
		group("acme/prod", "both", ingress(labels("a", "1", "b", "2"))).
		group("acme/prod", "empty", ingress(labels("a", ""))).
		group("acme/prod", "other", ingress(rule("group:x"))).
		compile(t)
	tests := []struct {
		name   string
		labels map[string]string
		groups string
		open   bool
	}{
		{"a value with the look of two labels", map[string]string{"a": `1","b"="2`}, "quoted", true},
		{"is not two labels", map[string]string{"a": `1","b"="2`}, "both", false},
		{"nor are two that value", map[string]string{"a": "1", "b": "2"}, "quoted", false},
		{"two labels both hold", map[string]string{"a": "1", "b": "2", "c": "3"}, "both", true},
		{"one does not do", map[string]string{"a": "1"}, "both", false},
		{"an empty value is a value", map[string]string{"a": ""}, "empty", true},
		{"and no label is none", map[string]string{"b": ""}, "empty", false},
		{"a label is no group", map[string]string{"group": "x"}, "other", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := endpoint("acme/prod/x")
			src.Labels = test.labels
			d := p.Decide(now, query(src, endpoint("acme/prod/x", test.groups), "tcp/1"))
			if open := d.Verdict == policy.Allow; open != test.open {
				t.Errorf("open = %v; want %v", open, test.open)
			}
		})
	}
}

// TestStepsDoNotGrowWithRules asks the same of a network of 10 and of 10,000
// rules: what OPA does must be the same.
func TestStepsDoNotGrowWithRules(t *testing.T) {
	src := endpoint("acme/prod/web", "g0", "g1", "g2")
	dst := endpoint("acme/prod/db", "g0", "g1", "g2")
	for _, port := range []string{"tcp/441", "tcp/999"} {
		few, many := bigWorld(10).compile(t), bigWorld(10_000).compile(t)
		q := query(src, dst, port)
		if a, b := few.Steps(q), many.Steps(q); a != b || a > 100 {
			t.Errorf("%s: %d steps among 10 rules, %d among 10,000; want the same, at most 100", port, a, b)
		}
	}
}

// TestDeniesOfOtherGroupsCostNothing has a group that denies everybody, and rules
// that end: whoever is not in it must not notice.
func TestDeniesOfOtherGroupsCostNothing(t *testing.T) {
	few := func() *world {
		return newWorld().vpc("acme/prod", "deny", "").group("acme/prod", "db", ingress(rule("group:web", "tcp/5432")))
	}
	p := few().compile(t)
	more := few().group("acme/prod", "jail",
		ingress(rule("deny"), rule("group:web", "until:2036-06-01T14:00:00Z")), egress(rule("deny"))).compile(t)
	web, db := endpoint("acme/prod/x", "web"), endpoint("acme/prod/x", "db")
	for _, port := range []string{"tcp/5432", "tcp/1"} {
		q := query(web, db, port)
		if a, b := p.Steps(q), more.Steps(q); a != b {
			t.Errorf("%s: %d steps without the group, %d with it", port, a, b)
		}
	}
	if d := more.Decide(now, query(web, endpoint("acme/prod/x", "db", "jail"), "tcp/5432")); d.Reason != policy.ReasonRuleDeny {
		t.Errorf("Decide about a member = %+v, want rule-deny", d)
	}
}

// TestStrangersRulesCostNothing has a tenant that names another's endpoints, and
// outside addresses, in thousands of ways: the other's queries must not notice.
func TestStrangersRulesCostNothing(t *testing.T) {
	var hostile []spec.Rule
	for i := range 2000 {
		named := rule("role=web")
		named.Peers[0].VPC = "acme/prod"
		named.Peers[0].Labels[fmt.Sprintf("n%d", i)] = "1"
		hostile = append(hostile, named, rule(fmt.Sprintf("0.0.0.0/0!9.%d.%d.0/24", i/256, i%256)))
	}
	src, dst := endpoint("acme/prod/a", "a", "role=web"), endpoint("acme/prod/a", "a")
	for i := range 2000 {
		src.Labels[fmt.Sprintf("n%d", i)] = "1"
	}
	calm := func() *world {
		return newWorld().
			vpc("acme/prod", "deny", "allow").
			vpc("globex/prod", "deny", "allow").
			group("acme/prod", "a", ingress(rule("role=web")), egress(rule("8.0.0.0/8"), rule("group:a")))
	}
	p := calm().compile(t)
	attacked := calm().group("globex/prod", "h", ingress(hostile...), egress(hostile...)).compile(t)
	for _, q := range []struct{ before, after policy.Query }{
		{query(src, dst, "tcp/1"), query(src, dst, "tcp/1")},
		{query(src, outside(p, "8.8.8.8"), "tcp/1"), query(src, outside(attacked, "8.8.8.8"), "tcp/1")},
	} {
		if a, b := p.Steps(q.before), attacked.Steps(q.after); a != b {
			t.Errorf("%d steps without the stranger's rules, %d with them", a, b)
		}
		if d := attacked.Decide(now, q.after); d.Verdict != policy.Allow {
			t.Errorf("Decide = %+v, want allow", d)
		}
	}
}

// TestLinksCostNothing has thousands of Links and Ingresses, of the own tenant
// and of others, beside the ones that matter.
func TestLinksCostNothing(t *testing.T) {
	few := func() *world {
		return newWorld().vpc("acme/prod", "same-vpc", "").vpc("globex/prod", "same-vpc", "").vpc("initech/prod", "same-vpc", "").
			peer("acme/prod", "globex/prod").
			group("acme/prod", "a").group("acme/prod", "b").
			link("acme/prod", "tie", "connect", "group:a", "group:b").
			ingress("acme/prod", "shop", "web1", "tcp/80")
	}
	many := few()
	for i := range 5000 {
		n := fmt.Sprintf("n%d", i)
		many.link("acme/prod", n, "disconnect", "group:a", n).
			link("acme/prod", "z"+n, "connect", "group:b", "group:a").
			link("globex/prod", n, "connect", "group:a@acme/prod", n).
			link("initech/prod", n, "disconnect", "web1@acme/prod", n).
			ingress("acme/prod", n, n, "tcp/80")
	}
	p, crowded := few().compile(t), many.compile(t)
	web, a, b := endpoint("acme/prod/x", "@web1"), endpoint("acme/prod/x", "a"), endpoint("acme/prod/x", "b")
	for _, q := range []policy.Query{query(a, b, "tcp/1"), query(a, web, "tcp/1"), query(outside(p, "8.8.8.8"), web, "tcp/80")} {
		if x, y := p.Steps(q), crowded.Steps(q); x != y {
			t.Errorf("%d steps among few Links and Ingresses, %d among many", x, y)
		}
		if d := crowded.Decide(now, q); d.Verdict != policy.Allow {
			t.Errorf("Decide = %+v, want allow", d)
		}
	}
}

// bigWorld has about n rules: in groups of ten, and in the group g0 as many
// again that do not match.
func bigWorld(n int) *world {
	w := newWorld().vpc("acme/prod", "same-subnet", "deny")
	for g := range n/20 + 3 {
		var in, out []spec.Rule
		for r := range 5 {
			in = append(in, rule(fmt.Sprintf("group:g%d", r), fmt.Sprintf("tcp/%d", 440+r)))
			out = append(out, rule(fmt.Sprintf("group:g%d", r), fmt.Sprintf("tcp/%d", 440+r), "tcp/8000-9000"))
		}
		for r := range n / 2 {
			if g == 0 {
				in = append(in, rule(fmt.Sprintf("group:other%d", r), fmt.Sprintf("tcp/%d", 10_000+r%50_000)))
			}
		}
		w.group("acme/prod", fmt.Sprintf("g%d", g), ingress(in...), egress(out...))
	}
	return w
}

// TestIndexIsNoProduct has rules with many peers and many ports: the index must
// not have each peer under each port.
func TestIndexIsNoProduct(t *testing.T) {
	var peers, ports []string
	for i := range 3000 {
		peers = append(peers, fmt.Sprintf("group:g%d", i))
		ports = append(ports, fmt.Sprintf("tcp/%d", i+1))
	}
	r := rule(append(peers, ports...)...)
	p := newWorld().vpc("acme/prod", "deny", "").group("acme/prod", "a", ingress(r)).compile(t)
	if size := len(p.Index().String()); size > 300_000 {
		t.Errorf("the index of one rule with 3000 peers and 3000 ports has %d bytes", size)
	}
	d := p.Decide(now, query(endpoint("acme/prod/x", "g2999"), endpoint("acme/prod/x", "a"), "tcp/3000"))
	if diff := cmp.Diff(want{policy.Allow, "rule", "acme/prod/a/ingress/0", 5, false}, short(d)); diff != "" {
		t.Errorf("Decide (-want +got):\n%s", diff)
	}
}

// TestRecompile edits a network, by new objects for what changed, and compares
// with a policy compiled anew.
func TestRecompile(t *testing.T) {
	edits := []struct {
		name string
		edit func(w *world)
	}{
		{"nothing", func(*world) {}},
		{"a group", func(w *world) {
			w.group("acme/prod", "db", ingress(rule("group:api", "tcp/5432", "until:2026-06-01T13:00:00Z")))
		}},
		{"a group gone", func(w *world) { delete(w.network.Groups["acme/prod"], "quiet") }},
		{"a VPC's default", func(w *world) {
			v := *w.network.VPCs["acme/open"]
			v.Default = "deny"
			w.network.VPCs["acme/open"] = &v
		}},
		{"a VPC gone", func(w *world) { delete(w.network.VPCs, "acme/shut") }},
		{"a VPC more", func(w *world) { w.vpc("initech/prod", "deny", "allow") }},
		{"a Link more", func(w *world) { w.link("acme/prod", "new", "disconnect", "web9", "group:db") }},
		{"no Links", func(w *world) { w.network.Links = nil }},
		{"an Ingress more", func(w *world) { w.ingress("acme/prod", "a", "web1", "tcp/8443", "7.0.0.0/8") }},
		{"no Ingresses", func(w *world) { w.network.Ingresses = nil }},
		{"a Peering", func(w *world) { w.peer("acme/open", "globex/prod") }},
	}
	for _, test := range edits {
		t.Run(test.name, func(t *testing.T) {
			w := table().peer("acme/prod", "globex/prod")
			before := w.compile(t)
			edited := *w.network
			w.network = &edited
			edited.VPCs, edited.Groups, edited.Peers = maps.Clone(edited.VPCs), maps.Clone(edited.Groups), maps.Clone(edited.Peers)
			for id := range edited.Groups {
				edited.Groups[id] = maps.Clone(edited.Groups[id])
			}
			test.edit(w)
			anew := w.compile(t)
			again, err := before.Recompile("r1", &edited, nil)
			if err != nil {
				t.Fatal(err)
			}
			if anew.Index().Compare(again.Index()) != 0 {
				t.Errorf("the index is\n%s\ncompiled anew\n%s", again.Index(), anew.Index())
			}
			for _, c := range allCases(again) {
				q := query(c.src, c.dst, c.port)
				if got, want := again.Decide(now, q), anew.Decide(now, q); got != want {
					t.Errorf("%s: Decide = %+v, compiled anew %+v", c.name, got, want)
				}
			}
		})
	}
}

// TestRecompileCostsTheEdit compares the work of an edit with that of all.
func TestRecompileCostsTheEdit(t *testing.T) {
	w := newWorld()
	for i := range 200 {
		id := spec.VPCID(fmt.Sprintf("t%d/prod", i))
		w.vpc(id, "deny", "")
		for g := range 5 {
			w.group(id, fmt.Sprintf("g%d", g), ingress(rule("group:a", "tcp/1"), rule("group:b", "tcp/2"), rule("k=1", "udp"), rule("any", "icmp")))
		}
	}
	before := w.compile(t)
	network := *w.network
	network.Groups = maps.Clone(network.Groups)
	network.Groups["t0/prod"] = nil
	whole := testing.AllocsPerRun(1, func() { _, _ = policy.Compile("r2", &network, nil) })
	edit := testing.AllocsPerRun(1, func() { _, _ = before.Recompile("r2", &network, nil) })
	none := testing.AllocsPerRun(1, func() { _, _ = policy.Compile("r2", newWorld().network, nil) })
	if edit > (whole-none)/10 {
		t.Errorf("an edit allocates %v times, all %v beyond the %v of an empty network", edit, whole-none, none)
	}
	if edit > none/2 {
		t.Errorf("an edit allocates %v times, an empty network %v; want the modules not compiled again", edit, none)
	}
}
