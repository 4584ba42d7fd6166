package conformance_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/spec"
)

var update = flag.Bool("update", false, "rewrite the matrices of examples/")

// examplesAsked is when the examples' matrices hold: before any `until` in them.
const examplesAsked = "2026-01-01T00:00:00Z"

// TestExamplesHaveTheirMatrix computes the matrix of each example and compares
// it with what its matrix.json promises.
func TestExamplesHaveTheirMatrix(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/*/specs")
	if err != nil || len(dirs) < 3 {
		t.Fatalf("found %d examples (%v); want at least 3", len(dirs), err)
	}
	for _, specs := range dirs {
		dir := filepath.Dir(specs)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := exampleMatrix(t, dir)
			verdicts := map[string]bool{}
			for _, p := range m.Pairs {
				verdicts[p.Verdict] = true
			}
			if len(verdicts) != 3 {
				t.Errorf("the example shows the verdicts %v; want all three", verdicts)
			}
			var got bytes.Buffer
			if err := m.WriteJSON(&got); err != nil {
				t.Fatal(err)
			}
			promised := filepath.Join(dir, "matrix.json")
			if *update {
				if err := os.WriteFile(promised, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(promised)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("the matrix is not %s (-want +got); if it is meant to change, run `make golden`:\n%s", promised, diff)
			}
		})
	}
}

// exampleMatrix computes the matrix of one example, which has nothing to warn of.
func exampleMatrix(t *testing.T, dir string) *matrix.Matrix {
	t.Helper()
	now, err := time.Parse(time.RFC3339, examplesAsked)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := gitsource.ReadDir(filepath.Join(dir, "specs"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, problems := spec.Load(revision.Specs); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	loaded, refused := controller.Load(now, revision, func(*spec.Network) []*inventory.Identity { return nil })
	if len(refused) > 0 {
		t.Fatalf("refused: %q", refused)
	}
	file := filepath.Join(dir, sampleName)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sample, problems := spec.LoadSample(file, text, loaded.Policy.Network())
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	m, problems := matrix.Compute(loaded.Policy, now, sample)
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return m
}
