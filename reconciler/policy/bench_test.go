package policy_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// BenchmarkDecide measures decisions among few and many rules, between members
// of three groups each: from the cache, evaluated, and by OPA alone with the
// query ready made.
func BenchmarkDecide(b *testing.B) {
	src := endpoint("acme/prod/web", "g0", "g1", "g2")
	dst := endpoint("acme/prod/db", "g0", "g1", "g2")
	stranger := endpoint("acme/other/web", "g0")
	for _, rules := range []int{10, 100_000} {
		p := bigWorld(rules).compile(b)
		allowed, denied, isolated := query(src, dst, "tcp/441"), query(src, dst, "tcp/999"), query(stranger, dst, "tcp/441")
		name := func(what string) string { return fmt.Sprintf("%s/rules=%d", what, rules) }
		b.Run(name("hit"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(now, allowed)
			}
		})
		for what, q := range map[string]policy.Query{"allow": allowed, "deny": denied, "isolated": isolated} {
			b.Run(name("miss="+what), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					p.DecideUncached(now, q)
				}
			})
		}
		b.Run(name("opa=allow"), func(b *testing.B) {
			b.ReportAllocs()
			eval := p.EvalOnly(allowed)
			for b.Loop() {
				if err := eval(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, rules := range []int{10, 100_000} {
		network := bigWorld(rules).network
		b.Run(fmt.Sprintf("rules=%d", rules), func(b *testing.B) {
			for b.Loop() {
				if _, err := policy.Compile("r1", network, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMissCostsLittleMoreThanOPA compares an uncached decision with OPA's own
// evaluation in the same run; the best of some rounds, since others run too.
func TestMissCostsLittleMoreThanOPA(t *testing.T) {
	p := bigWorld(1000).compile(t)
	q := query(endpoint("acme/prod/web", "g0", "g1", "g2"), endpoint("acme/prod/db", "g0", "g1", "g2"), "tcp/441")
	eval := p.EvalOnly(q)
	best := func(f func()) time.Duration {
		least := time.Hour
		for range 30 {
			begin := time.Now()
			for range 20 {
				f()
			}
			least = min(least, time.Since(begin)/20)
		}
		return least
	}
	var opa, miss time.Duration
	for range 5 {
		opa = best(func() { _ = eval() })
		miss = best(func() { p.DecideUncached(now, q) })
		if miss <= opa*5/4 {
			t.Logf("OPA alone %v, decision %v", opa, miss)
			return
		}
	}
	t.Errorf("a decision takes %v, OPA alone %v; want at most 5/4 of it", miss, opa)
}

// BenchmarkRecompile measures an edit of one tenant's among 1,000 tenants with
// 100 rules each.
func BenchmarkRecompile(b *testing.B) {
	w := newWorld()
	for i := range 1000 {
		id := spec.VPCID(fmt.Sprintf("t%d/prod", i))
		w.vpc(id, "same-subnet", "deny")
		for g := range 10 {
			var rules []spec.Rule
			for r := range 10 {
				rules = append(rules, rule(fmt.Sprintf("group:g%d", r), fmt.Sprintf("tcp/%d", 440+r)))
			}
			w.group(id, fmt.Sprintf("g%d", g), ingress(rules...))
		}
	}
	before := w.compile(b)
	groups := maps.Clone(w.network.Groups["t0/prod"])
	for b.Loop() {
		edited := *w.network
		edited.Groups = maps.Clone(edited.Groups)
		edited.Groups["t0/prod"] = maps.Clone(groups)
		delete(edited.Groups["t0/prod"], "g0")
		if _, err := before.Recompile("r2", &edited, nil); err != nil {
			b.Fatal(err)
		}
	}
}
