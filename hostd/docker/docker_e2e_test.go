//go:build e2e

package docker_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/hostd/docker"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/private"
	"github.com/daolinet/daolinet/testbed/netns"
)

// binaries is a directory with the programs.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binaries = os.Getenv("DAOLI_E2E_BINARIES"); binaries != "" {
		return m.Run()
	}
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
	s := up(t, netns.Options{Hosts: hosts, DockerArgs: dockerArgs})
	for i := range s.Hosts {
		s.awaitNetworks(i)
	}
	return s
}

// up brings a site up whose Dockers may have no networks yet.
func up(t *testing.T, opt netns.Options) *site {
	t.Helper()
	began := time.Now()
	opt.Binaries, opt.Docker, opt.SpecsFS = binaries, true, fstest.MapFS{
		"tenants.yaml":             {Data: []byte(tenants)},
		"tenants/acme/prod.yaml":   {Data: []byte(acme)},
		"tenants/globex/prod.yaml": {Data: []byte(globex)},
	}
	tb, err := netns.Up(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d hosts up in %s", opt.Hosts, time.Since(began).Round(time.Millisecond))
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
	return &site{tb, t, ctx}
}

// awaitNetworks waits until a host's Docker has the networks of its VPCs.
func (s *site) awaitNetworks(host int) {
	s.t.Helper()
	h := s.Hosts[host]
	s.eventually("networks of "+h.Name, func() error {
		out, err := h.Docker.Do(s.ctx, "network", "ls", "--filter", "driver=daoli", "--format", "{{.Name}}")
		if n := len(strings.Fields(out)); err == nil && n != 4 {
			err = fmt.Errorf("%d networks: %q", n, out)
		}
		return err
	})
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
	// The newer docker(1) that may stand beside refuses --mac-address with this dockerd.
	argv := append([]string{"-H", "unix://" + s.Hosts[host].Docker.Socket, "run", "--detach", "--name", name, "--network", network}, args...)
	if out, err := exec.CommandContext(s.ctx, "/usr/bin/docker", append(argv, netns.Image, "sleep", "100000")...).CombinedOutput(); err != nil {
		s.t.Fatalf("docker run %s: %v: %s", name, err, out)
	}
	c, err := s.Hosts[host].Docker.Container(s.ctx, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (s *site) ping(c *netns.Container, to *netns.Container, network string) error {
	_, err := c.Exec(s.ctx, "ping", "-c", "1", "-W", "1", to.Networks[network].Addr.String())
	return err
}

// refused runs a container that Docker must refuse, saying why.
func (s *site) refused(host int, why, name, network string, args ...string) {
	s.t.Helper()
	_, err := s.Hosts[host].Docker.Run(s.ctx, name, network, append(args, netns.Image, "sleep", "100000")...)
	if err == nil || !strings.Contains(err.Error(), why) {
		s.t.Errorf("docker run --name %s --network %s %v: %v; want refused: %s", name, network, args, err, why)
	}
	s.do(host, "rm", "--force", name)
}

func (s *site) do(host int, args ...string) string {
	s.t.Helper()
	out, err := s.Hosts[host].Docker.Do(s.ctx, args...)
	if err != nil {
		s.t.Error(err)
	}
	return out
}

func (s *site) exec(c *netns.Container, argv ...string) string {
	s.t.Helper()
	out, err := c.Exec(s.ctx, argv...)
	if err != nil {
		s.t.Error(err)
	}
	return out
}

// endpoints are what the controller knows, as VPC/NAME@HOST.
func (s *site) endpoints() []string {
	s.t.Helper()
	all, err := s.Controller.API().Endpoints(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		out = append(out, e.Tenant+"/"+e.VPC+"/"+e.Name+"@"+e.Host)
	}
	slices.Sort(out)
	return out
}

// awaitEndpoints waits until the controller knows these, and hosts have ports and
// devices for as many.
func (s *site) awaitEndpoints(want ...string) {
	s.t.Helper()
	s.eventually("endpoints", func() error {
		if got := s.endpoints(); !slices.Equal(got, want) {
			return fmt.Errorf("%v; want %v", got, want)
		}
		ports := 0
		for _, h := range s.Hosts {
			devices, err := exec.Command("ip", "-n", h.Namespace, "-o", "link").Output()
			if err != nil {
				return err
			}
			ports += strings.Count(string(devices), ": dl")
		}
		if ports != len(want) {
			return fmt.Errorf("%d devices; want %d", ports, len(want))
		}
		return nil
	})
}

// clean removes all containers.
func (s *site) clean() {
	s.t.Helper()
	for i := range s.Hosts {
		if ids := strings.Fields(s.do(i, "ps", "--all", "--quiet")); len(ids) > 0 {
			s.do(i, append([]string{"rm", "--force"}, ids...)...)
		}
	}
	s.awaitEndpoints()
}

func (s *site) part(name string, test func(*site)) {
	s.t.Run(name, func(t *testing.T) {
		p := &site{s.Testbed, t, s.ctx}
		t.Cleanup(p.clean)
		test(p)
	})
}

func TestContainers(t *testing.T) {
	s := start(t, 2)
	s.part("of two hosts reach each other by policy", func(s *site) {
		a := s.run(0, "client", "acme-prod-web")
		b := s.run(1, "server", "acme-prod-web", "--label", "daoli.groups=web", "--label", "daoli.label.tier=front")
		c := s.run(1, "closed", "acme-prod-web")
		if err := s.ping(a, b, "acme-prod-web"); err != nil {
			s.t.Errorf("client to server: %v; want it let through by the group's rule", err)
		}
		if err := s.ping(a, c, "acme-prod-web"); err == nil {
			s.t.Error("client reaches a container without the group; want it denied")
		}
		s.awaitEndpoints("acme/prod/client@h1", "acme/prod/closed@h2", "acme/prod/server@h2")
		s.refused(0, `group "Web" is not allowed`, "bad", "acme-prod-web", "--label", "daoli.groups=Web")
	})
	s.part("have one way out, and Docker nothing on the host", func(s *site) {
		before := s.settled()
		c := s.run(0, "one", "acme-prod-web")
		if links := strings.Count(s.exec(c, "ip", "-o", "link"), "\n") + 1; links != 2 {
			s.t.Errorf("the container has %d interfaces; want lo and eth0", links)
		}
		if got, _, _ := strings.Cut(s.exec(c, "ip", "route"), "\n"); strings.TrimSpace(got) != "default via 169.254.1.1 dev eth0" {
			s.t.Errorf("default route %q; want ours", got)
		}
		s.do(0, "rm", "--force", "one")
		s.awaitEndpoints()
		if after := s.picture(); after != before {
			s.t.Errorf("the host is not as before:\n%s\nwas:\n%s", after, before)
		}
	})
	s.part("keep the address and MAC that were asked for, also on another host", func(s *site) {
		const mac = "02:aa:bb:cc:dd:01"
		peer := s.run(0, "peer", "acme-test-one")
		moved := s.run(0, "moved", "acme-test-one", "--ip", "10.2.0.77", "--mac-address", mac)
		if n := moved.Networks["acme-test-one"]; n.Addr.String() != "10.2.0.77" || n.HWAddr != mac {
			s.t.Errorf("container has %s %s; want what was asked for", n.Addr, n.HWAddr)
		}
		if err := s.ping(peer, moved, "acme-test-one"); err != nil {
			s.t.Error(err)
		}
		s.refused(1, "is held by acme/test/moved@h1", "other", "acme-test-one", "--ip", "10.2.0.77")
		s.do(0, "rm", "--force", "moved")
		s.refused(1, "rests after its release by acme/test/moved@h1", "other", "acme-test-one", "--ip", "10.2.0.77")
		began := time.Now()
		moved = s.run(1, "moved", "acme-test-one", "--ip", "10.2.0.77", "--mac-address", mac)
		if err := s.ping(peer, moved, "acme-test-one"); err != nil {
			s.t.Errorf("moved container: %v; want it reached at once", err)
		}
		s.t.Logf("run on the other host and reached in %s", time.Since(began).Round(time.Millisecond))
	})
	s.part("may be in several VPCs, unless these overlap", func(s *site) {
		s.run(0, "both", "acme-prod-web", "--label", "daoli.groups=web")
		peer := s.run(1, "peer", "acme-test-one")
		client := s.run(1, "client", "acme-prod-web")
		s.do(0, "network", "connect", "acme-test-one", "both")
		s.awaitEndpoints("acme/prod/both@h1", "acme/prod/client@h2", "acme/test/both@h1", "acme/test/peer@h2")
		c, err := s.Hosts[0].Docker.Container(s.ctx, "both")
		if err != nil {
			s.t.Fatal(err)
		}
		for _, err := range []error{s.ping(peer, c, "acme-test-one"), s.ping(c, peer, "acme-test-one"), s.ping(client, c, "acme-prod-web")} {
			if err != nil {
				s.t.Error(err)
			}
		}
		if n := strings.Count(s.exec(c, "ip", "route"), "default"); n != 1 {
			s.t.Errorf("%d default routes; want one:\n%s", n, s.exec(c, "ip", "route"))
		}
		for network, why := range map[string]string{"globex-prod-web": "overlaps", "acme-prod-db": "is in vpc acme/prod already"} {
			if _, err := s.Hosts[0].Docker.Do(s.ctx, "network", "connect", network, "both"); err == nil || !strings.Contains(err.Error(), why) {
				s.t.Errorf("connect to %s: %v; want refused: %s", network, err, why)
			}
		}
		s.do(0, "network", "disconnect", "acme-prod-web", "both")
		s.awaitEndpoints("acme/prod/client@h2", "acme/test/both@h1", "acme/test/peer@h2")
		if err := s.ping(peer, c, "acme-test-one"); err != nil {
			s.t.Errorf("after its first network is gone: %v", err)
		}
		if err := s.ping(c, peer, "acme-test-one"); err != nil {
			s.t.Errorf("after its first network is gone: %v:\n%s", err, s.exec(c, "ip", "route"))
		}
	})
	s.part("of two tenants may have the same address on one host", func(s *site) {
		a, b := s.run(0, "aa", "acme-prod-web", "--ip", "10.1.0.9"), s.run(0, "bb", "globex-prod-web", "--ip", "10.1.0.9")
		if a.Networks["acme-prod-web"].Addr != b.Networks["globex-prod-web"].Addr {
			s.t.Error("addresses differ")
		}
		s.awaitEndpoints("acme/prod/aa@h1", "globex/prod/bb@h1")
	})
	s.part("are restarted and renamed", func(s *site) {
		peer := s.run(1, "peer", "acme-test-one")
		c := s.run(0, "One_x", "acme-test-one")
		s.awaitEndpoints("acme/test/one-x@h1", "acme/test/peer@h2")
		s.do(0, "restart", "--time", "0", "One_x")
		c2, err := s.Hosts[0].Docker.Container(s.ctx, "One_x")
		if err != nil {
			s.t.Fatal(err)
		}
		if c2.Networks["acme-test-one"].EndpointID == c.Networks["acme-test-one"].EndpointID {
			s.t.Error("endpoint is the same; want another")
		}
		if err := s.ping(peer, c2, "acme-test-one"); err != nil {
			s.t.Error(err)
		}
		s.do(0, "rename", "One_x", "two")
		s.awaitEndpoints("acme/test/peer@h2", "acme/test/two@h1")
		if err := s.ping(peer, c2, "acme-test-one"); err != nil {
			s.t.Errorf("renamed: %v", err)
		}
	})
	s.part("of the same name on two hosts", func(s *site) {
		s.run(0, "same", "acme-test-one")
		c := s.run(1, "same", "acme-test-one")
		s.awaitEndpoints("acme/test/same-"+c.ID[:12]+"@h2", "acme/test/same@h1")
	})
	s.part("whose ports are published are refused", func(s *site) {
		s.refused(0, "let an Ingress", "pub", "acme-test-one", "-p", "8080:80")
		s.awaitEndpoints()
	})
}

// picture is all that a container could leave on a host.
func (s *site) picture() string {
	s.t.Helper()
	var out strings.Builder
	for _, c := range [][]string{
		{"ip", "-o", "link"}, {"ip", "addr"}, {"ip", "route", "show", "table", "all"}, {"nft", "list", "ruleset"}, {"iptables-save"},
	} {
		b, err := exec.Command("ip", append([]string{"netns", "exec", s.Hosts[0].Namespace}, c...)...).Output() // ip complains of devices that go meanwhile
		if err != nil {
			s.t.Fatalf("%v: %v: %s", c, err, b)
		}
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, "valid_lft") && !strings.Contains(line, "fe80:") {
				out.WriteString(numbers.ReplaceAllString(line, ""))
			}
		}
	}
	return out.String()
}

// numbers are what a device is called by beside its name: the resolver's is made
// anew with each daoli-hostd.
var numbers = regexp.MustCompile(`^\d+: |@if\d+|link-netnsid \d+`)

// settled is picture once the resolver's port is there whole, which daoli-hostd makes
// beside all else when it starts.
func (s *site) settled() (now string) {
	s.t.Helper()
	s.eventually("the resolver's port", func() error {
		now = s.picture()
		for _, part := range []string{"daoli-dns: <BROADCAST,MULTICAST,PROMISC,UP", "chain drop-daoli-dns"} {
			if !strings.Contains(now, part) {
				return fmt.Errorf("no %q in %s", part, now)
			}
		}
		return nil
	})
	return now
}

func TestHostsDockerHasTheNetworksOfItsVPCs(t *testing.T) {
	s := start(t, 1)
	file := filepath.Join(s.Specs(), "tenants/acme/prod.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	awaitNetworks := func(want ...string) {
		t.Helper()
		s.eventually("networks", func() error {
			out, err := s.Hosts[0].Docker.Do(s.ctx, "network", "ls", "--format", "{{.Name}}")
			got := strings.Fields(out)
			slices.Sort(got)
			if err == nil && !slices.Equal(got, want) {
				err = fmt.Errorf("%v; want %v", got, want)
			}
			return err
		})
	}
	s.run(0, "user", "acme-prod-db")
	s.do(0, "network", "create", "-d", "bridge", "acme-more-one")
	test := "\n---\n" + strings.Replace(strings.SplitAfterN(acme, "---\n", 3)[1], "---\n", "", 1)
	write(strings.Replace(strings.Replace(test, "name: test", "name: more", 1), "10.2.", "10.3.", 1))
	_, long, _ := strings.Cut(docker.LongName(uplink.Network{Tenant: "acme", VPC: "more", Subnet: "one"}), "acme-more-one")
	awaitNetworks("acme-more-one", "acme-more-one"+long, "acme-prod-db", "globex-prod-web", "host", "none")
	s.do(0, "rm", "--force", "user")
	awaitNetworks("acme-more-one", "acme-more-one"+long, "globex-prod-web", "host", "none")
	if out, err := exec.CommandContext(s.ctx, s.Binary("daoli-hostd"), "leave", "--socket", s.Hosts[0].Socket).CombinedOutput(); err != nil {
		t.Errorf("leave: %v: %s", err, out)
	}
	s.Hosts[0].Hostd().Kill() // it has ended: the testbed needs to know that it should
	awaitNetworks("acme-more-one", "host", "none")
}

// TestWithoutAControllerContainersWaitAndSayWhy: those that run go on.
func TestWithoutAControllerContainersWaitAndSayWhy(t *testing.T) {
	s := start(t, 2)
	a, b := s.run(0, "aa", "acme-test-one"), s.run(1, "bb", "acme-test-one")
	if err := s.ping(a, b, "acme-test-one"); err != nil {
		t.Error(err)
	}
	before := s.settled()
	if err := s.Controller.Process().Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.ping(a, b, "acme-test-one"); err != nil {
		t.Errorf("a session that was there: %v", err)
	}
	began := time.Now()
	s.refused(0, "no controller is connected", "new", "acme-test-one")
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("it took %s to say so", d)
	}
	if after := s.picture(); after != before {
		t.Errorf("something is left behind:\n%s\nwas:\n%s", after, before)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Hosts[0].Docker.Run(s.ctx, "late", "acme-test-one", netns.Image, "sleep", "1000")
		done <- err
	}()
	time.Sleep(time.Second) // it waits by then, or comes to wait: either will do
	if err := s.Controller.Start(s.ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("a container that waited for the controller: %v", err)
	}
	s.awaitEndpoints("acme/test/aa@h1", "acme/test/bb@h2", "acme/test/late@h1")
}

// TestEndpointsOfContainersThatEndedMeanwhileEnd: while daoli-hostd is away,
// something answers Docker in its place, so that it learns of nothing.
func TestEndpointsOfContainersThatEndedMeanwhileEnd(t *testing.T) {
	s := start(t, 1)
	before := s.settled()
	s.run(0, "gone", "acme-test-one")
	s.run(0, "stays", "acme-test-one")
	s.Hosts[0].Hostd().Kill()
	stop := deaf(t, filepath.Join(s.Hosts[0].Docker.Plugins, "daoli.sock"))
	s.do(0, "rm", "--force", "gone")
	s.do(0, "rename", "stays", "stayed")
	stop()
	if err := s.Hosts[0].StartHostd(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.awaitEndpoints("acme/test/stayed@h1")
	s.do(0, "rm", "--force", "stayed")
	s.awaitEndpoints()
	if after := s.settled(); after != before {
		t.Errorf("something is left behind:\n%s\nwas:\n%s", after, before)
	}
}

// deaf answers all of Docker's calls with nothing.
func deaf(t *testing.T, socket string) (stop func()) {
	t.Helper()
	aside := socket + ".aside" // the testbed holds it open for daoli-hostd
	if err := os.Rename(socket, aside); err != nil {
		t.Fatal(err)
	}
	ln, err := private.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"Implements": ["NetworkDriver", "IpamDriver"]}`)
	})}
	go func() { _ = srv.Serve(ln) }()
	return func() {
		srv.Close()
		if err := os.Rename(aside, socket); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContainersThatAlwaysRestartComeBackWithDockerd(t *testing.T) {
	for name, kill := range map[string]bool{"stopped": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 2)
			peer := s.run(1, "peer", "acme-prod-web")
			s.run(0, "always", "acme-prod-web", "--restart", "always", "--label", "daoli.groups=web")
			if kill {
				if err := s.Kill(netns.Part{Program: netns.ProgramDocker, Host: "h1"}); err != nil {
					t.Fatal(err)
				}
			} else if err := s.Hosts[0].Docker.Stop(s.ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.Hosts[0].Docker.Start(s.ctx); err != nil {
				t.Fatal(err)
			}
			s.awaitEndpoints("acme/prod/always@h1", "acme/prod/peer@h2")
			if !strings.Contains(s.Logs(1<<20), "container joined before dockerd answers") {
				t.Error("dockerd answered in time: want that it could not be asked")
			}
			s.eventually("the container is reached", func() error {
				c, err := s.Hosts[0].Docker.Container(s.ctx, "always")
				if err != nil {
					return err
				}
				return s.ping(peer, c, "acme-prod-web")
			})
		})
	}
}
