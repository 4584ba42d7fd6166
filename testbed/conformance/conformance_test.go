package conformance_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/controller"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// TestSpecification asks each row of testdata and its twin.
func TestSpecification(t *testing.T) {
	files, err := filepath.Glob("testdata/[0-9]*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no rows: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			for _, p := range readRows(t, file) {
				t.Run(p.row.name, func(t *testing.T) {
					t.Parallel()
					if len(p.row.facts) == 0 || len(p.twin.facts) == 0 {
						t.Fatal("a row needs a want and a twin")
					}
					p.row.check(t, "row")
					p.twin.check(t, "twin")
				})
			}
		})
	}
}

// outcome is all that the code says of a row.
type outcome struct {
	errors, warnings []string
	refused          []string // by the controller, over a network that is right
	sampleErrors     []string
	pairs            map[string]string // "A > B PORT": "VERDICT REASON RULE AT"
}

// check compares what comes of a row with its facts.
func (r *row) check(t *testing.T, which string) {
	t.Helper()
	got, err := r.outcome()
	if err != nil {
		t.Errorf("%s: %v", which, err)
		return
	}
	problems := slices.Concat(got.errors, got.refused, got.sampleErrors)
	for _, fact := range r.facts {
		if missing := got.missing(fact, &problems); missing != "" {
			t.Errorf("%s: want %s\n%s", which, fact, missing)
		}
	}
	for _, p := range problems {
		t.Errorf("%s: nothing wants the problem\n%s", which, p)
	}
}

// missing returns what is said instead of a fact, or "". A problem that fact is
// about is taken out of problems.
func (o *outcome) missing(fact string, problems *[]string) string {
	word, rest, _ := strings.Cut(fact, " ")
	switch word {
	case "ok":
		return strings.Join(o.warnings, "\n")
	case "loads", "matrix":
		return "" // whatever problem there is remains among problems
	case "warning":
		if i := find(o.warnings, rest); i < 0 {
			return "got " + shown(o.warnings)
		}
		return ""
	case "error", "refused":
		i := find(*problems, rest)
		if i < 0 || (word == "refused") != slices.Contains(o.refused, (*problems)[i]) {
			return "got " + shown(*problems)
		}
		*problems = slices.Delete(*problems, i, i+1)
		return ""
	}
	name, want, _ := strings.Cut(fact, ": ")
	got, found := o.pairs[name]
	switch {
	case !found && want == "none", found && like(got, want):
		return ""
	case !found:
		return "got no such pair"
	}
	return "got " + got
}

// find returns the index of the problem "FILE:LINE: ...WORDS..." that "FILE:LINE
// WORDS" means, or -1.
func find(problems []string, want string) int {
	at, words, _ := strings.Cut(want, " ")
	start := at + ": "
	if file, anyLine := strings.CutSuffix(at, "*"); anyLine {
		start = file
	}
	return slices.IndexFunc(problems, func(p string) bool {
		return strings.HasPrefix(p, start) && strings.Contains(p, words)
	})
}

func shown(list []string) string {
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, "\n")
}

// like reports whether an answer has the fields that are wanted.
func like(got, want string) bool {
	g := strings.Fields(got)
	for i, w := range strings.Fields(want) {
		if w != "*" && g[i] != w {
			return false
		}
	}
	return true
}

// outcome asks the code that the programs run.
func (r *row) outcome() (*outcome, error) {
	o := &outcome{}
	tree := r.tree()
	network, problems := spec.Load(tree)
	for _, p := range problems {
		if p.Warning {
			o.warnings = append(o.warnings, p.String())
		} else {
			o.errors = append(o.errors, p.String())
		}
	}
	if network == nil || !r.asksThePolicy() {
		return o, nil
	}
	now, err := r.time()
	if err != nil {
		return nil, err
	}
	loaded, refused := load(now, tree)
	if o.refused = refused; len(refused) > 0 {
		return o, nil
	}
	return o, o.ask(now, loaded, written(r.file(sampleName)))
}

func load(now time.Time, tree fs.FS) (*controller.Loaded, []string) {
	return controller.Load(now, gitsource.Revision{ID: "sha256:conformance", Specs: tree},
		func(*spec.Network) []*inventory.Identity { return nil })
}

// ask computes the matrix of an endpoints file.
func (o *outcome) ask(now time.Time, loaded *controller.Loaded, text string) error {
	note := func(problems []spec.Problem) {
		for _, p := range problems {
			if !p.Warning {
				o.sampleErrors = append(o.sampleErrors, p.String())
			}
		}
	}
	sample, problems := spec.LoadSample(sampleName, []byte(text), loaded.Policy.Network())
	note(problems)
	if sample == nil {
		return nil
	}
	m, problems := matrix.Compute(loaded.Policy, now, sample)
	note(problems)
	if m == nil {
		return nil
	}
	o.pairs = make(map[string]string, len(m.Pairs))
	for _, p := range m.Pairs {
		name := fmt.Sprintf("%s > %s %s", p.From, p.To, p.Port)
		if _, found := o.pairs[name]; found {
			return fmt.Errorf("%s is answered twice", name)
		}
		o.pairs[name] = fmt.Sprintf("%s %s %s %s", p.Verdict, p.Reason, orDash(p.Rule), orDash(p.At))
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
