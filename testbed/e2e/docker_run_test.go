//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestDockerRun is what a user of Docker does, on two hosts whose Docker nobody
// configured. Whatever that was, the host's firewall and links are afterwards as
// they were, and nothing is left of the containers.
func TestDockerRun(t *testing.T) {
	t.Parallel()
	f := startDocker(t, netns.Options{Hosts: 2, DockerArgs: asInstalled})
	hosts, clean := f.surroundings(), f.left()
	for _, c := range []struct {
		name string
		test func(*fabric)
	}{
		{"containers reach each other across hosts as the policy says", dockerReach},
		{"addresses and hardware addresses may be chosen", dockerChosen},
		{"two tenants have the same addresses on one dockerd", dockerOverlap},
		{"a container has its interface and no other", dockerInterfaces},
		{"a running container is connected and disconnected", dockerConnect},
		{"networks that overlap are refused on one container", dockerRefusesOverlap},
		{"a container that is restarted is reached again", dockerRestart},
		{"a container that is renamed stays who it is", dockerRename},
		{"what docker compose does with an external network", dockerCompose},
		{"a container that moves is reached again at once", dockerMove},
		{"two hosts have containers of one name", dockerSameName},
		{"published ports are refused with what to do", dockerPorts},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(f.with(t)) })
	}
	if diff := cmp.Diff(hosts, f.surroundings()); diff != "" {
		t.Errorf("firewall and links (-before +after):\n%s", diff)
	}
	f.leaves(clean)
}

func dockerReach(f *fabric) {
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	web := f.run("h1", "web1", acmeWeb, "--label", "daoli.groups=web", "--label=daoli.label.tier=front")
	other := f.run("h1", "other", acmeWeb)
	f.hears(web, db, acmeDB, 5432)
	f.deaf(other, db, acmeDB, 5432)
	if d := f.why(f.in(web, acmeWeb), f.in(db, acmeDB), "tcp", 5432); !d.Allowed() {
		f.t.Errorf("web1 > db1:5432 is %+v; want allowed", d)
	}
	if _, err := web.Exec(f.ctx, "ping", "-c", "1", "-W", "3", f.in(db, acmeDB).Addr.String()); err != nil {
		f.t.Error(err)
	}
}

func dockerChosen(f *fabric) {
	const ip, mac = "10.1.0.77", "02:aa:bb:cc:dd:01"
	c := f.run("h1", "chosen", acmeWeb, "--ip", ip, "--mac-address="+mac)
	if e := f.in(c, acmeWeb); e.Addr.String() != ip || e.HWAddr != mac {
		f.t.Errorf("Docker says %s %s; want %s %s", e.Addr, e.HWAddr, ip, mac)
	}
	said, err := c.Exec(f.ctx, "ip", "addr", "show", "eth0")
	if err != nil || !strings.Contains(said, ip+"/32") || !strings.Contains(said, mac) {
		f.t.Errorf("eth0 is %s, %v; want %s/32 and %s", said, err, ip, mac)
	}
	server := f.run("h2", "server", acmeWeb, greeting(80)...)
	f.hears(c, server, acmeWeb, 80)
	if _, err := f.docker("h2").Do(f.ctx, "run", "--rm", "--network", acmeWeb, "--ip", ip, netns.Image, "true"); err == nil {
		f.t.Errorf("%s was given to a second container", ip)
	}
}

func dockerOverlap(f *fabric) {
	const ip = "10.1.0.88"
	for _, network := range []string{acmeWeb, globexWeb} {
		f.run("h1", "server-"+network, network, slices.Concat([]string{"--ip", ip}, greeting(80))...)
	}
	for _, network := range []string{acmeWeb, globexWeb} {
		for _, host := range []string{"h1", "h2"} {
			c := f.run(host, "client-"+network, network)
			server := f.inspect("h1", "server-"+network)
			f.hears(c, server, network, 80)
			want, err := server.Exec(f.ctx, "hostname")
			if said, ferr := f.fetch(c, f.in(server, network).AddrPort(80)); said != want || errors.Join(err, ferr) != nil {
				f.t.Errorf("%s on %s hears %q, %v; want %q", network, host, said, errors.Join(err, ferr), want)
			}
		}
	}
}

func dockerInterfaces(f *fabric) {
	c := f.run("h1", "plain", acmeWeb)
	if got := f.links(c); !slices.Equal(got, []string{"eth0", "lo"}) {
		f.t.Errorf("the container has %q; want eth0 and lo", got)
	}
	routes, err := c.Exec(f.ctx, "ip", "route")
	if err != nil || !strings.Contains(routes, "default via 169.254.1.1 dev eth0") || strings.Count(routes, "default") != 1 {
		f.t.Errorf("routes are %q, %v; want one default by 169.254.1.1", routes, err)
	}
	for _, h := range f.Hosts {
		if said, err := h.Exec(f.ctx, "ip", "link", "show", "docker_gwbridge"); err == nil {
			f.t.Errorf("%s has a bridge around the switch: %s", h.Name, said)
		}
	}
	if names := f.do("h1", "network", "ls", "--format", "{{.Name}}"); strings.Contains(names, "docker_gwbridge") {
		f.t.Errorf("Docker's networks are %q; want no docker_gwbridge", names)
	}
}

// links returns the names of a container's links, sorted.
func (f *fabric) links(c *netns.Container) []string {
	f.t.Helper()
	said, err := c.Exec(f.ctx, "ip", "-o", "link")
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(said) {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		names = append(names, strings.TrimSuffix(name, ":"))
	}
	slices.Sort(names)
	return names
}

func dockerConnect(f *fabric) {
	near := f.run("h2", "near", acmeWeb, greeting(80)...)
	wide := f.run("h2", "wide", acmeWide, greeting(80)...)
	c := f.run("h1", "both", acmeWeb)
	f.deaf(c, wide, acmeWide, 80)
	f.do("h1", "network", "connect", acmeWide, "both")
	c = f.inspect("h1", "both")
	f.hears(c, near, acmeWeb, 80)
	f.hears(c, wide, acmeWide, 80)
	if got := f.links(c); len(got) != 3 {
		f.t.Errorf("in two networks it has %q; want two interfaces and lo", got)
	}
	f.do("h1", "network", "disconnect", acmeWide, "both")
	f.deaf(c, wide, acmeWide, 80)
	f.hears(c, near, acmeWeb, 80)
	f.do("h1", "network", "disconnect", acmeWeb, "both")
	f.deaf(c, near, acmeWeb, 80)
	f.do("h1", "network", "connect", acmeWeb, "both")
	f.hears(c, near, acmeWeb, 80)
}

func dockerRefusesOverlap(f *fabric) {
	c := f.run("h1", "one", acmeWeb)
	_, err := f.docker("h1").Do(f.ctx, "network", "connect", globexWeb, "one")
	if err == nil || !strings.Contains(err.Error(), "overlap") {
		f.t.Errorf("a second network with the same addresses: %v; want it refused, with why", err)
	}
	if got := f.links(c); len(got) != 2 {
		f.t.Errorf("afterwards it has %q; want eth0 and lo", got)
	}
}

func dockerRestart(f *fabric) {
	server := f.run("h2", "server", acmeWeb, greeting(80)...)
	c := f.run("h1", "again", acmeWeb)
	f.hears(c, server, acmeWeb, 80)
	for _, name := range []struct{ host, name string }{{"h1", "again"}, {"h2", "server"}} {
		f.do(name.host, "restart", name.name)
		f.hears(f.inspect("h1", "again"), f.inspect("h2", "server"), acmeWeb, 80)
	}
	f.do("h2", "stop", "server")
	f.do("h2", "start", "server")
	f.hears(f.inspect("h1", "again"), f.inspect("h2", "server"), acmeWeb, 80)
}

func dockerRename(f *fabric) {
	server := f.run("h2", "server", acmeDB, greeting(5432)...)
	c := f.run("h1", "first", acmeWeb, "--label=daoli.groups=web")
	f.t.Cleanup(func() { f.gone("h1", "second") })
	f.hears(c, server, acmeDB, 5432)
	long := f.run("h2", "long", acmeWeb)
	open := f.connect(f.in(c, acmeWeb), f.in(long, acmeWeb), 0, f.listen(f.in(long, acmeWeb), 9000))
	s := f.startStream(open)
	s.flow(true)
	f.do("h1", "rename", "first", "second")
	f.eventually("the new name at the controller", func() error {
		all, err := f.Controller.API().Endpoints(f.ctx)
		for _, e := range all {
			if e.Name == "second" {
				return err
			}
		}
		return errors.Join(err, fmt.Errorf("endpoints are %+v", all))
	})
	mark := s.got.Load()
	f.eventually("the connection that was open to go on", func() error { return s.moved(mark + 10*streamChunk) })
	if err := s.finish(); err != nil { // no byte is lost
		f.t.Error(err)
	}
	c = f.inspect("h1", "second")
	f.hears(c, server, acmeDB, 5432)
	f.do("h1", "restart", "second")
	c = f.inspect("h1", "second")
	f.hears(c, server, acmeDB, 5432)
	if d := f.why(f.in(c, acmeWeb), f.in(server, acmeDB), "tcp", 5432); !d.Allowed() {
		f.t.Errorf("second > server:5432 is %+v; want allowed", d)
	}
}

// Compose creates a container with its network and the service's name as an
// alias, and starts it then.
func dockerCompose(f *fabric) {
	for _, service := range []string{"db", "app"} {
		name := "shop_" + service + "_1"
		f.t.Cleanup(func() { f.gone("h1", name) })
		f.do("h1", slices.Concat([]string{"create", "--name", name, "--network", acmeWeb, "--network-alias", service,
			"--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=" + service}, greeting(80))...)
		f.do("h1", "start", name)
	}
	app, db := f.inspect("h1", "shop_app_1"), f.inspect("h1", "shop_db_1")
	f.hears(app, db, acmeWeb, 80)
	said, err := app.Exec(f.ctx, "nc", "-w", "3", "db", "80")
	if want := db.ID[:12]; err != nil || strings.TrimSpace(said) != want {
		f.t.Errorf("by the service's name: %q, %v; want %s", said, err, want)
	}
	endpoints, err := f.Controller.API().Endpoints(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	for _, e := range endpoints {
		names = append(names, e.Name)
	}
	for _, want := range []string{"shop-app-1", "shop-db-1"} {
		if !slices.Contains(names, want) {
			f.t.Errorf("endpoints are %q; want %s among them", names, want)
		}
	}
}

func dockerMove(f *fabric) {
	args := slices.Concat([]string{"--ip", "10.1.1.99", "--mac-address", "02:aa:bb:cc:dd:99"}, greeting(5432))
	near := f.run("h1", "near", acmeWeb, "--label=daoli.groups=web")
	far := f.run("h2", "far", acmeWeb, "--label=daoli.groups=web")
	hosts := []string{"h1", "h2"}
	for i := range 4 {
		server := f.run(hosts[i%2], "moves", acmeDB, args...)
		began := time.Now()
		f.hears(near, server, acmeDB, 5432)
		f.hears(far, server, acmeDB, 5432)
		f.t.Logf("on %s: reached by both after %s", hosts[i%2], time.Since(began).Round(time.Millisecond))
		f.gone(hosts[i%2], "moves")
	}
}

func dockerSameName(f *fabric) {
	errs := make([]error, len(f.Hosts))
	var wg sync.WaitGroup
	for i, h := range f.Hosts { // at the same moment
		f.t.Cleanup(func() { f.gone(h.Name, "same") })
		wg.Go(func() { _, errs[i] = h.Docker.Run(f.ctx, "same", acmeWeb, greeting(80)...) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
	here, there := f.inspect("h1", "same"), f.inspect("h2", "same")
	f.hears(here, there, acmeWeb, 80)
	f.hears(there, here, acmeWeb, 80)
}

func dockerPorts(f *fabric) {
	f.t.Cleanup(func() { f.gone("h1", "published") })
	_, err := f.docker("h1").Run(f.ctx, "published", acmeWeb, slices.Concat([]string{"-p", "8080:80"}, greeting(80))...)
	if err == nil || !strings.Contains(err.Error(), "Ingress") {
		f.t.Errorf("a published port: %v; want it refused, with the way out", err)
	}
}
