package e2e_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// testsElsewhere are tests of other packages that the doc names.
var testsElsewhere = []string{"TestStaleDecisionIsAskedForAgain", "TestClockJumpsEndNothing"}

// TestDocNamesEveryHazard compares the list in the package's doc with the tables
// of hazards: each test's by name and order. And each test that it names exists.
func TestDocNamesEveryHazard(t *testing.T) {
	p := readPackage(t)
	if diff := cmp.Diff(p.tables, listedHazards(p.doc)); diff != "" {
		t.Errorf("hazards by their tests (-in the tables +in the doc):\n%s", diff)
	}
	for _, name := range testsElsewhere {
		p.tests[name] = true
	}
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(p.doc, -1) {
		if !p.tests[name] {
			t.Errorf("the doc names %s, which there isn't", name)
		}
	}
}

// listedHazards returns what the items of the lists begin with that stand below a
// line with a test's name and a colon. An item may name several hazards, with
// commas between, and ends its names with a colon.
func listedHazards(doc string) map[string][]string {
	lists := map[string][]string{}
	test, item, open := "", "", false
	for line := range strings.Lines(doc) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != ' ' {
			test, _ = strings.CutSuffix(line, ":")
			continue
		}
		text, begins := strings.CutPrefix(strings.TrimSpace(line), "- ")
		if begins {
			item, open = "", true
		}
		if !open || strings.Contains(test, " ") || text == "" {
			continue
		}
		head, _, closed := strings.Cut(text, ":")
		item = strings.TrimSpace(item + " " + head)
		if closed {
			lists[test], open = append(lists[test], strings.Split(item, ", ")...), false
		}
	}
	return lists
}

// tested is what a package's files say.
type tested struct {
	doc    string
	tests  map[string]bool
	tables map[string][]string // names of hazards, by the test that runs them
}

func readPackage(t *testing.T) tested {
	t.Helper()
	p := tested{tests: map[string]bool{}, tables: map[string][]string{}}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if name == "doc.go" {
			p.doc = file.Doc.Text()
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			p.tests[f.Name.Name] = true
			ast.Inspect(f, func(n ast.Node) bool {
				if c, ok := n.(*ast.CompositeLit); ok && isTable(c) {
					p.tables[f.Name.Name] = firstFields(t, c)
				}
				return true
			})
		}
	}
	return p
}

// isTable reports whether c is a []hazard.
func isTable(c *ast.CompositeLit) bool {
	a, ok := c.Type.(*ast.ArrayType)
	if !ok {
		return false
	}
	name, ok := a.Elt.(*ast.Ident)
	return ok && name.Name == "hazard"
}

func firstFields(t *testing.T, table *ast.CompositeLit) (names []string) {
	t.Helper()
	for _, e := range table.Elts {
		lit, ok := e.(*ast.CompositeLit).Elts[0].(*ast.BasicLit)
		if !ok {
			t.Fatal("a hazard's name is no literal")
		}
		name, err := strconv.Unquote(lit.Value)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}
