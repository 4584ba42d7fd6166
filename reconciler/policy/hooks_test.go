package policy_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Ports of tcp by which said answers.
const (
	portDeny = 6000 + iota
	portIngress
	portEgress
	portBoth
	portLate
	portBroken
	portOperator
	portDenyAll
)

// said answers as its module might, by port, and counts.
type said struct{ asked map[string]int }

func (s *said) Ask(q policy.HookQuery) (a policy.HookAnswer) {
	s.asked[q.Tenant]++
	hit := func(rule string, line int) policy.HookHit {
		return policy.HookHit{Rule: "tenants." + q.Tenant + ".policy." + rule, At: spec.Pos{File: "tenants/" + q.Tenant + "/p.rego", Line: line}}
	}
	switch q.Port {
	case portDeny, portDenyAll:
		a.Deny, a.AllowIngress = hit("deny", 1), hit("allow_ingress", 2)
	case portIngress, portOperator:
		a.AllowIngress = hit("allow_ingress", 2)
	case portEgress:
		a.AllowEgress = hit("allow_egress", 3)
	case portBoth:
		a.AllowIngress, a.AllowEgress = hit("allow_ingress", 2), hit("allow_egress", 3)
	case portLate, portBroken:
		a = *(&policy.HookModule{Tenant: q.Tenant, Files: []policy.HookFile{{Name: "tenants/" + q.Tenant + "/p.rego"}}}).Failing(policy.ReasonPolicyTimeout)
		if q.Port == portBroken {
			a.Failed = policy.ReasonPolicyError
		}
	}
	return a
}

const operatorText = "package daoli.operator\n\ndeny if input.port == 6006\n\ndeny if {\n\tinput.port == 6007\n\tinput.src.tenant == \"acme\"\n}\n"

// hookTree is a tree of policies in which acme has Rego, and the operator.
func hookTree(admission string) fstest.MapFS {
	tree := fstest.MapFS{
		"operator/guard.rego":      &fstest.MapFile{Data: []byte(operatorText)},
		"tenants/acme/p.rego":      &fstest.MapFile{Data: []byte("package tenants.acme.policy\n")},
		"tenants/acme/p_test.rego": &fstest.MapFile{Data: []byte("package tenants.acme.policy\n")},
	}
	if admission != "" {
		tree[admissionFile] = &fstest.MapFile{Data: []byte(admission)}
	}
	return tree
}

func compileHooked(network *spec.Network, admission string) (*policy.Policy, error) {
	p, err := policy.Compile("r1", network, hookTree(admission))
	if err == nil {
		p.UseHooks(&said{asked: map[string]int{}}, p.HookModules())
	}
	return p, err
}

// hookCases hold when acme and globex are peers, and acme has Rego that said speaks for.
func hookCases(p *policy.Policy) []decideCase {
	web, db := endpoint("acme/prod/web"), endpoint("acme/prod/db", "db")
	mute, globex := endpoint("acme/prod/web", "mute"), endpoint("globex/prod/web")
	tcp := func(port int) string { return fmt.Sprintf("tcp/%d", port) }
	return []decideCase{
		{"a tenant's Rego denies what it allows", web, web, tcp(portDeny), want{policy.Drop, "tenant-policy", "tenants.acme.policy.deny", 1, false}},
		{"and to the outside", endpoint("acme/open/a", "all"), outside(p, "8.8.8.8"), tcp(portDeny), want{policy.Drop, "tenant-policy", "tenants.acme.policy.deny", 1, false}},
		{"and what another tenant sends", globex, db, tcp(portDeny), want{policy.Drop, "tenant-policy", "tenants.acme.policy.deny", 1, false}},
		{"a tenant's Rego opens B", web, db, tcp(portIngress), want{policy.Allow, "tenant-policy", "tenants.acme.policy.allow_ingress", 2, false}},
		{"but not A", mute, db, tcp(portIngress), want{policy.Reject, "egress-default", "acme/prod/mute", 42, false}},
		{"it opens A", mute, endpoint("acme/prod/web"), tcp(portEgress), want{policy.Allow, "default", "acme/prod", 2, false}},
		{"it opens both", mute, db, tcp(portBoth), want{policy.Allow, "tenant-policy", "tenants.acme.policy.allow_ingress", 2, false}},
		{"it opens nothing towards the outside", web, outside(p, "8.8.8.8"), tcp(portBoth), want{policy.Reject, "egress-default", "acme/prod", 3, false}},
		{"and nothing of another tenant's", web, globex, tcp(portBoth), want{policy.Drop, "ingress-default", "globex/prod", 10, false}},
		{"what is late denies", web, web, tcp(portLate), want{policy.Drop, "policy-timeout", "tenants.acme.policy", 1, false}},
		{"what is broken denies", web, web, tcp(portBroken), want{policy.Drop, "policy-error", "tenants.acme.policy", 1, false}},
		{"an operator's deny stands above", web, db, tcp(portOperator), want{policy.Drop, "operator-policy", "data.daoli.operator.deny", 3, false}},
		{"the rule that denied is named", web, db, tcp(portDenyAll), want{policy.Drop, "operator-policy", "data.daoli.operator.deny", 5, false}},
	}
}

func TestDecideWithHooks(t *testing.T) {
	network := table().peer("acme/prod", "globex/prod").network
	p, err := compileHooked(network, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range hookCases(p) {
		if diff := cmp.Diff(test.want, short(p.Ask(now, query(test.src, test.dst, test.port)))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestAnswersAreKept also shows that Decide never waits, and that what came too late
// is asked again.
func TestAnswersAreKept(t *testing.T) {
	p, err := compileHooked(table().network, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &said{asked: map[string]int{}}
	p.UseHooks(s, p.HookModules())
	q := query(endpoint("acme/prod/web"), endpoint("acme/prod/web"), "tcp/6001")
	q.Src.ID, q.Dst.ID = 1, 2
	if d := p.Decide(now, q); !p.Unanswered(q) || d.Reason != policy.ReasonPolicyTimeout || s.asked["acme"] != 0 {
		t.Errorf("not asked yet: Decide = %v, asked %d times", d, s.asked["acme"])
	}
	for range 3 {
		if d := p.Ask(now, q); d.Verdict != policy.Allow {
			t.Errorf("Ask = %v; want an allow", d)
		}
	}
	if d := p.Decide(now, q); p.Unanswered(q) || d.Verdict != policy.Allow || s.asked["acme"] != 1 {
		t.Errorf("answered: Decide = %v, asked %d times; want an allow, once", d, s.asked["acme"])
	}
	q.Port = portLate
	p.Ask(now, q)
	if p.Ask(now, q); s.asked["acme"] != 3 || !p.Unanswered(q) {
		t.Errorf("asked %d times; want what was late to be asked again", s.asked["acme"])
	}
	q.Dst = endpoint("globex/prod/web")
	if p.Ask(now, q); s.asked["acme"] != 3 {
		t.Error("a module is asked about whom isolation keeps apart")
	}
}

// TestAnswersAreNotForgotten has as many pairs as live sessions: one that is not answered
// any more when all are judged again is cut.
func TestAnswersAreNotForgotten(t *testing.T) {
	p, err := compileHooked(table().network, "")
	if err != nil {
		t.Fatal(err)
	}
	pair := func(i int) policy.Query {
		q := query(endpoint("acme/prod/web"), endpoint("acme/prod/web"), "tcp/6001")
		q.Src.ID, q.Dst.ID, q.Port = inventory.IdentityID(1+i/100), inventory.IdentityID(1000+i%100), portIngress
		return q
	}
	for i := range 8000 {
		p.Ask(now, pair(i))
	}
	for i := range 8000 {
		if p.Unanswered(pair(i)) {
			t.Fatalf("the answer to pair %d of 8000 is gone", i)
		}
	}
}

func TestRegoOfATenantDeniesWhereNobodyAsksIt(t *testing.T) {
	p, err := policy.Compile("r1", table().network, hookTree(""))
	if err != nil {
		t.Fatal(err)
	}
	web := endpoint("acme/prod/web")
	if d := p.Ask(now, query(web, web, "tcp/80")); d.Reason != policy.ReasonPolicyError || d.At.File != "tenants/acme/p.rego" {
		t.Errorf("Ask = %v; want policy-error", d)
	}
}

func TestTenantModules(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	tree := fstest.MapFS{"lib/a.rego": file("a"), "tenants/acme/p.rego": file("p"), "tenants/globex/sub/q.rego": file("q")}
	before, err := policy.TenantModules(tree)
	if err != nil || len(before) != 2 || before["globex"].Files[0].Name != "tenants/globex/sub/q.rego" {
		t.Fatalf("TenantModules = %v, %v", before, err)
	}
	tree["tenants/acme/p.rego"] = file("changed")
	after, _ := policy.TenantModules(tree)
	if after["acme"].Hash == before["acme"].Hash || after["globex"].Hash != before["globex"].Hash {
		t.Error("an edit of acme's must change acme's hash, and no other")
	}
	tree["lib/a.rego"] = file("b")
	if all, _ := policy.TenantModules(tree); all["globex"].Hash == before["globex"].Hash {
		t.Error("the library is part of each module")
	}
	tree["tenants/stray.rego"] = file("")
	if _, err := policy.TenantModules(tree); err == nil {
		t.Error("Rego that is no tenant's is taken")
	}
}

// TestRegoThatNobodyHeedsIsRefused: its author would believe that it denies.
func TestRegoThatNobodyHeedsIsRefused(t *testing.T) {
	const allows = "package daoli.admission\n\ndecision := {\"verdict\": \"allow\", \"reason\": \"rule\"}\n"
	const guard, acme = "operator/guard.rego", "tenants/acme/p.rego"
	for name, tt := range map[string]struct {
		tree fs.FS
		want string // "": it is taken
	}{
		"a guardrail under another name":              {tree(guard, "package daoli.operators\n\ndeny if input.port == 23\n"), guard + ":1: no rule data.daoli.operator.deny"},
		"a system of one's own beside a guardrail":    {tree(admissionFile, allows, guard, operatorText), admissionFile + ":1: it never looks at input.exceptions.hooks"},
		"a system of one's own beside a tenant's":     {tree(admissionFile, allows, acme, "package tenants.acme.policy\n"), admissionFile + ":1: it never looks at"},
		"a system of one's own that says it in words": {tree(admissionFile, "# hooks\n"+allows, guard, operatorText), admissionFile + ":1: it never looks at"},
		"a system of one's own that heeds them": {tree(admissionFile,
			"package daoli.admission\n\nheard := input.exceptions\n\ndecision := {\"verdict\": \"allow\", \"reason\": \"rule\"} if not heard.hooks.operator\n", guard, operatorText), ""},
		"a system of one's own alone": {tree(admissionFile, allows), ""},
		"the embedded one":            {hookTree(""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Compile("r1", table().network, tt.tree)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Compile: %v; want %q", err, tt.want)
			}
		})
	}
}
