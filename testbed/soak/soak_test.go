//go:build e2e

package soak_test

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/soak"
)

var (
	seed     = flag.Uint64("seed", 0, "seed of what happens (0: a new one, which is logged)")
	duration = flag.Duration("for", time.Minute, "how long to go on")
)

func TestNothingIsWrongOrLeftAfterRandomSpells(t *testing.T) {
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("repeat it by -seed %d -for %s", n, *duration)
	binaries := t.TempDir()
	if err := netns.Build(t.Context(), binaries); err != nil {
		t.Fatal(err)
	}
	r, err := soak.Run(t.Context(), soak.Options{Seed: n, For: *duration, Hosts: 3, Binaries: binaries, Log: t.Logf})
	t.Log(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"attach", "detach", "move", "edit", "kill"} {
		if r.Done[kind] == 0 {
			t.Errorf("nothing of kind %s happened", kind)
		}
	}
	if r.Exchanges == 0 || r.Pairs["allow"] == 0 || r.Pairs["drop"] == 0 {
		t.Errorf("%s; want some traffic, and pairs that may talk and that may not", r)
	}
}
