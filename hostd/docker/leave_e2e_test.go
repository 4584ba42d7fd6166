//go:build e2e

package docker_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		s.awaitNetworks(host)
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

// TestLeaveGivesAHostWithDockerBack as it was before it joined, to the last socket
// and Docker network, wherever the wire's address was. Docker is as its package
// installs it.
func TestLeaveGivesAHostWithDockerBack(t *testing.T) {
	for name, own := range map[string]bool{"the host's address moved": false, "an address of its own": true} {
		t.Run(name, func(t *testing.T) {
			s := up(t, netns.Options{
				Hosts: 1, Unjoined: true, OwnSocket: true, WireAddresses: own,
				DockerArgs: []string{"--bridge=", "--iptables=true", "--ip-forward=true", "--ip-masq=true", "--userland-proxy=true"},
			})
			h := s.Hosts[0]
			s.eventually("IPv6 is settled", func() error {
				said, err := h.Exec(s.ctx, "ip", "-o", "addr", "show", "tentative")
				if err == nil && said != "" {
					err = errors.New(said)
				}
				return err
			})
			before, err := s.whole(0)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.StartHostd(s.ctx); err != nil {
				t.Fatal(err)
			}
			s.awaitNetworks(0)
			s.exec(s.run(0, "one", "acme-test-one"), "ping", "-c", "1", "-W", "5", "169.254.1.1")
			s.do(0, "rm", "--force", "one")
			joined, err := s.whole(0)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"acme-test-one daoli", "daoli.sock", "daoli-dns", "table netdev daoli"} {
				if !strings.Contains(joined, part) || strings.Contains(before, part) {
					t.Errorf("%q is not what joining adds:\n%s", part, cmp.Diff(before, joined))
				}
			}
			if said, err := s.leave(0); err != nil || said != "" {
				t.Errorf("leave says %q, %v", said, err)
			}
			h.Hostd().Kill() // it has ended: the testbed needs to know that it should
			s.eventually("the host is as it was", func() error {
				now, err := s.whole(0)
				if diff := cmp.Diff(before, now); err == nil && diff != "" {
					err = errors.New(diff)
				}
				return err
			})
		})
	}
}

// counts are what changes in a host by itself.
var counts = regexp.MustCompile(`valid_lft \d+sec|\[\d+:\d+\]|counter packets \d+ bytes \d+|(?m)^#.*$`)

// whole is all of a host and its Docker that joining might change, as people see it.
func (s *site) whole(host int) (string, error) {
	h := s.Hosts[host]
	var out strings.Builder
	var errs []error
	note := func(what, said string, err error) {
		fmt.Fprintf(&out, "== %s\n%s\n", what, counts.ReplaceAllString(said, ""))
		errs = append(errs, err)
	}
	for _, argv := range [][]string{
		{"ip", "-o", "addr"}, {"ip", "-o", "link"}, {"ip", "rule"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"iptables-save"}, {"nft", "list", "ruleset"}, {"sysctl", "-a", "--pattern", `^net\.ipv[46]\.(conf|ip_forward)`},
		{"ovs-vsctl", "--db=unix:" + h.OVSDir + "/db.sock", "--columns=bridges,manager_options,ssl,other_config,external_ids", "list", "Open_vSwitch"},
	} {
		said, err := h.Exec(s.ctx, argv...)
		note(strings.Join(argv, " "), said, err)
	}
	said, err := h.Docker.Do(s.ctx, "network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")
	note("docker network ls", said, err)
	for _, dir := range []string{h.Docker.Plugins, "/etc/docker/plugins", "/usr/lib/docker/plugins"} { // sockets and spec files
		var files []string
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			files = append(files, path)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		note(dir, strings.Join(files, "\n"), err)
	}
	return out.String(), errors.Join(errs...)
}
