package netns

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Container is a Docker container of the testbed as docker inspect described it
// when it was asked. One that is restarted is another Container.
type Container struct {
	ID, Name, Host string
	State          string // created, running, exited ...
	ExitCode       int
	Namespace      string              // of its network while it runs, for package inside
	Networks       map[string]*Network // by the networks' names

	docker *Docker
}

// Network is a container's end in a network.
type Network struct {
	ID, EndpointID string
	Addr           netip.Addr
	HWAddr         string
}

// Run starts a container as `docker run --detach --name NAME --network NETWORK
// ARGS... ` does, where args end with the image and its command. network "" is
// none. It stays until it is removed, or the testbed ends.
func (d *Docker) Run(ctx context.Context, name, network string, args ...string) (*Container, error) {
	if network == "" {
		network = "none"
	}
	if _, err := d.Do(ctx, append([]string{"run", "--detach", "--name", name, "--network", network}, args...)...); err != nil {
		return nil, err
	}
	return d.Container(ctx, name)
}

// Container inspects the container with that name or id.
func (d *Docker) Container(ctx context.Context, name string) (*Container, error) {
	text, err := d.Do(ctx, "container", "inspect", name)
	if err != nil {
		return nil, err
	}
	var all []struct {
		ID    string `json:"Id"`
		Name  string
		State struct {
			Status   string
			Pid      int
			ExitCode int
		}
		NetworkSettings struct {
			Networks map[string]struct{ NetworkID, EndpointID, IPAddress, MacAddress string }
		}
	}
	if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != 1 {
		return nil, fmt.Errorf("read description of container %s: %d containers, %w", name, len(all), err)
	}
	a := all[0]
	c := &Container{ID: a.ID, Name: strings.TrimPrefix(a.Name, "/"), Host: d.host.Name, State: a.State.Status, ExitCode: a.State.ExitCode,
		Networks: map[string]*Network{}, docker: d}
	if a.State.Pid != 0 {
		c.Namespace = fmt.Sprintf("/proc/%d/ns/net", a.State.Pid)
	}
	for name, n := range a.NetworkSettings.Networks {
		addr, _ := netip.ParseAddr(n.IPAddress) // none while it does not run
		c.Networks[name] = &Network{n.NetworkID, n.EndpointID, addr, n.MacAddress}
	}
	return c, nil
}

// Exec runs a command in the container and returns what it printed.
func (c *Container) Exec(ctx context.Context, argv ...string) (string, error) {
	return c.docker.Do(ctx, append([]string{"exec", c.Name}, argv...)...)
}

// Remove ends the container and removes it, as docker rm --force does.
func (c *Container) Remove(ctx context.Context) error {
	_, err := c.docker.Do(ctx, "rm", "--force", c.ID)
	return err
}

// Endpoint returns the container's end in a network whose name says
// TENANT-VPC-SUBNET, none of which has a dash in it, or nil if it is in no such
// network. It is Docker's: it can't be detached.
func (c *Container) Endpoint(network string) *Endpoint {
	n := c.Networks[network]
	words := strings.Split(network, "-")
	if n == nil || len(words) != 3 {
		return nil
	}
	return &Endpoint{
		EndpointSpec: EndpointSpec{Name: c.Name, Host: c.Host, VPC: words[0] + "/" + words[1], Subnet: words[2]},
		Namespace:    c.Namespace, Addr: n.Addr, HWAddr: n.HWAddr, testbed: c.docker.host.testbed,
	}
}
