package hook

import (
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// collectTests notes the rules test_* of the files of tests, in order.
func (m *Module) collectTests(own map[string]bool) {
	for name := range own {
		if !isTest(name) {
			continue
		}
		for _, r := range m.compiler.Modules[name].Rules {
			if strings.HasPrefix(r.Head.Name.String(), "test_") {
				m.tests = append(m.tests, r)
			}
		}
	}
	slices.SortFunc(m.tests, func(a, b *ast.Rule) int { return a.Location.Compare(b.Location) })
}

// Test runs the tests and returns a line FILE:LINE: TEXT for each that fails: a test
// passes if its rule is true, as opa test has it.
func (m *Module) Test() []string {
	var problems []string
	for _, r := range m.tests {
		ref := r.Ref().String()
		if err := m.prepare(ref); err != nil {
			problems = append(problems, at(r.Location, err.Error()))
			continue
		}
		v, err := m.value(ref, nil, nil)
		switch {
		case err != nil:
			problems = append(problems, at(r.Location, fmt.Sprintf("test %s: %v", r.Head.Name, err)))
		case v == nil || !isTrue(v):
			problems = append(problems, at(r.Location, fmt.Sprintf("test %s fails", r.Head.Name)))
		}
	}
	return problems
}

func isTest(name string) bool { return strings.HasSuffix(name, "_test.rego") }
