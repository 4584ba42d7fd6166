package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/plan"
)

// planRunning plans against what the controller has in force, and has it try the
// revision on the sessions that live.
func (f *planFlags) planRunning(ctx context.Context, sys system, after judged, r gitsource.Revision) error {
	q := api.PlanRequest{}
	var err error
	if q.Specs, err = gitsource.FilesOf(r.Specs); err != nil {
		return err
	}
	if r.Policies != nil {
		if q.Policies, err = gitsource.FilesOf(r.Policies); err != nil {
			return err
		}
	}
	client := api.NewClient(f.socket)
	tried, err := client.Plan(ctx, q)
	if err != nil {
		return fmt.Errorf("ask the controller: %w; or compare with another state by --against", err)
	}
	if len(tried.Refused) > 0 {
		return problems(tried.Refused)
	}
	reported := reportsOf(after.sample)
	if after.sample == nil {
		if reported, err = reportsFrom(ctx, client); err != nil {
			return err
		}
	}
	if tried.Specs == nil {
		tried.Specs = gitsource.Files{} // nothing is in force yet
	}
	earlier := gitsource.Restore(tried.Running, nil, tried.Specs, tried.Policies, after.now)
	if tried.Policies == nil {
		earlier.Policies = nil
	}
	return f.compare(sys, earlier, after, reported, func(p *plan.Plan) {
		p.Live, p.Cut = tried.Live, []plan.Cut{}
		for _, c := range tried.Cut {
			p.Cut = append(p.Cut, plan.Cut{
				ID: c.Session, From: c.From.Name, To: c.To.Name, Port: c.Port, Why: c.Why,
				Reason: c.Decision.Reason, Rule: c.Decision.Rule, At: c.Decision.At,
			})
		}
	})
}

// reportsFrom returns the endpoints that the controller sees.
func reportsFrom(ctx context.Context, client *api.Client) ([]inventory.EndpointReport, error) {
	seen, err := client.Endpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the controller for its endpoints: %w", err)
	}
	var all []inventory.EndpointReport
	for _, e := range seen {
		addr, err := netip.ParseAddr(e.IP)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.Name, err)
		}
		all = append(all, inventory.EndpointReport{
			// A claim of a group that it is in by its members grants nothing, then and now.
			Name: e.Name, Tenant: e.Tenant, VPC: e.VPC, Subnet: e.Subnet, Claims: append(e.Groups, e.Ignored...), Labels: e.Labels, IP: addr,
		})
	}
	return all, nil
}
