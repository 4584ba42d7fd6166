package policy_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// asking asks every pair, address and port that dice know of, one by one.
type asking struct {
	p        *policy.Policy
	observed []*inventory.Identity
}

// breaks reports whether some decision breaks a.
func (k asking) breaks(a *spec.Assertion) bool {
	for _, src := range k.subjects(a.Tenant, &a.From) {
		for _, dst := range k.subjects(a.Tenant, &a.To) {
			own := src.Tenant == a.Tenant || dst.Tenant == a.Tenant
			itself := src.Name != "" && src.Name == dst.Name && src.VPC == dst.VPC
			if !own || itself || src.Outside && dst.Outside {
				continue
			}
			for port := range strings.FieldsSeq("tcp/1 tcp/2 tcp/3 tcp/3000 tcp/3001 tcp/65535 udp/1 udp/2 udp/9 udp/10 " +
				"icmp/0 icmp/8 icmp/9 icmp/255 sctp/1 sctp/9 sctp/10 gre/0") {
				q := query(src, dst, port)
				asked := a.AnyPort || strings.HasPrefix(port, a.Port.Proto+"/") && a.Port.Lo <= q.Port && q.Port <= a.Port.Hi
				if asked && (k.p.Decide(now, q).Verdict == policy.Allow) != a.Allow {
					return true
				}
			}
		}
	}
	return false
}

func (k asking) subjects(tenant string, s *spec.Subject) []*inventory.Identity {
	var found []*inventory.Identity
	for _, id := range k.observed {
		if !k.p.Network().Within(tenant, id.VPC) {
			continue
		}
		r := reading{q: policy.Query{Src: id}}
		if s.Endpoint != "" && id.VPC == s.Peer.VPC && id.Name == s.Endpoint || s.Endpoint == "" && r.selects(s.Peer, id) {
			found = append(found, id)
		}
	}
	if !s.Peer.CIDR.IsValid() && !s.Peer.Any {
		return found
	}
	for addr := range strings.FieldsSeq(diceAddrs) {
		id := outside(k.p, addr)
		r := reading{q: policy.Query{Src: id}, from: parsePeer(addr + "/32").CIDR.Addr()}
		if r.selects(s.Peer, id) {
			found = append(found, id)
		}
	}
	return found
}

// TestAssertionsAsAskedOneByOne compares the Assertions that are found broken
// with those that are when each pair is asked about each port.
func TestAssertionsAsAskedOneByOne(t *testing.T) {
	seed := rand.Uint64()
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	const subjects = "vpc:a/x vpc:a/y vpc:b/z any 0.0.0.0/0 8.0.0.0/8 8.8.0.0/16!8.8.8.0/24"
	subject := func() string {
		if d.IntN(2) == 0 {
			return d.one(subjects)
		}
		return d.one("group:g1 group:g2 subnet:s1 k=1 @e1 @e2") + " " + d.one(diceVPCs)
	}
	broken, kept := 0, 0
	for range 25 {
		w := d.network()
		for i := range 8 {
			w.assertion(d.one("a b"), d.one("deny deny allow"), subject(), subject(),
				[]string{"", d.one("tcp tcp/1 tcp/2-3000 udp icmp icmp/8 sctp/1-9")}[d.IntN(2)])
			w.network.Assertions[i].At.Line = 1000 + i
		}
		k := asking{p: w.compile(t)}
		for len(k.observed) < 7 {
			if id, _ := d.identity(k.p); w.network.VPCs[id.VPC] != nil {
				k.observed = append(k.observed, id)
			}
		}
		problems := k.p.CheckAssertions(now, k.observed)
		for _, a := range w.network.Assertions {
			found := slices.ContainsFunc(problems, func(p spec.Problem) bool { return p.At == a.At })
			if found {
				broken++
			} else {
				kept++
			}
			if found != k.breaks(a) {
				t.Fatalf("seed %d: %+v is broken: %v, asked one by one: %v; problems %v", seed, *a, found, !found, problems)
			}
		}
	}
	if broken < 10 || kept < 10 {
		t.Errorf("seed %d: %d broken, %d kept; want some of both", seed, broken, kept)
	}
}
