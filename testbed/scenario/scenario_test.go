package scenario_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/scenario"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// archives returns the scenarios by name.
func archives(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	m := map[string]string{}
	for _, p := range paths {
		m[strings.TrimSuffix(filepath.Base(p), ".txtar")] = p
	}
	return m
}

func load(t *testing.T, path string) (*scenario.Scenario, []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Parse(b)
	if err != nil {
		t.Fatalf("Parse(%s) = %v", path, err)
	}
	return s, b
}

func TestScenariosOnSim(t *testing.T) {
	for name, path := range archives(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, archive := load(t, path)
			got, err := scenario.Run(s, scenario.NewSim(scenario.Faults{}))
			if *update && got != s.Want {
				if err := os.WriteFile(path, scenario.WithWant(archive, got), 0o644); err != nil {
					t.Fatal(err)
				}
				s.Want = got
			}
			if d := cmp.Diff(s.Want, got); d != "" {
				t.Errorf("transcript differs (-want +got):\n%s", d)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMessagesLateOrTwice runs each scenario with messages that come late or
// twice: in the end the switches hold the same.
func TestMessagesLateOrTwice(t *testing.T) {
	faults := map[string]scenario.Faults{
		"twice":          {Twice: true, TwiceIn: true},
		"late":           {LateDecisions: true, LateDone: true},
		"late and twice": {Twice: true, TwiceIn: true, LateDecisions: true, LateDone: true},
	}
	for name, path := range archives(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := load(t, path)
			plain := scenario.NewSim(scenario.Faults{})
			if _, err := scenario.Run(s, plain); err != nil {
				t.Fatal(err)
			}
			for fault, f := range faults {
				sim := scenario.NewSim(f)
				if _, err := scenario.Run(s, sim); err != nil {
					t.Errorf("%s: %v", fault, err)
				}
				if d := cmp.Diff(plain.Tables(), sim.Tables()); d != "" {
					t.Errorf("%s: tables differ from those without (-want +got):\n%s", fault, d)
				}
			}
		})
	}
}
