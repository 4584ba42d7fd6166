package main

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/hostd/agent"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// authority serves joining until the test ends.
func authority(t *testing.T) (a *enrol.Authority, address string) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	a, err = enrol.Open(enrol.Config{Dir: t.TempDir(), Name: "c1", Controllers: []string{ln.Addr().String()}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- hostlink.NewServer(hostlink.Config{
			Logger: quiet, Credentials: enrol.Credentials(), Enrolment: a, Admit: a.Admit,
			Authorize: func(context.Context, *inventory.HostReport, func(error)) (func(), error) { return func() {}, nil },
		}).Serve(ctx, a.ListenHosts(ln))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, ln.Addr().String()
}

func TestJoinGoesOnAsRunAndKeepsWhatItWasGiven(t *testing.T) {
	a, address := authority(t)
	_, token, err := a.CreateToken(trust.TokenSpec{})
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "state")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var went []string
	var out, errOut bytes.Buffer
	env := map[string]string{"DAOLI_DATAPATH": "netdev"}
	code := run(t.Context(), []string{"join", address, "--token-file", file, "--ca-hash", a.Pin(), "--name", "h1", "--state-dir", state,
		"--controller", "1.2.3.4:7443", "--controller", "1.2.3.5:7443", "--attach-timeout", "7s", "--socket", "/s"},
		system{out: &out, err: &errOut, env: func(n string) (string, bool) { v, ok := env[n]; return v, ok },
			exec: func(args []string) error { went = args; return nil }})
	if code != exitFine || !strings.Contains(errOut.String(), "h1 is a host of cluster "+a.Cluster()) {
		t.Fatalf("exit %d: %s", code, errOut.String())
	}
	if diff := cmp.Diff([]string{"run", "--state-dir", state}, went); diff != "" {
		t.Errorf("goes on as (-want +got):\n%s", diff)
	}
	if id, err := identity.Open(agent.IdentityDir(state)); err != nil || id.Host() != "h1" {
		t.Errorf("identity is %v, %v", id, err)
	}
	kept, err := os.ReadFile(filepath.Join(state, flagsFile))
	if err != nil || strings.Contains(string(kept), "token") || strings.Contains(string(kept), "h1") {
		t.Errorf("kept is %s (%v); want run's flags only", kept, err)
	}

	var o runOptions
	f := pflag.NewFlagSet("run", pflag.ContinueOnError)
	o.add(f)
	socket := f.String("socket", "/run/x", "")
	if err := f.Parse([]string{"--attach-timeout", "3s"}); err != nil {
		t.Fatal(err)
	}
	if err := restoreFlags(state, f); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(o.cfg.Controllers, []string{"1.2.3.4:7443", "1.2.3.5:7443"}) || o.cfg.Datapath != "netdev" || *socket != "/s" {
		t.Errorf("run has %+v, socket %s; want what join was given", o.cfg, *socket)
	}
	if o.cfg.AttachTimeout.Seconds() != 3 {
		t.Errorf("attach timeout is %s; want what run was given", o.cfg.AttachTimeout)
	}
}

func TestKeptFlagsAreChecked(t *testing.T) {
	for name, text := range map[string]string{
		"half": `{"datapath":["net`, "unknown flag": `{"datapth":["netdev"]}`, "bad value": `{"attach-timeout":["soon"]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, flagsFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := invoke(t, nil, "run", "--state-dir", dir)
		if code != exitRefused || !strings.Contains(stderr, filepath.Join(dir, flagsFile)) {
			t.Errorf("%s: exit %d: %s; want 1, and the file's name", name, code, stderr)
		}
	}
}
