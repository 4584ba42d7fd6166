package plan

import (
	"fmt"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Plan is what changes from one revision to another. Lists are never nil, but for
// Cut.
type Plan struct {
	Before  string   `json:"before" yaml:"before"` // revisions
	After   string   `json:"after" yaml:"after"`
	Objects []Object `json:"objects" yaml:"objects"`
	Gained  []Reach  `json:"gained" yaml:"gained"`
	Lost    []Reach  `json:"lost" yaml:"lost"`
	// Pairs were asked about; Unasked were not, since the change touches too many.
	Pairs   int `json:"pairs" yaml:"pairs"`
	Unasked int `json:"unasked" yaml:"unasked"`
	// Cut are the live sessions that would be cut; nil: no controller was asked.
	Cut  []Cut `json:"cut" yaml:"cut"`
	Live int   `json:"live" yaml:"live"` // sessions that were judged
}

// Reach is who reaches whom, or no longer does.
type Reach struct {
	From  string `json:"from" yaml:"from"`
	To    string `json:"to" yaml:"to"`
	Alike int    `json:"alike,omitempty" yaml:"alike,omitempty"` // other pairs with the same answer
	Ports string `json:"ports" yaml:"ports"`                     // tcp/443, udp/1000-2000, icmp
	// Rule and At are what allows it, or denies it now; Reason says how.
	Reason string `json:"reason" yaml:"reason"`
	Rule   string `json:"rule,omitempty" yaml:"rule,omitempty"`
	At     string `json:"at,omitempty" yaml:"at,omitempty"`
}

// Cut is a live session that the revision forbids.
type Cut struct {
	ID     string `json:"id" yaml:"id"`
	From   string `json:"from" yaml:"from"`
	To     string `json:"to" yaml:"to"`
	Port   string `json:"port" yaml:"port"`
	Why    string `json:"why" yaml:"why"` // policy, or endpoint: an end has no place any more
	Reason string `json:"reason,omitempty" yaml:"reason,omitempty"`
	Rule   string `json:"rule,omitempty" yaml:"rule,omitempty"`
	At     string `json:"at,omitempty" yaml:"at,omitempty"`
}

// Compute compares two policies at the time now, for the endpoints reported and for
// those that there may be.
func Compute(now time.Time, before, after *policy.Policy, reported []inventory.EndpointReport) *Plan {
	p := &Plan{
		Before: before.Revision(), After: after.Revision(),
		Objects: Objects(before.Network(), after.Network()), Gained: []Reach{}, Lost: []Reach{},
	}
	found := policy.Compare(now, before, after, reported)
	p.Pairs, p.Unasked = found.Pairs, found.Unasked
	for i := range found.Differences {
		d := &found.Differences[i]
		if r := reachOf(d); d.Gained() {
			p.Gained = join(p.Gained, r)
		} else {
			p.Lost = join(p.Lost, r)
		}
	}
	return p
}

// Changes reports whether anything differs.
func (p *Plan) Changes() bool {
	return len(p.Objects)+len(p.Gained)+len(p.Lost)+len(p.Cut)+p.Unasked > 0
}

// join adds r, to the one before where that differs in its ports only.
func join(list []Reach, r Reach) []Reach {
	if n := len(list); n > 0 {
		last := list[n-1]
		last.Ports = r.Ports
		if last == r {
			list[n-1].Ports += "," + r.Ports
			return list
		}
	}
	return append(list, r)
}

func reachOf(d *policy.Difference) Reach {
	r := Reach{
		From: d.From.String(), To: d.To.String(), Alike: d.Alike, Ports: portsText(d.Proto, d.Lo, d.Hi),
		Reason: string(d.After.Reason), Rule: d.After.Rule,
	}
	if d.After.At != (spec.Pos{}) {
		r.At = d.After.At.String()
	}
	return r
}

func portsText(proto string, lo, hi uint16) string {
	last := uint16(1<<16 - 1)
	if proto == "icmp" {
		last = 255
	}
	switch {
	case lo <= 1 && hi == last:
		return proto
	case lo == hi:
		return fmt.Sprintf("%s/%d", proto, lo)
	}
	return fmt.Sprintf("%s/%d-%d", proto, lo, hi)
}
