package policy

import (
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// EvalOnly returns a function that asks OPA alone for the decision of q, with
// all that surrounds the evaluation done before.
func (p *Policy) EvalOnly(q Query) func() error {
	input := p.queryInput(0, q)
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
	if _, err := p.evaluator.evalWithin(limit, p.queryInput(0, q)); err != nil {
		return maxSteps
	}
	return maxSteps - limit.left
}

// Peer puts a Peering of two VPCs in force, in both orders: the network has no
// kind for it.
func (p *Policy) Peer(a, b spec.VPCID) *Policy {
	p.editIndex(func(index ast.Object) {
		index.Insert(ast.StringTerm("peers"), ast.MustParseTerm(
			`{"`+string(a)+`": {"`+string(b)+`": true}, "`+string(b)+`": {"`+string(a)+`": true}}`))
	})
	return p
}

func (p *Policy) editIndex(edit func(ast.Object)) {
	index := p.Index().(ast.Object).Copy()
	edit(index)
	p.evaluator.data.root = ast.NewObject(pair("daoli", ast.ObjectTerm(pair("index", ast.NewTerm(index)))))
}

// Index returns the document data.daoli.index.
func (p *Policy) Index() ast.Value {
	return p.evaluator.data.Get(ast.MustParseRef("data.daoli.index"))
}

// Input returns the document input of q at the beginning of time.
func (p *Policy) Input(q Query) *ast.Term { return p.queryInput(0, q) }

// EvalInput evaluates the policy for an input that need not be one of ours, and
// reads the answer.
func (p *Policy) EvalInput(input *ast.Term) (Decision, error) {
	v, err := p.evaluator.eval(input)
	if err != nil {
		return Decision{}, err
	}
	return readDecision(v, p.ends)
}
