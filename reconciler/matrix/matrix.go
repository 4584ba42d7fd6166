package matrix

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// MaxPairs bounds the pairs of one Matrix, so that a small file can't ask for
// more than fits into memory.
const MaxPairs = 1_000_000

// Matrix is what one revision says of all pairs of a Sample.
type Matrix struct {
	Revision string `json:"revision"`
	Pairs    []Pair `json:"pairs"` // never nil
}

// Pair is the answer for one source, destination and port. What there is none
// of is "".
type Pair struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Port    string `json:"port"`    // as the file writes it
	Verdict string `json:"verdict"` // allow, drop or reject
	Reason  string `json:"reason"`
	Rule    string `json:"rule"`
	At      string `json:"at"` // FILE:LINE
	// Why is filled by Explain alone: the decision and what it rests on, for people.
	Why string `json:"why,omitempty"`
}

// Compute returns the decision of pol at the time now for every ordered pair of
// two different names of sample, endpoints before outside and both in the file's
// order, no outside-outside, times each port in the file's order. From outside
// to an endpoint, the port is the endpoint's own.
//
// Claims that grant nothing are warnings. With an error among the problems the
// Matrix is nil: a sample of another network, or one of more than MaxPairs.
func Compute(pol *policy.Policy, now time.Time, sample *spec.Sample) (*Matrix, []spec.Problem) {
	return compute(pol, now, sample, func(*question) string { return "" })
}

// Explain is Compute, and each pair says why.
func Explain(pol *policy.Policy, now time.Time, sample *spec.Sample) (*Matrix, []spec.Problem) {
	return compute(pol, now, sample, func(q *question) string { return q.why(pol, now) })
}

// Query returns what the policy is asked for a pair of names of sample and a
// port. It is an error if there is no such name, or if the policy is not asked,
// since admission decides by the address alone.
func Query(pol *policy.Policy, now time.Time, sample *spec.Sample, from, to string, port spec.SamplePort) (policy.Query, error) {
	c, _ := imagine(pol, now, sample)
	if c == nil {
		return policy.Query{}, fmt.Errorf("the endpoints are not of revision %s", pol.Revision())
	}
	a, b := c.named(from), c.named(to)
	switch {
	case a == nil || b == nil:
		missing := from
		if a != nil {
			missing = to
		}
		return policy.Query{}, fmt.Errorf("no endpoint or outside address has the name %q", missing)
	case from == to:
		return policy.Query{}, fmt.Errorf("%q is on both sides; name two", from)
	case a.endpoint == nil && b.endpoint == nil:
		return policy.Query{}, fmt.Errorf("%q and %q are both outside; name an endpoint", from, to)
	}
	q := c.ask(*a, *b, port)
	if !q.asked {
		return policy.Query{}, fmt.Errorf("the policy is not asked about %s and %s: %s", from, to, q.decision.Reason)
	}
	return q.query, nil
}

// Identities returns the identities that the endpoints of sample have in net,
// each once. Their numbers are zero: no cache keeps what is decided about them.
func Identities(net *spec.Network, sample *spec.Sample) []*inventory.Identity {
	snap, _ := inventory.Imagine(inventory.NewInterner(), net, reports(sample))
	return snap.Identities()
}

// computation is a sample joined with a policy.
type computation struct {
	asker *asker
	now   time.Time
	snap  *inventory.Snapshot
	ends  []end
}

// end is one name of a sample.
type end struct {
	name     string
	endpoint *inventory.Endpoint // nil: outside
	addr     netip.Addr
}

func compute(pol *policy.Policy, now time.Time, sample *spec.Sample, why func(*question) string) (*Matrix, []spec.Problem) {
	if n := count(sample); n > MaxPairs {
		return nil, []spec.Problem{{At: firstLine(sample), Text: fmt.Sprintf(
			"the file asks for %d pairs, and %d are the most; leave endpoints or ports out", n, MaxPairs)}}
	}
	c, problems := imagine(pol, now, sample)
	if c == nil {
		return nil, problems
	}
	m := &Matrix{Revision: pol.Revision(), Pairs: []Pair{}}
	for i, from := range c.ends {
		for j, to := range c.ends {
			if i == j || from.endpoint == nil && to.endpoint == nil {
				continue
			}
			for _, port := range sample.Ports {
				q := c.ask(from, to, port)
				p := q.pair()
				p.Why = why(&q)
				m.Pairs = append(m.Pairs, p)
			}
		}
	}
	return m, problems
}

// count returns how many pairs a sample asks for.
func count(sample *spec.Sample) int {
	endpoints, outside := len(sample.Endpoints), len(sample.Outside)
	return (endpoints*(endpoints-1) + 2*endpoints*outside) * len(sample.Ports)
}

func firstLine(sample *spec.Sample) spec.Pos {
	return spec.Pos{File: sample.Endpoints[0].At.File, Line: 1}
}

// imagine joins sample with the network of pol. The computation is nil if an
// endpoint has no place there.
func imagine(pol *policy.Policy, now time.Time, sample *spec.Sample) (*computation, []spec.Problem) {
	snap, refused := inventory.Imagine(inventory.NewInterner(), pol.Network(), reports(sample))
	problems := refusals(sample, refused)
	if len(problems) > 0 {
		return nil, problems
	}
	c := &computation{asker: newAsker(pol), now: now, snap: snap}
	for i := range sample.Endpoints {
		e := &sample.Endpoints[i]
		found := snap.EndpointByName(inventory.EndpointRef{VPC: spec.MakeVPCID(e.Tenant, e.VPC), Name: e.Name})
		c.ends = append(c.ends, end{name: e.Name, endpoint: found, addr: e.IP})
		problems = append(problems, ignored(pol.Network(), e, found.Ignored)...)
	}
	for _, o := range sample.Outside {
		c.ends = append(c.ends, end{name: o.Name, addr: o.IP})
	}
	return c, problems
}

// reports returns the endpoints of sample as hosts would report them.
func reports(sample *spec.Sample) []inventory.EndpointReport {
	list := make([]inventory.EndpointReport, len(sample.Endpoints))
	for i, e := range sample.Endpoints {
		list[i] = inventory.EndpointReport{
			Name: e.Name, Tenant: e.Tenant, VPC: e.VPC, Subnet: e.Subnet,
			Claims: e.Groups, Labels: e.Labels, IP: e.IP, Port: uint32(i + 1),
		}
	}
	return list
}

// refusals returns an error for each endpoint that the network has no place for.
func refusals(sample *spec.Sample, refused []inventory.Refusal) []spec.Problem {
	var problems []spec.Problem
	for _, r := range refused {
		var at spec.Pos
		if e := sample.ByName(r.Ref.Name); e != nil {
			at = e.At
		}
		problems = append(problems, spec.Problem{At: at, Text: r.Text})
	}
	return problems
}

// ignored returns a warning for each claim that grants nothing.
func ignored(net *spec.Network, e *spec.SampleEndpoint, claims []string) []spec.Problem {
	var problems []spec.Problem
	for _, claim := range claims {
		why := fmt.Sprintf("doesn't exist in vpc %q; add the group or leave the claim out", spec.MakeVPCID(e.Tenant, e.VPC))
		if g := net.Groups[spec.MakeVPCID(e.Tenant, e.VPC)][claim]; g != nil {
			why = fmt.Sprintf("has members (%s), so that nobody can claim it; leave the claim out", g.At)
		}
		problems = append(problems, spec.Problem{At: e.At, Warning: true, Text: fmt.Sprintf(
			"%s claims the group %q, which grants nothing: it %s", e.Name, claim, why)})
	}
	return problems
}

func (c *computation) named(name string) *end {
	for i := range c.ends {
		if c.ends[i].name == name {
			return &c.ends[i]
		}
	}
	return nil
}

// question is one pair, asked.
type question struct {
	from, to end
	port     spec.SamplePort
	decision policy.Decision
	query    policy.Query // of the policy
	asked    bool         // else admission decided by the address alone
}

// ask decides one pair, of which an end at least is an endpoint.
func (c *computation) ask(from, to end, port spec.SamplePort) question {
	q := question{from: from, to: to, port: port}
	proto, number := protocol(port.Port.Proto), port.Port.Lo
	c.asker.asked = false
	switch {
	case to.endpoint == nil:
		q.decision, _ = admission.ToAddress(c.snap, c.asker, c.now, from.endpoint, to.addr, proto, number)
	case from.endpoint == nil:
		q.decision = admission.FromAddress(c.snap, c.asker, c.now, from.addr, to.endpoint, proto, number)
	default:
		q.decision = admission.Between(c.asker, c.now, from.endpoint, to.endpoint, proto, number)
	}
	q.query, q.asked = c.asker.query, c.asker.asked
	return q
}

func (q *question) pair() Pair {
	p := Pair{
		From: q.from.name, To: q.to.name, Port: q.port.Text,
		Verdict: q.decision.Verdict.String(), Reason: string(q.decision.Reason), Rule: q.decision.Rule,
	}
	if q.decision.At != (spec.Pos{}) {
		p.At = q.decision.At.String()
	}
	return p
}

// why returns in one line what the decision rests on.
func (q *question) why(pol *policy.Policy, now time.Time) string {
	if q.asked {
		return strings.Join(pol.Explain(now, q.query), "; ")
	}
	return ExplainAddress(q.decision, q.outside())
}

// ExplainAddress returns in one line what a decision rests on that admission takes
// by the address alone.
func ExplainAddress(d policy.Decision, outside netip.Addr) string {
	text := fmt.Sprintf("%s: %s", d.Verdict, d.Reason)
	if d.Rule != "" {
		text += fmt.Sprintf(" by %s at %s", d.Rule, d.At)
	}
	switch d.Reason {
	case policy.ReasonAddressReserved:
		return text + "; " + outside.String() + " is an address that never is outside: a host's, link-local, loopback, multicast or reserved"
	case policy.ReasonNoEndpoint:
		return text + "; " + outside.String() + " lies in a subnet that is inside, and no endpoint has it"
	case policy.ReasonNoIngress:
		return text + "; nothing lets packets in from outside"
	}
	return text
}

// outside returns the address of the end that is no endpoint.
func (q *question) outside() netip.Addr {
	if q.from.endpoint == nil {
		return q.from.addr
	}
	return q.to.addr
}

// protocol returns the number of a protocol that a port can have.
func protocol(name string) packet.Proto {
	switch name {
	case "udp":
		return packet.UDP
	case "sctp":
		return packet.SCTP
	case "icmp":
		return packet.ICMP
	}
	return packet.TCP
}
