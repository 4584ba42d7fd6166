package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Timing of the keeper.
const (
	firstAgain = 200 * time.Millisecond // after the events ended
	lastAgain  = 2 * time.Second
	lookAgain  = 5 * time.Second  // after something could not be done
	lookAlways = 30 * time.Second // safety net
	syncWait   = 20 * time.Second // for one look at everything
)

// keep follows Docker's events until ctx ends: from their first moment on, what
// Docker has is compared with what there should be, whenever either changes.
func (d *Docker) keep(ctx context.Context) {
	for wait := firstAgain; ctx.Err() == nil; wait = min(2*wait, lastAgain) {
		began := time.Now()
		err := d.follow(ctx)
		d.driver.api.up.Store(false)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastAgain {
			wait = firstAgain
		}
		d.cfg.Logger.Info("docker does not answer", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// follow subscribes, looks at everything, and then at what events tell of.
func (d *Docker) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := d.driver.api.events(ctx)
	select {
	case err := <-stream.Err:
		return orEnded(err)
	default:
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	d.look()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-stream.Err:
			return orEnded(err)
		case m := <-stream.Messages:
			d.told(ctx, m)
			continue
		case <-d.kick:
		case <-timer.C:
		}
		next := lookAlways
		if err := d.sync(ctx); err != nil && ctx.Err() == nil {
			d.cfg.Logger.Warn("docker was not brought in line", slog.Any("err", err))
			next = lookAgain
		}
		timer.Reset(next)
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("its events ended")
	}
	return err
}

// told takes an event: what begins is Join's matter, what ends is looked at.
func (d *Docker) told(_ context.Context, m events.Message) {
	switch m.Action {
	case events.ActionStart, events.ActionConnect, events.ActionCreate:
		if m.Type == events.NetworkEventType && m.Action == events.ActionCreate {
			d.look()
		}
	default:
		d.look()
	}
}

// sync brings Docker's networks and the host's endpoints in line.
func (d *Docker) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	have, err := d.driver.host.Endpoints(ctx) // before Docker is asked: what comes later is not judged
	if err != nil {
		return err
	}
	ours, names, err := d.driver.api.networks(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]uplink.Network, len(ours))
	for _, n := range ours {
		byID[n.ID] = n.Subnet
	}
	if err := d.driver.book.setNetworks(byID); err != nil {
		return err
	}
	d.driver.api.up.Store(true)
	return errors.Join(d.keepNetworks(ctx, ours, names), d.collect(ctx, ours, have))
}

// keepNetworks makes the networks that are missing, and removes those of our own
// that are no longer the host's.
func (d *Docker) keepNetworks(ctx context.Context, ours []Network, names map[string]bool) error {
	d.driver.mu.Lock()
	known, told := slices.Clone(d.driver.known), d.driver.told
	d.driver.mu.Unlock()
	if !told {
		return nil
	}
	p := plan(known, ours, names)
	var errs []error
	for _, n := range p.remove {
		if err := d.driver.api.remove(ctx, n); err != nil {
			errs = append(errs, err)
			continue
		}
		d.cfg.Logger.Info("docker network removed", slog.String("network", n.Name))
	}
	for _, name := range slices.Sorted(maps.Keys(p.create)) {
		if err := d.driver.api.create(ctx, name, p.create[name]); err != nil {
			errs = append(errs, err)
			continue
		}
		d.cfg.Logger.Info("docker network made", slog.String("network", name), slog.String("vpc", p.create[name].VPCID()), slog.String("subnet", p.create[name].Subnet))
	}
	return errors.Join(errs...)
}

// plans is what is to be done to Docker's networks.
type plans struct {
	create map[string]uplink.Network // by name
	remove []Network
}

// plan compares the subnets that the host may have with Docker's networks of ours
// and the names of all its networks. A subnet whose network exists keeps it, under
// whatever name; a name that something else has is not touched.
func plan(known []uplink.Network, ours []Network, names map[string]bool) plans {
	p := plans{create: make(map[string]uplink.Network)}
	want := make(map[uplink.Network]bool, len(known))
	for _, n := range known {
		want[n] = true
	}
	have := make(map[uplink.Network]bool)
	free := maps.Clone(names)
	for _, n := range ours {
		switch {
		case !n.Own:
		case want[n.Subnet] && !have[n.Subnet]:
			have[n.Subnet] = true
		default:
			p.remove = append(p.remove, n)
		}
	}
	for name, n := range Names(known) {
		if have[n] {
			continue
		}
		if free[name] {
			name = longName(n)
		}
		if !free[name] {
			p.create[name] = n
		}
	}
	return p
}

// collect ends the endpoints whose interface Docker no longer has.
func (d *Docker) collect(ctx context.Context, ours []Network, have []endpoint.Endpoint) error {
	alive := make(map[string]bool)
	for _, n := range ours {
		_, places, err := d.driver.api.places(ctx, n.ID)
		if err != nil {
			return err
		}
		for _, p := range places {
			alive[p.endpoint] = true
		}
	}
	var errs []error
	for _, e := range garbage(have, alive) {
		if err := d.driver.host.Detach(ctx, e.Ref); err != nil {
			errs = append(errs, fmt.Errorf("end %s: %w", e.Ref, err))
			continue
		}
		d.cfg.Logger.Info("endpoint of an ended container detached", slog.String("endpoint", e.Ref.String()))
	}
	return errors.Join(errs...)
}

// garbage returns the endpoints of Docker's that are up and whose interface is
// not alive.
func garbage(have []endpoint.Endpoint, alive map[string]bool) []endpoint.Endpoint {
	return slices.DeleteFunc(slices.Clone(have), func(e endpoint.Endpoint) bool {
		return e.Docker == nil || e.State != endpoint.Up || alive[e.Docker.Endpoint]
	})
}
