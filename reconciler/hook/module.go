// Package hook is one tenant's Rego: is it fit to be asked, what do its tests say,
// and what does it say of a pair. It is pure, and no sandbox: text that passes Vet can
// still take any time and memory to compile or to evaluate, and nothing inside the
// process can stop all of that. So it runs in package sandbox's child only.
package hook

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// The rules that a tenant's module decides by.
const (
	denyRule    = "deny"
	ingressRule = "allow_ingress"
	egressRule  = "allow_egress"
)

// Module is the Rego of a tenant, compiled. It is not safe for concurrent use.
type Module struct {
	tenant   string
	root     string // data.tenants.NAME.policy
	compiler *ast.Compiler
	store    storage.Store
	txn      storage.Transaction
	queries  map[string]query
	tests    []*ast.Rule
}

// query asks for the value of one rule.
type query struct {
	body     ast.Body
	compiler ast.QueryCompiler
}

// Compile vets and compiles a tenant's module; tests as well if they are to be run.
// What is wrong comes as lines FILE:LINE: TEXT.
func Compile(m *policy.HookModule, tests bool) (*Module, []string) {
	parsed, own, problems := vet(m, tests)
	if len(problems) > 0 {
		return nil, problems
	}
	c := ast.NewCompiler().WithCapabilities(policy.Capabilities()).WithStrict(true).WithEnablePrintStatements(false)
	if c.Compile(parsed); c.Failed() {
		return nil, lines(c.Errors)
	}
	for name := range own { // imports and aliases are resolved now
		problems = append(problems, refProblems(m.Tenant, c.Modules[name])...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	store := inmem.New()
	txn, err := store.NewTransaction(context.Background())
	if err != nil {
		return nil, []string{err.Error()}
	}
	out := &Module{
		tenant: m.Tenant, root: "data.tenants." + m.Tenant + ".policy", compiler: c,
		store: store, txn: txn, queries: map[string]query{},
	}
	if !simpleName(m.Tenant) {
		out.root = fmt.Sprintf("data.tenants[%q].policy", m.Tenant)
	}
	for _, name := range []string{denyRule, ingressRule, egressRule} {
		if len(c.GetRulesExact(ast.MustParseRef(out.root+"."+name))) == 0 && len(c.GetRulesWithPrefix(ast.MustParseRef(out.root+"."+name))) == 0 {
			continue
		}
		if err := out.prepare(out.root + "." + name); err != nil {
			return nil, []string{err.Error()}
		}
	}
	if tests {
		out.collectTests(own)
	}
	return out, nil
}

func simpleName(s string) bool { return !strings.ContainsAny(s, "-.\"") && s[0] > '9' }

// prepare compiles the query for a rule.
func (m *Module) prepare(ref string) error {
	qc := m.compiler.QueryCompiler()
	body, err := ast.ParseBody("x = " + ref)
	if err == nil {
		body, err = qc.Compile(body)
	}
	if err != nil {
		return fmt.Errorf("ask %s: %w", ref, err)
	}
	m.queries[ref] = query{body, qc}
	return nil
}

// value returns what a rule is for input; nil: it is undefined.
func (m *Module) value(ref string, input *ast.Term, tracer topdown.QueryTracer) (ast.Value, error) {
	q, there := m.queries[ref]
	if !there {
		return nil, nil
	}
	t := topdown.NewQuery(q.body).
		WithCompiler(m.compiler).
		WithQueryCompiler(q.compiler).
		WithStore(m.store).
		WithTransaction(m.txn).
		WithInput(input).
		WithStrictBuiltinErrors(true).
		WithMetrics(metrics.NoOp()).
		WithTime(time.Unix(1, 0)) // else OPA reads the clock; no allowed built-in asks
	if tracer != nil {
		t = t.WithQueryTracer(tracer)
	}
	var value ast.Value
	err := t.Iter(context.Background(), func(r topdown.QueryResult) error {
		value = r[ast.Var("x")].Value
		return nil
	})
	return value, err
}

// Ask returns what the module says of q. An error of any of its rules fails all.
func (m *Module) Ask(q *policy.HookQuery) policy.HookAnswer {
	input := inputOf(q)
	var a policy.HookAnswer
	ask := func(name string, holds func(ast.Value) bool) policy.HookHit {
		ref := m.root + "." + name
		v, err := m.value(ref, input, nil)
		if err != nil {
			a.Failed, a.At = policy.ReasonPolicyError, m.position(ref, err)
			return policy.HookHit{}
		}
		if v == nil || !holds(v) {
			return policy.HookHit{}
		}
		return policy.HookHit{Rule: "tenants." + m.tenant + ".policy." + name, At: m.holding(ref, input)}
	}
	a.Deny = ask(denyRule, policy.Denies)
	if q.Dst.Tenant == m.tenant {
		a.AllowIngress = ask(ingressRule, isTrue)
	}
	if q.Src.Tenant == m.tenant {
		a.AllowEgress = ask(egressRule, isTrue)
	}
	return a
}

// isTrue reports whether a value allows: true does, and nothing else.
func isTrue(v ast.Value) bool { return ast.Boolean(true).Compare(v) == 0 }

// holding returns where the first rule of ref stands that held; evaluation always
// goes the same way, so it is done again with somebody watching.
func (m *Module) holding(ref string, input *ast.Term) spec.Pos {
	w := &policy.RuleWatch{Of: ast.MustParseRef(ref)}
	if _, err := m.value(ref, input, w); err == nil && w.At != nil {
		return position(w.At)
	}
	return m.position(ref, nil)
}

// position returns where err happened, else where the rule ref stands.
func (m *Module) position(ref string, err error) spec.Pos {
	if failed, ok := err.(*topdown.Error); ok && failed.Location != nil {
		return position(failed.Location)
	}
	if rules := m.compiler.GetRules(ast.MustParseRef(ref)); len(rules) > 0 {
		return position(rules[0].Location)
	}
	return spec.Pos{}
}

func position(l *ast.Location) spec.Pos { return spec.Pos{File: l.File, Line: l.Row} }

// inputOf returns the document input.
func inputOf(q *policy.HookQuery) *ast.Term {
	return ast.ObjectTerm(
		ast.Item(ast.InternedTerm("src"), endTerm(&q.Src)),
		ast.Item(ast.InternedTerm("dst"), endTerm(&q.Dst)),
		ast.Item(ast.InternedTerm("proto"), ast.InternedTerm(q.Proto)),
		ast.Item(ast.InternedTerm("port"), ast.InternedTerm(int(q.Port))),
	)
}

func endTerm(e *policy.HookEnd) *ast.Term {
	if e.Outside {
		return ast.ObjectTerm(ast.Item(ast.InternedTerm("outside"), ast.InternedTerm(true)))
	}
	groups := make([]*ast.Term, len(e.Groups))
	for i, g := range e.Groups {
		groups[i] = ast.StringTerm(g)
	}
	items := [][2]*ast.Term{
		ast.Item(ast.InternedTerm("tenant"), ast.StringTerm(e.Tenant)),
		ast.Item(ast.InternedTerm("vpc"), ast.StringTerm(e.VPC)),
		ast.Item(ast.InternedTerm("groups"), ast.ArrayTerm(groups...)),
	}
	if e.Subnet != "" {
		labels := make([][2]*ast.Term, 0, len(e.Labels))
		for k, v := range e.Labels {
			labels = append(labels, ast.Item(ast.StringTerm(k), ast.StringTerm(v)))
		}
		items = append(items, ast.Item(ast.InternedTerm("subnet"), ast.StringTerm(e.Subnet)),
			ast.Item(ast.InternedTerm("labels"), ast.ObjectTerm(labels...)))
	}
	return ast.ObjectTerm(items...)
}
