//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// Docker networks of testdata/specs.
const (
	acmeWeb   = "acme-prod-web"
	acmeDB    = "acme-prod-db"
	acmeWide  = "acme-wide-one"
	globexWeb = "globex-prod-web"
)

// dockerNetworks is how many there are.
const dockerNetworks = 7

// asInstalled are the arguments of a dockerd that nobody configured: with a
// bridge docker0, and its iptables rules.
var asInstalled = []string{"--bridge=", "--iptables=true", "--ip-forward=true", "--ip-masq=true", "--userland-proxy=true"}

// startDocker is start, with a dockerd on each host.
func startDocker(t *testing.T, opt netns.Options) *fabric {
	t.Helper()
	opt.SpecsFS, opt.Docker = os.DirFS("testdata/specs"), true
	f := startWith(t, opt)
	for _, h := range f.Hosts {
		f.eventually("docker networks on "+h.Name, func() error {
			names, err := h.Docker.Do(f.ctx, "network", "ls", "--filter", "driver=daoli", "--format", "{{.Name}}")
			if n := len(strings.Fields(names)); err == nil && n != dockerNetworks {
				err = fmt.Errorf("there are %q; want %d", names, dockerNetworks)
			}
			return err
		})
	}
	return f
}

func (f *fabric) docker(host string) *netns.Docker { return f.Host(host).Docker }

// do runs docker(1) on a host, or ends the test.
func (f *fabric) do(host string, args ...string) string {
	f.t.Helper()
	said, err := f.docker(host).Do(f.ctx, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return said
}

// idle is a container's command that does nothing.
var idle = []string{netns.Image, "sleep", "10000"}

// run starts a container until the test ends; args end with image and command,
// or there are none of all.
func (f *fabric) run(host, name, network string, args ...string) *netns.Container {
	f.t.Helper()
	if len(args) == 0 || strings.HasPrefix(args[len(args)-1], "--") {
		args = append(args, idle...)
	}
	f.t.Cleanup(func() { f.gone(host, name) })
	c, err := f.docker(host).Run(f.ctx, name, network, args...)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// gone removes a container, if it is there.
func (f *fabric) gone(host, name string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), 20*time.Second)
	defer cancel()
	if _, err := f.docker(host).Do(ctx, "rm", "--force", name); err != nil && !strings.Contains(err.Error(), "No such container") {
		f.t.Error(err)
	}
}

// inspect returns what a container is now.
func (f *fabric) inspect(host, name string) *netns.Container {
	f.t.Helper()
	c, err := f.docker(host).Container(f.ctx, name)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// in returns a container's end in a network.
func (f *fabric) in(c *netns.Container, network string) *netns.Endpoint {
	f.t.Helper()
	e := c.Endpoint(network)
	if e == nil || !e.Addr.IsValid() {
		f.t.Fatalf("container %s is not in network %s: %+v", c.Name, network, c)
	}
	return e
}

// greeting makes a container answer each connection to a port with its name.
func greeting(port int) []string {
	return []string{netns.Image, "nc", "-ll", "-p", fmt.Sprint(port), "-e", "hostname"}
}

// fetch connects from inside a container, by a process of its own, and returns
// what the other end says.
func (f *fabric) fetch(c *netns.Container, to netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(f.ctx, 10*time.Second)
	defer cancel()
	said, err := c.Exec(ctx, "nc", "-w", "3", to.Addr().String(), fmt.Sprint(to.Port()))
	return strings.TrimSpace(said), err
}

// hears sees that a container gets an answer from another that greets.
func (f *fabric) hears(client, server *netns.Container, network string, port uint16) {
	f.t.Helper()
	to := f.in(server, network)
	// A server in a container takes a moment to listen.
	f.eventually(fmt.Sprintf("%s to hear %s", client.Name, server.Name), func() error {
		said, err := f.fetch(client, to.AddrPort(port))
		if err == nil && said == "" {
			err = errors.New("nothing was said")
		}
		return err
	})
}

// deaf sees that a container gets none from one that greets others.
func (f *fabric) deaf(client, server *netns.Container, network string, port uint16) {
	f.t.Helper()
	if said, err := f.fetch(client, f.in(server, network).AddrPort(port)); err == nil || said != "" {
		f.t.Errorf("%s reaches %s, which said %q; want it to be denied", client.Name, server.Name, said)
	}
}
