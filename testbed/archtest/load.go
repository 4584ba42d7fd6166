package archtest

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the sources as parsed.
type module struct {
	tree     fs.FS
	path     string // of the module
	fset     *token.FileSet
	packages []*pkg // that have more than tests, by dir
	tests    []*file
	docs     []string // paths of *.md
}

// pkg is one package without its tests.
type pkg struct {
	dir   string // relative to the module
	name  string
	files []*file
}

type file struct {
	path string
	ast  *ast.File
	fset *token.FileSet
}

func (f *file) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// imports returns each import's path and its line.
func (f *file) imports() map[string]int {
	found := make(map[string]int, len(f.ast.Imports))
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[p] = f.line(spec)
		}
	}
	return found
}

// load parses every Go file outside testdata and dot directories.
func load(tree fs.FS) (*module, error) {
	m := &module{tree: tree, fset: token.NewFileSet()}
	var err error
	if m.path, err = modulePath(tree); err != nil {
		return nil, err
	}
	byDir := map[string]*pkg{}
	err = fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || p == "bin") {
				return fs.SkipDir
			}
			return nil
		case strings.HasSuffix(p, ".md"):
			m.docs = append(m.docs, p)
			return nil
		case !strings.HasSuffix(p, ".go"):
			return nil
		}
		return m.add(byDir, p)
	})
	if err != nil {
		return nil, fmt.Errorf("read the sources: %w", err)
	}
	for _, p := range byDir {
		m.packages = append(m.packages, p)
	}
	slices.SortFunc(m.packages, func(a, b *pkg) int { return strings.Compare(a.dir, b.dir) })
	return m, nil
}

func (m *module) add(byDir map[string]*pkg, p string) error {
	text, err := fs.ReadFile(m.tree, p)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(m.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	f := &file{path: p, ast: parsed, fset: m.fset}
	if strings.HasSuffix(p, "_test.go") {
		m.tests = append(m.tests, f)
		return nil
	}
	dir := path.Dir(p)
	if byDir[dir] == nil {
		byDir[dir] = &pkg{dir: dir, name: parsed.Name.Name}
	}
	byDir[dir].files = append(byDir[dir].files, f)
	return nil
}

func modulePath(tree fs.FS) (string, error) {
	text, err := fs.ReadFile(tree, "go.mod")
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "module "); found {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("find the module: go.mod has no module line")
}
