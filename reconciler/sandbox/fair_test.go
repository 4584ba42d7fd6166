package sandbox_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/sandbox"
)

// two takes the rules of acme, and what globex has beside them.
func two(t testing.TB, s *sandbox.Sandbox, acme string) (hostile, other *policy.HookModule) {
	t.Helper()
	files := rego("acme", acme)
	maps.Copy(files, rego("globex", "deny if input.port == 23\n"))
	use, problems := s.Take(modules(t, files))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s.Took(use)
	return use["acme"], use["globex"]
}

// TestChildThatHangsAndDoesNotRead asks a module that loops more than a pipe holds: as
// many labels as endpoints may have, by many askers at once.
func TestChildThatHangsAndDoesNotRead(t *testing.T) {
	s := running(t, sandbox.Options{})
	hostile, other := two(t, s, "deny if input.port == 1\n\n"+deny("\tinput.port > 1\n"+loops(9, "v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 < 0 - 1")))
	s.Ask(query(hostile, 1)) // loaded
	labels := map[string]string{}
	for i := range 64 {
		labels[strings.Repeat("k", 100)+string(rune('0'+i))] = strings.Repeat("v", 256)
	}
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			q := query(hostile, uint16(1000+i))
			q.Src.Labels, q.Dst.Labels = labels, labels
			if a := s.Ask(q); a.Failed != policy.ReasonPolicyTimeout {
				t.Errorf("a loop answers %+v", a)
			}
		})
	}
	wg.Wait()
	if a := s.Ask(query(other, 80)); a.Failed != "" {
		t.Errorf("another tenant's module answers %+v; want an answer", a)
	}
}

// TestModuleThatLagsIsAskedBesideOthers has one that takes a few milliseconds each time,
// and never too long.
func TestModuleThatLagsIsAskedBesideOthers(t *testing.T) {
	s := running(t, sandbox.Options{Quick: 250 * time.Millisecond, Slow: time.Minute, Preflight: time.Minute})
	hostile, other := two(t, s, deny(loops(4, "v0 + v1 + v2 + v3 + input.port < 0")))
	// On a machine that others keep busy an answer may come too late, and is asked for
	// again; it must neither be an error nor stay away.
	answered := 0
	for n := 0; !s.Slow(hostile.Hash) || answered == 0; n++ {
		a := s.Ask(query(hostile, uint16(n)))
		if a.Failed == "" {
			answered++
		}
		if n == 1000 || a.Failed != "" && a.Failed != policy.ReasonPolicyTimeout {
			t.Fatalf("question %d, %d answered, slow: %t: %+v", n, answered, s.Slow(hostile.Hash), a)
		}
	}
	for n := range 1000 {
		s.Ask(query(other, uint16(1000+n)))
	}
	if s.Slow(other.Hash) {
		t.Error("a module that answers at once is slow")
	}
}

// TestChildGetsNoEnvironment has a child write down what it got: ours may hold secrets.
func TestChildGetsNoEnvironment(t *testing.T) {
	t.Setenv("DAOLI_TEST_SECRET", "hunter2")
	out := t.TempDir() + "/env"
	s := running(t, sandbox.Options{Child: []string{"/bin/sh", "-c", "export -p >" + out}})
	s.Take(modules(t, rego("acme", "deny if input.port == 23\n"))) // it has no answer
	got, err := os.ReadFile(out)
	if err != nil || len(got) == 0 || strings.Contains(string(got), "hunter2") {
		t.Errorf("the child's environment is %q, %v; want none of ours", got, err)
	}
}

// BenchmarkBesideHostile is what another tenant's questions take, alone and beside a
// module that is asked all the time and takes as long as it may.
func BenchmarkBesideHostile(b *testing.B) {
	for _, c := range []struct{ name, acme string }{
		{"alone", ""},
		{"beside one that lags", deny(loops(3, "v0 + v1 + v2 + input.port < 0"))},
		{"beside one that never ends", bombs["loop"]},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := running(b, sandbox.Options{})
			hostile, other := two(b, s, "allow_egress if input.port == 1\n\n"+c.acme)
			var stop atomic.Bool
			var wg sync.WaitGroup
			for i := range 16 {
				if c.acme == "" {
					break
				}
				wg.Go(func() {
					for n := i; !stop.Load(); n++ {
						if s.Slow(hostile.Hash) {
							time.Sleep(time.Millisecond) // the controller has others wait for it
						}
						s.Ask(query(hostile, uint16(n)))
					}
				})
			}
			var took []time.Duration
			for n := range b.N {
				began := time.Now()
				if a := s.Ask(query(other, uint16(1000+n%10000))); a.Failed != "" {
					b.Fatal(a)
				}
				took = append(took, time.Since(began))
			}
			stop.Store(true)
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
}
