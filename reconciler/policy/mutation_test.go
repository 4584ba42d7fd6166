package policy_test

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/format"

	"github.com/daolinet/daolinet/policies"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

const admissionFile = "system/admission.rego"

// TestEveryBranchDecides takes each rule and each else of the admission policy
// out in turn: a tree of policies without it must be refused, or give a case
// another decision. So the policy decides, and not Go.
func TestEveryBranchDecides(t *testing.T) {
	network := table().peer("acme/prod", "globex/prod").network
	whole := compileTree(t, network, admissionText(t))
	cases := append(allCases(whole), hookCases(whole)...)
	for _, mutant := range mutants(t) {
		t.Run(mutant.name, func(t *testing.T) {
			p, err := compileHooked(network, mutant.text)
			if err != nil {
				if mutant.decides {
					t.Fatalf("Compile without the branch: %v", err)
				}
				return
			}
			changed := 0
			for _, c := range cases {
				q := query(c.src, c.dst, c.port)
				if p.Ask(now, q) != whole.Ask(now, q) {
					changed++
				}
			}
			if changed == 0 {
				t.Errorf("no case is decided otherwise without the branch:\n%s", mutant.text)
			}
		})
	}
}

// TestEveryConditionDecides takes each condition out of the bodies in turn: the
// policy must be refused, or decide otherwise in some case or without some field.
func TestEveryConditionDecides(t *testing.T) {
	network := table().peer("acme/prod", "globex/prod").network
	whole := compileTree(t, network, admissionText(t))
	asked := askedInputs(whole)
	for _, mutant := range looserMutants(t) {
		t.Run(mutant.name, func(t *testing.T) {
			p, err := compileHooked(network, mutant.text)
			if err != nil {
				return
			}
			for _, a := range asked {
				got, err := p.EvalInput(a.input)
				if got != a.want || (err == nil) != a.answered {
					return
				}
			}
			t.Error("no case is decided otherwise, with whatever field missing")
		})
	}
}

// askedInput is an input and what the whole policy answers.
type askedInput struct {
	input    *ast.Term
	want     policy.Decision
	answered bool
}

// askedInputs are those of the cases, and then the same with a field missing.
func askedInputs(whole *policy.Policy) []askedInput {
	var complete, broken []askedInput
	ask := func(input *ast.Term) askedInput {
		d, err := whole.EvalInput(input)
		return askedInput{input, d, err == nil}
	}
	for _, c := range append(allCases(whole), hookCases(whole)...) {
		input := whole.InputTerm(query(c.src, c.dst, c.port))
		complete = append(complete, ask(input))
		for _, b := range brokenInputs(input) {
			broken = append(broken, ask(b))
		}
	}
	return append(complete, broken...)
}

func compileTree(t *testing.T, network *spec.Network, admission string) *policy.Policy {
	t.Helper()
	p, err := compileHooked(network, admission)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func admissionText(t testing.TB) string {
	t.Helper()
	text, err := fs.ReadFile(policies.FS, admissionFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mutant is the admission policy without one branch.
type mutant struct {
	name    string
	text    string
	decides bool // the branch is one of the decision itself
}

func mutants(t *testing.T) []mutant {
	t.Helper()
	var all []mutant
	for i, r := range parseAdmission(t).Rules {
		for link := 0; at(r, link) != nil; link++ {
			m := parseAdmission(t)
			cut(m, i, link)
			all = append(all, mutant{
				name:    fmt.Sprint(r.Head.Name, " line ", at(r, link).Location.Row),
				text:    string(format.MustAst(m)),
				decides: r.Head.Name == "decision",
			})
		}
	}
	return all
}

// looserMutants are the admission policy without one condition of a body.
func looserMutants(t *testing.T) []mutant {
	t.Helper()
	var all []mutant
	for i, r := range parseAdmission(t).Rules {
		for link := 0; at(r, link) != nil; link++ {
			body := at(r, link).Body
			for k := range body {
				if len(body) == 1 {
					continue
				}
				m := parseAdmission(t)
				loose := at(m.Rules[i], link)
				loose.Body = append(loose.Body[:k:k], loose.Body[k+1:]...)
				all = append(all, mutant{
					name: fmt.Sprint(r.Head.Name, " line ", body[k].Location.Row),
					text: string(format.MustAst(m)),
				})
			}
		}
	}
	return all
}

func parseAdmission(t *testing.T) *ast.Module {
	t.Helper()
	m := ast.MustParseModule(admissionText(t))
	m.Comments, m.Annotations = nil, nil
	return m
}

// at returns the link of a rule's chain of elses, or nil.
func at(r *ast.Rule, link int) *ast.Rule {
	for ; link > 0 && r != nil; link-- {
		r = r.Else
	}
	return r
}

// cut takes a link of the chain of rule i out of m.
func cut(m *ast.Module, i, link int) {
	r := m.Rules[i]
	switch {
	case link > 0:
		before := at(r, link-1)
		before.Else = before.Else.Else
	case r.Else != nil:
		m.Rules[i] = r.Else
	default:
		m.Rules = append(m.Rules[:i], m.Rules[i+1:]...)
	}
}
