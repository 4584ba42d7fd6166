//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/probe"
)

// seed repeats the random organisation of an earlier run.
var seed = flag.Uint64("seed", 0, "seed of the random organisation (0: a new one, which is logged)")

// organisation is an endpoints file of the one specs directory.
type organisation struct {
	name, file string
	sample     sampleText
}

// The promise of the whole: what matrix says of the YAML is what packets meet.
// All organisations are up together, on the same three hosts.
func TestMatrixIsWhatPacketsMeet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	specs := filepath.Join(dir, "specs")
	if err := os.CopyFS(specs, os.DirFS("testdata/orgs/specs")); err != nil {
		t.Fatal(err)
	}
	orgs := append(fixedOrganisations(t), randomOrganisation(t, dir, specs))
	c := newCommands(t)
	all := filepath.Join(dir, "all.yaml")
	writeFile(t, all, joinSamples(orgs))
	began := time.Now()
	defer c.run("down")
	c.run("up", "--hosts", "3", "--binaries", os.Getenv(binariesVar), "--endpoints", all, specs)
	t.Logf("%d organisations up after %s", len(orgs), time.Since(began).Round(time.Millisecond))

	verdicts, ran := map[string]int{}, 0
	for _, o := range orgs {
		t.Run(o.name, func(t *testing.T) {
			c := c.with(t)
			if n := o.sample.endpoints(); n < 8 {
				t.Errorf("%d endpoints; want 8 at least", n)
			}
			want, got := c.matrix(specs, o.file), c.probe(o.file)
			compareMatrices(t, o, want, got)
			for _, p := range got.Pairs {
				protocol, _, _ := strings.Cut(p.Port, "/")
				verdicts[protocol+" "+p.Verdict]++
			}
			ran++
		})
	}
	t.Logf("compared after %s: %v", time.Since(began).Round(time.Millisecond), verdicts)
	if ran < len(orgs) {
		return // -run has chosen some, or one is broken
	}
	for _, p := range []string{"tcp", "udp", "icmp"} {
		for _, v := range []string{probe.Allow, probe.Drop, probe.Reject} {
			if verdicts[p+" "+v] == 0 {
				t.Errorf("no pair measured as %s %s; want some of each, else nothing is shown", p, v)
			}
		}
	}
}

// What the examples' readers are told is what they get.
func TestExamplesAreWhatPacketsMeet(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*/endpoints.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("examples with an endpoints file: %v, %v; want some", files, err)
	}
	c := newCommands(t)
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			c, specs := c.with(t), filepath.Join(dir, "specs")
			defer c.run("down")
			c.run("up", "--hosts", "3", "--binaries", os.Getenv(binariesVar), "--endpoints", file, specs)
			compareMatrices(t, organisation{file: file, sample: readSampleText(t, file)}, c.matrix(specs, file), c.probe(file))
		})
	}
}

// compareMatrices compares verdicts and order. Then it flips each way one
// expectation that holds, and must see it.
func compareMatrices(t *testing.T, o organisation, want, got probe.Matrix) {
	t.Helper()
	want = want.Tolerate(o.sample.outsideNames())
	if len(want.Pairs) == 0 {
		t.Fatal("matrix has no pairs")
	}
	differences := probe.Compare(want, got)
	for _, d := range differences {
		t.Errorf("matrix against probe: %s", d)
	}
	if len(differences) > 0 {
		return
	}
	if !slices.EqualFunc(want.Pairs, got.Pairs, func(a, b probe.Pair) bool { return a == b }) {
		t.Error("probe has another order of pairs than matrix")
	}
	flipped := probe.Matrix{Pairs: slices.Clone(want.Pairs)}
	p := &flipped.Pairs[len(flipped.Pairs)/2]
	p.Verdict = map[string]string{probe.Allow: probe.Drop, probe.Drop: probe.Reject, probe.Reject: probe.Allow}[p.Verdict]
	if d := probe.Compare(flipped, got); len(d) != 1 {
		t.Errorf("with %v flipped the comparison finds %v; want that one", *p, d)
	}
}

// commands runs the programs of the matrix test, with a TMPDIR of their own.
type commands struct {
	t       *testing.T
	testbed string // the program
	parent  string // of run directories
}

func newCommands(t *testing.T) *commands {
	return &commands{t: t, testbed: buildCommand(t, "daoli-testbed"), parent: shortTemp(t)}
}

func (c *commands) with(t *testing.T) *commands {
	d := *c
	d.t = t
	return &d
}

// run runs daoli-testbed and returns what it printed. An error fails the test.
func (c *commands) run(args ...string) []byte {
	c.t.Helper()
	return c.output(c.testbed, args...)
}

func (c *commands) output(program string, args ...string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+c.parent)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, &stderr)
	}
	for line := range strings.Lines(stderr.String()) {
		if !strings.Contains(line, ": warning: ") { // of which the organisations have some on purpose
			c.t.Logf("%s %s: %s", filepath.Base(program), args[0], line)
		}
	}
	return out
}

// matrix is what the YAML means.
func (c *commands) matrix(specs, file string) (m probe.Matrix) {
	c.t.Helper()
	out := c.output(filepath.Join(os.Getenv(binariesVar), "daoli-reconcile"), "matrix", specs, "--endpoints", file, "-o", "json")
	if err := json.Unmarshal(out, &m); err != nil {
		c.t.Fatalf("read what matrix printed: %v\n%s", err, out)
	}
	return m
}

// probe is what packets meet.
func (c *commands) probe(file string) (m probe.Matrix) {
	c.t.Helper()
	out := c.run("probe", "--endpoints", file, "-o", "json", "--timeout", "2500ms")
	if err := json.Unmarshal(out, &m); err != nil {
		c.t.Fatalf("read what probe printed: %v\n%s", err, out)
	}
	return m
}

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
