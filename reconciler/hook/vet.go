package hook

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/policy"
)

// Bounds of a tenant's module. They spare authors a kill; they prove nothing.
const (
	maxRules = 500
	maxDepth = 32 // of brackets
)

// vet parses a module and says what a tenant's Rego may not do: stand in another
// package, read data but its own package and data.daoli.lib, or replace anything by
// `with`. own are the names of the tenant's files.
func vet(m *policy.HookModule, tests bool) (parsed map[string]*ast.Module, own map[string]bool, problems []string) {
	parsed, own = map[string]*ast.Module{}, map[string]bool{}
	if m.Long() {
		return nil, nil, []string{fmt.Sprintf("%s:1: tenant %s has more than %d bytes of Rego", m.Files[0].Name, m.Tenant, policy.MaxTenantRego)}
	}
	options := ast.ParserOptions{Capabilities: policy.Capabilities()}
	for _, f := range m.Lib {
		module, err := ast.ParseModuleWithOpts(f.Name, f.Text, options)
		if err != nil {
			return nil, nil, lines(err)
		}
		parsed[f.Name] = module
	}
	rules, decides := 0, false
	for _, f := range m.Files {
		if isTest(f.Name) && !tests {
			continue
		}
		if line := tooDeep(f.Text); line > 0 {
			problems = append(problems, fmt.Sprintf("%s:%d: brackets stand more than %d deep", f.Name, line, maxDepth))
			continue
		}
		module, err := ast.ParseModuleWithOpts(f.Name, f.Text, options)
		if err != nil {
			problems = append(problems, lines(err)...)
			continue
		}
		if module == nil {
			continue // it is empty
		}
		parsed[f.Name], own[f.Name] = module, true
		rules += len(module.Rules)
		decides = decides || !isTest(f.Name) && hasHook(m.Tenant, module)
		problems = append(problems, moduleProblems(m.Tenant, f.Name, module)...)
	}
	switch {
	case len(problems) > 0:
	case rules > maxRules:
		problems = append(problems, fmt.Sprintf("%s:1: %d rules: a tenant may have %d", m.Files[0].Name, rules, maxRules))
	case !decides:
		problems = append(problems, fmt.Sprintf("%s:1: it decides nothing: tenants.%s.policy has no rule deny, allow_ingress or allow_egress", m.Files[0].Name, m.Tenant))
	}
	return parsed, own, problems
}

// moduleProblems says what is wrong with one file.
func moduleProblems(tenant, name string, m *ast.Module) []string {
	var problems []string
	if !ownPackage(tenant, m.Package.Path, isTest(name)) {
		problems = append(problems, at(m.Package.Location, fmt.Sprintf("package %s is not this tenant's: write package tenants.%s.policy", pathText(m.Package.Path), tenant)))
	}
	for _, i := range m.Imports {
		ref, ok := i.Path.Value.(ast.Ref)
		if ok && ref[0].Value.Compare(ast.DefaultRootDocument.Value) == 0 && !readable(tenant, ref) {
			problems = append(problems, at(i.Location, fmt.Sprintf("import of %s: a tenant reads its own package and data.daoli.lib only", ref)))
		}
	}
	for _, r := range m.Rules {
		for rule := r; rule != nil; rule = rule.Else {
			if head := rule.Head.Ref(); len(head) > 0 && isRoot(head[0]) {
				problems = append(problems, at(rule.Location, fmt.Sprintf("rule %s hides a document", head)))
			}
		}
	}
	ast.WalkWiths(m, func(w *ast.With) bool {
		if ref, ok := w.Target.Value.(ast.Ref); !isTest(name) || !ok || ref[0].Value.Compare(ast.InputRootDocument.Value) != 0 {
			problems = append(problems, at(w.Location, fmt.Sprintf("with %s: only tests may replace something, and only input", w.Target)))
		}
		return false
	})
	return append(problems, refProblems(tenant, m)...)
}

func isRoot(t *ast.Term) bool {
	return t.Value.Compare(ast.DefaultRootDocument.Value) == 0 || t.Value.Compare(ast.InputRootDocument.Value) == 0
}

// refProblems says which references to data are none of a tenant's.
func refProblems(tenant string, m *ast.Module) []string {
	var problems []string
	seen := map[string]bool{}
	note := func(l *ast.Location, text string) {
		line := at(l, fmt.Sprintf("%s: a tenant reads its own package and data.daoli.lib only", text))
		if !seen[line] {
			seen[line] = true
			problems = append(problems, line)
		}
	}
	var visit func(t *ast.Term) bool
	visit = func(t *ast.Term) bool {
		switch v := t.Value.(type) {
		case ast.Ref:
			if v[0].Value.Compare(ast.DefaultRootDocument.Value) == 0 && !readable(tenant, v) {
				note(t.Location, v.String())
			}
			if _, plain := v[0].Value.(ast.Var); !plain {
				ast.WalkTerms(v[0], visit)
			}
			for _, inner := range v[1:] {
				ast.WalkTerms(inner, visit)
			}
			return true
		case ast.Var:
			if v.Compare(ast.DefaultRootDocument.Value) == 0 {
				note(t.Location, "data")
			}
		}
		return false
	}
	ast.WalkTerms(bodies(m), visit)
	return problems
}

// bodies is a module without its package and imports, which are looked at apart.
func bodies(m *ast.Module) *ast.Module { return &ast.Module{Package: &ast.Package{}, Rules: m.Rules} }

// readable reports whether ref starts with what a tenant may read, in constants.
func readable(tenant string, ref ast.Ref) bool {
	return startsWith(ref, "tenants", tenant, "policy") || startsWith(ref, "daoli", "lib")
}

func startsWith(ref ast.Ref, words ...string) bool {
	if len(ref) <= len(words) {
		return false
	}
	for i, w := range words {
		if s, ok := ref[i+1].Value.(ast.String); !ok || string(s) != w {
			return false
		}
	}
	return true
}

// ownPackage reports whether a path is the tenant's package; tests may also stand in
// the one called after it.
func ownPackage(tenant string, path ast.Ref, test bool) bool {
	if len(path) != 4 {
		return false
	}
	return startsWith(path, "tenants", tenant, "policy") || test && startsWith(path, "tenants", tenant, "policy_test")
}

func pathText(path ast.Ref) string { return strings.TrimPrefix(path.String(), "data.") }

func hasHook(tenant string, m *ast.Module) bool {
	for _, r := range m.Rules {
		if ref := r.Head.Ref(); len(ref) > 0 && ownPackage(tenant, m.Package.Path, false) {
			switch ref[0].String() {
			case denyRule, ingressRule, egressRule:
				return true
			}
		}
	}
	return false
}

// tooDeep returns the line where brackets stand too deep, or 0. It counts those in
// strings as well.
func tooDeep(text string) int {
	depth, line := 0, 1
	for i := range len(text) {
		switch text[i] {
		case '\n':
			line++
		case '(', '[', '{':
			if depth++; depth > maxDepth {
				return line
			}
		case ')', ']', '}':
			depth = max(0, depth-1)
		}
	}
	return 0
}

func at(l *ast.Location, text string) string { return fmt.Sprintf("%s:%d: %s", l.File, l.Row, text) }

// lines returns OPA's errors one by one, each FILE:LINE: TEXT.
func lines(err error) []string {
	list, ok := errors.AsType[ast.Errors](err)
	if !ok {
		return []string{err.Error()}
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		if e.Location == nil {
			out = append(out, e.Message)
			continue
		}
		out = append(out, at(e.Location, e.Message))
	}
	return out
}
