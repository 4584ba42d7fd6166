package admission_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/testbed/world"
)

// remembering is a policy that remembers its decisions about some ports.
type remembering struct {
	onlyPort
	ports []uint16
}

func (p remembering) Cached(now time.Time, q policy.Query) (policy.Decision, bool) {
	for _, port := range p.ports {
		if port == q.Port {
			return p.Decide(now, q), true
		}
	}
	return policy.Decision{}, false
}

func TestAtHandIsDecideAsFarAsThePolicyRemembers(t *testing.T) {
	w := world.New()
	snap := w.Snapshot()
	allow := onlyPort{w.AllowAll("r1"), 40000}
	data := func(r *admission.Request) { r.Headers.Flags = packet.ACK }
	for _, tt := range []struct {
		name   string
		pol    admission.Policy
		change func(*admission.Request)
		found  bool
	}{
		{"remembered", remembering{allow, []uint16{80}}, func(*admission.Request) {}, true},
		{"not remembered", remembering{allow, []uint16{81}}, func(*admission.Request) {}, false},
		{"of a policy that remembers nothing", allow, func(*admission.Request) {}, false},
		{"denied before the policy is asked", remembering{onlyPort: allow}, func(r *admission.Request) { r.Headers.EthSrc[5] = 9 }, true},
		{"allowed as a reply, both remembered", remembering{allow, []uint16{80, 40000}}, data, true},
		{"perhaps a reply, but only the one way is remembered", remembering{allow, []uint16{80}}, data, false},
		{"a reply, but the other way is not remembered", remembering{allow, []uint16{40000}}, data, false},
	} {
		r := fromWeb1(tt.change)
		got, found := admission.NewMemory(tt.pol).AtHand(snap, world.Start, snap.EndpointAt(r.DPID, r.InPort), &r.Headers)
		if found != tt.found {
			t.Errorf("%s: found = %t; want %t", tt.name, found, tt.found)
		}
		want := admission.Decide(snap, tt.pol, world.Start, r)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b admission.Result) bool { return a == b })); found && diff != "" {
			t.Errorf("%s: differs from Decide: %s", tt.name, diff)
		}
	}
}
