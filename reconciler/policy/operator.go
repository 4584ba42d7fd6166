package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// operatorRule is the rule of operator/*.rego that stands above all tenants: it sees
// what admission sees, and whatever it denies no tenant allows.
const operatorRule = "data.daoli.operator.deny"

var (
	operatorRef   = ast.MustParseRef(operatorRule)
	operatorQuery = ast.MustParseBody("x = " + operatorRule)
)

// guard is the query for operatorRule; the zero guard: there is no such rule.
type guard struct {
	query    ast.Body
	compiler ast.QueryCompiler
}

func newGuard(c *ast.Compiler) (guard, error) {
	if len(c.GetRulesWithPrefix(operatorRef)) == 0 {
		return guard{}, nil
	}
	compiler := c.QueryCompiler()
	query, err := compiler.Compile(operatorQuery)
	return guard{query, compiler}, err
}

// heeded refuses Rego of the operator or of tenants that would be without effect: a
// guardrail under another name, or a system of the user's own that never looks at what
// they say.
func (g *program) heeded(tenants map[string]*HookModule) error {
	system, asked := "", false
	for _, m := range g.modules {
		switch dir, _, _ := strings.Cut(m.name, "/"); {
		case dir == "operator" && g.guard.query == nil:
			return fmt.Errorf("%s:1: no rule %s in operator/: it guards nothing", m.name, operatorRule)
		case dir == "system":
			system = cmp.Or(system, m.name)
			ast.WalkRefs(g.compiler.Modules[m.name], func(r ast.Ref) bool {
				asked = asked || slices.ContainsFunc(r, func(t *ast.Term) bool { return t.Equal(hooksTerm) })
				return asked
			})
		}
	}
	says := g.guard.query != nil
	for _, m := range tenants {
		says = says || slices.ContainsFunc(m.Files, func(f HookFile) bool { return !strings.HasSuffix(f.Name, "_test.rego") })
	}
	if says && !asked {
		return fmt.Errorf("%s:1: it never looks at input.exceptions.hooks: what Rego in operator/ and tenants/ denies would pass", system)
	}
	return nil
}

var hooksTerm = ast.StringTerm("hooks")

// operatorHit returns the operator's rule that denies for input; found is false if
// there is none.
func (e *evaluator) operatorHit(input *ast.Term) (at spec.Pos, found bool, err error) {
	if e.guard.query == nil {
		return at, false, nil
	}
	watch := &RuleWatch{Of: operatorRef}
	value, err := e.run(e.guard.query, e.guard.compiler, &stepLimit{left: maxSteps}, input, watch)
	if err != nil || value == nil || !Denies(value) {
		return at, false, err
	}
	if watch.At == nil {
		watch.At = e.compiler.GetRulesWithPrefix(operatorRef)[0].Location // default deny := true
	}
	return spec.Pos{File: watch.At.File, Line: watch.At.Row}, true, nil
}

// operatorInput returns input.exceptions.hooks.operator, and .failed if the operator's
// Rego fails, as an error of it must not allow.
func (p *Policy) operatorInput(input *ast.Term) (denials, failed []*ast.Term) {
	at, found, err := p.evaluator.operatorHit(input)
	switch {
	case err != nil:
		reason := ReasonPolicyError
		if err == errTimeout {
			reason = ReasonPolicyTimeout
		}
		return nil, []*ast.Term{failedTerm(&HookAnswer{Failed: reason, Module: operatorRule, At: p.evaluator.position(err)})}
	case found:
		return []*ast.Term{hitTerm(HookHit{Rule: operatorRule, At: at})}, nil
	}
	return nil, nil
}

// RuleWatch is a tracer that notes the first rule held of those that Of names.
type RuleWatch struct {
	Of ast.Ref
	At *ast.Location // nil: none
}

// Enabled says yes.
func (*RuleWatch) Enabled() bool { return true }

// Config asks for nothing more.
func (*RuleWatch) Config() topdown.TraceConfig { return topdown.TraceConfig{} }

// TraceEvent takes an event.
func (w *RuleWatch) TraceEvent(e topdown.Event) {
	if r, ok := e.Node.(*ast.Rule); ok && w.At == nil && e.Op == topdown.ExitOp && r.Ref().GroundPrefix().HasPrefix(w.Of) {
		w.At = r.Location
	}
}

// Denies reports whether a value of a rule deny denies: all but false and what is
// empty. So nothing that somebody puts there in another form is missed.
func Denies(v ast.Value) bool {
	switch v := v.(type) {
	case ast.Boolean:
		return bool(v)
	case ast.Set:
		return v.Len() > 0
	case *ast.Array:
		return v.Len() > 0
	case ast.Object:
		return v.Len() > 0
	}
	return true
}
