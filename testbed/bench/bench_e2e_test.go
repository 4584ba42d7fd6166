//go:build e2e

package bench_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/daolinet/daolinet/testbed/bench"
	"github.com/daolinet/daolinet/testbed/netns"
)

// TestAllIsMeasured runs every line with the least effort, but for those that
// compare with ovs-testcontroller, which only `make bench` installs. Numbers of
// such a run mean nothing; that there is one says that the measurement works.
func TestAllIsMeasured(t *testing.T) {
	bin := os.Getenv("DAOLI_E2E_BINARIES")
	if bin == "" {
		bin = t.TempDir()
		if err := netns.Build(t.Context(), bin); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "build", "-o", bin, "../cmd/daoli-bench").CombinedOutput(); err != nil {
			t.Fatalf("build daoli-bench: %v\n%s", err, out)
		}
	}
	self := filepath.Join(bin, "daoli-bench")
	lines := regexp.MustCompile(`^([^s]|s[^o])`)
	rows, err := bench.Run(t.Context(), bench.Options{Lines: lines, Effort: bench.Smoke(), Binaries: bin, Self: self, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, l := range bench.Lines() {
		if lines.MatchString(l.Name) {
			want++
		}
	}
	if len(rows) != want || len(bench.Lines())-want != 2 {
		t.Errorf("%d of %d lines are told; want all but the two of sockets", len(rows), len(bench.Lines()))
	}
	for _, r := range rows {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Name, r.Err)
		}
	}
	t.Log("\n" + bench.Table(rows))
}
