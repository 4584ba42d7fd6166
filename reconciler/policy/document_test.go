package policy_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// TestDocumentsRepeatADecision gives OPA itself what Data and Input write.
func TestDocumentsRepeatADecision(t *testing.T) {
	p := table().peer("acme/prod", "globex/prod").compile(t)
	text, err := p.Data()
	if err != nil {
		t.Fatal(err)
	}
	var data map[string]any
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	prepared, err := rego.New(
		rego.Query("data.daoli.admission.decision"),
		rego.ParsedModule(ast.MustParseModule(admissionText(t))),
		rego.Store(inmem.NewFromObject(data)),
	).PrepareForEval(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range allCases(p) {
		q := query(c.src, c.dst, c.port)
		want := p.Decide(now, q)
		text, err := p.Input(now.Add(time.Second), q)
		if err != nil {
			t.Fatal(err)
		}
		var input any
		if err := json.Unmarshal(text, &input); err != nil {
			t.Fatal(err)
		}
		results, err := prepared.Eval(t.Context(), rego.EvalInput(input))
		if err != nil || len(results) != 1 {
			t.Fatalf("%s: OPA answers %v, %v", c.name, results, err)
		}
		got := results[0].Expressions[0].Value.(map[string]any)
		short := []any{got["verdict"], got["reason"], got["rule"]}
		if diff := cmp.Diff([]any{want.Verdict.String(), string(want.Reason), want.Rule}, short); diff != "" {
			t.Errorf("%s (-Decide +opa):\n%s", c.name, diff)
		}
	}
}
