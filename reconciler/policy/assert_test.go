package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// subnets gives a VPC the subnets NAME=CIDR.
func (w *world) subnets(vpc spec.VPCID, words ...string) *world {
	for _, word := range words {
		name, cidr, _ := strings.Cut(word, "=")
		w.network.VPCs[vpc].Subnets = append(w.network.VPCs[vpc].Subnets, spec.Subnet{Name: name, CIDR: parsePeer(cidr).CIDR, At: w.pos()})
	}
	return w
}

// members gives a group the members that its words say: "subnet:db", "k=1", "@web1".
func (w *world) members(vpc spec.VPCID, group string, words ...string) *world {
	m := &spec.Members{}
	for _, word := range words {
		if name, found := strings.CutPrefix(word, "@"); found {
			m.Endpoints = append(m.Endpoints, name)
		} else if p := parsePeer(word); p.Subnet != "" {
			m.Subnets = append(m.Subnets, p.Subnet)
		} else {
			m.Labels = p.Labels
		}
	}
	w.network.Groups[vpc][group].Members = m
	return w
}

// assertion adds one on line 900; from and to are as in parsePeer, or "@web1"
// for an endpoint, with " VPC" behind.
func (w *world) assertion(tenant, expect, from, to, port string) *world {
	a := &spec.Assertion{
		Tenant: tenant, Name: "promise", At: spec.Pos{File: "net.yaml", Line: 900},
		From: parseSubject(from), To: parseSubject(to), Allow: expect == "allow",
	}
	if port == "" {
		a.AnyPort = true
	} else {
		a.Port, _ = parsePort(port)
	}
	w.network.Assertions = append(w.network.Assertions, a)
	return w
}

func parseSubject(text string) spec.Subject {
	word, vpc, _ := strings.Cut(text, " ")
	if name, found := strings.CutPrefix(word, "@"); found {
		return spec.Subject{Endpoint: name, Peer: spec.Peer{VPC: spec.VPCID(vpc)}}
	}
	peer := parsePeer(word)
	if vpc != "" {
		peer.VPC = spec.VPCID(vpc)
	}
	return spec.Subject{Peer: peer}
}

// shop is a network for promises.
func shop() *world {
	return newWorld().
		vpc("acme/prod", "same-subnet", "deny"). // 1, 2, 3
		subnets("acme/prod", "web=10.1.0.0/24", "db=10.1.1.0/24").
		vpc("globex/prod", "same-vpc", ""). // 6, 7
		subnets("globex/prod", "a=10.2.0.0/24").
		group("acme/prod", "pci", egress(rule("8.0.0.0/8!8.8.8.0/24", "tcp/443"))).               // 9, 10, 11
		group("acme/prod", "db", ingress(rule("group:web", "tcp/5432"), rule("k=1", "udp/5-9"))). // 12, 13, 14, 15
		members("acme/prod", "db", "subnet:db").
		group("acme/prod", "web").                                                                      // 16
		group("acme/prod", "tier", ingress(rule("group:web", "tcp/80", "until:2026-06-01T14:00:00Z"))). // 17, 18, 19
		members("acme/prod", "tier", "tier=1").
		group("acme/prod", "admin", egress(rule("9.9.9.9/32"))). // 20, 21, 22
		members("acme/prod", "admin", "@root")
}

func TestAssertions(t *testing.T) {
	tests := []struct {
		name   string
		w      *world
		broken string // what the problem says, "" for none
	}{
		{"outside is never reached on another port", shop().assertion("acme", "deny", "group:pci acme/prod", "0.0.0.0/0", "udp"), ""},
		{"an egress rule breaks it", shop().assertion("acme", "deny", "group:pci acme/prod", "0.0.0.0/0", "tcp"),
			"{vpc acme/prod, subnet web, groups pci} -> outside 8.0.0.0 on tcp/443, but the verdict is allow (rule) by acme/prod/pci/egress/0 at net.yaml:11"},
		{"a range beside the port keeps it", shop().assertion("acme", "deny", "group:pci acme/prod", "0.0.0.0/0", "tcp/444-500"), ""},
		{"a range around the port breaks it", shop().assertion("acme", "deny", "group:pci acme/prod", "0.0.0.0/0", "tcp/400-500"), "on tcp/443"},
		{"an except keeps it", shop().assertion("acme", "deny", "group:pci acme/prod", "8.8.8.0/25", ""), ""},
		{"the rest of the prefix breaks it", shop().assertion("acme", "deny", "group:pci acme/prod", "8.8.0.0/16", ""), "outside 8.8.0.0"},
		{"an assertion's except keeps it", shop().assertion("acme", "deny", "group:pci acme/prod", "8.8.0.0/16!8.8.0.0/17!8.8.128.0/17", ""), ""},
		{"own ranges are not outside", shop().assertion("acme", "deny", "group:pci acme/prod", "10.1.0.0/16", ""), ""},
		{"members are resolved for labels", shop().assertion("acme", "deny", "group:web acme/prod", "group:tier acme/prod", "tcp/80"),
			"-> {vpc acme/prod, subnet web, groups tier, labels tier=\"1\"} on tcp/80, but the verdict is allow (rule) by acme/prod/tier/ingress/0 at net.yaml:19"},
		{"labels of rules are identities", shop().assertion("acme", "deny", "vpc:acme/prod", "subnet:db acme/prod", "udp/1-8"),
			"{vpc acme/prod, subnet web, labels k=\"1\"} -> {vpc acme/prod, subnet db, groups db} on udp/5,"},
		{"what the default lets through is a breach", shop().assertion("acme", "deny", "subnet:web acme/prod", "subnet:web acme/prod", "tcp/1"), "verdict is allow (default) by acme/prod at net.yaml:2"},
		{"expect allow holds", shop().assertion("acme", "allow", "group:web acme/prod", "group:db acme/prod", "tcp/5432"), ""},
		{"expect allow is broken on another port", shop().assertion("acme", "allow", "group:web acme/prod", "group:db acme/prod", "tcp/5432-5433"),
			"on tcp/5433, but the verdict is reject (ingress-default) by acme/prod/db at net.yaml:13"},
		{"expect allow of all protocols is broken", shop().assertion("acme", "allow", "group:web acme/prod", "group:db acme/prod", ""), "(ingress-default)"},
		{"other protocols are asked about", shop().group("acme/prod", "web", ingress(rule("tcp", "udp", "sctp", "icmp", "deny"))).
			assertion("acme", "deny", "subnet:web acme/prod", "group:web acme/prod", ""), "on protocol 47, but the verdict is allow (default)"},
		{"strangers are isolated", shop().assertion("acme", "deny", "vpc:globex/prod", "vpc:acme/prod", ""), ""},
		{"nothing is said of strangers", shop().assertion("acme", "allow", "vpc:globex/prod", "vpc:acme/prod", "tcp/1"), ""},
		{"other tenants' pairs are no business", shop().assertion("acme", "deny", "vpc:globex/prod", "vpc:globex/prod", ""), ""},
		{"any is everybody with an own end", shop().assertion("acme", "deny", "any", "vpc:globex/prod", ""), ""},
		{"any is everybody", shop().assertion("globex", "deny", "any", "vpc:globex/prod", ""), "globex/prod, subnet a} -> {vpc globex/prod, subnet a}"},
		{"without Ingress nothing comes in", shop().assertion("acme", "deny", "0.0.0.0/0", "vpc:acme/prod", ""), ""},
		{"a name is disconnected wherever it is", shop().link("acme/prod", "cut", "connect", "web2", "group:db").
			assertion("acme", "deny", "@web1 acme/prod", "group:db acme/prod", "sctp/9"), ""},
		{"a Link connects a name wherever it is", shop().link("acme/prod", "tie", "connect", "web1", "group:db").
			assertion("acme", "deny", "@web1 acme/prod", "group:db acme/prod", "sctp/9"), "on sctp/9, but the verdict is allow (link) by acme/prod/tie"},
		{"a name that may come to be where a group isolates it", shop().ingress("acme/prod", "shop", "web1", "tcp/80", "9.0.0.0/8").
			assertion("acme", "deny", "0.0.0.0/0", "@web1 acme/prod", ""), ""},
		{"a name that nobody has is nobody", shop().ingress("acme/prod", "shop", "web1", "tcp/80", "9.0.0.0/8").
			assertion("acme", "deny", "0.0.0.0/0", "subnet:db acme/prod", ""), ""},
		{"a Link disconnects a name", shop().link("acme/prod", "cut", "disconnect", "web1", "group:db").
			assertion("acme", "allow", "group:web acme/prod", "group:db acme/prod", "tcp/5432"), ""},
		{"a VPC that is gone", shop().assertion("acme", "deny", "vpc:acme/gone", "vpc:acme/prod", ""), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems := test.w.compile(t).CheckAssertions(now, nil)
			if test.broken == "" {
				if len(problems) > 0 {
					t.Fatalf("CheckAssertions = %v; want none", problems)
				}
				return
			}
			if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "net.yaml:900: assertion ") || problems[0].Warning ||
				!strings.Contains(problems[0].Text, test.broken) {
				t.Errorf("CheckAssertions = %v\nwant one with %q", problems, test.broken)
			}
		})
	}
}

func TestAssertionsOverObservedIdentities(t *testing.T) {
	w := shop().assertion("acme", "allow", "@web1 acme/prod", "group:db acme/prod", "tcp/5432")
	p := w.compile(t)
	member := endpoint("acme/prod/web", "web", "@web1")
	if problems := p.CheckAssertions(now, []*inventory.Identity{member, outside(p, "8.8.8.8")}); len(problems) > 0 {
		t.Errorf("CheckAssertions with a member = %v; want none", problems)
	}
	plain := endpoint("acme/prod/web", "@web1")
	if problems := p.CheckAssertions(now, []*inventory.Identity{plain}); len(problems) != 1 {
		t.Errorf("CheckAssertions without the claim = %v; want a problem", problems)
	}
}

// TestAssertionsOverNames has promises that only an endpoint of a name breaks:
// wherever it is, it is one of the observed.
func TestAssertionsOverNames(t *testing.T) {
	web1, db := endpoint("acme/prod/web", "@web1"), endpoint("acme/prod/db", "db")
	for name, test := range map[string]struct {
		w      *world
		broken string
	}{
		"an Ingress to one of a VPC": {
			shop().ingress("acme/prod", "shop", "web1", "tcp/80", "9.0.0.0/8").assertion("acme", "deny", "0.0.0.0/0", "vpc:acme/prod", ""),
			"outside 9.0.0.0 -> {vpc acme/prod, subnet web, endpoint web1} on tcp/80, but the verdict is allow (open) by acme/prod/shop",
		},
		"in its subnet it is let through": {
			shop().assertion("acme", "deny", "@web1 acme/prod", "subnet:web acme/prod", "tcp/80"),
			"endpoint web1} -> {vpc acme/prod, subnet web} on tcp/80, but the verdict is allow (default)",
		},
	} {
		p := test.w.compile(t)
		if problems := p.CheckAssertions(now, nil); len(problems) > 0 {
			t.Errorf("%s: CheckAssertions without it = %v; want none", name, problems)
		}
		problems := p.CheckAssertions(now, []*inventory.Identity{web1, db})
		if len(problems) != 1 || !strings.Contains(problems[0].Text, test.broken) {
			t.Errorf("%s: CheckAssertions = %v\nwant one with %q", name, problems, test.broken)
		}
	}
}

func TestAssertionsEndWithRules(t *testing.T) {
	p := shop().assertion("acme", "allow", "group:web acme/prod", "group:tier acme/prod", "tcp/80").compile(t)
	if problems := p.CheckAssertions(now.Add(2*time.Hour-time.Second), nil); len(problems) > 0 {
		t.Errorf("CheckAssertions before = %v; want none", problems)
	}
	if problems := p.CheckAssertions(now.Add(2*time.Hour), nil); len(problems) != 1 {
		t.Errorf("CheckAssertions after = %v; want one", problems)
	}
}

// TestAssertionsAreBounded has one tenant with promises that are too wide: they
// are refused, and soon, and another's are checked all the same.
func TestAssertionsAreBounded(t *testing.T) {
	w := shop()
	for g := range 300 {
		w.group("acme/prod", fmt.Sprintf("g%d", g), ingress(rule(fmt.Sprintf("group:g%d", g), fmt.Sprintf("tcp/%d", g+1))),
			egress(rule("tcp"), rule(fmt.Sprintf("%d.0.0.0/8", g%200+11))))
	}
	w.assertion("acme", "deny", "vpc:acme/prod", "vpc:acme/prod", "sctp/1")
	w.network.Assertions[0].Name = "wide"
	w.network.VPCs["acme/prod"].Default = spec.Deny
	w.assertion("globex", "deny", "vpc:globex/prod", "vpc:globex/prod", "tcp/1")
	begin := time.Now()
	problems := w.compile(t).CheckAssertions(now, nil)
	took := time.Since(begin)
	t.Log(took)
	if len(problems) != 2 || !strings.Contains(fmt.Sprint(problems), "acme/wide cannot be checked: checking it takes more than this tenant's share of 10000 decisions; narrow its from, to or port") ||
		!strings.Contains(fmt.Sprint(problems), "(default) by globex/prod") {
		t.Errorf("CheckAssertions = %v; want acme's refused and globex' broken", problems)
	}
}

// TestHostileAssertions has one tenant with thousands of identities, rules and
// promises: they are refused within seconds and little memory.
func TestHostileAssertions(t *testing.T) {
	w := newWorld().vpc("acme/prod", "deny", "allow")
	v := w.network.VPCs["acme/prod"]
	for i := range 100 {
		v.Subnets = append(v.Subnets, spec.Subnet{Name: fmt.Sprintf("s%d", i), CIDR: parsePeer(fmt.Sprintf("10.%d.0.0/16", i)).CIDR})
	}
	for g := range 150 {
		var in, out []spec.Rule
		for i := range 50 {
			in = append(in, rule(fmt.Sprintf("k%d=%d", i, g%2), fmt.Sprintf("subnet:s%d", i), fmt.Sprintf("tcp/%d", 1+g*50+i), "deny"))
			out = append(out, rule(fmt.Sprintf("11.%d.%d.0/24", g, i), fmt.Sprintf("udp/%d", 1+g*50+i), "deny"))
		}
		w.group("acme/prod", fmt.Sprintf("g%d", g), ingress(in...), egress(out...))
		if g%3 == 0 {
			w.members("acme/prod", fmt.Sprintf("g%d", g), fmt.Sprintf("subnet:s%d", g%100))
		}
	}
	for i := range 2000 {
		w.assertion("acme", "deny", "vpc:acme/prod", []string{"any", "0.0.0.0/0", "vpc:acme/prod", "subnet:s3 acme/prod"}[i%4], "sctp")
	}
	p := w.compile(t)
	begin := time.Now()
	problems := p.CheckAssertions(now, nil)
	took := time.Since(begin)
	t.Log(took, len(problems))
	if len(problems) == 0 || took > 30*time.Second {
		t.Errorf("%d problems in %v; want some, soon", len(problems), took)
	}
}

// TestAssertionsAreCheap has many tenants with one promise each.
func TestAssertionsAreCheap(t *testing.T) {
	w := newWorld()
	for i := range 300 {
		tenant := fmt.Sprintf("t%d", i)
		vpc := spec.VPCID(tenant + "/prod")
		w.vpc(vpc, "same-subnet", "deny").subnets(vpc, "web=10.1.0.0/24", "db=10.1.1.0/24").
			group(vpc, "db", ingress(rule("group:web", "tcp/5432"))).
			group(vpc, "web", egress(rule("group:db"), rule("8.0.0.0/8", "tcp/443"))).
			assertion(tenant, "deny", "group:db "+string(vpc), "0.0.0.0/0", "udp").
			assertion(tenant, "deny", "any", "group:db "+string(vpc), "tcp/22")
		w.network.Groups[vpc]["db"].Members = &spec.Members{Subnets: []string{"db"}}
	}
	p := w.compile(t)
	begin := time.Now()
	if problems := p.CheckAssertions(now, nil); len(problems) > 0 {
		t.Errorf("CheckAssertions = %v; want none", problems)
	}
	t.Log(time.Since(begin))
}
