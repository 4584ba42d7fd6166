package docker

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/daolinet/daolinet/hostd/uplink"
)

// keepNetworks makes the networks that are missing, and removes those of our own
// that are no longer the host's.
func (d *Docker) keepNetworks(ctx context.Context, ours []Network, names map[string]bool) error {
	d.driver.mu.Lock()
	known, told := slices.Clone(d.driver.known), d.driver.told
	d.driver.mu.Unlock()
	if !told {
		return nil
	}
	return d.applyNetworks(ctx, known, ours, names)
}

// applyNetworks leaves the networks of hostd's own that are of known subnets. names
// are those of all Docker's networks.
func (d *Docker) applyNetworks(ctx context.Context, known []uplink.Network, ours []Network, names map[string]bool) error {
	var errs []error
	for _, n := range plan(known, ours, names).remove {
		if err := d.driver.api.remove(ctx, n); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(names, n.Name)
		d.cfg.Logger.Info("docker network removed", slog.String("network", n.Name))
	}
	create := plan(known, ours, names).create
	for _, name := range slices.Sorted(maps.Keys(create)) {
		n := create[name]
		if err := d.driver.api.create(ctx, name, n); err != nil {
			errs = append(errs, err)
			continue
		}
		d.cfg.Logger.Info("docker network made", slog.String("network", name), slog.String("vpc", n.VPCID()), slog.String("subnet", n.Subnet))
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
		if names[name] {
			name = LongName(n)
		}
		if !names[name] {
			p.create[name] = n
		}
	}
	return p
}
