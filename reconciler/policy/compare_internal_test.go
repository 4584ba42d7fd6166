package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

var compareNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// compareBase is what the others take the compiled Rego of.
var compareBase = sync.OnceValue(func() *Policy {
	network, _ := spec.Load(fstest.MapFS{})
	p, err := Compile("base", network, nil)
	if err != nil {
		panic(err)
	}
	return p
})

func compareCompiled(t testing.TB, text string) *Policy {
	t.Helper()
	tree := fstest.MapFS{}
	for i, part := range strings.Split(text, "# file\n") {
		tree[fmt.Sprintf("net%02d.yaml", i)] = &fstest.MapFile{Data: []byte(part)}
	}
	network, problems := spec.Load(tree)
	if network == nil {
		t.Fatalf("%v\nin\n%.4000s", problems, text)
	}
	p, err := compareBase().Recompile("r", network, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compareAll is Compare of all pairs, whatever the change touches.
func compareAll(before, after *Policy, reported []inventory.EndpointReport) []Difference {
	c := newComparer(compareNow, before, after, reported)
	for _, id := range union(before.network.VPCs, after.network.VPCs) {
		c.touch(touch{vpc: id, self: everybody, inward: true, outward: true})
	}
	return c.result.Differences
}

// TestCompareFindsWhatAllPairsShow changes a network at random, and compares what is
// found by what the change touches with what all pairs show.
func TestCompareFindsWhatAllPairsShow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	differ := 0
	for n := range 24 {
		a, b := randomNetwork(random), randomNetwork(random)
		if n%3 != 0 { // a few lines only
			b = slices.Clone(a)
			other := randomNetwork(random)
			for range 1 + n%2 {
				i := random.IntN(len(a))
				b[i] = other[i]
			}
		}
		before, after := compareCompiled(t, strings.Join(a, "---\n")), compareCompiled(t, strings.Join(b, "---\n"))
		reported := []inventory.EndpointReport{
			{Name: "e1", Tenant: "acme", VPC: "prod", Subnet: "s1", IP: netip.MustParseAddr("10.1.1.9"), Claims: []string{"g3"}},
			{Name: "e2", Tenant: "acme", VPC: "prod", Subnet: "s2", IP: netip.MustParseAddr("10.1.2.9"), Labels: map[string]string{"a": "1"}},
			{Name: "o1", Tenant: "acme", VPC: "other", Subnet: "s1", IP: netip.MustParseAddr("10.2.1.9")},
		}
		want := reachTexts(compareAll(before, after, reported))
		got := reachTexts(Compare(compareNow, before, after, reported).Differences)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("change %d (-all +touched):\n%s\nfrom\n%s\nto\n%s", n, diff, strings.Join(a, "---\n"), strings.Join(b, "---\n"))
		}
		if len(want) > 0 {
			differ++
		}
	}
	if differ < 12 {
		t.Errorf("%d of 24 changes make a difference; want 12: the test proves too little", differ)
	}
}

// reachTexts returns what differs by VPCs, protocol, a few ports and verdicts, with
// the number of pairs: neither the order of questions nor how ranges are merged
// counts, nor which of the pairs that are alike was asked about.
func reachTexts(found []Difference) []string {
	pairs := map[string]int{}
	for _, d := range found {
		for _, port := range []uint16{0, 1, 8, 22, 53, 79, 80, 81, 443, 8000, 9000, 65535} {
			if d.Lo <= port && port <= d.Hi {
				pairs[fmt.Sprintf("%s > %s %s/%d %s > %s", d.From.seenAs(), d.To.seenAs(), d.Proto, port, d.Before.Verdict, d.After.Verdict)] += 1 + d.Alike
			}
		}
	}
	var all []string
	for text, n := range pairs {
		all = append(all, fmt.Sprintf("%s: %d", text, n))
	}
	slices.Sort(all)
	return all
}

// seenAs is what the persons that are alike have in common.
func (p *Person) seenAs() string {
	if p.Addr.IsValid() {
		return "outside"
	}
	return string(p.VPC)
}

// randomNetwork returns the objects of one.
func randomNetwork(random *rand.Rand) []string {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	object := func(kind, name, more, spec string) string {
		return fmt.Sprintf("apiVersion: daoli.net/v1\nkind: %s\nmetadata: {name: %s%s}\nspec: %s\n", kind, name, more, spec)
	}
	all := []string{
		object("Tenant", "acme", "", `{hosts: ["*"]}`),
		object("VPC", "prod", ", tenant: acme", fmt.Sprintf(
			"{subnets: [{name: s1, cidr: 10.1.1.0/24}, {name: s2, cidr: 10.1.2.0/24}], default: %s%s}",
			pick("same-vpc", "same-subnet", "deny"), pick("", ", egress: {via: own-host, default: deny}", ", egress: {via: own-host, default: allow}"))),
		object("VPC", "other", ", tenant: acme", "{subnets: [{name: s1, cidr: 10.2.1.0/24}]}"),
		object("Peering", "peers", ", tenant: acme", "{vpcs: [acme/prod, acme/other]}"),
	}
	members := []string{"{subnets: [s1]}", "{subnets: [s2]}", `{labels: {a: "1"}}`, "{endpoints: [e1]}", "{subnets: [s1], labels: {a: \"2\"}}"}
	for g := range 4 {
		body := "{"
		if g < 3 {
			body += "members: " + pick(members...) + ", "
		}
		rule := func(side string) string {
			switch random.IntN(6) {
			case 0:
				return fmt.Sprintf("{ports: [%s]}", pick("tcp/80", "udp/53"))
			case 1:
				return fmt.Sprintf("{%s: [{group: g1}], action: %s}", side, pick("allow", "deny"))
			case 2:
				return fmt.Sprintf("{%s: [], ports: [tcp/80]}", side)
			}
			return fmt.Sprintf("{%s: [%s], ports: [%s], action: %s}", side,
				pick("{group: g0}", "{group: g1}", "{group: g3}", "{subnet: s1}", `{labels: {a: "1"}}`, "{cidr: 9.0.0.0/8}", "{cidr: 0.0.0.0/0, except: [9.9.0.0/16]}"),
				pick("tcp/80", "tcp/80, udp/53", "tcp/22-443", "icmp/echo"), pick("allow", "allow", "deny"))
		}
		body += "ingress: [" + strings.Join([]string{rule("from"), rule("from")}[:random.IntN(3)], ", ") + "]"
		if random.IntN(2) == 0 {
			body += ", egress: [" + rule("to") + "]"
		}
		all = append(all, object("SecurityGroup", fmt.Sprintf("g%d", g), ", tenant: acme, vpc: prod", body+"}"))
	}
	return all
}

// TestCompareOfALargeNetwork changes one rule, and one group's isolation, among
// 100,000 rules and 10,000 endpoints.
func TestCompareOfALargeNetwork(t *testing.T) {
	const vpcs, groups, rules, endpoints = 20, 50, 100, 500 // groups and endpoints of a VPC, rules of a group
	network := func(edit string) string {
		var b strings.Builder
		b.WriteString("apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: acme}\nspec: {hosts: ['*']}\n")
		for v := range vpcs {
			fmt.Fprintf(&b, "# file\napiVersion: daoli.net/v1\nkind: VPC\nmetadata: {name: v%d, tenant: acme}\nspec: {subnets: [{name: s, cidr: 10.%d.0.0/16}]}\n", v, v)
			for g := range groups {
				fmt.Fprintf(&b, "---\napiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: g%d, tenant: acme, vpc: v%d}\nspec:\n  members: {labels: {g: g%d}}\n  ingress:\n", g, v, g)
				for r := range rules {
					if v == 3 && g == 7 && r == 0 {
						b.WriteString(edit)
						continue
					}
					fmt.Fprintf(&b, "    - {from: [{group: g%d}], ports: [tcp/%d]}\n", (g+r)%groups, 1000+r)
				}
			}
		}
		return b.String()
	}
	var reported []inventory.EndpointReport
	for v := range vpcs {
		for e := range endpoints {
			reported = append(reported, inventory.EndpointReport{
				Name: fmt.Sprintf("e%d", e), Tenant: "acme", VPC: fmt.Sprintf("v%d", v), Subnet: "s",
				IP: netip.AddrFrom4([4]byte{10, byte(v), byte(e >> 8), byte(e)}), Labels: map[string]string{"g": fmt.Sprintf("g%d", e%groups), "n": fmt.Sprint(e)},
			})
		}
	}
	before := compareCompiled(t, network("    - {from: [{group: g8}], ports: [tcp/80]}\n"))
	after := compareCompiled(t, network("    - {from: [{group: g9}], ports: [tcp/80]}\n"))
	start := time.Now()
	found := Compare(compareNow, before, after, reported)
	took := time.Since(start)
	t.Logf("%d pairs asked, %d differences, %d unasked, in %s", found.Pairs, len(found.Differences), found.Unasked, took)
	if len(found.Differences) != 2 || found.Unasked != 0 {
		t.Errorf("%d differences and %d pairs unasked; want 2 and 0", len(found.Differences), found.Unasked)
	}
	if most := 30 * time.Second; took > most { // 10 s, on a machine that has nothing else to do
		t.Errorf("it took %s; want %s at most", took, most)
	}
}

// TestCompareTellsNobodyFromAnybody changes only whether a rule has peers, or ports.
func TestCompareTellsNobodyFromAnybody(t *testing.T) {
	network := func(rule string) *Policy {
		return compareCompiled(t, `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: s1, cidr: 10.1.1.0/24}, {name: s2, cidr: 10.1.2.0/24}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: g, tenant: acme, vpc: prod}
spec:
  members: {subnets: [s1]}
  ingress: [{from: [{subnet: s1}], ports: [tcp/9]}, `+rule+`]
`)
	}
	for _, change := range [][2]string{
		{"{from: [], ports: [tcp/80]}", "{ports: [tcp/80]}"},
		{"{from: [{subnet: s2}], ports: [tcp/80]}", "{from: [{subnet: s2}]}"},
	} {
		before, after := network(change[0]), network(change[1])
		want, got := reachTexts(compareAll(before, after, nil)), reachTexts(Compare(compareNow, before, after, nil).Differences)
		if len(want) == 0 {
			t.Fatalf("%v makes no difference", change)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-all +touched):\n%s", change, diff)
		}
	}
}
