package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// interfacePrefix is how Docker names interfaces: eth0, eth1, ...
const interfacePrefix = "eth"

// maxInterfaces bounds a container's networks: each has a next hop of its own.
const maxInterfaces = 16

// Join finds out whose the interface is, makes it, and answers when a controller
// has confirmed that its flows are in the switch: the container's first packet
// meets its policy. Where one is missing, it fails and leaves nothing behind.
func (d *Driver) Join(ctx context.Context, q plugin.JoinRequest) (plugin.JoinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	n, err := d.network(ctx, q.NetworkID)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	if !d.api.up.wait(ctx, knowWait) {
		return d.joinHidden(ctx, n, q)
	}
	p, c, err := d.identify(ctx, q)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	r, err := d.request(ctx, n, p, q)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	e, err := d.attach(ctx, r, c)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	d.log.Info("container joined", slog.String("endpoint", e.Ref.String()), slog.String("container", c.id), slog.String("ip", e.IP.String()))
	return d.answer(n, &e), nil
}

// joinHidden makes the interface of a container that nobody can be asked about,
// since dockerd starts, and waits for us. Nothing passes through it before the
// container is known.
func (d *Driver) joinHidden(ctx context.Context, n uplink.Network, q plugin.JoinRequest) (plugin.JoinAnswer, error) {
	p, begun := d.book.takePending(q.EndpointID)
	if !begun || p.held.Ref.Name == "" {
		return plugin.JoinAnswer{}, errors.New("dockerd does not answer, and the address was not leased by this daoli-hostd")
	}
	r, err := d.request(ctx, n, p, q)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	r.Name, r.Held, r.Hidden = r.Held, "", true
	e, err := d.host.Attach(ctx, r)
	if err != nil {
		return plugin.JoinAnswer{}, err
	}
	d.log.Info("container joined before dockerd answers", slog.String("endpoint", e.Ref.String()), slog.String("ip", e.IP.String()))
	return d.answer(n, &e), nil
}

// network returns what a network of Docker's is.
func (d *Driver) network(ctx context.Context, id string) (uplink.Network, error) {
	if n, found := d.book.network(id); found {
		return n, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	n, _, err := d.api.places(ctx, id)
	if err != nil {
		return uplink.Network{}, err
	}
	return n.Subnet, d.book.addNetwork(id, n.Subnet)
}

// identify finds the container that an interface is for. Docker's own calls never
// say: its list of a network's interfaces has the container's name, by which its
// list of containers has the rest.
func (d *Driver) identify(ctx context.Context, q plugin.JoinRequest) (pending, container, error) {
	p, begun := d.book.takePending(q.EndpointID)
	_, places, err := d.api.places(ctx, q.NetworkID)
	if err != nil {
		return p, container{}, err
	}
	for _, o := range places {
		if o.endpoint != q.EndpointID {
			continue
		}
		if !begun { // hostd was started since
			p = pending{ip: o.ip, mac: o.mac}
		}
		c, err := d.api.named(ctx, o.name)
		return p, c, err
	}
	return p, container{}, fmt.Errorf("docker does not say whose endpoint %.12s is", q.EndpointID)
}

// request says what endpoint an interface is to be, but for what the container says.
func (d *Driver) request(ctx context.Context, n uplink.Network, p pending, q plugin.JoinRequest) (endpoint.Request, error) {
	all, err := d.host.Endpoints(ctx)
	if err != nil {
		return endpoint.Request{}, err
	}
	gateway, err := beside(all, d.networks(), q, n.VPCID())
	if err != nil {
		return endpoint.Request{}, err
	}
	return endpoint.Request{
		Ref: endpoint.Ref{Tenant: n.Tenant, VPC: n.VPC}, Subnet: n.Subnet, Interface: interfacePrefix,
		IP: p.ip, MAC: p.mac, Held: p.held.Ref.Name,
		Docker: &endpoint.Docker{Network: q.NetworkID, Endpoint: q.EndpointID, Sandbox: q.SandboxKey, Gateway: gateway},
	}, nil
}

// beside looks at the container's other interfaces: which next hop is free, and
// whether routes to vpc can stand beside theirs.
func beside(all []endpoint.Endpoint, known []uplink.Network, q plugin.JoinRequest, vpc string) (gateway uint8, err error) {
	used := make(map[uint8]bool)
	for i := range all {
		e := &all[i]
		if e.Docker == nil || e.Docker.Sandbox != q.SandboxKey || e.Docker.Endpoint == q.EndpointID || e.State == endpoint.Leaving {
			continue
		}
		if err := overlap(known, vpc, e.VPCID()); err != nil {
			return 0, err
		}
		used[e.Docker.Gateway] = true
	}
	for g := range uint8(maxInterfaces) {
		if !used[g] {
			return g, nil
		}
	}
	return 0, fmt.Errorf("the container has %d networks already", len(used))
}

// of returns what an endpoint is as that of a container, but for its name.
func (c *container) of(r endpoint.Request) (endpoint.Request, error) {
	var err error
	if r.Groups, r.Labels, err = claims(c.labels); err != nil {
		return r, err
	}
	docker := *r.Docker
	docker.Container, docker.Name = c.id, c.name
	r.Docker = &docker
	return r, nil
}

// attach makes the endpoint, under the best name that is free.
func (d *Driver) attach(ctx context.Context, r endpoint.Request, c container) (endpoint.Endpoint, error) {
	r, err := c.of(r)
	if err != nil {
		return endpoint.Endpoint{}, err
	}
	var first error
	for _, name := range endpointNames(c.name, c.id) {
		r.Name = name
		e, err := d.attachAs(ctx, r)
		if err == nil {
			return e, nil
		}
		if first == nil {
			first = err
		}
		if e.Name != "" && e.Held == "" { // the address is that name's now
			r.Held = e.Name
		}
		var known *endpoint.Error
		if !errors.As(err, &known) || known.Kind != endpoint.Conflict && known.Kind != endpoint.Refused {
			break
		}
	}
	return endpoint.Endpoint{}, first
}

// attachAs makes the endpoint under a name. An endpoint that is left over under
// it, since hostd missed its end, ends first.
func (d *Driver) attachAs(ctx context.Context, r endpoint.Request) (endpoint.Endpoint, error) {
	for {
		e, err := d.host.Attach(ctx, r)
		var known *endpoint.Error
		if err == nil || !errors.As(err, &known) || known.Kind != endpoint.Conflict {
			return e, err
		}
		over, lerr := d.leftOver(ctx, r)
		if lerr != nil || !over {
			return e, errors.Join(err, lerr)
		}
		if derr := d.host.Detach(ctx, r.Ref); derr != nil {
			return e, errors.Join(err, derr)
		}
	}
}

// leftOver reports whether the endpoint that has r's name has ended in Docker.
func (d *Driver) leftOver(ctx context.Context, r endpoint.Request) (bool, error) {
	all, err := d.host.Endpoints(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range all {
		if e.Ref != r.Ref {
			continue
		}
		if e.State == endpoint.Leaving || e.Docker != nil && e.Docker.Container == r.Docker.Container {
			return true, nil
		}
		if e.Docker == nil {
			return false, nil
		}
		here, err := d.api.exists(ctx, e.Docker.Container)
		return !here, err
	}
	return true, nil // it went meanwhile
}

// answer tells Docker what to do with the interface.
func (d *Driver) answer(n uplink.Network, e *endpoint.Endpoint) plugin.JoinAnswer {
	hop := nextHop(e.Docker.Gateway)
	return plugin.JoinAnswer{
		InterfaceName: plugin.InterfaceName{SrcName: e.Peer(), DstPrefix: interfacePrefix},
		Gateway:       hop.String(),
		StaticRoutes:  routes(append(d.networks(), n), n.VPCID(), hop),
		// Else Docker adds an interface on docker_gwbridge: a way around the switch.
		DisableGatewayService: true,
	}
}

// routes lead to the next hop itself, and through it to all of the VPC: the
// default route is only one interface's.
func routes(known []uplink.Network, vpc string, hop netip.Addr) []plugin.StaticRoute {
	out := []plugin.StaticRoute{{Destination: netip.PrefixFrom(hop, 32).String(), RouteType: plugin.OnLink}}
	seen := make(map[netip.Prefix]bool)
	for _, n := range known {
		if n.VPCID() == vpc && !seen[n.CIDR] {
			seen[n.CIDR] = true
			out = append(out, plugin.StaticRoute{Destination: n.CIDR.String(), RouteType: plugin.NextHop, NextHop: hop.String()})
		}
	}
	return out
}

// nextHop returns the g-th next hop. The switch answers for all that it is asked
// for, and they never stand in a packet.
func nextHop(g uint8) netip.Addr { return netip.AddrFrom4([4]byte{169, 254, 1, 1 + g}) }
