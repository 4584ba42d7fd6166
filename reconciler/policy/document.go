package policy

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// Data returns the document data that OPA sees, as JSON: {"daoli": {"index":
// ...}}. With Input it is what `opa eval -d` needs to repeat a decision.
func (p *Policy) Data() ([]byte, error) { return documentJSON(p.evaluator.data.root) }

// Input returns the document input that OPA sees for q at the time now, as JSON.
func (p *Policy) Input(now time.Time, q Query) ([]byte, error) {
	return documentJSON(p.queryInput(p.passed(now), q, p.tenants.hooks).Value)
}

func documentJSON(v ast.Value) ([]byte, error) {
	plain, err := ast.JSON(v)
	if err != nil {
		return nil, fmt.Errorf("write a document of OPA: %w", err)
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("write a document of OPA: %w", err)
	}
	return text, nil
}
