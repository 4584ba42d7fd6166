package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"github.com/moby/moby/client"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// starting begins the key of an interface whose container is not yet running, in
// Docker's list.
const starting = "ep-"

// adopt takes in the endpoints of running containers that hostd has no record of,
// since what it had kept was lost. It is done once, when Docker is first looked at:
// later all that comes to be is known.
func (d *Docker) adopt(ctx context.Context, have []endpoint.Endpoint, ours []Network) error {
	if d.adopted {
		return nil
	}
	known := make(map[string]bool)
	for _, e := range have {
		if e.Docker != nil {
			known[e.Docker.Endpoint] = true
		}
	}
	var errs []error
	for _, n := range ours {
		_, all, err := d.driver.api.places(ctx, n.ID)
		if err != nil {
			return err // Docker does not answer: next time
		}
		for _, p := range all {
			if known[p.endpoint] || strings.HasPrefix(p.container, starting) {
				continue
			}
			if err := d.adoptPlace(ctx, n, p); err != nil {
				errs = append(errs, fmt.Errorf("adopt container %q in %q: %w", p.name, n.Name, err))
			}
		}
	}
	d.adopted = true
	return errors.Join(errs...)
}

func (d *Docker) adoptPlace(ctx context.Context, n Network, p place) error {
	box, err := d.driver.api.sandbox(ctx, p.container)
	if err != nil || box.netns == "" {
		return err // it has ended
	}
	c, err := d.driver.api.named(ctx, p.name)
	if err != nil {
		return err
	}
	r, err := c.of(endpoint.Request{
		Ref: endpoint.Ref{Tenant: n.Subnet.Tenant, VPC: n.Subnet.VPC}, Subnet: n.Subnet.Subnet, Interface: interfacePrefix, IP: p.ip, MAC: p.mac,
		Docker: &endpoint.Docker{Network: n.ID, Endpoint: p.endpoint, Sandbox: box.key},
	})
	if err != nil {
		return err
	}
	e, err := d.driver.host.Adopt(ctx, r, endpointNames(c.name, c.id), box.netns)
	var known *endpoint.Error
	if errors.As(err, &known) && known.Kind == endpoint.Conflict {
		have, herr := d.driver.host.Endpoints(ctx)
		if slices.ContainsFunc(have, func(o endpoint.Endpoint) bool { return o.Docker != nil && o.Docker.Endpoint == p.endpoint }) {
			return nil // it has just joined
		}
		err = errors.Join(err, herr)
	}
	if err == nil {
		d.cfg.Logger.Info("endpoint of a running container adopted", slog.String("endpoint", e.Ref.String()),
			slog.String("container", c.id), slog.String("ip", e.IP.String()), slog.String("device", e.Device()))
	}
	return err
}

// box is where a container's interfaces are.
type box struct {
	key   string // the file of its network namespace, as Docker has it
	netns string // a file of it that can be opened here; empty: it does not run
}

// sandbox returns a running container's. It is not asked inside a call of Docker's:
// of a container that starts it answers only afterwards.
func (d *daemon) sandbox(ctx context.Context, id string) (box, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	r, err := d.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return box{}, fmt.Errorf("ask docker for container %.12s: %w", id, err)
	}
	c := r.Container
	if c.State == nil || c.State.Pid == 0 || c.NetworkSettings == nil {
		return box{}, nil
	}
	return box{c.NetworkSettings.SandboxKey, fmt.Sprintf("/proc/%d/ns/net", c.State.Pid)}, nil
}

// route has running containers reach the subnets that their VPCs have by now: what
// Docker was told at their start does not change, and only one of a container's
// networks has its default route.
func (d *Docker) route(ctx context.Context, have []endpoint.Endpoint) error {
	known := d.driver.networks()
	next := make(map[string][]netip.Prefix, len(have))
	var errs []error
	for _, e := range have {
		if e.Docker == nil || e.State != endpoint.Up || e.Hidden {
			continue
		}
		to := subnets(known, e.VPCID())
		if len(to) == 0 { // nobody has said yet
			continue
		}
		if slices.Equal(d.routed[e.Docker.Endpoint], to) {
			next[e.Docker.Endpoint] = to
			continue
		}
		box, err := d.driver.api.sandbox(ctx, e.Docker.Container)
		if err == nil && box.netns != "" {
			err = d.driver.host.Route(ctx, box.netns, e.MAC, nextHop(e.Docker.Gateway), to)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("routes of %s: %w", e.Ref, err))
			continue
		}
		next[e.Docker.Endpoint] = to
	}
	d.routed = next
	return errors.Join(errs...)
}

// subnets returns those of a VPC, sorted, each once.
func subnets(known []uplink.Network, vpc string) []netip.Prefix {
	var out []netip.Prefix
	for _, n := range known {
		if n.VPCID() == vpc {
			out = append(out, n.CIDR)
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// Gateway returns the number of a next hop, which is what an endpoint.Docker keeps
// of it.
func Gateway(hop netip.Addr) (g uint8, ok bool) {
	first := nextHop(0).As4()
	b := hop.As4()
	g = b[3] - first[3]
	return g, hop.Is4() && [3]byte(b[:3]) == [3]byte(first[:3]) && g < maxInterfaces
}
