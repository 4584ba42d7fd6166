package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/spec"
)

var (
	verdictKey = ast.InternedTerm("verdict")
	reasonKey  = ast.InternedTerm("reason")
	ruleKey    = ast.InternedTerm("rule")
	atKey      = ast.InternedTerm("at")
	logKey     = ast.InternedTerm("log")
	endsKey    = ast.InternedTerm("ends")
)

// readDecision reads {verdict, reason, rule, at, log, ends}. All must be there
// and of their types: at is empty or FILE:LINE, ends lists the `until` of rules;
// those in ends are to come.
func readDecision(v ast.Value, ends []int64) (Decision, error) {
	object, ok := v.(ast.Object)
	if !ok {
		return Decision{}, fmt.Errorf("%s is no object: %v", entrypoint, ast.ValueName(v))
	}
	verdict, err := readString(object, verdictKey)
	if err != nil {
		return Decision{}, err
	}
	reason, err := readString(object, reasonKey)
	if err != nil {
		return Decision{}, err
	}
	rule, err := readString(object, ruleKey)
	if err != nil {
		return Decision{}, err
	}
	at, err := readString(object, atKey)
	if err != nil {
		return Decision{}, err
	}
	d := Decision{Reason: Reason(reason), Rule: rule}
	if d.Verdict, ok = parseVerdict(verdict); !ok {
		return Decision{}, fmt.Errorf("%s has the verdict %q: want allow, drop or reject", entrypoint, verdict)
	}
	if reason == "" {
		return Decision{}, fmt.Errorf("%s has no reason", entrypoint)
	}
	if d.At, ok = parsePos(at); !ok {
		return Decision{}, fmt.Errorf("%s stands at %q: want FILE:LINE", entrypoint, at)
	}
	if d.Log, ok = boolOf(object.Get(logKey)); !ok {
		return Decision{}, fmt.Errorf("%s has no log: want true or false", entrypoint)
	}
	if d.Until, ok = earliest(object.Get(endsKey), ends); !ok {
		return Decision{}, fmt.Errorf("%s has no ends: want a list of what rules have as until", entrypoint)
	}
	return d, nil
}

func readString(object ast.Object, key *ast.Term) (string, error) {
	if t := object.Get(key); t != nil {
		if s, ok := t.Value.(ast.String); ok {
			return string(s), nil
		}
	}
	return "", fmt.Errorf("%s has no string %v", entrypoint, key)
}

func boolOf(t *ast.Term) (value, ok bool) {
	if t == nil {
		return false, false
	}
	b, ok := t.Value.(ast.Boolean)
	return bool(b), ok
}

// earliest returns the first time of a list of seconds, each one of the ends or
// never.
func earliest(t *ast.Term, ends []int64) (first time.Time, ok bool) {
	if t == nil {
		return first, false
	}
	list, ok := t.Value.(*ast.Array)
	if !ok {
		return first, false
	}
	least := int64(never)
	for i := range list.Len() {
		n, _ := list.Elem(i).Value.(ast.Number)
		end, ok := n.Int64()
		if _, coming := slices.BinarySearch(ends, end); !ok || !coming && end != never {
			return first, false
		}
		least = min(least, end)
	}
	if least == never {
		return first, true
	}
	return time.Unix(least, 0).UTC(), true
}

func parseVerdict(s string) (Verdict, bool) {
	for _, v := range []Verdict{Allow, Drop, Reject} {
		if v.String() == s {
			return v, true
		}
	}
	return Drop, false
}

// parsePos reads what spec.Pos.String wrote, or "".
func parsePos(s string) (spec.Pos, bool) {
	if s == "" || s == (spec.Pos{}).String() {
		return spec.Pos{}, true
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return spec.Pos{}, false
	}
	line, err := strconv.Atoi(s[colon+1:])
	if err != nil || line < 1 {
		return spec.Pos{}, false
	}
	return spec.Pos{File: s[:colon], Line: line}, true
}
