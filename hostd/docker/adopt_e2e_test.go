//go:build e2e

package docker_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestContainersAreAdoptedWhenRecordsAreLost: daoli-hostd dies, and all that it
// had kept of endpoints is deleted. Not a packet of what runs is lost, and the
// containers' ends are noticed as ever.
func TestContainersAreAdoptedWhenRecordsAreLost(t *testing.T) {
	s := start(t, 2)
	before := s.settled()
	peer := s.run(1, "peer", "acme-test-one")
	client := s.run(1, "client", "acme-prod-web")
	s.run(0, "both", "acme-prod-web", "--label", "daoli.groups=web", "--label", "daoli.label.tier=front")
	s.do(0, "network", "connect", "acme-test-one", "both")
	both := s.inspect(0, "both")
	s.run(0, "was", "acme-test-one")
	s.do(0, "rename", "was", "is")
	all := []string{"acme/prod/both@h1", "acme/prod/client@h2", "acme/test/both@h1", "acme/test/is@h1", "acme/test/peer@h2"}
	s.awaitEndpoints(all...)
	was := s.inspect(0, "is")

	// 25 packets in 5 s, through what follows.
	type traffic struct {
		said string
		err  error
	}
	done := make(chan traffic, 2)
	for c, to := range map[*netns.Container]string{client: both.Networks["acme-prod-web"].Addr.String(), peer: was.Networks["acme-test-one"].Addr.String()} {
		go func() {
			said, err := c.Exec(s.ctx, "ping", "-i", "0.2", "-c", "25", "-W", "1", to)
			done <- traffic{said, err}
		}()
	}
	s.Hosts[0].Hostd().Kill()
	for _, name := range []string{"endpoints", "docker.json"} {
		if err := os.RemoveAll(filepath.Join(s.Hosts[0].StateDir(), name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Hosts[0].StartHostd(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.eventually("all are reported again", func() error {
		if n := strings.Count(s.Logs(1<<20), "endpoint of a running container adopted"); n != 3 {
			return fmt.Errorf("%d are adopted", n)
		}
		return nil
	})
	const reported = `msg="host connected" host=h1 endpoints=`
	s.eventually("the host to report again", func() error {
		if n := strings.Count(s.Logs(1<<20), reported); n < 2 {
			return fmt.Errorf("%d reports", n)
		}
		return nil
	})
	if !strings.Contains(s.Logs(1<<20), reported+"3") {
		t.Error("a controller was told that endpoints ended: want all of them in the first report")
	}
	s.awaitEndpoints(all...)
	for range 2 {
		if r := <-done; r.err != nil || !strings.Contains(r.said, " 0% packet loss") {
			t.Errorf("traffic meanwhile: %v: %s", r.err, r.said)
		}
	}
	for what, err := range map[string]error{
		"client to both": s.ping(client, both, "acme-prod-web"), "peer to both": s.ping(peer, both, "acme-test-one"),
		"both to peer": s.ping(both, peer, "acme-test-one"), "peer to is": s.ping(peer, was, "acme-test-one"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	found, err := s.Controller.API().Endpoints(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if e.VPC == "prod" && e.Name == "both" && (fmt.Sprint(e.Groups) != "[web]" || e.Labels["tier"] != "front") {
			t.Errorf("both is %+v; want its group and label", e)
		}
	}
	// A further interface gets a next hop and a port that nobody has.
	s.do(0, "network", "disconnect", "acme-test-one", "both")
	s.do(0, "network", "connect", "acme-test-one", "both")
	if err := s.ping(peer, s.inspect(0, "both"), "acme-test-one"); err != nil {
		t.Errorf("connected again: %v", err)
	}
	s.clean()
	if after := s.settled(); after != before {
		t.Errorf("something is left behind:\n%s\nwas:\n%s", after, before)
	}
}

// TestLateSubnetsAreRoutedInContainersOfSeveralNetworks, whose default route
// leads to another network, and no longer when the subnet is gone.
func TestLateSubnetsAreRoutedInContainersOfSeveralNetworks(t *testing.T) {
	s := start(t, 2)
	s.run(0, "both", "acme-prod-web")
	s.do(0, "network", "connect", "acme-test-one", "both")
	both := s.inspect(0, "both")
	specs := filepath.Join(s.Dir, "specs/tenants/acme/prod.yaml")
	write := func(subnets string) {
		t.Helper()
		if err := os.WriteFile(specs, []byte(strings.Replace(acme, "{name: one, cidr: 10.2.0.0/24}", subnets, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("{name: one, cidr: 10.2.0.0/24}, {name: late, cidr: 10.77.0.0/24}")
	s.eventually("the network of the late subnet", func() error {
		_, err := s.Hosts[1].Docker.Do(s.ctx, "network", "inspect", "acme-test-late")
		return err
	})
	late := s.run(1, "late", "acme-test-late")
	s.eventually("the late subnet's container is reached", func() error { return s.ping(both, late, "acme-test-late") })
	if err := s.ping(late, both, "acme-test-one"); err != nil {
		t.Errorf("the other way: %v", err)
	}
	s.do(1, "rm", "--force", "late")
	write("{name: one, cidr: 10.2.0.0/24}")
	s.eventually("the route is gone", func() error {
		if said := s.exec(both, "ip", "route"); strings.Contains(said, "10.77.0.0") {
			return errors.New(said)
		}
		return nil
	})
	if said := s.exec(both, "ip", "route"); !strings.Contains(said, "10.2.0.0/24 via 169.254.1.2") || !strings.Contains(said, "default via 169.254.1.1") {
		t.Errorf("routes are %s; want Docker's own", said)
	}
}

func (s *site) inspect(host int, name string) *netns.Container {
	s.t.Helper()
	c, err := s.Hosts[host].Docker.Container(s.ctx, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}
