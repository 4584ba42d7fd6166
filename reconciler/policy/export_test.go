package policy

import (
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// EvalOnly returns a function that asks OPA alone for the decision of q, with
// all that surrounds the evaluation done before.
func (p *Policy) EvalOnly(q Query) func() error {
	input := p.queryInput(0, q, nil)
	return func() error {
		_, err := p.evaluator.eval(input)
		return err
	}
}

// DecideUncached is Decide without the cache of decisions.
func (p *Policy) DecideUncached(now time.Time, q Query) Decision {
	return p.evaluate(p.passed(now), q)
}

// Steps returns how many steps the decision of q takes.
func (p *Policy) Steps(q Query) int {
	limit := &stepLimit{left: maxSteps}
	if _, err := p.evaluator.evalWithin(limit, p.queryInput(0, q, nil)); err != nil {
		return maxSteps
	}
	return maxSteps - limit.left
}

// Index returns the document data.daoli.index.
func (p *Policy) Index() ast.Value {
	return p.evaluator.data.Get(ast.MustParseRef("data.daoli.index"))
}

// InputTerm returns the document input of q at the beginning of time.
func (p *Policy) InputTerm(q Query) *ast.Term { return p.queryInput(0, q, p.tenants.hooks) }

// EvalInput evaluates the policy for an input that need not be one of ours, and
// reads the answer.
func (p *Policy) EvalInput(input *ast.Term) (Decision, error) {
	v, err := p.evaluator.eval(input)
	if err != nil {
		return Decision{}, err
	}
	return readDecision(v, p.ends)
}
