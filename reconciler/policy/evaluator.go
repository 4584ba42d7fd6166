package policy

import (
	"context"
	"errors"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// entrypoint is the rule that decides.
const entrypoint = "data.daoli.admission.decision"

// maxSteps bounds an evaluation. A decision among rules as people write them
// takes 20 to 150 steps; this many take 10 to 20 ms.
const maxSteps = 50_000

var (
	entrypointRef = ast.MustParseRef(entrypoint)

	resultVar   = ast.Var("x")
	resultQuery = ast.MustParseBody("x = " + entrypoint)

	errUndefined = errors.New(entrypoint + " is undefined")
	errTimeout   = errors.New("the evaluation takes too many steps")
)

// evaluator asks the entrypoint of a program over one frozen tree of data.
type evaluator struct {
	*program
	data frozen
}

// newEvaluator returns the evaluator of a program with index at
// data.daoli.index.
func newEvaluator(p *program, index ast.Value) *evaluator {
	root := ast.NewObject(pair("daoli", ast.ObjectTerm(pair("index", ast.NewTerm(index)))))
	return &evaluator{p, frozen{root: root}}
}

// eval returns the value of the entrypoint for input.
func (e *evaluator) eval(input *ast.Term) (ast.Value, error) {
	return e.evalWithin(&stepLimit{left: maxSteps}, input)
}

func (e *evaluator) evalWithin(limit *stepLimit, input *ast.Term) (ast.Value, error) {
	value, err := e.run(e.query, e.queries, limit, input, nil)
	if err == nil && value == nil {
		err = errUndefined
	}
	return value, err
}

// run returns the value x of a query, nil if it is undefined; tracer may be nil.
func (e *evaluator) run(body ast.Body, queries ast.QueryCompiler, limit *stepLimit, input *ast.Term, tracer *RuleWatch) (ast.Value, error) {
	query := topdown.NewQuery(body).
		WithCompiler(e.compiler).
		WithQueryCompiler(queries).
		WithStore(e.data).
		WithBaseCache(e.data).
		WithInput(input).
		WithCancel(limit).
		WithStrictBuiltinErrors(true).
		WithMetrics(metrics.NoOp()).
		WithTime(time.Unix(1, 0)) // else OPA reads the clock; no allowed built-in asks
	if tracer != nil {
		query = query.WithQueryTracer(tracer)
	}
	var value ast.Value
	err := query.Iter(context.Background(), func(r topdown.QueryResult) error {
		value = r[resultVar].Value
		return nil
	})
	switch {
	case limit.left < 0:
		return nil, errTimeout
	case err != nil:
		return nil, err
	}
	return value, nil
}

// position returns where in the modules err happened, else where the entrypoint
// stands.
func (e *evaluator) position(err error) spec.Pos {
	location := e.compiler.GetRulesExact(entrypointRef)[0].Location
	if failed, ok := errors.AsType[*topdown.Error](err); ok && failed.Location != nil {
		location = failed.Location
	}
	return spec.Pos{File: location.File, Line: location.Row}
}

// stepLimit is a topdown.Cancel that cancels by itself: OPA asks it before each
// expression, on one goroutine.
type stepLimit struct{ left int }

// Cancelled takes one step and reports whether there were too many.
func (l *stepLimit) Cancelled() bool {
	l.left--
	return l.left < 0
}

// Cancel takes the steps that are left.
func (l *stepLimit) Cancel() { l.left = 0 }
