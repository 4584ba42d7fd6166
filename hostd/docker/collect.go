package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/daolinet/daolinet/hostd/endpoint"
)

// places lists the interfaces of those networks in which the host has endpoints,
// by their IDs.
func (d *Docker) places(ctx context.Context, ours []Network, have []endpoint.Endpoint) (map[string]place, error) {
	used := make(map[string]bool)
	for _, e := range have {
		if e.Docker != nil {
			used[e.Docker.Network] = true
		}
	}
	out := make(map[string]place)
	for _, n := range ours {
		if !used[n.ID] {
			continue
		}
		_, all, err := d.driver.api.places(ctx, n.ID)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			out[p.endpoint] = p
		}
	}
	return out, nil
}

// collect ends the endpoints whose interface Docker no longer has.
func (d *Docker) collect(ctx context.Context, have []endpoint.Endpoint, places map[string]place) error {
	var errs []error
	for _, e := range garbage(have, places) {
		if err := d.driver.host.Detach(ctx, e.Ref); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", e.Ref, err))
			continue
		}
		d.cfg.Logger.Info("endpoint of an ended container detached", slog.String("endpoint", e.Ref.String()))
	}
	return errors.Join(errs...)
}

// garbage returns the endpoints of Docker's that are up and whose interface it no
// longer has.
func garbage(have []endpoint.Endpoint, places map[string]place) []endpoint.Endpoint {
	return slices.DeleteFunc(slices.Clone(have), func(e endpoint.Endpoint) bool {
		if e.Docker == nil || e.State != endpoint.Up {
			return true
		}
		_, alive := places[e.Docker.Endpoint]
		return alive
	})
}

// rename gives endpoints the names of their containers: those whose container was
// not known when it joined, and those that have another name since.
func (d *Docker) rename(ctx context.Context, have []endpoint.Endpoint, places map[string]place) error {
	var errs []error
	for _, e := range have {
		if e.Docker == nil || e.State != endpoint.Up {
			continue
		}
		p, alive := places[e.Docker.Endpoint]
		if !alive || p.name == e.Docker.Name {
			continue
		}
		errs = append(errs, d.identify(ctx, e, p.name))
	}
	return errors.Join(errs...)
}

// identify gives an endpoint the best name that is free.
func (d *Docker) identify(ctx context.Context, e endpoint.Endpoint, name string) error {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	c, err := d.driver.api.named(ctx, name)
	if err != nil {
		return err
	}
	to, err := c.of(e.Request)
	if err != nil {
		return fmt.Errorf("container %q: %w", name, err)
	}
	var first error
	for _, to.Name = range endpointNames(c.name, c.id) {
		now, err := d.driver.host.Identify(ctx, e.Ref, to)
		if err == nil {
			d.cfg.Logger.Info("endpoint named", slog.String("endpoint", now.Ref.String()), slog.String("container", c.id))
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}
