package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Plan tries a revision on the sessions that live now. They are copied on the loop,
// and judged beside it.
func (b *backend) Plan(ctx context.Context, q api.PlanRequest) (api.Plan, error) {
	c := (*Controller)(b)
	now := time.Now()
	r := gitsource.Restore("planned", nil, q.Specs, q.Policies, now)
	if q.Policies == nil {
		r.Policies = nil
	}
	var trial engine.Trial
	var out api.Plan
	err := c.ask(ctx, func() { trial, out.Running = c.engine.Trial(), c.revision.ID })
	if err != nil {
		return api.Plan{}, err
	}
	if err := c.running(&out); err != nil {
		return api.Plan{}, err
	}
	loaded, errs := try(now, r, c.sandbox, func(n *spec.Network) []*inventory.Identity { return c.observed(ctx, n) })
	if out.Refused = errs; len(errs) > 0 {
		return out, nil
	}
	out.Live = len(trial.Sessions)
	for _, cut := range trial.Cuts(now, asking{loaded.Policy}) {
		p := api.PlanCut{
			Session: fmt.Sprintf("%#x", cut.ID), From: endOf(cut.Standing.Client), To: endOf(cut.Standing.Server),
			Port: portName(cut.Proto, cut.Port), Why: string(cut.Cut),
		}
		if cut.Cut == session.EndPolicy {
			p.Decision = decisionOf(cut.Decision)
		}
		out.Cut = append(out.Cut, p)
	}
	return out, nil
}

// running adds the files of the revision in force, if there is one.
func (c *Controller) running(p *api.Plan) error {
	if p.Running == "" {
		return nil
	}
	r, err := c.history.load(p.Running)
	if err != nil {
		return fmt.Errorf("read revision %s: %w", p.Running, err)
	}
	if p.Specs, err = gitsource.FilesOf(r.Specs); err == nil && r.Policies != nil {
		p.Policies, err = gitsource.FilesOf(r.Policies)
	}
	return err
}

// load returns a revision that was in force, from the disk unless it waits to be
// stored.
func (h *history) load(id string) (gitsource.Revision, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.toStore {
		if h.toStore[i].revision.ID == id {
			return h.toStore[i].revision, nil
		}
	}
	return h.store.Load(id)
}
