package controller

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/reconciler/policy"
)

// sleeper answers after a while, as a slow module does: what it takes is the matter.
type sleeper map[string]time.Duration // by tenant

func (s sleeper) Ask(q policy.HookQuery) policy.HookAnswer {
	time.Sleep(s[q.Tenant])
	return policy.HookAnswer{Deny: policy.HookHit{Rule: "deny"}}
}

// TestTrialEndsWithATenantsTime has a tenant whose module takes nearly as long as it may:
// an operator's revision must not wait for thousands of its answers.
func TestTrialEndsWithATenantsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := newTrial(sleeper{"acme": 49 * time.Millisecond, "globex": 500 * time.Microsecond})
		ask := func(tenant string, n int) (answered int) {
			for range n {
				if a := tried.Ask(policy.HookQuery{Tenant: tenant}); a.Failed == "" {
					answered++
				} else if a.Failed != policy.ReasonPolicyTimeout {
					t.Fatalf("it answers %+v", a)
				}
			}
			return answered
		}
		began := time.Now()
		if n := ask("acme", 10_000); n < 50 || n > 100 {
			t.Errorf("%d answers of a slow module; want those of about 3 s", n)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := ask("globex", 20_000); n != 20_000 {
			t.Errorf("%d answers of a good module; want all", n)
		}
		tried.over.Store(true)
		if n := ask("acme", 1); n != 1 {
			t.Error("a revision in force does not ask")
		}
	})
}
