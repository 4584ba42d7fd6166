package policy

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// maxAssertionDecisions bounds the decisions that the Assertions of a revision
// may take together. Each tenant that has any gets an equal share, and those that
// need more share what the others left: so none can block another's push.
const maxAssertionDecisions = 10_000

// maxAssertionSubjects bounds the identities that one side of an Assertion may
// stand for.
const maxAssertionSubjects = 20_000

// CheckAssertions returns a Problem for each Assertion of the network that the
// policy breaks at the time now, at the Assertion, and for each that needs too
// many decisions to be checked. It asks about the identities observed, and about
// invented ones: one for each subnet alone, with each claimable group, with each
// set of labels that any selector names; and about an outside address for each
// cell of the prefixes that rules name. A deny that is promised of an endpoint
// which nobody has yet is broken if it is wherever that comes to be. Identities that the policy cannot tell apart for a
// pair of VPCs are asked about once, and so are ports.
func (p *Policy) CheckAssertions(now time.Time, observed []*inventory.Identity) []spec.Problem {
	if len(p.network.Assertions) == 0 {
		return nil
	}
	c := &checker{
		p: p, passed: p.passed(now), peopled: newPeople(p.network, observed),
		sections: map[*spec.Section]map[string][]*spec.Rule{},
	}
	var problems []spec.Problem
	left, tenants := maxAssertionDecisions*workOfDecision, c.byTenant()
	for len(tenants) > 0 {
		share := left / len(tenants)
		var unfinished [][]*spec.Assertion
		var refused []spec.Problem
		for _, assertions := range tenants {
			c.left = share
			found := c.checkAll(assertions)
			left -= share - max(c.left, 0)
			if c.left < 0 {
				unfinished, refused = append(unfinished, assertions), append(refused, found...)
				continue
			}
			problems = append(problems, found...)
		}
		if len(unfinished) == 0 || left/len(unfinished) <= share {
			problems = append(problems, refused...)
			break
		}
		tenants = unfinished // the others left them more
	}
	slices.SortStableFunc(problems, func(a, b spec.Problem) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line))
	})
	return problems
}

// checker checks the Assertions of one policy at one time.
type checker struct {
	p       *Policy
	passed  int
	peopled *people
	left    int // work, see workOfDecision
	// sections are the rules of sections by peer, as far as asked for.
	sections map[*spec.Section]map[string][]*spec.Rule
}

// What a decision costs, and making or comparing an identity, in lookups.
const (
	workOfDecision = 200
	workOfIdentity = 20
)

var errManyDecisions = fmt.Errorf("checking it takes more than this tenant's share of %d decisions", maxAssertionDecisions)

// spend takes work from what is left and reports whether there was enough.
func (c *checker) spend(work int) bool {
	c.left -= work
	return c.left >= 0
}

// byTenant returns the Assertions of each tenant.
func (c *checker) byTenant() [][]*spec.Assertion {
	of := map[string][]*spec.Assertion{}
	for _, a := range c.p.network.Assertions {
		of[a.Tenant] = append(of[a.Tenant], a)
	}
	return slices.SortedFunc(maps.Values(of), func(a, b []*spec.Assertion) int {
		return cmp.Compare(a[0].Tenant, b[0].Tenant)
	})
}

// checkAll returns what is wrong with a tenant's Assertions.
func (c *checker) checkAll(assertions []*spec.Assertion) []spec.Problem {
	var problems []spec.Problem
	for _, a := range assertions {
		if problem, broken := c.check(a); broken {
			problems = append(problems, problem)
		}
	}
	return problems
}

// check returns the first decision that breaks a, wherever its ends come to be.
func (c *checker) check(a *spec.Assertion) (problem spec.Problem, broken bool) {
	for _, from := range c.places(a, &a.From) {
		for _, to := range c.places(a, &a.To) {
			found, isBroken := c.checkAt(a, from, to)
			if !isBroken || c.left < 0 {
				return found, isBroken
			}
			if !broken {
				problem, broken = found, true
			}
		}
	}
	return problem, broken
}

// checkAt is check with the endpoints that a names in these places.
func (c *checker) checkAt(a *spec.Assertion, from, to *inventory.Identity) (problem spec.Problem, broken bool) {
	for q, err := range c.queries(a, from, to) {
		if err == nil && !c.spend(workOfDecision) {
			err = errManyDecisions
		}
		if err != nil {
			return spec.Problem{At: a.At, Text: fmt.Sprintf(
				"assertion %s cannot be checked: %v; narrow its from, to or port, or split it", a.Path(), err)}, true
		}
		d := c.p.evaluate(c.passed, q.Query)
		if (d.Verdict == Allow) != a.Allow {
			return spec.Problem{At: a.At, Text: brokenText(a, q, d)}, true
		}
	}
	return spec.Problem{}, false
}

// question is a Query and the words for its ends.
type question struct {
	Query
	from, to string
}

// queries returns the queries that a is about, of those that the policy cannot
// tell apart one.
func (c *checker) queries(a *spec.Assertion, from, to *inventory.Identity) iter.Seq2[question, error] {
	return func(yield func(question, error) bool) {
		sources, err := c.subjects(a, &a.From, &a.To, from)
		if err != nil {
			yield(question{}, err)
			return
		}
		targets, err := c.subjects(a, &a.To, &a.From, to)
		if err != nil {
			yield(question{}, err)
			return
		}
		for _, src := range slices.Sorted(maps.Keys(sources)) {
			for _, dst := range slices.Sorted(maps.Keys(targets)) {
				if tenantOf(src) != a.Tenant && tenantOf(dst) != a.Tenant || c.apart(a, src, dst) {
					continue
				}
				if !c.pairs(a, src, dst, sources[src], targets[dst], yield) {
					return
				}
			}
		}
	}
}

// outsideVPC stands for the outside among VPCs.
const outsideVPC spec.VPCID = ""

// apart reports whether isolation alone keeps what a promises.
func (c *checker) apart(a *spec.Assertion, src, dst spec.VPCID) bool {
	inside := src != outsideVPC && dst != outsideVPC
	return !a.Allow && c.p.embedded && inside && src != dst && !c.p.network.Peered(src, dst)
}

// subjects returns the identities that s selects by VPC. Those of the outside
// are not known before it is known whose peer they are: they have no entry but
// an empty one.
func (c *checker) subjects(a *spec.Assertion, s, other *spec.Subject, place *inventory.Identity) (map[spec.VPCID][]*inventory.Identity, error) {
	found := map[spec.VPCID][]*inventory.Identity{}
	if place != nil {
		found[place.VPC] = []*inventory.Identity{place}
		return found, nil
	}
	peer := &s.Peer
	if peer.CIDR.IsValid() || peer.Any {
		found[outsideVPC] = nil
	}
	vpcs := []spec.VPCID{peer.VPC}
	switch {
	case peer.CIDR.IsValid():
		return found, nil
	case peer.Any:
		vpcs = c.anywhere(a, other)
	}
	for _, vpc := range vpcs {
		if !c.p.network.Within(a.Tenant, vpc) {
			continue // what a promise about a stranger says would tell whether it exists
		}
		all, err := c.of(vpc)
		if err != nil {
			return nil, err
		}
		if !c.spend(len(all)) {
			return nil, errManyDecisions
		}
		for _, id := range all {
			if selectedBy(s, id) {
				found[vpc] = append(found[vpc], id)
			}
		}
	}
	return found, nil
}

// anywhere returns the VPCs of anybody that is not isolated from what other
// selects and a is about; all VPCs, where isolation could break a.
func (c *checker) anywhere(a *spec.Assertion, other *spec.Subject) []spec.VPCID {
	switch {
	case a.Allow || !c.p.embedded:
		return slices.Sorted(maps.Keys(c.p.network.VPCs))
	case other.Peer.VPC != "":
		return append([]spec.VPCID{other.Peer.VPC}, c.p.network.Peers[other.Peer.VPC]...)
	}
	near := map[spec.VPCID]bool{}
	for _, own := range c.peopled.owned[a.Tenant] {
		near[own] = true
		for _, peer := range c.p.network.Peers[own] {
			near[peer] = true
		}
	}
	return slices.Sorted(maps.Keys(near))
}

// pairs yields the queries between the identities of two VPCs.
func (c *checker) pairs(
	a *spec.Assertion, src, dst spec.VPCID, sources, targets []*inventory.Identity, yield func(question, error) bool,
) bool {
	switch {
	case src == outsideVPC && dst == outsideVPC:
		return true
	case src == outsideVPC:
		sources = c.outsides(dst, &a.From.Peer)
	case dst == outsideVPC:
		targets = c.outsides(src, &a.To.Peer)
	}
	for _, id := range slices.Concat(sources, targets) {
		if !c.spend(workOfIdentity + len(id.Groups)) {
			return yield(question{}, errManyDecisions)
		}
	}
	r := relation{checker: c, src: src, dst: dst}
	sources = distinct(sources, func(id *inventory.Identity) string { return r.seen(id, dst, egressOf) })
	targets = distinct(targets, func(id *inventory.Identity) string { return r.seen(id, src, ingressOf) })
	for _, from := range sources {
		for _, to := range targets {
			if from.Name != "" && from.Name == to.Name && src == dst {
				continue // itself
			}
			for _, port := range r.ports(from, to, a) {
				q := question{
					Query: Query{Src: from, Dst: to, Proto: port.proto, Port: port.port},
					from:  c.words(from), to: c.words(to),
				}
				if !yield(q, nil) {
					return false
				}
			}
		}
	}
	return true
}

// distinct returns the first of those with each key.
func distinct(ids []*inventory.Identity, key func(*inventory.Identity) string) []*inventory.Identity {
	known := map[string]bool{}
	var kept []*inventory.Identity
	for _, id := range ids {
		if k := key(id); !known[k] {
			known[k] = true
			kept = append(kept, id)
		}
	}
	return kept
}

func brokenText(a *spec.Assertion, q question, d Decision) string {
	var b strings.Builder
	promise, mend := "denies", "narrow what allows it"
	if a.Allow {
		promise, mend = "allows", "allow it"
	}
	fmt.Fprintf(&b, "assertion %s promises that the policy %s %s -> %s on %s, but the verdict is %s (%s)",
		a.Path(), promise, q.from, q.to, portWords(q.Query), d.Verdict, d.Reason)
	if d.Rule != "" {
		fmt.Fprintf(&b, " by %s", d.Rule)
	}
	if d.At != (spec.Pos{}) {
		fmt.Fprintf(&b, " at %s", d.At)
	}
	fmt.Fprintf(&b, "; %s, or change the assertion", mend)
	return b.String()
}

func portWords(q Query) string {
	switch q.Proto {
	case packet.TCP, packet.UDP, packet.SCTP, packet.ICMP:
		return queryPort(q)
	}
	return "protocol " + q.Proto.String()
}

// words names an identity for people.
func (c *checker) words(id *inventory.Identity) string {
	if id.Outside {
		return "outside " + c.peopled.addresses[id].String()
	}
	text := fmt.Sprintf("{vpc %s, subnet %s", id.VPC, id.Subnet)
	if id.Name != "" {
		text += ", endpoint " + id.Name
	}
	if len(id.Groups) > 0 {
		text += ", groups " + strings.Join(id.Groups, " ")
	}
	if len(id.Labels) > 0 {
		text += ", labels " + labelsText(id.Labels)
	}
	return text + "}"
}
