package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"github.com/daolinet/daolinet/policies"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// decisionBatch is how many decisions are made between two looks at the clock.
const decisionBatch = 500

// measureDecision compares decisions that are not in the cache with OPA's own
// evaluation of the same policy, data and input, prepared by its Go API: all of
// them are allowed by a rule among a thousand.
func measureDecision(ctx context.Context, e *Env) ([]Value, error) {
	var rules []string
	for i := range 1000 {
		rules = append(rules, fmt.Sprintf("{from: [{subnet: web}], ports: [tcp/%d]}", 1+i))
	}
	rules = append(rules, "{from: [{subnet: web}], ports: [tcp/1001-65535]}")
	pol, err := compile("r1", oneTenant(rules...))
	if err != nil {
		return nil, err
	}
	people, err := strangers(pol)
	if err != nil {
		return nil, err
	}
	q := policy.Query{Src: people[0], Dst: people[1], Proto: packet.TCP, Port: 2000}
	eval, err := opaAlone(ctx, pol, q)
	if err != nil {
		return nil, err
	}
	decide := missing(pol, people)
	ratio, ours, theirs, err := alternate(ctx, e.Effort.Rounds,
		func(ctx context.Context) (float64, error) { return rate(ctx, e.Effort.Core, decide) },
		func(ctx context.Context) (float64, error) { return rate(ctx, e.Effort.Core, eval) })
	return []Value{{
		Line: "decide-uncached", Quantity: Quantity{ratio, Ratio},
		Note: fmt.Sprintf("%s; OPA alone %s", Quantity{ours, PerSecond}, Quantity{theirs, PerSecond}),
	}}, err
}

// strangers returns identities that differ from one another.
func strangers(pol *policy.Policy) ([]*inventory.Identity, error) {
	hosts := fakeHosts(1, 32)
	for i := range hosts[0].Endpoints {
		hosts[0].Endpoints[i].Labels = map[string]string{"n": strconv.Itoa(i)}
	}
	snap, refused := inventory.Build(inventory.NewInterner(), pol.Network(), hosts)
	if len(refused) > 0 {
		return nil, fmt.Errorf("endpoint refused: %s", refused[0].Text)
	}
	return snap.Identities(), nil
}

// missing decides about one port after the other and one pair after the other,
// so that none is in the cache: that forgets them long before they come again.
func missing(pol *policy.Policy, people []*inventory.Identity) func() (int, error) {
	const first, ports = 2000, 60_000
	asked := 0
	return func() (int, error) {
		before := pol.Stats()
		for range decisionBatch {
			pair := asked / ports
			q := policy.Query{
				Src: people[pair%len(people)], Dst: people[pair/len(people)%len(people)],
				Proto: packet.TCP, Port: uint16(first + asked%ports),
			}
			asked++
			if d := pol.Decide(start, q); d.Verdict != policy.Allow {
				return 0, fmt.Errorf("decision about port %d: %s (%s); want allow", q.Port, d.Verdict, d.Reason)
			}
		}
		if got := pol.Stats().Misses - before.Misses; got != decisionBatch {
			return 0, fmt.Errorf("%d of %d decisions were evaluated; want all", got, decisionBatch)
		}
		return decisionBatch, nil
	}
}

// opaAlone evaluates the same query with nothing of ours around it.
func opaAlone(ctx context.Context, pol *policy.Policy, q policy.Query) (func() (int, error), error) {
	raw, err := pol.Data()
	if err != nil {
		return nil, err
	}
	var data map[string]any
	if err := json.Unmarshal(raw, &data); err != nil {
		return nil, fmt.Errorf("read the policy's data: %w", err)
	}
	if raw, err = pol.Input(start, q); err != nil {
		return nil, err
	}
	input, err := ast.ValueFromReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the policy's input: %w", err)
	}
	module, err := fs.ReadFile(policies.FS, "system/admission.rego")
	if err != nil {
		return nil, err
	}
	prepared, err := rego.New(
		rego.Query("data.daoli.admission.decision"), rego.Module("admission.rego", string(module)),
		rego.Store(inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true))),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare OPA: %w", err)
	}
	return func() (int, error) {
		for range decisionBatch {
			set, err := prepared.Eval(ctx, rego.EvalParsedInput(input))
			if err != nil || len(set) != 1 {
				return 0, fmt.Errorf("OPA's evaluation gave %v: %w", set, err)
			}
		}
		return decisionBatch, nil
	}, nil
}
