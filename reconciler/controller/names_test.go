package controller

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/testbed/world"
)

// TestAHostAsksOnlyForItsTenants: one that may not have endpoints of a tenant learns
// nothing of it, not even that a name is nobody's.
func TestAHostAsksOnlyForItsTenants(t *testing.T) {
	w := world.New()
	c := &Controller{engine: engine.New(engine.Config{})}
	q := hostlink.NameQuery{VPC: "acme/prod", Name: "web1"}
	if a := c.resolve("h1", q); a.Ours || len(a.Addresses) > 0 {
		t.Errorf("before anything is known: %+v", a)
	}
	now := w.Snapshot()
	c.seen.Store(now)
	web := now.Endpoints()[0]
	for _, e := range now.Endpoints() {
		if e.VPC == "acme/prod" && e.Name == "web1" {
			web = e
		}
	}
	if a := c.resolve("h1", q); !a.Ours || len(a.Addresses) != 1 || a.Addresses[0] != web.IP {
		t.Errorf("resolve = %+v; want %s", a, web.IP)
	}
	w.Net.Tenants["acme"].Hosts = []string{"h2"}
	if a := c.resolve("h1", q); a.Ours || a.Addresses != nil || a.Target != "" {
		t.Errorf("for a host that may not = %+v; want nothing", a)
	}
	if a := c.resolve("h2", q); len(a.Addresses) != 1 {
		t.Errorf("for one that may = %+v", a)
	}
	if a := c.resolve("h2", hostlink.NameQuery{VPC: "nobody/none", Name: "web1"}); a.Ours {
		t.Errorf("of a vpc that is not = %+v", a)
	}
}
