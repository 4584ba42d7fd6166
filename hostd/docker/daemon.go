package docker

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// driverName is ours, as Docker knows it: the plugin socket's name.
const driverName = "daoli"

// ownLabel marks the networks that hostd made and may delete.
const ownLabel = "daoli.hostd"

// daemon is dockerd's API. It answers only what may be asked while dockerd waits
// for us: an inspection of a container would wait for its start, which waits
// for our answer.
type daemon struct {
	api *client.Client
	up  gate // events flow: only then does it answer soon
}

// gate is a door that somebody opens and closes, and others wait at.
type gate struct {
	mu   sync.Mutex    // guards what follows
	shut chan struct{} // closed when the door is open; nil: shut, and nobody waits
	open bool
}

// set opens or closes it.
func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if open && !g.open && g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
	g.open = open
}

// isOpen reports whether it is open.
func (g *gate) isOpen() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// wait waits until it is open, but not longer than d, and reports whether it is.
func (g *gate) wait(ctx context.Context, d time.Duration) bool {
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return true
	}
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
	opened := g.shut
	g.mu.Unlock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-opened:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func newDaemon(socket string) (*daemon, error) {
	c, err := client.New(client.WithHost("unix://" + socket))
	if err != nil {
		return nil, fmt.Errorf("docker at %s: %w", socket, err)
	}
	return &daemon{api: c}, nil
}

// Network is a Docker network of ours.
type Network struct {
	ID, Name string
	Own      bool // hostd made it
	Subnet   uplink.Network
}

// networks lists ours, and the names of all.
func (d *daemon) networks(ctx context.Context) (ours []Network, names map[string]bool, err error) {
	r, err := d.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("list docker's networks: %w", err)
	}
	names = make(map[string]bool, len(r.Items))
	for _, n := range r.Items {
		names[n.Name] = true
		if v, ok := ourNetwork(n.Network); ok {
			ours = append(ours, v)
		}
	}
	return ours, names, nil
}

// ourNetwork reads a network of our driver.
func ourNetwork(n network.Network) (Network, bool) {
	if n.Driver != driverName || len(n.IPAM.Config) != 1 {
		return Network{}, false
	}
	sub, err := subnetOf(n.Options)
	if err != nil {
		return Network{}, false
	}
	sub.CIDR = n.IPAM.Config[0].Subnet
	_, own := n.Labels[ownLabel]
	return Network{ID: n.ID, Name: n.Name, Own: own, Subnet: sub}, true
}

// create makes the network of a subnet.
func (d *daemon) create(ctx context.Context, name string, n uplink.Network) error {
	options := map[string]string{VPCOption: n.VPCID(), SubnetOption: n.Subnet}
	_, err := d.api.NetworkCreate(ctx, name, client.NetworkCreateOptions{
		Driver: driverName, Options: options, Labels: map[string]string{ownLabel: "1"},
		IPAM: &network.IPAM{Driver: driverName, Options: options, Config: []network.IPAMConfig{{Subnet: n.CIDR}}},
	})
	if err != nil {
		return fmt.Errorf("make docker network %q: %w", name, err)
	}
	return nil
}

// remove deletes a network, unless a container has it, even one that doesn't run.
func (d *daemon) remove(ctx context.Context, n Network) error {
	r, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: having(n)})
	if err != nil {
		return fmt.Errorf("list the containers of docker network %q: %w", n.Name, err)
	}
	if len(r.Items) > 0 {
		return fmt.Errorf("docker network %q is no longer one of this host's, but %d containers have it: remove them", n.Name, len(r.Items))
	}
	if _, err := d.api.NetworkRemove(ctx, n.ID, client.NetworkRemoveOptions{}); err != nil {
		return fmt.Errorf("remove docker network %q: %w", n.Name, err)
	}
	return nil
}

// having finds the containers that have a network: those that were never started
// by its name only.
func having(n Network) client.Filters { return make(client.Filters).Add("network", n.ID, n.Name) }

// disconnect takes a network from all containers that have it.
func (d *daemon) disconnect(ctx context.Context, n Network) error {
	all, err := d.containers(ctx, having(n))
	if err != nil {
		return err
	}
	for _, c := range all {
		if _, err := d.api.NetworkDisconnect(ctx, n.ID, client.NetworkDisconnectOptions{Container: c.id, Force: true}); err != nil {
			return fmt.Errorf("take docker network %q from container %q: %w", n.Name, c.name, err)
		}
	}
	return nil
}

// place is an interface as Docker lists it.
type place struct {
	container string // its ID, or "ep-" and the endpoint's while it starts
	endpoint  string
	name      string // of the container
	ip        netip.Addr
	mac       endpoint.MAC
}

// places lists a network's interfaces.
func (d *daemon) places(ctx context.Context, id string) (Network, []place, error) {
	r, err := d.api.NetworkInspect(ctx, id, client.NetworkInspectOptions{})
	if err != nil {
		return Network{}, nil, fmt.Errorf("ask docker for network %.12s: %w", id, err)
	}
	n, ok := ourNetwork(r.Network.Network)
	if !ok {
		return Network{}, nil, fmt.Errorf("docker network %q is not ours", r.Network.Name)
	}
	var out []place
	for key, c := range r.Network.Containers {
		p := place{container: key, endpoint: c.EndpointID, name: c.Name, ip: c.IPv4Address.Addr()}
		if len(c.MacAddress) == len(p.mac) {
			p.mac = endpoint.MAC(c.MacAddress)
		}
		out = append(out, p)
	}
	return n, out, nil
}

// container is what a container says of itself.
type container struct {
	id, name string
	labels   map[string]string
}

// named returns the container of a name.
func (d *daemon) named(ctx context.Context, name string) (container, error) {
	name = strings.TrimPrefix(name, "/")
	all, err := d.containers(ctx, make(client.Filters).Add("name", "^/"+name+"$"))
	if err != nil {
		return container{}, err
	}
	for _, c := range all {
		if c.name == name {
			return c, nil
		}
	}
	return container{}, fmt.Errorf("docker knows no container %q", name)
}

// exists reports whether there is a container of an ID.
func (d *daemon) exists(ctx context.Context, id string) (bool, error) {
	all, err := d.containers(ctx, make(client.Filters).Add("id", id))
	return len(all) > 0, err
}

// containers lists containers, also those that don't run.
func (d *daemon) containers(ctx context.Context, f client.Filters) ([]container, error) {
	r, err := d.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: f})
	if err != nil {
		return nil, fmt.Errorf("list docker's containers: %w", err)
	}
	var out []container
	for _, c := range r.Items {
		v := container{id: c.ID, labels: c.Labels}
		for _, n := range c.Names { // those of links have a second slash
			if n = strings.TrimPrefix(n, "/"); !strings.Contains(n, "/") {
				v.name = n
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// events are what may change something for us.
func (d *daemon) events(ctx context.Context) client.EventsResult {
	f := make(client.Filters).Add("type", string(events.NetworkEventType), string(events.ContainerEventType)).
		Add("event", string(events.ActionCreate), string(events.ActionDestroy), string(events.ActionRemove),
			string(events.ActionRename), string(events.ActionDie), string(events.ActionStart), string(events.ActionDisconnect), string(events.ActionConnect))
	return d.api.Events(ctx, client.EventsListOptions{Filters: f})
}
