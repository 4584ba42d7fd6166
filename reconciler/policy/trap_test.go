package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/policy"
)

// unread are the fields of the input that the admission policy has no use for;
// they are there for an operator's.
var unread = map[string]bool{
	"src.labels": true, "dst.labels": true, "src.keys": true, "proto": true, "port": true,
}

// TestMissingInputNeverAllows takes each field of the input away, and then makes
// it null, in each case: nothing may be allowed that was not, and what was
// allowed only if the field is not what allowed it.
func TestMissingInputNeverAllows(t *testing.T) {
	p := table().peer("acme/prod", "globex/prod").compile(t)
	mattered := map[string]bool{}
	for _, c := range allCases(p) {
		q := query(c.src, c.dst, c.port)
		whole := p.Decide(now, q)
		for name, input := range brokenInputs(p.InputTerm(q)) {
			d, err := p.EvalInput(input)
			switch {
			case err == nil && d.Verdict == policy.Allow && whole.Verdict != policy.Allow:
				t.Errorf("%s: without %s it is allowed", c.name, name)
			case unread[name]:
				d.Revision = whole.Revision
				if diff := cmp.Diff(whole, d); err != nil || diff != "" {
					t.Errorf("%s: without %s (err %v, -want +got):\n%s", c.name, name, err, diff)
				}
			case whole.Verdict == policy.Allow && d.Verdict != policy.Allow:
				mattered[name] = true
			}
		}
	}
	for name := range brokenInputs(p.InputTerm(query(endpoint("acme/prod/web"), endpoint("acme/prod/web"), "tcp/4"))) {
		if !unread[name] && !mattered[name] {
			t.Errorf("no case is allowed only with %s", name)
		}
	}
}

// TestMissingInputMissesNoDeny takes away what the search for rules and Links that
// deny needs: then nothing may be allowed at all.
func TestMissingInputMissesNoDeny(t *testing.T) {
	p := table().peer("acme/prod", "globex/prod").compile(t)
	tried := map[string]bool{}
	for _, c := range allCases(p) {
		input := p.InputTerm(query(c.src, c.dst, c.port))
		broken := brokenInputs(input)
		names := []string{"exceptions"}
		has := func(list string) bool {
			found, err := input.Value.Find(ast.Ref{ast.StringTerm("exceptions"), ast.StringTerm(list)})
			names = append(names, "exceptions."+list)
			return err == nil && found.Compare(ast.NewObject()) != 0
		}
		if broken["exceptions.links"] != nil {
			has("links")
			if has("ingress") {
				names = append(names, "now", "dst.groups")
			}
			if has("egress") {
				names = append(names, "now", "src.groups")
			}
		}
		for _, name := range names {
			tried[name] = true
			d, err := p.EvalInput(broken[name])
			if err == nil && d.Verdict == policy.Allow {
				t.Errorf("%s: without %s it is allowed", c.name, name)
			}
		}
	}
	for _, name := range []string{"exceptions.links", "exceptions.ingress", "exceptions.egress", "now", "src.groups", "dst.groups"} {
		if !tried[name] {
			t.Errorf("no case is tried without %s", name)
		}
	}
}

// brokenInputs returns input without each of its fields, two levels deep, by name.
func brokenInputs(input *ast.Term) map[string]*ast.Term {
	broken := map[string]*ast.Term{}
	whole := input.Value.(ast.Object)
	whole.Foreach(func(k, v *ast.Term) {
		name := string(k.Value.(ast.String))
		broken[name] = without(whole, k)
		part, ok := v.Value.(ast.Object)
		if !ok {
			return
		}
		part.Foreach(func(field, _ *ast.Term) {
			changed := without(whole, k).Value.(ast.Object)
			changed.Insert(k, without(part, field))
			broken[name+"."+string(field.Value.(ast.String))] = ast.NewTerm(changed)
		})
	})
	return broken
}

func without(o ast.Object, key *ast.Term) *ast.Term {
	rest := ast.NewObject()
	o.Foreach(func(k, v *ast.Term) {
		if !k.Equal(key) {
			rest.Insert(k, v)
		}
	})
	return ast.NewTerm(rest)
}
