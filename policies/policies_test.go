package policies_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/daolinet/daolinet/policies"
)

// modules returns all Rego of this directory, tests too, by path.
func modules(t *testing.T) map[string]*ast.Module {
	t.Helper()
	parsed := map[string]*ast.Module{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".rego" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if formatted, err := format.Source(path, text); err != nil || !bytes.Equal(formatted, text) {
			t.Errorf("%s is not as opa fmt writes it (%v)", path, err)
		}
		parsed[path], err = ast.ParseModule(path, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// TestRego runs the tests in Rego, which must reach every line of the policies.
func TestRego(t *testing.T) {
	all := modules(t)
	coverage := cover.New()
	results, err := tester.NewRunner().
		SetCompiler(ast.NewCompiler().WithStrict(true)).
		SetModules(all).
		SetTimeout(10*time.Second).
		SetCoverageQueryTracer(coverage).
		RunTests(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for r := range results {
		ran++
		if !r.Pass() {
			t.Errorf("%s:%d: %s fails: %v", r.Location.File, r.Location.Row, r.Name, r.Error)
		}
	}
	if ran == 0 {
		t.Error("no test in Rego ran")
	}
	for path, file := range coverage.Report(all).Files {
		if strings.HasSuffix(path, "_test.rego") {
			continue
		}
		for _, r := range file.NotCovered {
			t.Errorf("%s:%d: no test in Rego reaches this", path, r.Start.Row)
		}
	}
}

func TestEmbeddedTreeHasNoTests(t *testing.T) {
	files := map[string]bool{}
	err := fs.WalkDir(policies.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			files[path] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range modules(t) {
		if isTest := strings.HasSuffix(path, "_test.rego"); files[filepath.ToSlash(path)] == isTest {
			t.Errorf("%s is embedded: %v; want all Rego but the tests", path, files[path])
		}
		delete(files, filepath.ToSlash(path))
	}
	if len(files) > 0 {
		t.Errorf("embedded beside the policies: %v", files)
	}
}
