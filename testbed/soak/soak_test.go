//go:build e2e

package soak_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
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
	binaries := build(t)
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

// Whatever is wrong with a testbed that has had its spell, the settling sees it.
func TestSettlingSeesWhatIsWrong(t *testing.T) {
	binaries := build(t)
	for name, c := range map[string]struct {
		spoil func(ctx context.Context, tb *netns.Testbed) error
		want  string // in the error
	}{
		"an endpoint that nobody reaches": {func(ctx context.Context, tb *netns.Testbed) error {
			for _, e := range tb.Endpoints() {
				if _, err := e.Exec(ctx, "ip", "link", "set", "eth0", "down"); err != nil {
					return err
				}
			}
			return nil
		}, "matrix against probe"},
		"a namespace of nobody's": {func(_ context.Context, tb *netns.Testbed) error {
			return exec.Command("ip", "netns", "add", tb.Namespace("gone")).Run() // it ends with the testbed
		}, "is nobody's"},
		"a meter of no endpoint": {func(ctx context.Context, tb *netns.Testbed) error {
			_, err := tb.Hosts[0].OFCtl(ctx, "add-meter", "meter=999,pktps,band=type=drop,rate=1")
			return err
		}, "dump-meters are of ports"},
		"a device of no endpoint": {func(_ context.Context, tb *netns.Testbed) error {
			return exec.Command("ip", "-n", tb.Hosts[0].Namespace, "link", "add", "dl999", "type", "veth", "peer", "name", "other").Run()
		}, "devices ["},
		"a flow that comes again and again": {func(ctx context.Context, tb *netns.Testbed) error {
			stray := netns.Flow{Table: 2, Priority: 7, Match: "udp,tp_dst=7", Actions: "drop"}
			go func() {
				for tick := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; <-tick.C {
					tb.Hosts[0].AddFlow(ctx, stray)
				}
			}()
			return nil
		}, "switches drift"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := soak.Run(t.Context(), soak.Options{
				Seed: 1, Hosts: 2, Binaries: binaries, Log: t.Logf, Patience: 40 * time.Second, Spoil: c.spoil,
			})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("after %s: %v; want %q in it", r, err, c.want)
			}
		})
	}
}

// binariesVar names a directory with the programs, to test other builds of them.
const binariesVar = "DAOLI_E2E_BINARIES"

func build(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(binariesVar); dir != "" {
		return dir
	}
	binaries := t.TempDir()
	if err := netns.Build(t.Context(), binaries); err != nil {
		t.Fatal(err)
	}
	return binaries
}
