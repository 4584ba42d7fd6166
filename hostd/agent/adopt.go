package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
)

// adoptWait is how long a controller is told nothing where records of endpoints
// were lost: what it is not told of ends.
const adoptWait = 5 * time.Second

type adoptRequest struct {
	adopt  endpoint.Adopt
	answer chan<- endpoint.Answer // capacity 1
}

// Adopt takes in an endpoint that stands already: its device is the other end of
// the interface, its port has the device's number, and its name is that of the
// bridge's port, if it is one of names.
func (h *dockerHost) Adopt(ctx context.Context, r endpoint.Request, names []string, netns string) (endpoint.Endpoint, error) {
	f, err := nic.FindInterface(netns, r.MAC)
	if err != nil {
		return endpoint.Endpoint{}, err
	}
	if f.Addr != r.IP {
		return endpoint.Endpoint{}, fmt.Errorf("its interface has the address %s, and %s in Docker", f.Addr, r.IP)
	}
	port, ok := endpoint.PortOf(f.Device)
	if !ok {
		return endpoint.Endpoint{}, fmt.Errorf("device %q is no endpoint's", f.Device)
	}
	ports, err := h.plug.bridge.Ports(ctx)
	if err != nil {
		return endpoint.Endpoint{}, err
	}
	r.Name = names[0]
	for _, name := range names {
		if ref := (endpoint.Ref{Tenant: r.Tenant, VPC: r.VPC, Name: name}); ports[f.Device] == ref.String() {
			r.Name = name
		}
	}
	for _, hop := range f.Hops {
		if g, ok := docker.Gateway(hop); ok {
			r.Docker.Gateway = g
		}
	}
	if err := validate(&r); err != nil {
		return endpoint.Endpoint{}, err
	}
	answer := make(chan endpoint.Answer, 1)
	e, err := h.await(ctx, adoptRequest{endpoint.Adopt{Endpoint: endpoint.Endpoint{Request: r, Port: port}}, answer}, answer)
	if err == nil {
		err = h.plug.restore(ctx, []endpoint.Endpoint{e})
	}
	return e, err
}

// Route has a container's interface lead to subnets.
func (h *dockerHost) Route(_ context.Context, netns string, mac endpoint.MAC, hop netip.Addr, to []netip.Prefix) error {
	return nic.SetRoutes(netns, mac, hop, to)
}

// awaitAdoption waits until Docker has said whose ports the bridge has that nothing
// was kept of, if there are any: else the controller would be told that their
// endpoints ended.
func (l *loop) awaitAdoption(ctx context.Context, known []endpoint.Endpoint) {
	lost, err := l.plug.lostPorts(ctx, known)
	if err != nil {
		l.cfg.Logger.Warn("ports were not looked at", slog.Any("err", err))
		return
	}
	if len(lost) == 0 {
		return
	}
	l.cfg.Logger.Warn("records of endpoints are lost: docker is asked for its containers", slog.Any("ports", lost))
	if l.docker == nil {
		return
	}
	select {
	case <-l.docker.Looked():
	case <-ctx.Done():
	case <-time.After(adoptWait):
		l.cfg.Logger.Warn("docker has not said in time which containers there are: their sessions end, until it does")
	}
}

// lostPorts returns the endpoints whose ports the bridge has and that are not known.
func (p *plug) lostPorts(ctx context.Context, known []endpoint.Endpoint) ([]string, error) {
	ports, err := p.bridge.Ports(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range known {
		delete(ports, e.Device())
	}
	var lost []string
	for dev, owner := range ports {
		if _, ours := endpoint.PortOf(dev); ours {
			lost = append(lost, owner)
		}
	}
	slices.Sort(lost)
	return lost, nil
}
