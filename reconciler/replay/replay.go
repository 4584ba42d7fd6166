// Package replay says what a policy would have decided otherwise than a decision log
// has it: the policy is asked again about each record's ends, at the record's time.
//
// An end is what the record says of it: a container of its VPC, subnet, name, host,
// labels and address, which claims the groups that it was in; or an address. Whether
// it may be there, and in which groups it is, the policy's own network says.
//
//	replay.go      reads records, collects what differs
//	judge.go       one record
//	write.go       table, JSON, YAML
package replay

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// maxChanges bounds Changes: a log from which everybody differs must not fill the
// memory.
const maxChanges = 10_000

// Difference is what a policy decides otherwise than a log.
type Difference struct {
	Revision string `json:"revision" yaml:"revision"` // of the policy
	Records  int    `json:"records" yaml:"records"`   // decisions in the log
	Differ   int    `json:"differ" yaml:"differ"`     // of those, with another verdict now
	// Changes are the decisions that differ, alike ones together, the most frequent
	// first. Never nil.
	Changes []Change `json:"changes" yaml:"changes"`
	// More decisions differ, but there are too many kinds of them for Changes.
	More int `json:"more" yaml:"more"`
	// Unjudged counts decisions that a policy can't be asked about, by reason.
	Unjudged map[string]int `json:"unjudged" yaml:"unjudged"`
	LeftOut  uint64         `json:"left_out" yaml:"left_out"` // decisions that the log lacks, as it says
	BadLines int            `json:"bad_lines" yaml:"bad_lines"`
}

// Change is a kind of decision that differs.
type Change struct {
	Count int       `json:"count" yaml:"count"`
	From  string    `json:"from" yaml:"from"` // TENANT/VPC/NAME, or an address outside
	To    string    `json:"to" yaml:"to"`
	Port  string    `json:"port" yaml:"port"` // tcp/443
	Was   Answer    `json:"was" yaml:"was"`   // in the first of them
	Is    Answer    `json:"is" yaml:"is"`
	First time.Time `json:"first" yaml:"first"`
	Last  time.Time `json:"last" yaml:"last"`
}

// Answer is what was or is decided, and why.
type Answer struct {
	Verdict string `json:"verdict" yaml:"verdict"` // allow, drop or reject
	Reason  string `json:"reason" yaml:"reason"`
	Rule    string `json:"rule,omitempty" yaml:"rule,omitempty"`
	At      string `json:"at,omitempty" yaml:"at,omitempty"` // FILE:LINE
	// Because says why an end could not be where it was.
	Because string `json:"because,omitempty" yaml:"because,omitempty"`
}

// key is what decisions that are alike share.
type key struct{ from, to, port, was, is, rule string }

// Run asks pol about each record, and needs no more memory for more of them. It
// waits for tenants' Rego.
func Run(pol *policy.Policy, records iter.Seq[decisionlog.Record]) *Difference {
	d := &Difference{Revision: pol.Revision(), Unjudged: map[string]int{}}
	j := newJudge(pol)
	changes := make(map[key]*Change)
	for r := range records {
		if d.LeftOut += r.LeftOut; r.Verdict == "" {
			continue
		}
		d.Records++
		is, unjudged := j.judge(&r)
		if unjudged != "" {
			d.Unjudged[unjudged]++
			continue
		}
		if was := recorded(&r); was.Verdict != is.Verdict {
			d.Differ++
			d.note(changes, &r, was, is)
		}
	}
	d.Changes = slices.SortedFunc(deref(maps.Values(changes)), func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Was.Verdict, b.Was.Verdict), cmp.Compare(a.Is.Verdict, b.Is.Verdict),
			cmp.Compare(a.Is.Rule, b.Is.Rule))
	})
	if d.Changes == nil {
		d.Changes = []Change{}
	}
	return d
}

// recorded returns what a record says. What nothing carries yet the policy allowed.
func recorded(r *decisionlog.Record) Answer {
	a := Answer{Verdict: r.Verdict, Reason: r.Reason, Rule: r.Rule, At: r.At}
	if r.Reason == string(policy.ReasonUnsupported) {
		a.Verdict = policy.Allow.String()
	}
	return a
}

// note counts a record among those that are alike.
func (d *Difference) note(changes map[key]*Change, r *decisionlog.Record, was, is Answer) {
	k := key{endText(&r.Src), endText(&r.Dst), portText(r.Proto, r.Port), was.Verdict, is.Verdict, is.Rule}
	c := changes[k]
	if c == nil {
		if len(changes) >= maxChanges {
			d.More++
			return
		}
		c = &Change{From: k.from, To: k.to, Port: k.port, Was: was, Is: is, First: r.Time, Last: r.Time}
		changes[k] = c
	}
	c.Count++
	if r.Time.Before(c.First) {
		c.First = r.Time
	}
	if r.Time.After(c.Last) {
		c.Last = r.Time
	}
}

func deref(changes iter.Seq[*Change]) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for c := range changes {
			if !yield(*c) {
				return
			}
		}
	}
}
