package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkCore finds what makes a core package more than a function of its
// arguments: I/O, clocks, goroutines, state of the package.
func checkCore(m *module, p *pkg, rule Rule) []Finding {
	var found []Finding
	state := packageVars(p)
	for _, f := range p.files {
		found = append(found, coreImports(m, f, rule)...)
		found = append(found, coreStatements(f)...)
		found = append(found, coreVars(f)...)
		found = append(found, varChanges(f, state)...)
	}
	return found
}

func coreImports(m *module, f *file, rule Rule) []Finding {
	var found []Finding
	for imported, line := range f.imports() {
		switch {
		case below(imported, m.path): // checkImports' matter
		case strings.Contains(strings.Split(imported, "/")[0], "."):
			if !slices.ContainsFunc(rule.Modules, func(module string) bool { return below(imported, module) }) {
				found = append(found, Finding{f.path, line, fmt.Sprintf("core imports %s, which its rule does not list", imported)})
			}
		case slices.Contains(coreStdAllowed, imported), slices.Contains(rule.Std, imported):
		default:
			for forbidden, why := range coreStd {
				if below(imported, forbidden) {
					found = append(found, Finding{f.path, line, fmt.Sprintf("core imports %s: %s", imported, why)})
				}
			}
		}
	}
	return found
}

func coreStatements(f *file) []Finding {
	var found []Finding
	add := func(n ast.Node, text string) { found = append(found, Finding{f.path, f.line(n), text}) }
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			add(n, "core starts a goroutine: return what should be done, the shell does it")
		case *ast.SelectorExpr:
			if x, isIdent := n.X.(*ast.Ident); isIdent && x.Name == "time" && slices.Contains(coreTime, n.Sel.Name) {
				add(n, fmt.Sprintf("core uses time.%s: take now as an argument", n.Sel.Name))
			}
		case *ast.FuncDecl:
			if n.Recv == nil && n.Name.Name == "init" {
				add(n, "core has an init function: build what it builds where it is used")
			}
		}
		return true
	})
	return found
}

// coreVars finds package-level variables that can only be state: those without
// a value, and those of the kinds that exist to change.
func coreVars(f *file) []Finding {
	var found []Finding
	for _, spec := range varSpecs(f) {
		for i, name := range spec.Names {
			var value ast.Expr
			if i < len(spec.Values) {
				value = spec.Values[i]
			}
			switch {
			case name.Name == "_":
			case value == nil && len(spec.Values) == 0:
				found = append(found, Finding{f.path, f.line(name), fmt.Sprintf("package-level variable %s has no value, so something sets it later: make it a field", name.Name)})
			case value != nil && changes(value):
				found = append(found, Finding{f.path, f.line(name), fmt.Sprintf("package-level variable %s holds state: make it a field", name.Name)})
			}
		}
	}
	return found
}

// changes reports whether a value is of a kind that exists to be changed.
func changes(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CallExpr:
		fun, isIdent := v.Fun.(*ast.Ident)
		return isIdent && (fun.Name == "make" || fun.Name == "new")
	case *ast.UnaryExpr:
		return v.Op == token.AND && changes(v.X)
	case *ast.CompositeLit:
		sel, qualified := v.Type.(*ast.SelectorExpr)
		if !qualified {
			return false
		}
		from, isIdent := sel.X.(*ast.Ident)
		return isIdent && (from.Name == "sync" || from.Name == "atomic")
	}
	return false
}

// varChanges finds statements that change a package-level variable, except
// where the function has a name of its own that hides it.
func varChanges(f *file, state map[string]bool) []Finding {
	var found []Finding
	for _, decl := range f.ast.Decls {
		fn, isFunc := decl.(*ast.FuncDecl)
		if !isFunc || fn.Body == nil {
			continue
		}
		hidden := localNames(fn)
		change := func(n ast.Node, target ast.Expr) {
			if name := root(target); state[name] && !hidden[name] {
				found = append(found, Finding{f.path, f.line(n), fmt.Sprintf("changes the package-level variable %s: make it a field", name)})
			}
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, target := range n.Lhs {
					if n.Tok != token.DEFINE {
						change(n, target)
					}
				}
			case *ast.IncDecStmt:
				change(n, n.X)
			case *ast.CallExpr:
				if fun, isIdent := n.Fun.(*ast.Ident); isIdent && (fun.Name == "delete" || fun.Name == "clear") && len(n.Args) > 0 {
					change(n, n.Args[0])
				}
			}
			return true
		})
	}
	return found
}

func packageVars(p *pkg) map[string]bool {
	names := map[string]bool{}
	for _, f := range p.files {
		for _, spec := range varSpecs(f) {
			for _, name := range spec.Names {
				names[name.Name] = name.Name != "_"
			}
		}
	}
	return names
}

func varSpecs(f *file) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, decl := range f.ast.Decls {
		if gen, isGen := decl.(*ast.GenDecl); isGen && gen.Tok == token.VAR {
			for _, spec := range gen.Specs {
				specs = append(specs, spec.(*ast.ValueSpec))
			}
		}
	}
	return specs
}

// localNames returns every name that fn declares: receiver, parameters,
// results, variables.
func localNames(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, target := range n.Lhs {
				if ident, isIdent := target.(*ast.Ident); isIdent && n.Tok == token.DEFINE {
					names[ident.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, target := range []ast.Expr{n.Key, n.Value} {
				if ident, isIdent := target.(*ast.Ident); isIdent && n.Tok == token.DEFINE {
					names[ident.Name] = true
				}
			}
		}
		return true
	})
	return names
}

// root returns the name at the bottom of x.f[i]: x.
func root(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x.Name
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}
