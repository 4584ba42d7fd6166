package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// join makes the hosts members of the cluster, by the command that daolictl
// prints for them.
func (s *story) join() error {
	s.step("Three hosts join by one command each")
	tw := tabwriter.NewWriter(s.w, 0, 0, 2, ' ', 0)
	for _, h := range s.Hosts {
		fmt.Fprintf(tw, "   host %s\t%s\tnext hop %s\n", h.Name, h.Addr, h.Router)
	}
	fmt.Fprintf(tw, "   controller\t%s\twatches %s\n", s.Controller.Addr(), s.Specs())
	tw.Flush()
	text, err := s.daolictl("join-token", "create", "--uses", fmt.Sprint(len(s.Hosts)))
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`daoli-hostd join (\S+) --token (\S+) --ca-hash (\S+)`).FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("no command to join by in %q", text)
	}
	s.say("That command on each host, with the places where this testbed has its sockets:")
	for _, h := range s.Hosts {
		began := time.Now()
		if err := h.Join(s.ctx, m[1], m[2], m[3]); err != nil {
			return err
		}
		s.done("%s has a certificate, a bridge, and its address on it, after %.0f ms", h.Name, ms(time.Since(began)))
	}
	if err := s.Controller.AwaitHosts(s.ctx, len(s.Hosts)); err != nil {
		return err
	}
	if err := s.usedUp(m[2]); err != nil {
		return err
	}
	_, err = s.daolictl("get", "hosts")
	return err
}

// usedUp sees that the token lets nobody in any more.
func (s *story) usedUp(token string) error {
	tokens, err := s.Controller.API().JoinTokens(s.ctx)
	if err != nil {
		return err
	}
	id, _, _ := strings.Cut(token, ".")
	for _, t := range tokens {
		if t.ID == id && t.Uses != 0 {
			return fmt.Errorf("the token is good for %d more hosts", t.Uses)
		}
	}
	s.done("the token is used up: nobody else joins by it")
	return nil
}

// networks are what each host's Docker has by itself, from the YAML files.
var networks = []string{"acme-prod-db", "acme-prod-web", "globex-prod-db", "globex-prod-web"}

// run starts the containers.
func (s *story) run() error {
	s.step("Plain docker run, and two tenants with the same addresses")
	for _, h := range s.Hosts {
		if err := s.awaitNetworks(h); err != nil {
			return err
		}
	}
	if _, err := s.docker("h1", "network", "ls", "--filter", "driver=daoli"); err != nil {
		return err
	}
	cast := []struct {
		to                             **netns.Endpoint
		host, name, network, ip, group string
	}{
		{&s.web1, "h1", "web1", "acme-prod-web", "10.1.0.11", "web"},
		{&s.web2, "h1", "web2", "acme-prod-web", "10.1.0.12", "web"},
		{&s.db1, "h2", "db1", "acme-prod-db", "10.1.1.21", ""},
		{&s.gweb1, "h1", "gweb1", "globex-prod-web", "10.1.0.11", ""},
		{&s.gdb1, "h3", "gdb1", "globex-prod-db", "10.1.1.21", ""},
	}
	for _, c := range cast {
		args := []string{"run", "-d", "--name", c.name, "--network", c.network, "--ip", c.ip}
		if c.group != "" {
			args = append(args, "--label", "daoli.groups="+c.group)
		}
		began := time.Now()
		if _, err := s.docker(c.host, append(args, netns.Image, "sleep", "1000")...); err != nil {
			return err
		}
		took := time.Since(began)
		container, err := s.Host(c.host).Docker.Container(s.ctx, c.name)
		if err != nil {
			return err
		}
		*c.to = container.Endpoint(c.network)
		if got := (*c.to).Addr.String(); got != c.ip {
			return fmt.Errorf("%s has %s, not %s", c.name, got, c.ip)
		}
		s.done("%s has %s, after %.0f ms", (*c.to).Path(), c.ip, ms(took))
	}
	return s.nobodyTalked()
}

func (s *story) awaitNetworks(h *netns.Host) error {
	ctx, cancel := context.WithTimeoutCause(s.ctx, 10*time.Second, errors.New("10 s passed"))
	defer cancel()
	for {
		names, err := h.Docker.Do(ctx, "network", "ls", "--filter", "driver=daoli", "--format", "{{.Name}}")
		if err != nil {
			return fmt.Errorf("wait for Docker's networks on %s: %w", h.Name, err)
		}
		if have := strings.Fields(names); slices.Equal(slices.Sorted(slices.Values(have)), networks) {
			return nil
		}
	}
}

// nobodyTalked sees that there is no flow yet, and starts the servers.
func (s *story) nobodyTalked() error {
	flows, err := s.sessionFlows()
	if err != nil {
		return err
	}
	if flows != 0 {
		return fmt.Errorf("there are %d session flows before anybody talked", flows)
	}
	s.say("What acme's databases let in, tenants/acme/prod.yaml:")
	if err := s.showLines("tenants/acme/prod.yaml", "metadata: {name: db,"); err != nil {
		return err
	}
	s.done("nobody has talked yet: no session flow on any host, and there never is a tunnel")
	for _, e := range []*netns.Endpoint{s.web2, s.db1, s.gdb1} {
		if err := s.serve(e, "tcp4", 5432); err != nil {
			return err
		}
		if err := s.serve(e, "udp4", 53); err != nil {
			return err
		}
	}
	return nil
}

// docker runs docker(1) on a host, and shows both command and output.
func (s *story) docker(host string, args ...string) (string, error) {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; strings.ContainsAny(a, " |") {
			words[i] = "'" + a + "'"
		}
	}
	s.command(host + "# docker " + strings.Join(words, " "))
	said, err := s.Host(host).Docker.Do(s.ctx, args...)
	if args[0] != "run" { // that prints an id
		s.show(said)
	}
	return said, err
}
