//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
)

// certificateLife is so short that a test sees certificates end.
const certificateLife = 6 * time.Second

// startBrief is start with certificates of certificateLife.
func startBrief(t *testing.T, hosts int) *fabric {
	t.Helper()
	tb, err := netns.Up(t.Context(), netns.Options{
		Hosts: hosts, SpecsFS: os.DirFS("testdata/specs"), Binaries: os.Getenv(binariesVar),
		ControllerArgs: []string{"--host-certificate-life", certificateLife.String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Log(tb.Logs(8000))
		}
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fabric{tb, t, ctx}
}

// said returns how many lines of the controller's log hold all parts.
func (f *fabric) said(parts ...string) int {
	f.t.Helper()
	text, err := f.Controller.Log()
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(text) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}

// says waits for n lines of the controller's log that hold all parts.
func (f *fabric) says(n int, parts ...string) {
	f.t.Helper()
	f.within(30*time.Second, fmt.Sprintf("%d lines of the controller with %q", n, parts), func() error {
		if got := f.said(parts...); got < n {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
}

// seen is what the controller knows of a host.
func (f *fabric) seen(name string) api.Host {
	f.t.Helper()
	hosts, err := f.Controller.API().Hosts(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, h := range hosts {
		if h.Name == name {
			return h
		}
	}
	f.t.Fatalf("the controller knows no host %s", name)
	panic("unreachable")
}

func (f *fabric) connected(name string) {
	f.t.Helper()
	f.within(20*time.Second, name+" to be connected", func() error {
		if h := f.seen(name); !h.Connected || !h.Reporting {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
}

// talking is an established connection from web1 on h1 to db1 on h2.
func (f *fabric) talking() net.Conn {
	f.t.Helper()
	web1, db1 := f.attach("h1:acme/prod/web/web1", "web"), f.attach("h2:acme/prod/db/db1")
	f.serveTCP(db1, 5432, "")
	c := f.dial(web1, "tcp4", 0, db1.AddrPort(5432))
	f.exchange(c, "", "hello")
	return c
}

func TestCertificatesAreRenewedWithoutAnyLostConnection(t *testing.T) {
	t.Parallel()
	f := startBrief(t, 2)
	c := f.talking()
	begin := time.Now()
	for _, h := range f.Hosts { // so that each certificate that there was at the start has ended
		f.says(4, "host's certificate renewed", "host="+h.Name)
	}
	if spent := time.Since(begin); spent < certificateLife {
		t.Errorf("four renewals took %s; want more than a life", spent)
	}
	for _, lost := range []string{"switch disconnected", "host disconnected", "refused"} {
		if n := f.said(lost); n > 0 {
			t.Errorf("the controller says %d times: %s", n, lost)
		}
	}
	f.exchange(c, "", "still here")

	// Open vSwitch shows the newest when it connects again, the running one too.
	f.Controller.Process().Kill()
	if err := f.Controller.Start(f.ctx); err != nil {
		t.Fatal(err)
	}
	h1 := f.Hosts[0]
	for _, h := range f.Hosts {
		f.connected(h.Name)
	}
	if n := f.said("refused"); n > 0 {
		t.Errorf("the controller refused %d connections", n)
	}
	h1.Switch().Kill()
	if err := h1.StartSwitch(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.says(3, "switch connected", "switch="+f.seen("h1").DPID)
	f.connected("h1")
	if n := f.said("refused"); n > 0 {
		t.Errorf("the controller refused %d connections", n)
	}
}

func TestAnEndedCertificateCutsALiveSwitchUntilItIsRenewed(t *testing.T) {
	t.Parallel()
	f := startBrief(t, 2)
	c := f.talking()
	h2 := f.Host("h2")
	h2.Hostd().Kill() // nobody renews
	f.says(1, "host's connection ended", "host=h2", "reason=expired")
	f.says(1, "switch disconnected", "the host's last certificate ended")
	f.says(1, "connection refused", "peer="+h2.Addr.Addr().String(), "reason=expired") // Open vSwitch tries again
	if h := f.seen("h2"); h.Connected {
		t.Errorf("h2 is connected: %+v", h)
	}
	f.exchange(c, "", "sessions go on")
	// It comes back alone.
	if err := h2.StartHostd(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.connected("h2")
	f.exchange(c, "", "and after")
	if n := f.said("renewal refused"); n > 0 {
		t.Errorf("%d renewals were refused", n)
	}
}

func TestARevokedHostIsCutOffAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	c := f.talking()
	h2 := f.Host("h2")
	begin := time.Now()
	if out, err := f.Command(f.ctx, f.Binary("daolictl"), "--socket", f.Controller.Socket, "host", "revoke", "h2").CombinedOutput(); err != nil {
		t.Fatalf("revoke: %v: %s", err, out)
	}
	f.eventually("its session to end on the other host", func() error {
		if n := len(f.flows("h1", "cookie=0x0300000000000000/0xff00000000000000")); n > 0 {
			return fmt.Errorf("%d flows are left", n)
		}
		return nil
	})
	t.Logf("cut after %s", time.Since(begin).Round(time.Millisecond))
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(c, "x"); err == nil {
		if got, err := read(c, 1, time.Second); err == nil {
			t.Errorf("its container still answers: %q", got)
		}
	}
	if h := f.seen("h2"); h.Connected || h.Reporting || h.Revoked == nil || h.Endpoints != 0 {
		t.Errorf("the controller knows %+v; want a revoked host without anything", h)
	}
	endpoints, err := f.Controller.API().Endpoints(f.ctx)
	if err != nil || len(endpoints) != 1 || endpoints[0].Host != "h1" {
		t.Errorf("endpoints are %+v, %v; want h1's", endpoints, err)
	}
	f.says(1, "host revoked", "host=h2")
	f.says(1, "switch disconnected", "the host was revoked")
	f.says(1, "host refused", "host=h2", "reason=revoked")
	f.says(1, "connection refused", "peer="+h2.Addr.Addr().String(), "reason=revoked")

	// The way out, with fewer rights: one command, after which run needs no flag.
	h2.Hostd().Kill()
	f.join(h2, api.JoinTokenRequest{Hosts: []string{"h2"}, Tenants: []string{"acme"}}, "--new-key")
	if err := h2.StartHostd(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.connected("h2")
	f.attach("h2:acme/prod/web/web2")
	_, err = f.Attach(f.ctx, netns.EndpointSpec{Host: "h2", VPC: "globex/prod", Subnet: "web", Name: "g1"})
	if err == nil || !strings.Contains(err.Error(), "joined for endpoints of acme only") {
		t.Errorf("attach of a tenant that the token did not give: %v; want a refusal", err)
	}
	f.says(1, "endpoint refused", "host=h2", "endpoint=globex/prod/g1", "joined for endpoints of acme only")
	if _, err := f.Attach(f.ctx, netns.EndpointSpec{Host: "h1", VPC: "globex/prod", Subnet: "web", Name: "g1"}); err != nil {
		t.Errorf("attach on a host whose token said nothing of tenants: %v", err)
	}
}

// join has a host enrol with a token of its own.
func (f *fabric) join(h *netns.Host, q api.JoinTokenRequest, args ...string) {
	f.t.Helper()
	token, err := f.Controller.API().CreateJoinToken(f.ctx, q)
	if err != nil {
		f.t.Fatal(err)
	}
	argv := append([]string{"netns", "exec", h.Namespace, f.Binary("daoli-hostd"), "join", token.Controllers[0], "--ca-hash", token.CAHash,
		"--enrol-only", "--name", h.Name, "--uplink", netns.Uplink, "--datapath", "netdev", "--ovs-rundir", h.OVSDir, "--socket", h.Socket, "--state-dir", h.StateDir()}, args...)
	cmd := exec.CommandContext(f.ctx, "ip", argv...)
	cmd.Env = append(os.Environ(), "DAOLI_TOKEN="+token.Token)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("join: %v: %s", err, out)
	}
}

func TestJoiningFailsCleanlyAndLeaksNoToken(t *testing.T) {
	f := start(t, 1)
	h1 := f.Hosts[0]
	// The running daoli-hostd was started as join, with the token in its environment.
	for _, file := range []string{"cmdline", "environ"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", h1.Hostd().PID(), file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "TOKEN") || strings.Contains(string(text), "join") {
			t.Errorf("its %s is %q; want daoli-hostd run without a token", file, text)
		}
	}
	token, err := f.Controller.API().CreateJoinToken(f.ctx, api.JoinTokenRequest{Hosts: []string{"h9"}})
	if err != nil {
		t.Fatal(err)
	}
	join := func(args ...string) (string, int) {
		state := t.TempDir()
		argv := append([]string{"netns", "exec", h1.Namespace, f.Binary("daoli-hostd"), "join", token.Controllers[0], "--name", "h9",
			"--enrol-only", "--token", token.Token, "--state-dir", state}, args...)
		cmd := exec.CommandContext(f.ctx, "ip", argv...)
		out, _ := cmd.CombinedOutput() // its exit code says the same
		if _, err := os.Stat(state + "/identity/host.json"); (err == nil) != (cmd.ProcessState.ExitCode() == 0) {
			t.Errorf("exit %d, but its identity: %v", cmd.ProcessState.ExitCode(), err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	wrong := "sha256:" + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"wrong CA hash", []string{"--ca-hash", wrong}, "the token was not sent"},
		{"token for another name", []string{"--ca-hash", token.CAHash, "--name", "h8"}, `not for a host named "h8"`},
		{"a live host's name", []string{"--ca-hash", token.CAHash, "--name", "h1", "--token", f.tokenFor("h1")}, "daolictl host revoke h1"},
		{"no token", []string{"--ca-hash", token.CAHash, "--token", "a.b"}, "no join token"},
	} {
		if out, code := join(tt.args...); code != 1 || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d: %s; want 1 and %q", tt.name, code, out, tt.says)
		}
	}
	if out, code := join("--ca-hash", token.CAHash); code != 0 {
		t.Errorf("right: exit %d: %s", code, out)
	}
	if out, code := join("--ca-hash", token.CAHash); code != 1 || !strings.Contains(out, "used up") {
		t.Errorf("again: exit %d: %s; want 1 and used up", code, out)
	}
	for _, reason := range []string{"certificate", "token-host", "name-taken", "token-unknown", "token-used"} {
		f.says(1, "refused", "peer="+h1.Addr.Addr().String(), "reason="+reason)
	}
}

// tokenFor makes a token for one host.
func (f *fabric) tokenFor(host string) string {
	f.t.Helper()
	t, err := f.Controller.API().CreateJoinToken(f.ctx, api.JoinTokenRequest{Hosts: []string{host}})
	if err != nil {
		f.t.Fatal(err)
	}
	return t.Token
}
