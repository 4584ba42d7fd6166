package simulate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// TestPlainReadingIsThePolicys asks the organisations and their compiled policies
// the same about all kinds of endpoints.
func TestPlainReadingIsThePolicys(t *testing.T) {
	library, err := NewLibrary()
	if err != nil {
		t.Fatal(err)
	}
	var eps []inventory.EndpointReport
	for _, p := range places {
		for _, role := range []string{"", "x", "y"} {
			for _, claims := range [][]string{nil, {"ops"}, {"db"}} {
				n := len(eps)
				addr := v4(10, 1, 0, byte(2+n%12))
				switch {
				case p.subnet == "db":
					addr = v4(10, 1, 1, byte(2+n%12))
				case p.subnet == "log":
					addr = v4(10, 2, 0, byte(2+n%12))
				}
				e := inventory.EndpointReport{
					Name: fmt.Sprintf("e%d", n), Tenant: p.tenant, VPC: p.vpc, Subnet: p.subnet, Claims: claims, IP: addr, MAC: packet.MAC{2, byte(n)}, Port: uint32(16 + n),
				}
				if role != "" {
					e.Labels = map[string]string{"role": role}
				}
				eps = append(eps, e)
			}
		}
	}
	for _, r := range library.revisions {
		snap, refused := inventory.Build(inventory.NewInterner(), r.policy.Network(), []inventory.HostReport{{Name: "h1", Endpoints: eps}})
		if len(refused) > 0 {
			t.Fatalf("refused: %v", refused)
		}
		p := library.load(r)
		for _, now := range []time.Time{Start, Start.Add(20 * time.Second), Start.Add(time.Hour)} {
			checkReading(t, p, snap, now)
		}
	}
}

// checkReading asks about some pairs: asking Rego about all takes minutes.
func checkReading(t *testing.T, p *loaded, snap *inventory.Snapshot, now time.Time) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, uint64(now.Unix())))
	all := snap.Endpoints()
	for range 120 {
		a, b, s := pick(r, all), pick(r, all), pick(r, services)
		got := p.allows(now, whoOf(a), whoOf(b), s.proto, s.port)
		d := p.Decide(now, policy.Query{Src: a.Identity, Dst: b.Identity, Proto: s.proto, Port: s.port})
		if got != (d.Verdict == policy.Allow) {
			t.Fatalf("%s: %s/%s > %s/%s %s at %s: the reading says %v, the policy %s %s\n%s",
				p.name, a.VPC, a.Name, b.VPC, b.Name, s.text(), now, got, d.Verdict, d.Reason, p.yaml())
		}
	}
}
