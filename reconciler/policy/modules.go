package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/policies"
)

// maxModules bounds the Rego of a tree in bytes, so that compiling it ends within
// a few seconds.
const maxModules = 1 << 20

// indexPath is where the index is, as a path below data.
var indexPath = []string{"daoli", "index"}

// program is a tree of policies compiled, ready to be asked over any data. It is
// immutable, and safe for concurrent use.
type program struct {
	modules  []module // that it was compiled of
	compiler *ast.Compiler
	queries  ast.QueryCompiler
	query    ast.Body
	guard    guard
}

// module is one file of Rego.
type module struct{ name, text string }

// compileModules compiles system/, lib/ and operator/ of a tree of policies, with the
// embedded system in the place of one that is not there. If before, which may be
// nil, was compiled of the very same modules, it is good for these too: what else
// counts, such as the built-ins that are allowed, never changes while we run.
func compileModules(tree fs.FS, before *program) (*program, error) {
	modules, problems := modulesOf(tree)
	if len(problems) == 0 && before != nil && slices.Equal(before.modules, modules) {
		return before, nil
	}
	capabilities := Capabilities()
	parsed, more := parse(modules, capabilities)
	if problems = append(problems, more...); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	compiler := ast.NewCompiler().
		WithCapabilities(capabilities).
		WithStrict(true).
		WithEnablePrintStatements(false).
		WithPathConflictsCheck(isIndex)
	if compiler.Compile(parsed); compiler.Failed() {
		return nil, errors.Join(regoErrors(compiler.Errors)...)
	}
	if len(compiler.GetRulesExact(entrypointRef)) == 0 {
		return nil, fmt.Errorf("system: no rule %s: it must decide", entrypoint)
	}
	queries := compiler.QueryCompiler()
	query, err := queries.Compile(resultQuery)
	if err != nil {
		return nil, err
	}
	guard, err := newGuard(compiler)
	if err != nil {
		return nil, err
	}
	return &program{modules: modules, compiler: compiler, queries: queries, query: query, guard: guard}, nil
}

// modulesOf reads the modules that a tree of policies stands for, in the order
// of their names below system/, lib/ and operator/, and says what is wrong with
// the tree.
func modulesOf(tree fs.FS) (modules []module, problems []error) {
	left := maxModules
	read := func(tree fs.FS, dir string) {
		err := walkModules(tree, dir, func(name string) error {
			text, err := readModule(tree, name, left)
			left -= len(text)
			if err == nil {
				modules = append(modules, module{name, text})
			}
			return err
		})
		if err != nil {
			problems = append(problems, err)
		}
	}
	switch {
	case tree == nil:
		read(policies.FS, "system")
	case !hasDir(tree, "system"):
		read(policies.FS, "system")
		read(tree, "lib")
		read(tree, "operator")
	default:
		read(tree, "system")
		read(tree, "lib")
		read(tree, "operator")
	}
	return modules, problems
}

// parse parses modules.
func parse(modules []module, capabilities *ast.Capabilities) (map[string]*ast.Module, []error) {
	parsed := make(map[string]*ast.Module, len(modules))
	var problems []error
	for _, m := range modules {
		p, err := ast.ParseModuleWithOpts(m.name, m.text, ast.ParserOptions{Capabilities: capabilities})
		if err != nil {
			problems = append(problems, regoErrors(err)...)
			continue
		}
		parsed[m.name] = p
	}
	return parsed, problems
}

func hasDir(tree fs.FS, dir string) bool {
	info, err := fs.Stat(tree, dir)
	return err == nil && info.IsDir()
}

// isIndex reports whether a path below data is the index's or in it, where a
// rule would hide what Go wrote.
func isIndex(below []string) (bool, error) {
	return len(below) >= len(indexPath) && slices.Equal(below[:len(indexPath)], indexPath), nil
}

// walkModules calls visit with each *.rego below dir that is no test.
func walkModules(tree fs.FS, dir string, visit func(name string) error) error {
	return walkRego(tree, dir, func(name string) error {
		if strings.HasSuffix(name, "_test.rego") {
			return nil
		}
		return visit(name)
	})
}

// walkRego calls visit with each *.rego below dir.
func walkRego(tree fs.FS, dir string, visit func(name string) error) error {
	if !hasDir(tree, dir) {
		return nil
	}
	return fs.WalkDir(tree, dir, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("read policies: %w", err)
		case strings.HasPrefix(path.Base(name), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir(), path.Ext(name) != ".rego":
			return nil
		}
		return visit(name)
	})
}

func readModule(tree fs.FS, name string, most int) (string, error) {
	f, err := tree.Open(name)
	if err != nil {
		return "", fmt.Errorf("read policies: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err != nil {
		return "", fmt.Errorf("read policies: %s: %w", name, err)
	}
	if len(text) > most {
		return "", fmt.Errorf("%s:1: the policies have more than %d bytes of Rego: remove what they don't need", name, maxModules)
	}
	return string(text), nil
}

// regoErrors returns OPA's errors one by one, each FILE:LINE: TEXT.
func regoErrors(err error) []error {
	list, ok := errors.AsType[ast.Errors](err)
	if !ok {
		return []error{err}
	}
	problems := make([]error, 0, len(list))
	for _, e := range list {
		if e.Location == nil {
			problems = append(problems, errors.New(e.Message))
			continue
		}
		problems = append(problems, fmt.Errorf("%s:%d: %s", e.Location.File, e.Location.Row, e.Message))
	}
	return problems
}
