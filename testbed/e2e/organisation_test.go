//go:build e2e

package e2e_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	organisations "github.com/daolinet/daolinet/testbed/organisation"
)

// sampleText is an endpoints file with one line an entry, so that several can be
// joined.
type sampleText struct {
	endpointLines, outsideLines []string
}

func readSampleText(t *testing.T, file string) (s sampleText) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var section *[]string
	for line := range strings.Lines(string(text)) {
		switch {
		case line == "endpoints:\n":
			section = &s.endpointLines
		case line == "outside:\n":
			section = &s.outsideLines
		case strings.HasPrefix(line, "  - {name: "):
			*section = append(*section, line)
		}
	}
	return s
}

func (s sampleText) endpoints() int { return len(s.endpointLines) }

func (s sampleText) outsideNames() (names []string) {
	for _, line := range s.outsideLines {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "  - {name: "), ",")
		names = append(names, name)
	}
	return names
}

// joinSamples is the endpoints file of all organisations.
func joinSamples(orgs []organisation) string {
	var endpoints, outside strings.Builder
	for _, o := range orgs {
		endpoints.WriteString(strings.Join(o.sample.endpointLines, ""))
		outside.WriteString(strings.Join(o.sample.outsideLines, ""))
	}
	return "endpoints:\n" + endpoints.String() + "outside:\n" + outside.String() + "ports: [tcp/80]\n"
}

// fixedOrganisations are those in testdata/orgs.
func fixedOrganisations(t *testing.T) (orgs []organisation) {
	t.Helper()
	files, err := filepath.Glob("testdata/orgs/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("organisations in testdata/orgs: %v, %v; want 5 at least", files, err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		orgs = append(orgs, organisation{name, f, readSampleText(t, f)})
	}
	return orgs
}

// randomOrganisation writes two tenants into specs, and their endpoints file
// into dir, all made from the seed.
func randomOrganisation(t *testing.T, dir, specs string) organisation {
	t.Helper()
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("random organisation: repeat it by -seed %d", n)
	g := organisations.New(n)
	for name, text := range g.Specs() {
		writeFile(t, filepath.Join(specs, name), text)
	}
	file := filepath.Join(dir, "random.yaml")
	writeFile(t, file, g.Sample())
	return organisation{"random", file, readSampleText(t, file)}
}
