//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestDockerHasNoWayAroundTheSwitch takes out of Join's answer what keeps Docker
// from giving a container a second interface, on docker_gwbridge. One of the two
// keeps it from that alone. Without both, two tenants reach each other, and the
// host, by a way that no policy sees.
func TestDockerHasNoWayAroundTheSwitch(t *testing.T) {
	t.Parallel()
	f := startDocker(t, netns.Options{Hosts: 1})
	var without atomic.Pointer[[]string]
	without.Store(new([]string))
	f.between("h1", func(call string, answer map[string]any) {
		for _, field := range *without.Load() {
			if call == "NetworkDriver.Join" {
				delete(answer, field)
			}
		}
	})
	for _, tt := range []struct {
		name    string
		without []string
		links   []string
	}{
		{"as it is", nil, []string{"eth0", "lo"}},
		{"without a gateway", []string{"Gateway"}, []string{"eth0", "lo"}},
		{"without DisableGatewayService", []string{"DisableGatewayService"}, []string{"eth0", "lo"}},
		{"without both", []string{"Gateway", "DisableGatewayService"}, []string{"eth0", "eth1", "lo"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := f.with(t)
			without.Store(&tt.without)
			client, server := f.run("h1", "client", acmeWeb), f.run("h1", "server", globexWeb, greeting(80)...)
			if got := f.links(client); !slices.Equal(got, tt.links) {
				t.Fatalf("a container has %q; want %q", got, tt.links)
			}
			around := f.do("h1", "network", "ls", "--quiet", "--filter", "name=docker_gwbridge") != ""
			if harm := slices.Contains(tt.links, "eth1"); around != harm {
				t.Fatalf("there is a docker_gwbridge: %v; want %v", around, harm)
			}
			if !around {
				return
			}
			addr, err := server.Exec(f.ctx, "ip", "-o", "-4", "addr", "show", "dev", "eth1")
			words := strings.Fields(addr)
			if err != nil || len(words) < 4 {
				t.Fatalf("the server's eth1: %q, %v", addr, err)
			}
			to, _, _ := strings.Cut(words[3], "/")
			f.eventually("the harm: another tenant's container is reached around the switch", func() error {
				said, err := client.Exec(f.ctx, "nc", "-w", "3", to, "80")
				if err == nil && strings.TrimSpace(said) == "" {
					err = errors.New("nothing was said")
				}
				return err
			})
		})
	}
}

// between puts itself between a host's dockerd and daoli-hostd until the test
// ends, and changes what the latter answers.
func (f *fabric) between(host string, change func(call string, answer map[string]any)) {
	f.t.Helper()
	hostd := netns.Part{Program: netns.ProgramHostd, Host: host}
	if err := f.Kill(hostd); err != nil { // or Docker would go on by the connections that it has
		f.t.Fatal(err)
	}
	socket := filepath.Join(f.docker(host).Plugins, "daoli.sock")
	aside := socket + ".aside" // the testbed holds it open for daoli-hostd
	if err := os.Rename(socket, aside); err != nil {
		f.t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		f.t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", aside)
	}}
	srv := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "daoli" },
		Transport: transport,
		ModifyResponse: func(r *http.Response) error {
			var answer map[string]any
			if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
				return err
			}
			change(filepath.Base(r.Request.URL.Path), answer)
			text, err := json.Marshal(answer)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}}
	go func() { _ = srv.Serve(ln) }()
	f.t.Cleanup(func() {
		srv.Close()
		transport.CloseIdleConnections()
		if err := os.Rename(aside, socket); err != nil {
			f.t.Error(err)
		}
	})
	if err := f.Start(f.ctx, hostd); err != nil {
		f.t.Fatal(err)
	}
	if err := f.Controller.AwaitHosts(f.ctx, len(f.Hosts)); err != nil {
		f.t.Fatal(err)
	}
}

// TestDockerFirstPacketWaitsForItsFlows has a controller learn late of a container.
// Join waits for it, and the container's first packet meets its policy. A
// daoli-hostd that does not wait starts a container that is denied what it may do,
// since nobody knows it yet.
func TestDockerFirstPacketWaitsForItsFlows(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, p := range []string{"daoli-reconcile", "daolictl", "daoli-hostd"} {
		if err := os.Symlink(filepath.Join(os.Getenv(binariesVar), p), filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	f := startDocker(t, netns.Options{Hosts: 1, Binaries: dir})
	f.hears(f.run("h1", "web0", acmeWeb, "--label=daoli.groups=web"), f.run("h1", "db1", acmeDB, greeting(5432)...), acmeDB, 5432)
	if said, err := f.speaksUnknown("web1", 500*time.Millisecond); err != nil || said == "" {
		t.Errorf("a container that waited for its flows hears %q, %v; want db1", said, err)
	}

	impatient(t, filepath.Join(dir, "daoli-hostd"))
	hostd := netns.Part{Program: netns.ProgramHostd, Host: "h1"}
	if err := f.Kill(hostd); err != nil {
		t.Fatal(err)
	}
	if err := f.Start(f.ctx, hostd); err != nil {
		t.Fatal(err)
	}
	if err := f.Controller.AwaitHosts(f.ctx, 1); err != nil {
		t.Fatal(err)
	}
	if said, err := f.speaksUnknown("web2", patience); err == nil || said != "" {
		t.Errorf("a container that did not wait hears %q, %v; want the harm: that it is denied", said, err)
	}
}

// impatient makes a daoli-hostd that says that an endpoint is there as it reports
// it, and does not wait until a controller has confirmed that its flows are.
func impatient(t *testing.T, program string) {
	t.Helper()
	const report = "\t\te.State = Reporting\n\t\tif m.connected {\n\t\t\tm.report(e)\n\t\t}\n"
	file, err := filepath.Abs("../../hostd/endpoint/machine.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil || strings.Count(string(source), report) != 1 {
		t.Fatalf("%s: %v; want in it once: %s", file, err, report)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "machine.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{file: changed}})
	err = errors.Join(err, os.WriteFile(overlay, text, 0o600), os.Remove(program),
		os.WriteFile(changed, []byte(strings.Replace(string(source), report, report+"\t\tm.isUp(e)\n", 1)), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", program, "github.com/daolinet/daolinet/hostd/cmd/daoli-hostd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
}

// speaksUnknown runs a container that connects to db1 as it starts. From the lease
// of its address on no host can tell the controller anything, which does all else:
// until the container has ended, or so long.
func (f *fabric) speaksUnknown(name string, long time.Duration) (said string, err error) {
	f.t.Helper()
	h := f.Host("h1")
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(h.Database().PID(), s); err != nil {
			f.t.Error(err)
		}
	}
	nft := func(command string) {
		out, err := exec.CommandContext(context.WithoutCancel(f.ctx), "ip", "netns", "exec", f.Controller.Namespace, "nft", command).CombinedOutput()
		if err != nil {
			f.t.Errorf("nft %s: %v: %s", command, err, out)
		}
	}
	devices := func() (int, error) {
		links, err := h.Exec(f.ctx, "ip", "-o", "link")
		return strings.Count(links, ": dl"), err
	}
	to := f.in(f.inspect("h1", "db1"), acmeDB)
	before, err := devices()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { f.gone("h1", name) })
	signal(syscall.SIGSTOP) // the port of the container waits, and with it the report
	resume := sync.OnceFunc(func() { signal(syscall.SIGCONT) })
	defer resume()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		said, err = h.Docker.Do(f.ctx, "run", "--rm", "--network", acmeWeb, "--name", name, "--label", "daoli.groups=web",
			netns.Image, "nc", "-w", "2", to.Addr.String(), "5432")
	}()
	f.eventually("the devices of "+name, func() error {
		n, err := devices()
		if err == nil && n == before {
			err = errors.New("there are none")
		}
		return err
	})
	nft(fmt.Sprintf("table inet still { chain in { type filter hook input priority 0; tcp dport %d drop; }; }", netns.HostsPort))
	heard := sync.OnceFunc(func() { nft("delete table inet still") })
	defer heard()
	resume()
	select {
	case <-ended: // and one that is known is let through all the while
		f.hears(f.inspect("h1", "web0"), f.inspect("h1", "db1"), acmeDB, 5432)
	case <-time.After(long):
	}
	heard()
	<-ended
	return said, err
}
