package replay

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// Bounds of what a judge remembers.
const (
	maxEnds       = 1 << 16
	maxIdentities = 1 << 14
	maxAnswers    = 1 << 18
)

// judge asks a policy about records.
type judge struct {
	asker
	snap *inventory.Snapshot // of the policy's network, and nobody in it
	ends map[string]end
}

// end is a container as it would be, or why it could not be there.
type end struct {
	endpoint *inventory.Endpoint
	refused  string
}

// asker is a policy that waits for tenants' Rego. Identities come from interners of
// its own, so their numbers may be those of others in the caches of the policy.
// Therefore it asks with numbers of zero, and keeps the answers itself.
type asker struct {
	*policy.Policy
	answers map[question]answer
}

type question struct {
	src, dst *inventory.Identity
	proto    packet.Proto
	port     uint16
}

// answer holds from the time at which it was given to its decision's Until.
type answer struct {
	at       time.Time
	decision policy.Decision
}

// Decide is the policy's Ask.
func (a *asker) Decide(now time.Time, q policy.Query) policy.Decision {
	key := question{q.Src, q.Dst, q.Proto, q.Port}
	if known, found := a.answers[key]; found && !now.Before(known.at) && !known.decision.Ended(now) {
		return known.decision
	}
	src, dst := *q.Src, *q.Dst
	src.ID, dst.ID = 0, 0
	q.Src, q.Dst = &src, &dst
	d := a.Ask(now, q)
	if len(a.answers) >= maxAnswers {
		clear(a.answers)
	}
	if d.Reason != policy.ReasonPolicyTimeout { // what was cut short is asked again
		a.answers[key] = answer{now, d}
	}
	return d
}

func newJudge(pol *policy.Policy) *judge {
	j := &judge{asker: asker{Policy: pol, answers: make(map[question]answer)}, ends: make(map[string]end)}
	j.forget()
	return j
}

// forget forgets all identities.
func (j *judge) forget() {
	clear(j.ends)
	clear(j.answers)
	j.snap, _ = inventory.Imagine(inventory.NewInterner(), j.Network(), nil)
}

// undecided are reasons of denies that come before the policy or after it, of what
// no record has: they say nothing of a revision.
func undecided(reason string) bool {
	switch policy.Reason(reason) {
	case policy.ReasonSpoofed, policy.ReasonUnknownEndpoint, policy.ReasonAddressReserved, policy.ReasonProtocol,
		policy.ReasonQuota, policy.ReasonScan, policy.ReasonKilled, policy.ReasonWirePorts:
		return true
	}
	return false
}

// judge returns what the policy says of a record, or why it can't be asked.
func (j *judge) judge(r *decisionlog.Record) (is Answer, unjudged string) {
	proto, known := packet.ParseProto(r.Proto)
	switch {
	case undecided(r.Reason):
		return is, r.Reason
	case !known, r.Src.VPC == "" && (r.Dst.VPC == "" || !r.Src.IP.Is4()), r.Dst.VPC == "" && !r.Dst.IP.Is4():
		return is, "unknown-ends"
	}
	var src, dst end
	if r.Src.VPC != "" {
		if src = j.end(&r.Src); src.endpoint == nil {
			return gone(policy.ReasonUnknownEndpoint, src.refused), ""
		}
	}
	if r.Dst.VPC != "" {
		if dst = j.end(&r.Dst); dst.endpoint == nil {
			return gone(policy.ReasonNoEndpoint, dst.refused), ""
		}
	}
	var d policy.Decision
	switch {
	case src.endpoint == nil:
		d = admission.FromAddress(j.snap, &j.asker, r.Time, r.Src.IP, dst.endpoint, proto, r.Port)
	case dst.endpoint == nil:
		d, _ = admission.ToAddress(j.snap, &j.asker, r.Time, src.endpoint, r.Dst.IP, proto, r.Port)
	default:
		d = admission.Between(&j.asker, r.Time, src.endpoint, dst.endpoint, proto, r.Port)
	}
	// Who has an address of a subnet, and which addresses are hosts', no record has.
	if d.Reason == policy.ReasonAddressReserved || d.Reason == policy.ReasonNoEndpoint && r.Reason != string(policy.ReasonNoEndpoint) {
		return is, string(d.Reason)
	}
	is = Answer{Verdict: d.Verdict.String(), Reason: string(d.Reason), Rule: d.Rule}
	if d.At.File != "" {
		is.At = d.At.String()
	}
	return is, ""
}

func gone(why policy.Reason, because string) Answer {
	return Answer{Verdict: policy.Drop.String(), Reason: string(why), Because: because}
}

// end returns the container of a record as it would be in the policy's network.
func (j *judge) end(s *decisionlog.Side) end {
	name := sideKey(s)
	if e, found := j.ends[name]; found {
		return e
	}
	tenant, vpc, _ := strings.Cut(s.VPC, "/")
	ep, err := j.snap.Imagined(s.Host, &inventory.EndpointReport{
		Name: s.Name, Tenant: tenant, VPC: vpc, Subnet: s.Subnet, Claims: s.Groups, Labels: s.Labels, IP: s.IP,
	})
	e := end{endpoint: ep}
	if err != nil {
		e.refused = err.Error()
	}
	if len(j.ends) >= maxEnds {
		clear(j.ends)
	}
	if ep != nil && ep.Identity.ID > maxIdentities {
		j.forget()
	}
	j.ends[name] = e
	return e
}

// sideKey is all that a record says of a container.
func sideKey(s *decisionlog.Side) string {
	b := make([]byte, 0, 256)
	field := func(kind byte, text string) {
		b = append(b, kind)
		b = strconv.AppendInt(b, int64(len(text)), 10)
		b = append(b, ':')
		b = append(b, text...)
	}
	field('v', s.VPC)
	field('s', s.Subnet)
	field('n', s.Name)
	field('h', s.Host)
	for _, g := range s.Groups {
		field('g', g)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		field('k', k)
		field('l', s.Labels[k])
	}
	return string(s.IP.AppendTo(b))
}

func endText(s *decisionlog.Side) string {
	if s.VPC == "" {
		return s.IP.String()
	}
	return s.VPC + "/" + s.Name
}

func portText(proto string, port uint16) string { return fmt.Sprintf("%s/%d", proto, port) }
