//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

const killOne, killTwo = "acme-kill-one", "acme-kill-two"

// dockerRounds returns what dies: each program alone, and each ordered pair with
// daoli-hostd or dockerd in it, all under traffic. Unless all are asked for, some
// of the pairs, each somewhere.
func dockerRounds(random *rand.Rand, all bool) []round {
	programs := append(netns.Programs(), netns.ProgramDocker)
	var cases, pairs [][]netns.Program
	for _, p := range programs {
		cases = append(cases, []netns.Program{p})
		for _, q := range programs {
			pair := []netns.Program{p, q}
			if p != q && (slices.Contains(pair, netns.ProgramHostd) || slices.Contains(pair, netns.ProgramDocker)) {
				pairs = append(pairs, pair)
			}
		}
	}
	random.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	if !all {
		pairs = pairs[:4]
	}
	places := [][]string{{"h1"}, {"h2"}, {"h1", "h2"}}
	var out []round
	for _, c := range append(cases, pairs...) {
		where := places
		if !all {
			where = places[random.IntN(len(places)):][:1]
		}
		for _, hosts := range where {
			out = append(out, round{partsOn(hosts, c), true})
		}
	}
	return out
}

// TestDockerKill is TestKill with containers of Docker's, which live on while
// dockerd is dead: nothing that is killed breaks a connection of theirs, and
// afterwards containers come and go as before, and leave nothing.
func TestDockerKill(t *testing.T) {
	t.Parallel()
	n := *seed
	if n == 0 {
		n = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -run '^TestDockerKill$' -seed %d", n, n)
	todo := dockerRounds(rand.New(rand.NewPCG(n, 0)), *everyKill)
	f := startDocker(t, netns.Options{Hosts: 2, DockerArgs: []string{"--live-restore"}})
	f.forKilling(time.Duration(len(todo)+1) * settleTime)
	f.awaitNetworks(killOne, killTwo)
	servers := "--label=daoli.groups=servers"
	k := f.killing(f.in(f.run("h1", "client1", killOne), killOne), f.in(f.run("h2", "client2", killOne), killOne),
		f.in(f.run("h1", "server1", killTwo, servers), killTwo), f.in(f.run("h2", "server2", killOne, servers), killOne))
	left := f.left()
	for _, r := range todo {
		passed := t.Run(r.String(), func(t *testing.T) {
			began := time.Now()
			sub := k.with(t)
			sub.round(r)
			sub.comeAndGo(2)
			sub.leaves(left)
			var err error
			if k.clean, err = sub.state(); err != nil { // with the leases that rest now
				t.Fatal(err)
			}
			t.Logf("took %s", time.Since(began).Round(time.Millisecond))
		})
		if !passed {
			break // what follows would start from its ruins
		}
	}
	for _, s := range k.streams {
		if err := s.finish(); err != nil {
			t.Error(err)
		}
	}
}

// awaitNetworks waits until each host's Docker has these networks.
func (f *fabric) awaitNetworks(names ...string) {
	f.t.Helper()
	for _, h := range f.Hosts {
		f.eventually("docker networks on "+h.Name, func() error {
			_, err := h.Docker.Do(f.ctx, append([]string{"network", "inspect"}, names...)...)
			return err
		})
	}
}

// comeAndGo has n containers on each host come, reach one another's host and go.
func (f *fabric) comeAndGo(n int) {
	f.t.Helper()
	errs := make([]error, len(f.Hosts))
	var wg sync.WaitGroup
	for i, h := range f.Hosts {
		wg.Go(func() { errs[i] = f.cameAndWent(h, n) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fabric) cameAndWent(h *netns.Host, n int) error {
	const several = 10
	for first := 0; first < n; first += several {
		var names []string
		for i := first; i < min(first+several, n); i++ {
			name := fmt.Sprintf("comes%d-%s", i, h.Name)
			names = append(names, name)
			// 169.254.1.1 answers who is on the network at all.
			_, err := h.Docker.Do(f.ctx, "run", "--detach", "--name", name, "--network", acmeWide, netns.Image, "sleep", "1000")
			if err != nil {
				return fmt.Errorf("container %d: %w", i, err)
			}
			if _, err := h.Docker.Do(f.ctx, "exec", name, "ping", "-c", "1", "-W", "5", "169.254.1.1"); err != nil {
				return fmt.Errorf("container %d: %w", i, err)
			}
		}
		if _, err := h.Docker.Do(f.ctx, append([]string{"rm", "--force"}, names...)...); err != nil {
			return err
		}
	}
	return nil
}

// TestDockerContainersThatEndWithDockerd has no live-restore: when dockerd is
// killed, its containers and their connections live on until it is back, which
// ends them. Those that it starts again have their policy and address as before.
func TestDockerContainersThatEndWithDockerd(t *testing.T) {
	t.Parallel()
	f := startDocker(t, netns.Options{Hosts: 2})
	before := f.left()
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	f.run("h1", "web1", acmeWeb, "--label=daoli.groups=web", "--restart=always", "--ip=10.1.0.55")
	f.run("h1", "web2", acmeWeb, "--label=daoli.groups=web")
	open := f.listen(f.in(f.run("h2", "server", acmeWide), acmeWide), 9000)
	client := f.run("h1", "client", acmeWide)
	link := f.connect(f.in(client, acmeWide), f.in(f.inspect("h2", "server"), acmeWide), 0, open)
	part := netns.Part{Program: netns.ProgramDocker, Host: "h1"}
	for _, how := range []string{"killed", "stopped"} {
		if how == "killed" {
			if err := f.Kill(part); err != nil {
				t.Fatal(err)
			}
			if err := link.speak(false, "dockerd is dead", 10*time.Second); err != nil {
				t.Error(err)
			}
		} else if err := f.docker("h1").Stop(f.ctx); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := f.Start(f.ctx, part); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: dockerd is back after %s", how, time.Since(began).Round(time.Millisecond))
		f.eventually("restart of web1", func() error {
			if c := f.inspect("h1", "web1"); c.State != "running" {
				return errors.New(c.State)
			}
			return nil
		})
		web := f.inspect("h1", "web1")
		if ip := f.in(web, acmeWeb).Addr.String(); ip != "10.1.0.55" {
			t.Errorf("%s: web1 has %s now; want what it was given", how, ip)
		}
		f.hears(web, db, acmeDB, 5432)
		f.eventually("end of web2", func() error {
			all, err := f.Controller.API().Endpoints(f.ctx)
			for _, e := range all {
				if e.Host == "h1" && e.Name != "web1" {
					return fmt.Errorf("%s is still an endpoint", e.Name)
				}
			}
			return err
		})
	}
	for _, name := range []string{"h1 web1", "h1 web2", "h1 client", "h2 server", "h2 db1"} {
		host, name, _ := strings.Cut(name, " ")
		f.gone(host, name)
	}
	f.leaves(before)
}

// TestDockerWaitsForHostd kills daoli-hostd: Docker's calls wait, and go on when it
// is back, by the socket that was held open for it, or, where nobody does that, by
// Docker's own tries of 15 s. What ended meanwhile is gone then.
func TestDockerWaitsForHostd(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"a socket that is held": false, "daoli-hostd's own socket": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dockerWaits(t, own)
		})
	}
}

func dockerWaits(t *testing.T, own bool) {
	f := startDocker(t, netns.Options{Hosts: 2, OwnSocket: own})
	before := f.left()
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	f.run("h1", "web1", acmeWeb, "--label=daoli.groups=web")
	f.run("h1", "web2", acmeWeb, "--label=daoli.groups=web")
	f.run("h1", "web4", acmeWeb, "--label=daoli.groups=web")
	hostd := netns.Part{Program: netns.ProgramHostd, Host: "h1"}
	if err := f.Kill(hostd); err != nil {
		t.Fatal(err)
	}
	f.hears(f.inspect("h1", "web1"), db, acmeDB, 5432) // running containers notice nothing
	type call struct {
		name string
		err  error
	}
	calls := make(chan call, 3)
	for _, args := range [][]string{
		append([]string{"run", "--detach", "--name", "web3", "--network", acmeWeb, "--label", "daoli.groups=web"}, idle...),
		{"rm", "--force", "web2"},
		{"stop", "--time", "0", "web4"},
	} {
		go func() {
			_, err := f.docker("h1").Do(f.ctx, args...)
			calls <- call{args[0], err}
		}()
	}
	t.Cleanup(func() { f.gone("h1", "web3") })
	select {
	case c := <-calls:
		t.Errorf("docker %s ended while daoli-hostd was away: %v; want it to wait", c.name, c.err)
	case <-time.After(2 * time.Second): // the time that daoli-hostd is away
	}
	began := time.Now()
	if err := f.Start(f.ctx, hostd); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c := <-calls; c.err != nil {
			t.Errorf("docker %s: %v", c.name, c.err)
		}
	}
	t.Logf("the calls went on %s after daoli-hostd was started", time.Since(began).Round(time.Millisecond))
	f.hears(f.inspect("h1", "web3"), db, acmeDB, 5432)
	if c := f.inspect("h1", "web4"); c.State != "exited" {
		t.Errorf("web4 is %s; want exited", c.State)
	}
	f.eventually("end of web2 and web4", func() error { return f.known("h1 web1", "h1 web3", "h2 db1") })
	f.do("h1", "start", "web4")
	f.hears(f.inspect("h1", "web4"), db, acmeDB, 5432)
	for _, name := range []string{"h1 web1", "h1 web3", "h1 web4", "h2 db1"} {
		host, name, _ := strings.Cut(name, " ")
		f.gone(host, name)
	}
	f.leaves(before)
}

// TestDockerWithoutController has hostd serve Docker alone: containers that run
// notice nothing, one that ends is gone, and a new one gets a clear error in a
// bounded time, which leaves nothing.
func TestDockerWithoutController(t *testing.T) {
	t.Parallel()
	f := startDocker(t, netns.Options{Hosts: 2})
	before := f.left()
	db := f.run("h2", "db1", acmeDB, greeting(5432)...)
	web := f.run("h1", "web1", acmeWeb, "--label=daoli.groups=web")
	f.run("h1", "web2", acmeWeb)
	f.hears(web, db, acmeDB, 5432)
	controller := netns.Part{Program: netns.ProgramController}
	if err := f.Kill(controller); err != nil {
		t.Fatal(err)
	}
	f.hears(web, db, acmeDB, 5432)
	const bound = 15 * time.Second
	began := time.Now()
	_, err := f.docker("h1").Run(f.ctx, "late", acmeWeb, idle...)
	took := time.Since(began)
	if err == nil || !strings.Contains(err.Error(), "controller") || took > bound {
		t.Errorf("docker run without a controller: %v after %s; want an error that says so, within %s", err, took, bound)
	}
	t.Logf("after %s: %v", took.Round(time.Millisecond), err)
	f.gone("h1", "late")
	began = time.Now()
	f.gone("h1", "web2")
	if took := time.Since(began); took > bound {
		t.Errorf("docker rm took %s", took)
	}
	ctx, cancel := context.WithTimeout(f.ctx, settleTime)
	defer cancel()
	if err := f.Start(ctx, controller); err != nil {
		t.Fatal(err)
	}
	if err := f.Controller.AwaitHosts(ctx, 2); err != nil {
		t.Fatal(err)
	}
	late := f.run("h1", "late", acmeWeb, "--label=daoli.groups=web")
	f.hears(late, db, acmeDB, 5432)
	for _, name := range []string{"h1 web1", "h1 late", "h2 db1"} {
		host, name, _ := strings.Cut(name, " ")
		f.gone(host, name)
	}
	f.leaves(before)
}
