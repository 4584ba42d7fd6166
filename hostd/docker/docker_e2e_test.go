//go:build e2e

package docker_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// binaries is a directory with the programs.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "dlbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := netns.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binaries = dir
	return m.Run()
}

const tenants = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: globex}
spec: {hosts: ["*"]}
`

const acme = `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]
  default: deny
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: test, tenant: acme}
spec:
  subnets: [{name: one, cidr: 10.2.0.0/24}]
  default: same-vpc
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec:
  ingress:
    - {from: [{subnet: web}], ports: [tcp/80, icmp/echo]}
`

const globex = `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: globex}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}]
  default: same-vpc
`

// site is a testbed whose hosts have a Docker each.
type site struct {
	*netns.Testbed
	t   *testing.T
	ctx context.Context
}

func start(t *testing.T, hosts int, dockerArgs ...string) *site {
	t.Helper()
	began := time.Now()
	tb, err := netns.Up(t.Context(), netns.Options{Hosts: hosts, Binaries: binaries, Docker: true, DockerArgs: dockerArgs, SpecsFS: fstest.MapFS{
		"tenants.yaml":             {Data: []byte(tenants)},
		"tenants/acme/prod.yaml":   {Data: []byte(acme)},
		"tenants/globex/prod.yaml": {Data: []byte(globex)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hosts up in %s", hosts, time.Since(began).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Log(tb.Logs(6000))
		}
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &site{tb, t, ctx}
	for _, h := range tb.Hosts {
		s.eventually("networks of "+h.Name, func() error {
			out, err := h.Docker.Do(ctx, "network", "ls", "--filter", "driver=daoli", "--format", "{{.Name}}")
			if n := len(strings.Fields(out)); err == nil && n != 4 {
				err = fmt.Errorf("%d networks: %q", n, out)
			}
			return err
		})
	}
	return s
}

// eventually waits until ok returns nil.
func (s *site) eventually(what string, ok func() error) {
	s.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond) // other programs' work has no event
	}
}

// run starts a container that sleeps.
func (s *site) run(host int, name, network string, args ...string) *netns.Container {
	s.t.Helper()
	c, err := s.Hosts[host].Docker.Run(s.ctx, name, network, append(args, netns.Image, "sleep", "100000")...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) ping(c *netns.Container, to *netns.Container, network string) error {
	_, err := c.Exec(s.ctx, "ping", "-c", "1", "-W", "1", to.Networks[network].Addr.String())
	return err
}

func TestContainersOfTwoHostsReachEachOtherByPolicy(t *testing.T) {
	s := start(t, 2)
	began := time.Now()
	a := s.run(0, "client", "acme-prod-web")
	t.Logf("a container in %s", time.Since(began).Round(time.Millisecond))
	b := s.run(1, "server", "acme-prod-web", "--label", "daoli.groups=web")
	c := s.run(1, "closed", "acme-prod-web")
	if err := s.ping(a, b, "acme-prod-web"); err != nil {
		t.Errorf("client to server: %v; want it let through by the group's rule", err)
	}
	if err := s.ping(a, c, "acme-prod-web"); err == nil {
		t.Error("client reaches a container without the group; want it denied")
	}
	out, err := a.Exec(s.ctx, "ip", "route")
	t.Logf("%s %v", out, err)
	out, err = a.Exec(s.ctx, "ip", "addr")
	t.Logf("%s %v", out, err)
}
