//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildCommand builds one of the testbed's own commands.
func buildCommand(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", file, "../cmd/"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return file
}

// shortTemp is a TMPDIR short enough for unix sockets in it. It must be empty
// again when the test ends.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		os.RemoveAll(dir)
	})
	return dir
}

func TestTestbedCommandKeepsATestbedUntilDown(t *testing.T) {
	program, temp := buildCommand(t, "daoli-testbed"), shortTemp(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	testbed := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("daoli-testbed %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	defer testbed("down")
	up := testbed("up", "--hosts", "2", "--binaries", os.Getenv(binariesVar), "testdata/specs")
	if !strings.Contains(up, "172.31.2.1/24") || !strings.Contains(up, "daoli-testbed attach") {
		t.Errorf("up prints\n%s\nwant hosts and what to do next", up)
	}
	testbed("attach", "a", "--host", "h1", "--vpc", "acme/wide", "--subnet", "one")
	testbed("attach", "b", "--host", "h2", "--vpc", "acme/wide", "--subnet", "two", "--ip", "10.2.1.9")
	if out := testbed("exec", "a", "--", "ping", "-c", "1", "-W", "3", "10.2.1.9"); !strings.Contains(out, " 0% packet loss") {
		t.Errorf("exec ping prints\n%s", out)
	}
	if out := testbed("status"); !strings.Contains(out, "2 of 2 hosts connected, 2 endpoints, 1 sessions") {
		t.Errorf("status prints\n%s\nwant 2 hosts, 2 endpoints, 1 session", out)
	}
	testbed("detach", "a")
}

func TestDemoTellsTheTruth(t *testing.T) {
	t.Parallel()
	program, temp := buildCommand(t, "daoli-demo"), shortTemp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("daoli-demo: %v\n%s", err, out)
	}
	t.Logf("the demo took %s", time.Since(began).Round(100*time.Millisecond))
	if bytes.Contains(out, []byte("\x1b[")) {
		t.Error("it colours its output though that is no terminal")
	}
}
