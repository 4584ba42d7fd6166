//go:build e2e

package docker_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/testbed/netns"
)

// leave runs daoli-hostd leave on a host and returns what it says.
func (s *site) leave(host int, args ...string) (string, error) {
	h := s.Hosts[host]
	argv := append([]string{s.Binary("daoli-hostd"), "leave", "--state-dir", h.StateDir(), "--socket", h.Socket}, args...)
	return h.Exec(s.ctx, argv...)
}

// nothingOfOurs sees that a host has nothing of DaoliNet's any more.
func (s *site) nothingOfOurs(host int) {
	s.t.Helper()
	h := s.Hosts[host]
	for _, look := range []struct {
		argv   []string
		absent string
	}{
		{[]string{"nft", "list", "ruleset"}, "daoli"},
		{[]string{"ip", "-o", "link"}, "daoli"},
		{[]string{"ovs-vsctl", "--db=unix:" + h.OVSDir + "/db.sock", "list-br"}, "br-"},
	} {
		if said, err := h.Exec(s.ctx, look.argv...); err != nil || strings.Contains(said, look.absent) {
			s.t.Errorf("%s on %s: %v, says %q", strings.Join(look.argv, " "), h.Name, err, said)
		}
	}
	if said := s.do(host, "network", "ls", "--filter", "driver=daoli", "--format", "{{.Name}}"); said != "" {
		s.t.Errorf("docker networks of %s: %q; want none", h.Name, said)
	}
	if left, err := os.ReadDir(h.IdentityDir()); err != nil || len(left) != 0 {
		s.t.Errorf("of the identity of %s is left: %v, %v", h.Name, left, err)
	}
	if _, err := identity.Open(h.IdentityDir()); !errors.Is(err, identity.ErrNone) {
		s.t.Errorf("identity of %s: %v", h.Name, err)
	}
}

// hosts are the names that daolictl hosts shows.
func (s *site) hosts() string {
	s.t.Helper()
	all, err := s.Controller.API().Hosts(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	var names []string
	for _, h := range all {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}

// TestLeaveIsTheSameWhoeverIsThere: with daoli-hostd, without it, without a
// controller, and where a container is in the way.
func TestLeaveIsTheSameWhoeverIsThere(t *testing.T) {
	s := start(t, 2)
	gone := func(host int) {
		t.Helper()
		if err := s.Hosts[host].Hostd().Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
	}
	rejoin := func(host int) {
		t.Helper()
		if err := s.Hosts[host].StartHostd(s.ctx); err != nil { // by another token, with another key
			t.Fatal(err)
		}
		s.eventually("networks are back", func() error {
			if n := len(strings.Fields(s.do(host, "network", "ls", "--filter", "driver=daoli", "--quiet"))); n != 4 {
				return fmt.Errorf("%d networks", n)
			}
			return nil
		})
	}

	// Endpoints are in the way; so is, for its network, a container that doesn't run.
	s.run(0, "runs", "acme-test-one")
	if said, err := s.leave(0); err == nil || !strings.Contains(said, "1 endpoints are attached") {
		t.Errorf("leave with an endpoint: %s, %v", said, err)
	}
	if said, err := s.leave(0, "--force"); err != nil || said != "" {
		t.Errorf("leave --force with a container says %q, %v", said, err)
	}
	s.nothingOfOurs(0)
	if got := s.hosts(); got != "h2" {
		t.Errorf("hosts after h1 left: %q; want h2", got)
	}
	if got := s.endpoints(); len(got) != 0 {
		t.Errorf("endpoints after h1 left: %v", got)
	}
	s.do(0, "rm", "--force", "runs")
	rejoin(0)
	s.do(0, "create", "--name", "stopped", "--network", "acme-test-one", netns.Image)
	said, err := s.leave(0)
	if err != nil || !strings.Contains(said, `"acme-test-one"`) || !strings.Contains(said, "daoli-hostd leave once more") {
		t.Errorf("leave with a container that does not run says %q, %v", said, err)
	}
	s.do(0, "rm", "stopped")
	if said, err := s.leave(0); err != nil || strings.Contains(said, "once more") {
		t.Errorf("leave once more says %q, %v", said, err)
	}
	s.nothingOfOurs(0)

	// Nobody runs it, and the controller is told all the same.
	rejoin(0)
	gone(0)
	if said, err := s.leave(0); err != nil || strings.Contains(said, "revoke") {
		t.Errorf("leave without daoli-hostd says %q, %v", said, err)
	}
	s.nothingOfOurs(0)
	if got := s.hosts(); got != "h2" {
		t.Errorf("hosts after h1 left again: %q; want h2", got)
	}

	// Neither daoli-hostd nor a controller.
	rejoin(0)
	gone(0)
	if err := s.Controller.Process().Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	said, err = s.leave(0)
	if err != nil || !strings.Contains(said, "no controller knows") || !strings.Contains(said, "daolictl host revoke h1") {
		t.Errorf("leave without a controller says %q, %v; want the way out", said, err)
	}
	s.nothingOfOurs(0)
	if err := s.Controller.Start(s.ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Controller.API().RevokeHost(s.ctx, "h1"); err != nil {
		t.Errorf("the way out: %v", err)
	}
	rejoin(0)
}
