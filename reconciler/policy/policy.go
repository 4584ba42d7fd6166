// Package policy answers whether one identity may open a session to another.
//
// The answer is given by the admission policy, Rego in the repository's
// policies directory or in the operator's own. Go gives it two documents: the
// YAML as an index by hash, data.daoli.index, and the query, input. So a
// decision costs the same with ten rules and with a hundred thousand, and is a
// function of the two identities, protocol, port, revision, and of which rules
// have reached their `until`: that is what the cache keys it by.
//
// What is undefined, malformed or an error denies (policy-error). So does an
// evaluation that takes more than a fixed number of steps (policy-timeout):
// steps rather than time, since they need no clock, no goroutine and no timer,
// and the same query always ends the same way. A step is one expression; the
// built-ins that can make a single one long are not allowed.
package policy

import (
	"errors"
	"io/fs"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Policy decides under one revision. It is immutable but for its caches, and
// safe for concurrent use.
type Policy struct {
	revision  string
	network   *spec.Network
	embedded  bool                   // the system is the embedded one
	inward    map[spec.VPCID][]entry // what lets the outside in
	parts     map[spec.VPCID]*part
	between   *linkRanks
	numbers   uint32 // that words have had
	prefixes  prefixes
	ends      []int64 // each `until` of the network once, in seconds since 1970, sorted
	evaluator *evaluator
	tenants   tenantHooks

	inputs    *cache[inputKey, inputPart]
	decisions *cache[decisionKey, cachedDecision]

	hits, misses, errors, timeouts atomic.Uint64
}

// Stats counts what a Policy did since it was compiled.
type Stats struct {
	Hits     uint64 // decisions from the cache
	Misses   uint64 // decisions evaluated
	Errors   uint64 // of those, policy-error
	Timeouts uint64 // of those, policy-timeout
}

const (
	cachedDecisions = 1 << 16
	cachedInputs    = 1 << 15
)

// decisionKey is all that a decision depends on under one revision, but for the
// rules that ended.
type decisionKey struct {
	src, dst inventory.IdentityID
	proto    packet.Proto
	port     uint16
}

// cachedDecision is a decision and the number of ends that lay behind it.
type cachedDecision struct {
	passed   int
	decision Decision
}

// Compile returns the policy of network under the name rev. modules is a tree
// of policies as in the repository: system/*.rego and lib/*.rego, *_test.rego
// ignored; nil, or without a directory system, it leaves the embedded system in
// place. The error has a line FILE:LINE: TEXT for each thing wrong in modules.
func Compile(rev string, network *spec.Network, modules fs.FS) (*Policy, error) {
	return compile(rev, network, modules, nil)
}

// Recompile is Compile, with what p has made of the VPCs that are the same in
// network: those whose VPC, SecurityGroups, Ingresses and Services are the very
// objects, by pointer; and with p's compiled modules if the texts are the same.
// So an edit costs what it changed.
func (p *Policy) Recompile(rev string, network *spec.Network, modules fs.FS) (*Policy, error) {
	return compile(rev, network, modules, p)
}

// compile makes the policy of network with what is still good of before, which
// may be nil.
func compile(rev string, network *spec.Network, modules fs.FS, before *Policy) (*Policy, error) {
	x := newIndexer()
	var compiled *program
	var parts map[spec.VPCID]*part
	if before != nil {
		compiled, parts, x.numbers = before.evaluator.program, before.parts, before.numbers
	}
	compiled, err := compileModules(modules, compiled)
	if err != nil {
		return nil, err
	}
	hooked, err := TenantModules(modules)
	if err != nil {
		return nil, err
	}
	if err := compiled.heeded(hooked); err != nil {
		return nil, err
	}
	evaluator := newEvaluator(compiled, x.index(network, parts))
	return &Policy{
		revision:  rev,
		network:   network,
		embedded:  modules == nil || !hasDir(modules, "system"),
		inward:    x.inward,
		parts:     x.parts,
		between:   x.between,
		numbers:   x.numbers,
		prefixes:  x.prefixes,
		ends:      x.ends,
		evaluator: evaluator,
		tenants:   newTenantHooks(hooked),
		inputs:    newCache[inputKey, inputPart](cachedInputs),
		decisions: newCache[decisionKey, cachedDecision](cachedDecisions),
	}, nil
}

// words returns the words of a VPC, or nil.
func (p *Policy) words(id spec.VPCID) *words {
	if part := p.parts[id]; part != nil {
		return part.words
	}
	return nil
}

// Revision returns the name that the policy was compiled under.
func (p *Policy) Revision() string { return p.revision }

// Network returns the desired state that the policy was compiled for.
func (p *Policy) Network() *spec.Network { return p.network }

// Stats returns the counts so far.
func (p *Policy) Stats() Stats {
	return Stats{
		Hits:     p.hits.Load(),
		Misses:   p.misses.Load(),
		Errors:   p.errors.Load(),
		Timeouts: p.timeouts.Load(),
	}
}

// Decide answers q at the time now. An identity of outside must have been made
// with the CIDRs of this policy's OutsideCIDRs. An identity with the ID zero is
// not interned, and no decision about it is cached. Nor is a policy-timeout:
// what was cut short is asked again.
//
// It never waits: where a tenant's module has not been asked yet it denies with
// policy-timeout. Unanswered says so before, and Ask asks.
func (p *Policy) Decide(now time.Time, q Query) Decision { return p.decide(now, q, nil) }

// Ask is Decide for whoever can wait for tenants' modules.
func (p *Policy) Ask(now time.Time, q Query) Decision { return p.decide(now, q, p.tenants.hooks) }

// decide decides q, and waits for answers if wait is not nil.
func (p *Policy) decide(now time.Time, q Query, wait Hooks) Decision {
	if d, found := p.Cached(now, q); found {
		return d
	}
	p.misses.Add(1)
	passed := p.passed(now)
	d := p.evaluateWith(passed, q, wait)
	if key := q.key(); d.Reason != ReasonPolicyTimeout && key.src != 0 && key.dst != 0 {
		p.decisions.put(key.hash(), key, &cachedDecision{passed: passed, decision: d})
	}
	return d
}

// Cached returns what Decide would, if that needs no evaluation. It takes well
// under a microsecond.
func (p *Policy) Cached(now time.Time, q Query) (d Decision, found bool) {
	key := q.key()
	c := p.decisions.get(key.hash(), key)
	if c == nil || c.passed != p.passed(now) {
		return Decision{}, false
	}
	p.hits.Add(1)
	return c.decision, true
}

func (q *Query) key() decisionKey {
	return decisionKey{src: q.Src.ID, dst: q.Dst.ID, proto: q.Proto, port: q.Port}
}

// OutsideCIDRs returns the prefixes of the network's cidr peers and sources, their excepts
// included, that a lies in, the widest first. Outside addresses with the same
// prefixes are one identity.
func (p *Policy) OutsideCIDRs(a netip.Addr) []netip.Prefix { return p.prefixes.containing(a) }

// passed returns how many ends lie at or before now.
func (p *Policy) passed(now time.Time) int {
	if len(p.ends) == 0 {
		return 0
	}
	n, found := slices.BinarySearch(p.ends, now.Unix())
	if found {
		n++
	}
	return n
}

// evaluate asks Rego for the decision of q after the first passed ends, and waits for
// tenants' modules.
func (p *Policy) evaluate(passed int, q Query) Decision {
	return p.evaluateWith(passed, q, p.tenants.hooks)
}

func (p *Policy) evaluateWith(passed int, q Query, wait Hooks) Decision {
	value, err := p.evaluator.eval(p.queryInput(passed, q, wait))
	if err == nil {
		var d Decision
		if d, err = readDecision(value, p.ends[passed:]); err == nil {
			d.Revision = p.revision
			return d
		}
	}
	// Fail closed: what is not understood denies.
	reason := ReasonPolicyError
	if errors.Is(err, errTimeout) {
		reason = ReasonPolicyTimeout
		p.timeouts.Add(1)
	} else {
		p.errors.Add(1)
	}
	return Decision{
		Verdict:  Drop,
		Reason:   reason,
		Rule:     entrypoint,
		At:       p.evaluator.position(err),
		Revision: p.revision,
	}
}
