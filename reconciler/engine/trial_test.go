package engine_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

const (
	trialGroups    = 8
	trialEndpoints = 40
	trialSessions  = 200
)

// TestATrialNamesTheSessionsThatAreCut makes 20 random changes, each of a network
// with 200 live sessions, and compares what a trial names with what a swap cuts.
func TestATrialNamesTheSessionsThatAreCut(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	some, many := 0, 0
	for n := range 20 {
		b := newTrialBench(t)
		b.openSessions(random)
		text := change(random, n)
		now := b.now

		want := map[uint64]session.EndReason{}
		for _, c := range b.e.Trial().Cuts(now, compiled(t, "trial", text)) {
			want[c.ID] = c.Cut
		}
		b.other = nil
		b.step(engine.RevisionLoaded{Policy: compiled(t, "r2", text)})
		got := map[uint64]session.EndReason{}
		for _, ef := range b.other {
			if e, ok := ef.(engine.SessionEnded); ok {
				got[e.Session.ID] = e.Why
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("change %d (-trial +swap):\n%s\nof\n%s", n, diff, text)
		}
		if left := b.e.Sessions().Len(); left != trialSessions-len(got) {
			t.Errorf("change %d cut %d of %d sessions, and %d are left", n, len(got), trialSessions, left)
		}
		if len(got) > 0 {
			some++
		}
		if len(got) >= 20 {
			many++
		}
	}
	if some < 10 || many < 3 {
		t.Errorf("%d of 20 changes cut something and %d cut 20 or more; want 10 and 3: the test proves too little", some, many)
	}
	t.Logf("%d of 20 changes cut something, %d cut 20 or more", some, many)
}

// TestATrialChangesNothing tries a revision that denies everything.
func TestATrialChangesNothing(t *testing.T) {
	b := newTrialBench(t)
	b.openSessions(rand.New(rand.NewPCG(1, 1)))
	before := b.e.Sessions().Keys()
	shut := map[int]string{}
	for g := range trialGroups {
		shut[g] = " []"
	}
	deny := trialNetwork(trialDefault, shut, slices.Repeat([]string{""}, trialGroups))
	if cuts := b.e.Trial().Cuts(b.now, compiled(t, "trial", deny)); len(cuts) != trialSessions {
		t.Errorf("a revision that shuts all groups would cut %d sessions; want all %d", len(cuts), trialSessions)
	}
	if after := b.e.Sessions().Keys(); !slices.Equal(before, after) {
		t.Errorf("the live sessions were %v and are %v", before, after)
	}
	if rev := b.e.Policy().Revision(); rev != "r1" {
		t.Errorf("the revision is %q; want r1", rev)
	}
}

func newTrialBench(t *testing.T) *bench {
	b := newBench(t)
	b.w.Hosts = b.w.Hosts[:2]
	for i := range b.w.Hosts {
		b.w.Hosts[i].Endpoints = nil
	}
	for i := range trialEndpoints {
		e := world.Endpoint("acme", fmt.Sprintf("e%d", i), "web", fmt.Sprintf("10.1.0.%d", i+10), uint32(100+i))
		e.Labels = map[string]string{"group": fmt.Sprintf("g%d", i%trialGroups)}
		h := &b.w.Hosts[i/2%2]
		h.Endpoints = append(h.Endpoints, e)
	}
	b.step(engine.RevisionLoaded{Policy: compiled(t, "r1", trialYAML())})
	for i := range b.w.Hosts {
		b.hostUp(i)
		b.switchUp(b.w.Hosts[i].DPID)
	}
	return b
}

// openSessions has random endpoints open sessions that the policy allows.
func (b *bench) openSessions(random *rand.Rand) {
	b.Helper()
	for tries := 0; b.e.Sessions().Len() < trialSessions; tries++ {
		if tries > 20*trialSessions {
			b.Fatalf("only %d sessions could be opened", b.e.Sessions().Len())
		}
		from, to := fmt.Sprintf("e%d", random.IntN(trialEndpoints)), fmt.Sprintf("e%d", random.IntN(trialEndpoints))
		if from == to {
			continue
		}
		src := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: from})
		b.lift(src.Host.DPID, openflow.PortNo(src.Port), b.frame(from, to, syn(uint16(80+random.IntN(4)))))
	}
}

const trialHead = "apiVersion: daoli.net/v1\nkind: %s\nmetadata: {name: %s, tenant: acme%s}\nspec:%s\n---\n"

// trialYAML is a network of groups that each let three others in.
func trialYAML() string {
	return trialNetwork(trialDefault, nil, slices.Repeat([]string{""}, trialGroups))
}

const trialDefault = "{name: web, cidr: 10.1.0.0/24}"

// trialNetwork is the network with these subnets, groups that have their ingress
// replaced, and further rules of each group.
func trialNetwork(subnets string, replaced map[int]string, rules []string) string {
	var b strings.Builder
	b.WriteString("apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: acme}\nspec: {hosts: ['*']}\n---\n")
	fmt.Fprintf(&b, trialHead, "VPC", "prod", "", "\n  subnets: ["+subnets+"]")
	for g := range trialGroups {
		ingress, found := replaced[g]
		if !found {
			ingress = fmt.Sprintf("\n    - {from: [{group: g%d}, {group: g%d}], ports: [tcp/80-81]}\n    - {from: [{group: g%d}], ports: [tcp/80-83]}",
				(g+1)%trialGroups, (g+2)%trialGroups, (g+3)%trialGroups)
		}
		fmt.Fprintf(&b, trialHead, "SecurityGroup", fmt.Sprintf("g%d", g), ", vpc: prod",
			fmt.Sprintf("\n  members: {labels: {group: g%d}}\n  ingress:%s%s", g, rules[g], ingress))
	}
	return b.String()
}

// change returns the network after the n-th change, of which every fourth is of a
// kind that others are not.
func change(random *rand.Rand, n int) string {
	rules := slices.Repeat([]string{""}, trialGroups)
	replaced := map[int]string{}
	g := random.IntN(trialGroups)
	other := (g + 1 + random.IntN(3)) % trialGroups
	switch n % 6 {
	case 0: // a group is shut
		replaced[g] = " []"
	case 1: // a port is closed
		replaced[g] = fmt.Sprintf("\n    - {from: [{group: g%d}], ports: [tcp/%d]}", other, 80+random.IntN(4))
	case 2: // one group is denied a port
		rules[g] = fmt.Sprintf("\n    - {from: [{group: g%d}], ports: [tcp/%d], action: deny}", other, 80+random.IntN(2))
	case 3: // more is allowed
		rules[g] = fmt.Sprintf("\n    - {from: [{group: g%d}], ports: [udp/53, tcp/443]}", other)
	case 4: // the subnet shrinks: some endpoints have no place any more
		return trialNetwork(fmt.Sprintf("{name: web, cidr: 10.1.0.0/%d}", 27+random.IntN(2)), nil, rules)
	case 5: // three groups are shut
		for i := range 3 {
			replaced[(g+i)%trialGroups] = " []"
		}
	}
	return trialNetwork(trialDefault, replaced, rules)
}

// trialBase is what the others take the compiled Rego of.
var trialBase = sync.OnceValue(func() *policy.Policy {
	network, _ := spec.Load(fstest.MapFS{})
	p, err := policy.Compile("base", network, nil)
	if err != nil {
		panic(err)
	}
	return p
})

func compiled(t *testing.T, revision, text string) *policy.Policy {
	t.Helper()
	network, problems := spec.Load(fstest.MapFS{"net.yaml": {Data: []byte(text)}})
	if network == nil {
		t.Fatalf("%v\nin\n%s", problems, text)
	}
	p, err := trialBase().Recompile(revision, network, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
