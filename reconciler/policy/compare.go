package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// maxCompared bounds the decisions of one Compare, each asked of both policies.
const maxCompared = 60_000

// Difference is what one policy allows between two ends and another does not.
type Difference struct {
	From, To Person
	// Alike is how many other pairs neither policy tells from this one.
	Alike         int
	Proto         string // tcp, udp, sctp, icmp, or other
	Lo, Hi        uint16 // ports of the destination, types for icmp
	Before, After Decision
}

// Gained reports whether the later policy is the one that allows.
func (d *Difference) Gained() bool { return d.After.Verdict == Allow }

// Person is an end of a Difference: an endpoint that is there, one that there may
// be, or an outside address.
type Person struct {
	Name   string     // TENANT/VPC/NAME of an endpoint that is there; "": nobody's
	Addr   netip.Addr // of an outside address, the first of those that are alike
	VPC    spec.VPCID // "" for the outside
	Subnet string
	Groups []string
	Labels map[string]string

	before, after *inventory.Identity // nil: it has no place there
}

// String names a person for people.
func (p *Person) String() string {
	switch {
	case p.Addr.IsValid():
		return "outside " + p.Addr.String()
	case p.Name != "":
		return p.Name
	}
	text := "any of " + string(p.VPC) + " in " + p.Subnet
	if len(p.Groups) > 0 {
		text += ", groups " + strings.Join(p.Groups, " ")
	}
	if len(p.Labels) > 0 {
		text += ", labels " + labelsText(p.Labels)
	}
	return text
}

// Comparison is the outcome of a Compare.
type Comparison struct {
	Differences []Difference
	Pairs       int // that were asked about
	Unasked     int // that were not, since too much is touched
}

// Compare returns what two policies decide differently at the time now: among the
// endpoints reported, those that there may be (as CheckAssertions invents them) and
// outside addresses. It asks only about pairs that a changed object selects; with
// other Rego that is everybody. Pairs that neither policy tells apart are asked
// about once.
func Compare(now time.Time, before, after *Policy, reported []inventory.EndpointReport) Comparison {
	c := newComparer(now, before, after, reported)
	all := touches(before, after)
	// Those of all ports first: who is asked about all need not be asked again.
	slices.SortStableFunc(all, func(a, b touch) int { return cmp.Compare(min(len(a.ports), 1), min(len(b.ports), 1)) })
	for _, t := range all {
		c.touch(t)
	}
	return c.result
}

func newComparer(now time.Time, before, after *Policy, reported []inventory.EndpointReport) *comparer {
	return &comparer{
		before: newSight(now, before), after: newSight(now, after),
		seen: map[askedPair]bool{}, asked: map[string]span{}, known: map[cell]bool{},
		crowd: newCrowd(before, after, reported),
	}
}

// sight is one of the two policies at the moment.
type sight struct{ *checker }

func newSight(now time.Time, p *Policy) sight {
	return sight{&checker{p: p, passed: p.passed(now), sections: map[*spec.Section]map[string][]*spec.Rule{}}}
}

type comparer struct {
	before, after sight
	crowd         *crowd
	seen          map[askedPair]bool
	asked         map[string]span // by what the policies can tell of a pair
	known         map[cell]bool   // the Differences
	decisions     int
	result        Comparison
}

// span is where the Differences of a pair stand.
type span struct{ first, end int }

// askedPair is a pair, and the ports that it was asked about; "": all.
type askedPair struct {
	from, to *Person
	ports    string
}

type cell struct {
	from, to string
	proto    string
	lo, hi   uint16
}

// touch compares the pairs of one touch.
func (c *comparer) touch(t touch) {
	selves := slices.DeleteFunc(slices.Clone(c.crowd.of(t.vpc)), func(p *Person) bool { return !t.self(p) })
	if len(selves) == 0 {
		return
	}
	for _, vpc := range c.crowd.around(t.vpc) {
		if t.otherVPC != nil && !t.otherVPC[vpc] {
			continue
		}
		var others []*Person
		if vpc == outsideVPC {
			others = c.crowd.outsides(t.vpc)
		} else {
			others = c.crowd.of(vpc)
		}
		for _, self := range selves {
			for _, other := range others {
				if t.other != nil && !t.other(other) {
					continue
				}
				if t.inward {
					c.pair(other, self, t.ports)
				}
				if t.outward {
					c.pair(self, other, t.ports)
				}
			}
		}
	}
}

// pair compares what is decided from one end to another.
func (c *comparer) pair(from, to *Person, about []spec.Port) {
	ports := ""
	if about != nil {
		ports = "ports" + portsText(&spec.Rule{Ports: about})
	}
	if from == to || from.Name != "" && from.Name == to.Name || c.seen[askedPair{from, to, ""}] || c.seen[askedPair{from, to, ports}] {
		return
	}
	c.seen[askedPair{from, to, ports}] = true
	var key strings.Builder
	c.before.alike(&key, from.before, to.before, from.VPC, to.VPC)
	c.after.alike(&key, from.after, to.after, from.VPC, to.VPC)
	key.WriteString("\x00" + ports)
	if at, known := c.asked[key.String()]; known {
		for i := at.first; i < at.end; i++ {
			c.result.Differences[i].Alike++
		}
		return
	}
	if c.decisions >= maxCompared {
		c.result.Unasked++
		return
	}
	c.result.Pairs++
	first := len(c.result.Differences)
	c.ask(from, to, about)
	c.asked[key.String()] = span{first, len(c.result.Differences)}
}

// ask decides a pair under both, at each port where one of them may change its mind.
func (c *comparer) ask(from, to *Person, about []spec.Port) {
	for _, all := range asked(&spec.Assertion{AnyPort: true}) {
		starts := map[uint16]bool{}
		for _, p := range about {
			if p.Proto == all.Proto {
				starts[max(p.Lo, all.Lo)] = true
			}
		}
		if about == nil {
			starts[all.Lo] = true
		}
		if len(starts) == 0 {
			continue
		}
		c.before.cuts(from.before, to.before, all, starts)
		c.after.cuts(from.after, to.after, all, starts)
		open := -1 // the Difference that the port before was in
		sorted := slices.Sorted(maps.Keys(starts))
		for i, start := range sorted {
			if start < all.Lo || start > all.Hi || about != nil && !within(about, all.Proto, start) {
				open = -1
				continue
			}
			last := all.Hi
			if i+1 < len(sorted) {
				last = sorted[i+1] - 1
			}
			open = c.decide(from, to, all.Proto, start, last, open)
		}
	}
}

func within(ports []spec.Port, proto string, port uint16) bool {
	return slices.ContainsFunc(ports, func(p spec.Port) bool { return p.Proto == proto && p.Lo <= port && port <= p.Hi })
}

// decide decides one cell of ports, and returns the Difference that it is in, or -1.
func (c *comparer) decide(from, to *Person, proto string, lo, hi uint16, open int) int {
	c.decisions++
	number := protoNumber(proto)
	was := c.before.decide(from.before, to.before, number, lo)
	is := c.after.decide(from.after, to.after, number, lo)
	if (was.Verdict == Allow) == (is.Verdict == Allow) {
		return -1
	}
	if open >= 0 {
		d := &c.result.Differences[open]
		if d.Before.Rule == was.Rule && d.After.Rule == is.Rule && d.Before.Reason == was.Reason && d.After.Reason == is.Reason {
			d.Hi = hi
			return open
		}
	}
	at := cell{from.String(), to.String(), proto, lo, hi}
	if c.known[at] {
		return -1
	}
	c.known[at] = true
	c.result.Differences = append(c.result.Differences, Difference{
		From: *from, To: *to, Proto: proto, Lo: lo, Hi: hi, Before: was, After: is,
	})
	return len(c.result.Differences) - 1
}

// decide asks the policy; an end that has no place in its network gets nothing.
func (s sight) decide(from, to *inventory.Identity, proto packet.Proto, port uint16) Decision {
	if from == nil || to == nil {
		return Decision{Verdict: Drop, Reason: ReasonUnknownEndpoint, Revision: s.p.revision}
	}
	return s.p.evaluate(s.passed, Query{Src: from, Dst: to, Proto: proto, Port: port})
}

// cuts adds to starts where the rules that could match between two ends begin and
// have ended.
func (s sight) cuts(from, to *inventory.Identity, about spec.Port, starts map[uint16]bool) {
	if from == nil || to == nil {
		return
	}
	r := relation{checker: s.checker, src: from.VPC, dst: to.VPC}
	for _, p := range r.ports(from, to, &spec.Assertion{AnyPort: true}) {
		if p.proto == protoNumber(about.Proto) {
			starts[p.port] = true
		}
	}
}

// alike writes what the policy can tell of a pair.
func (s sight) alike(b *strings.Builder, from, to *inventory.Identity, src, dst spec.VPCID) {
	r := relation{checker: s.checker, src: src, dst: dst}
	for _, end := range []struct {
		id      *inventory.Identity
		other   spec.VPCID
		section func(*spec.SecurityGroup) *spec.Section
	}{{from, dst, egressOf}, {to, src, ingressOf}} {
		b.WriteString("\x00")
		if end.id == nil {
			b.WriteString("nobody")
			continue
		}
		b.WriteString(string(end.id.VPC) + "\x01")
		if s.p.network.VPCs[end.id.VPC] != nil || end.id.Outside {
			b.WriteString(r.seen(end.id, end.other, end.section))
		}
	}
}
