//go:build e2e

package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestAProgramThatEndsAtOnceIsToldWithWhatItSaid, however early that is.
func TestAProgramThatEndsAtOnceIsToldWithWhatItSaid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, p := range []string{"daoli-reconcile", "daolictl"} {
		if err := os.Symlink(filepath.Join(os.Getenv(binariesVar), p), filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "daoli-hostd"), []byte("#!/bin/sh\necho the disk is full >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	tb, err := netns.Up(t.Context(), netns.Options{Hosts: 1, SpecsFS: os.DirFS("testdata/specs"), Binaries: dir})
	if err == nil {
		t.Fatalf("the testbed is up without daoli-hostd: %v", tb.Close())
	}
	for _, want := range []string{"h1-hostd ended by itself", "the disk is full"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v; want %q in it", err, want)
		}
	}
}
