package archtest

import (
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// checkDoc wants one package comment, in one file.
func checkDoc(p *pkg) []Finding {
	var documented []string
	for _, f := range p.files {
		if f.ast.Doc == nil {
			continue
		}
		documented = append(documented, path.Base(f.path))
		if text := f.ast.Doc.Text(); p.name != "main" && !strings.HasPrefix(text, "Package "+p.name+" ") {
			return []Finding{{f.path, f.line(f.ast.Doc), fmt.Sprintf("the package comment does not begin with %q", "Package "+p.name)}}
		}
	}
	switch len(documented) {
	case 1:
		return nil
	case 0:
		return []Finding{{Path: p.dir, Text: "package has no comment: say what its one job is"}}
	}
	return []Finding{{Path: p.dir, Text: fmt.Sprintf("package is documented in several files: %s", strings.Join(documented, ", "))}}
}

// checkTests finds skipped tests, and fuzz targets that start from nothing.
func checkTests(m *module) ([]Finding, error) {
	var found []Finding
	for _, f := range m.tests {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, isCall := n.(*ast.CallExpr); isCall && isMethod(call.Fun, "Skip", "Skipf", "SkipNow") {
				found = append(found, Finding{f.path, f.line(call), "skips a test: a test that can't run fails, and says what is missing"})
			}
			return true
		})
		for _, decl := range f.ast.Decls {
			fn, isFunc := decl.(*ast.FuncDecl)
			if !isFunc || fn.Recv != nil || !strings.HasPrefix(fn.Name.Name, "Fuzz") || addsSeed(fn) {
				continue
			}
			kept, err := fs.Glob(m.tree, path.Join(path.Dir(f.path), "testdata/fuzz", fn.Name.Name, "*"))
			if err != nil {
				return nil, err
			}
			if len(kept) == 0 {
				found = append(found, Finding{f.path, f.line(fn), fmt.Sprintf("%s has no seeds: add some by f.Add or under testdata/fuzz", fn.Name.Name)})
			}
		}
	}
	return found, nil
}

// addsSeed reports whether a fuzz target adds seeds, itself or by a function
// that it gives its *testing.F to.
func addsSeed(fn *ast.FuncDecl) bool {
	params := fn.Type.Params.List
	if len(params) != 1 || len(params[0].Names) != 1 {
		return false
	}
	name, adds := params[0].Names[0].Name, false
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		call, isCall := n.(*ast.CallExpr)
		if !isCall {
			return true
		}
		adds = adds || isMethod(call.Fun, "Add") || slices.ContainsFunc(call.Args, func(arg ast.Expr) bool {
			ident, isIdent := arg.(*ast.Ident)
			return isIdent && ident.Name == name
		})
		return true
	})
	return adds
}

func isMethod(fun ast.Expr, names ...string) bool {
	sel, isSelector := fun.(*ast.SelectorExpr)
	return isSelector && slices.Contains(names, sel.Sel.Name)
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// checkLinks wants every link of a *.md that stays in the tree to lead
// somewhere. Code blocks are not links.
func checkLinks(m *module) ([]Finding, error) {
	var found []Finding
	for _, doc := range m.docs {
		text, err := fs.ReadFile(m.tree, doc)
		if err != nil {
			return nil, err
		}
		inCode := false
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				inCode = !inCode
			}
			if inCode {
				continue
			}
			for _, match := range link.FindAllStringSubmatch(line, -1) {
				if !leads(m.tree, path.Dir(doc), match[1]) {
					found = append(found, Finding{doc, i + 1, fmt.Sprintf("link to %s leads nowhere", match[1])})
				}
			}
		}
	}
	return found, nil
}

func leads(tree fs.FS, from, to string) bool {
	if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
		return true
	}
	to, _, _ = strings.Cut(to, "#")
	if to == "" {
		return true // within the page
	}
	_, err := fs.Stat(tree, path.Join(from, to))
	return err == nil
}

// checkTopLevel finds names that don't belong beside the six directories.
func checkTopLevel(m *module) ([]Finding, error) {
	entries, err := fs.ReadDir(m.tree, ".")
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(TopLevel, e.Name()) {
			found = append(found, Finding{Path: e.Name(), Text: "does not belong at the top level"})
		}
	}
	return found, nil
}
