package simulate

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Library holds organisations with their compiled policies, since compiling is
// what takes time, and what was decided already. Runs may share one after
// another; it is not safe for concurrent use.
type Library struct {
	revisions []*revision
	known     map[string]uint32 // identities by content
}

// revision is a compiled organisation.
type revision struct {
	*org
	policy    *policy.Policy
	ends      []time.Time
	decisions map[decisionKey]policy.Decision
}

type decisionKey struct {
	src, dst uint32
	proto    packet.Proto
	port     uint16
	ended    int
}

// organisations is how many a Library has.
const organisations = 24

// NewLibrary makes up organisations, the same ones in every process, and
// compiles them.
func NewLibrary() (*Library, error) {
	l := &Library{known: make(map[string]uint32)}
	r := rand.New(rand.NewPCG(5, 4))
	for i := range organisations {
		o := randomOrg(r, fmt.Sprintf("r%d", i))
		network, problems := spec.Load(fstest.MapFS{"org.yaml": {Data: o.yaml()}})
		for _, p := range problems {
			if !p.Warning {
				return nil, fmt.Errorf("load organisation %s: %s\n%s", o.name, p, o.yaml())
			}
		}
		pol, err := policy.Compile(o.name, network, nil)
		if err != nil {
			return nil, fmt.Errorf("compile organisation %s: %w", o.name, err)
		}
		l.revisions = append(l.revisions, &revision{org: o, policy: pol, ends: o.ends(), decisions: make(map[decisionKey]policy.Decision)})
	}
	return l, nil
}

// loaded is a revision as one load makes it: an engine tells policies apart by
// pointer. What the compiled policy decided is kept by what identities say, not
// by their numbers, which are each engine's own.
type loaded struct {
	*revision
	library *Library
	numbers map[*inventory.Identity]uint32
	asked   map[decisionKey]bool // of this load: what other runs asked must not tell
}

func (l *Library) load(r *revision) *loaded {
	return &loaded{r, l, make(map[*inventory.Identity]uint32), make(map[decisionKey]bool)}
}

// Decide asks the compiled policy, or knows what it said.
func (l *loaded) Decide(now time.Time, q policy.Query) policy.Decision {
	k := l.key(now, q)
	l.asked[k] = true
	if d, found := l.decisions[k]; found {
		return d
	}
	src, dst := *q.Src, *q.Dst
	src.ID, dst.ID = 0, 0 // no number: the policy's own cache keeps nothing
	q.Src, q.Dst = &src, &dst
	d := l.policy.Decide(now, q)
	l.decisions[k] = d
	return d
}

// Cached returns what Decide said, if it was asked since the load.
func (l *loaded) Cached(now time.Time, q policy.Query) (policy.Decision, bool) {
	k := l.key(now, q)
	return l.decisions[k], l.asked[k]
}

func (l *loaded) key(now time.Time, q policy.Query) decisionKey {
	return decisionKey{l.number(q.Src), l.number(q.Dst), q.Proto, q.Port, l.ended(now)}
}

// ended returns how many rules have ended.
func (r *revision) ended(now time.Time) int {
	n, found := slices.BinarySearchFunc(r.ends, now, time.Time.Compare)
	for found && n < len(r.ends) && r.ends[n].Equal(now) {
		n++
	}
	return n
}

func (l *loaded) number(id *inventory.Identity) uint32 {
	if n, found := l.numbers[id]; found {
		return n
	}
	text := fmt.Sprintf("%s %s %s %s %v %v %v %v", id.Tenant, id.VPC, id.Subnet, id.Name, id.Groups, id.Labels, id.Outside, id.CIDRs)
	n, found := l.library.known[text]
	if !found {
		n = uint32(len(l.library.known) + 1)
		l.library.known[text] = n
	}
	l.numbers[id] = n
	return n
}

// OutsideCIDRs returns the policy's.
func (l *loaded) OutsideCIDRs(a netip.Addr) []netip.Prefix { return l.policy.OutsideCIDRs(a) }

// Revision returns the organisation's name.
func (l *loaded) Revision() string { return l.policy.Revision() }

// Network returns the organisation as the loader read it.
func (l *loaded) Network() *spec.Network { return l.policy.Network() }
