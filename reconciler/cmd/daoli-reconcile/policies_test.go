package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/daolinet/daolinet/reconciler/matrix"
)

// TestPoliciesRepeatADecision asks OPA as the help of policies shows, with the
// documents that data and input write, and wants what matrix says.
func TestPoliciesRepeatADecision(t *testing.T) {
	source, err := os.ReadFile("../../../policies/system/admission.rego")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := txtar.ParseFile("testdata/matrix.txtar")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, f := range archive.Files {
		if f.Name == "e.yaml" || f.Name == "specs/tenants.yaml" || f.Name == "specs/tenants/acme/prod.yaml" {
			write(t, f.Name, f.Data)
		}
	}
	var said matrix.Matrix
	output(t, &said, "matrix", "specs", "--endpoints", "e.yaml", "-o", "json")
	var data map[string]any
	output(t, &data, "policies", "data", "specs")
	asked := 0
	for _, p := range said.Pairs {
		if p.Reason == "address-reserved" || p.Reason == "no-endpoint" {
			continue // the policy is not asked
		}
		asked++
		var input any
		output(t, &input, "policies", "input", "specs", "--endpoints", "e.yaml", p.From, p.To, p.Port)
		got := matrix.Pair{From: p.From, To: p.To, Port: p.Port}
		decision := evaluate(t, string(source), data, input)
		got.Verdict, _ = decision["verdict"].(string)
		got.Reason, _ = decision["reason"].(string)
		got.Rule, _ = decision["rule"].(string)
		got.At, _ = decision["at"].(string)
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("opa eval (-matrix +opa):\n%s", diff)
		}
	}
	if asked == 0 {
		t.Error("no pair was asked")
	}
}

// output reads the JSON that a command writes.
func output(t *testing.T, to any, args ...string) {
	t.Helper()
	stdout, stderr, code := runWith(t, nil, args...)
	if code != exitFine {
		t.Fatalf("%v = exit %d: %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), to); err != nil {
		t.Fatalf("%v writes no JSON: %v", args, err)
	}
}

func evaluate(t *testing.T, source string, data map[string]any, input any) map[string]any {
	t.Helper()
	result, err := rego.New(
		rego.Query("data.daoli.admission.decision"), rego.Module("admission.rego", source),
		rego.Store(inmem.NewFromObject(data)), rego.Input(input),
	).Eval(t.Context())
	if err != nil || len(result) != 1 {
		t.Fatalf("opa eval: %v, %v", result, err)
	}
	decision, ok := result[0].Expressions[0].Value.(map[string]any)
	if !ok {
		t.Fatalf("opa eval: %v is no object", result[0].Expressions[0].Value)
	}
	return decision
}
