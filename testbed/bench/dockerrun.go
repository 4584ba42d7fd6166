package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// What docker run may take with a network of ours, of what it takes without any.
const (
	dockerFactor = 1.2
	dockerExtra  = 300 * time.Millisecond
)

// measureDockerRun runs containers without a network and with one of ours in
// turn: from docker run until it returned, and, with the network, until a
// container on another host has connected to it.
func measureDockerRun(ctx context.Context, e *Env) (values []Value, err error) {
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	tb, err := netns.Up(ctx, netns.Options{Hosts: 2, SpecsFS: oneTenant(), Binaries: binaries, Docker: true, Prefix: "b"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tb.Close()) }()
	const network = tenant + "-" + vpc + "-web"
	peer, err := runPeer(ctx, tb.Hosts[1].Docker, network)
	if err != nil {
		return nil, err
	}
	var without, with []float64
	for range max(2, 4*e.Effort.Rounds) {
		for name, times := range map[string]*[]float64{"none": &without, network: &with} {
			took, err := dockerRun(ctx, tb.Hosts[0].Docker, name, peer.Endpoint(network))
			if err != nil {
				return nil, err
			}
			*times = append(*times, took.Seconds())
		}
	}
	bare, ours := median(without), median(with)
	return []Value{{
		Line: "docker-run", Quantity: Quantity{ours / (dockerFactor*bare + dockerExtra.Seconds()), Ratio},
		Note: fmt.Sprintf("%s, with --network none %s; of %d each", Quantity{1000 * ours, Milliseconds}, Quantity{1000 * bare, Milliseconds}, len(with)),
	}}, nil
}

// runPeer runs a container as soon as there is the network.
func runPeer(ctx context.Context, d *netns.Docker, network string) (*netns.Container, error) {
	for {
		c, err := d.Run(ctx, "peer", network, netns.Image, "sleep", "10000")
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		if _, gone := d.Do(ctx, "rm", "--force", "peer"); gone != nil && ctx.Err() == nil {
			return nil, errors.Join(err, gone)
		}
	}
}

// dockerRun returns after what time a container runs and, in a network other
// than none, has been reached.
func dockerRun(ctx context.Context, d *netns.Docker, network string, peer *netns.Endpoint) (took time.Duration, err error) {
	begin := time.Now()
	if _, err := d.Do(ctx, "run", "--detach", "--name", "run", "--network", network, netns.Image, "nc", "-ll", "-p", "80", "-e", "true"); err != nil {
		return 0, err
	}
	took = time.Since(begin)
	defer func() {
		_, gone := d.Do(ctx, "rm", "--force", "run")
		err = errors.Join(err, gone)
	}()
	if network == "none" {
		return took, nil
	}
	inspecting := time.Now()
	c, err := d.Container(ctx, "run")
	if err != nil {
		return 0, err
	}
	begin = begin.Add(time.Since(inspecting)) // ours to know the address by
	for {
		conn, err := inside.Dial(ctx, peer.Namespace, "tcp4", 0, c.Endpoint(network).AddrPort(80))
		if err == nil {
			return time.Since(begin), conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) { // it does not listen yet
			return 0, err
		}
	}
}
