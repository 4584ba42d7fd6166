package policy_test

import (
	"sync"
	"testing"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
)

func TestHitDoesNotAllocate(t *testing.T) {
	p := table().compile(t)
	q := query(endpoint("acme/prod/web", "web"), endpoint("acme/prod/db", "db"), "tcp/5432")
	p.Decide(now, q)
	if n := testing.AllocsPerRun(100, func() { p.Decide(now, q) }); n != 0 {
		t.Errorf("a cached decision allocates %v times", n)
	}
}

func TestCacheKeyHasAllOfTheQuery(t *testing.T) {
	p := table().compile(t)
	web, plain, db := endpoint("acme/prod/web", "web"), endpoint("acme/prod/web"), endpoint("acme/prod/db", "db")
	for range 2 {
		for _, test := range []struct {
			q       policy.Query
			verdict policy.Verdict
		}{
			{query(web, db, "tcp/5432"), policy.Allow},
			{query(plain, db, "tcp/5432"), policy.Reject},
			{query(web, endpoint("acme/prod/db", "sealed"), "tcp/5432"), policy.Reject},
			{query(db, web, "tcp/5432"), policy.Reject},
			{query(web, db, "tcp/5433"), policy.Reject},
			{query(web, db, "udp/5432"), policy.Allow},
			{query(web, db, "sctp/5432"), policy.Reject},
		} {
			if d := p.Decide(now, test.q); d.Verdict != test.verdict {
				t.Errorf("Decide(%v -> %v %d/%d) = %v, want %v",
					*test.q.Src, *test.q.Dst, test.q.Proto, test.q.Port, d.Verdict, test.verdict)
			}
		}
	}
}

func TestIdentityWithoutIDIsNotCached(t *testing.T) {
	p := table().compile(t)
	db := endpoint("acme/prod/db", "db")
	member := &inventory.Identity{Tenant: "acme", VPC: "acme/prod", Subnet: "web", Groups: []string{"web"}}
	stranger := &inventory.Identity{Tenant: "acme", VPC: "acme/prod", Subnet: "web"}
	for range 2 {
		if d := p.Decide(now, query(member, db, "tcp/5432")); d.Verdict != policy.Allow {
			t.Errorf("Decide of a member = %+v, want allow", d)
		}
		if d := p.Decide(now, query(stranger, db, "tcp/5432")); d.Verdict == policy.Allow {
			t.Errorf("Decide of a stranger = %+v, want a deny", d)
		}
	}
	if s := p.Stats(); s.Hits != 0 {
		t.Errorf("Stats = %+v, want no hits", s)
	}
}

// TestDecideConcurrently asks two policies that share what was compiled of their
// modules.
func TestDecideConcurrently(t *testing.T) {
	w := table()
	p := w.compile(t)
	again, err := p.Recompile("r2", w.network, nil)
	if err != nil {
		t.Fatal(err)
	}
	cases := decideCases(p)
	var wait sync.WaitGroup
	for _, p := range []*policy.Policy{p, again, p, again} {
		wait.Go(func() {
			for range 3 {
				for _, c := range cases {
					if got := short(p.Decide(now, query(c.src, c.dst, c.port))); got != c.want {
						t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
					}
				}
			}
		})
	}
	wait.Wait()
}
