//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestDockerStartsWhileHostdIsAway has both die, and dockerd, whose containers end
// with it, come back first: it waits for daoli-hostd, which is back later. Then a
// container that always restarts has its policy and its address as before, and
// what ended is gone, of which nobody told daoli-hostd.
func TestDockerStartsWhileHostdIsAway(t *testing.T) {
	t.Parallel()
	f := startDocker(t, netns.Options{Hosts: 2})
	before := f.left()
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	web := f.run("h1", "web1", acmeWeb, "--label=daoli.groups=web", "--restart=always", "--ip=10.1.0.55")
	f.run("h1", "web2", acmeWeb, "--label=daoli.groups=web")
	hostd, dockerd := netns.Part{Program: netns.ProgramHostd, Host: "h1"}, netns.Part{Program: netns.ProgramDocker, Host: "h1"}
	if err := errors.Join(f.Kill(hostd), f.Kill(dockerd)); err != nil {
		t.Fatal(err)
	}
	back := make(chan error, 1)
	go func() { back <- f.Start(f.ctx, dockerd) }()
	select {
	case err := <-back:
		t.Fatalf("dockerd was back while daoli-hostd was away: %v; want it to wait", err)
	case <-time.After(2 * time.Second): // the time that daoli-hostd is away
	}
	began := time.Now()
	if err := errors.Join(f.Start(f.ctx, hostd), <-back); err != nil {
		t.Fatal(err)
	}
	t.Logf("dockerd is back %s after daoli-hostd was started", time.Since(began).Round(time.Millisecond))
	f.eventually("restart of web1", func() error {
		c, err := f.docker("h1").Container(f.ctx, "web1")
		if err != nil {
			return err
		}
		if n := c.Networks[acmeWeb]; c.State != "running" || n == nil || n.EndpointID == web.Networks[acmeWeb].EndpointID {
			return fmt.Errorf("%s, in its network as %+v", c.State, n)
		}
		return nil
	})
	web = f.inspect("h1", "web1")
	if ip := f.in(web, acmeWeb).Addr.String(); ip != "10.1.0.55" {
		t.Errorf("web1 has %s now; want what it was given", ip)
	}
	f.hears(web, db, acmeDB, 5432)
	f.eventually("end of web2", func() error { return f.known("h1 web1", "h2 db1") })
	for _, name := range []string{"h1 web1", "h1 web2", "h2 db1"} {
		host, name, _ := strings.Cut(name, " ")
		f.gone(host, name)
	}
	f.leaves(before)
}

// known compares the endpoints that the controller knows with these, sorted, each
// HOST NAME.
func (f *fabric) known(want ...string) error {
	all, err := f.Controller.API().Endpoints(f.ctx)
	var got []string
	for _, e := range all {
		got = append(got, e.Host+" "+e.Name)
	}
	slices.Sort(got)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("endpoints are %q; want %q", got, want)
	}
	return err
}
