package api

import (
	"context"
	"encoding/json"
	"net/http"
)

// maxPlanBody bounds what is sent to be tried, in bytes: a tree of the largest size
// that is loaded, as JSON.
const maxPlanBody = 128 << 20

// Planner is a Backend that tries revisions.
type Planner interface {
	// Plan tries a revision on what lives now, and changes nothing.
	Plan(ctx context.Context, q PlanRequest) (Plan, error)
}

// PlanRequest is a revision to be tried: files by their paths.
type PlanRequest struct {
	Specs    map[string][]byte `json:"specs"`
	Policies map[string][]byte `json:"policies"` // null: the built-in ones hold
}

// Plan is what a revision would do, and what is in force.
type Plan struct {
	// Refused is why the controller would not take the revision, a line each of
	// FILE:LINE: TEXT; then Cut is of no meaning.
	Refused []string  `json:"refused,omitempty"`
	Cut     []PlanCut `json:"cut"`
	Live    int       `json:"live"` // sessions that were judged

	Running  string            `json:"running"` // revision; "": none
	Specs    map[string][]byte `json:"specs"`   // of Running
	Policies map[string][]byte `json:"policies"`
}

// PlanCut is a live session that would be cut.
type PlanCut struct {
	Session  string   `json:"session"` // its cookie, as daolictl get sessions shows it
	From     End      `json:"from"`
	To       End      `json:"to"`
	Port     string   `json:"port"`
	Why      string   `json:"why"`      // as a session's end says it
	Decision Decision `json:"decision"` // empty where an end has no place any more
}

// planning answers one request at a time: a trial may take seconds of CPU, which
// first packets want as well.
func planning(p Planner) answerer {
	turn := make(chan struct{}, 1)
	return func(ctx context.Context, r *http.Request) (any, error) {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		default:
			return nil, &Error{Code: http.StatusServiceUnavailable, Message: "another plan is being made", Hint: "try again"}
		}
		var q PlanRequest
		d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxPlanBody))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil {
			return nil, invalid(`send {"specs": {PATH: BASE64}, "policies": {PATH: BASE64}}`, "the request cannot be read: %v", err)
		}
		plan, err := p.Plan(ctx, q)
		plan.Cut = nonNil(plan.Cut)
		return plan, err
	}
}

// Plan has a revision tried on what lives now.
func (c *Client) Plan(ctx context.Context, q PlanRequest) (Plan, error) {
	return ask[Plan](ctx, c, http.MethodPost, "/v1/plan", nil, q)
}
