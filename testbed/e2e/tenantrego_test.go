//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
)

// TestTenantsRegoDecides has acme's Rego deny a port that YAML allows, another module
// that doesn't, and one that loops: the last good one stays, and status says so.
// The decision log has both answers, replay what the edit lets through, and bisect
// finds it.
func TestTenantsRegoDecides(t *testing.T) {
	policies := t.TempDir()
	module := filepath.Join(policies, "tenants", "acme", "policy.rego")
	if err := os.MkdirAll(filepath.Dir(module), 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(rules string) {
		t.Helper()
		if err := os.WriteFile(module+".new", []byte("package tenants.acme.policy\n\n"+rules), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(module+".new", module); err != nil {
			t.Fatal(err)
		}
	}
	write("deny if input.port == 9000\n")
	decisions := filepath.Join(t.TempDir(), "decisions.log")
	f := startWith(t, netns.Options{Hosts: 2, ControllerArgs: []string{"--policies", policies, "--decision-log", decisions}})
	client := f.attach("h1:acme/edit/all/client")
	server := f.attach("h2:acme/edit/all/server", "servers")
	f.serveTCP(server, 9000, "hello ")
	if _, err := f.tryDial(client, "tcp4", 0, server.AddrPort(9000), time.Second); err == nil {
		t.Fatal("connect to what acme's Rego denies succeeds")
	}
	if n := f.status().Decisions.Reasons["tenant-policy"]; n == 0 {
		t.Errorf("reasons = %v; want tenant-policy", f.status().Decisions.Reasons)
	}
	revision := f.status().Revision.ID
	taken := func() {
		t.Helper()
		f.eventually("the edit of acme's Rego", func() error {
			if now := f.status().Revision.ID; now != revision {
				revision = now
				return nil
			}
			return errors.New("revision " + revision + " is still in force")
		})
	}
	write("deny if input.port == 9999\n")
	taken()
	c := f.dial(client, "tcp4", 0, server.AddrPort(9000))
	f.exchange(c, "hello ", "now")
	f.logged(decisions, "acme/edit/client > acme/edit/server tcp/9000: tenant-policy", "acme/edit/client > acme/edit/server tcp/9000: rule")
	f.replays(decisions, policies)
	f.bisects()
	write("deny if http.send({})\n")
	taken()
	if got := strings.Join(f.status().Revision.Tenants, "\n"); !strings.Contains(got, "tenants/acme/policy.rego:3: undefined function http.send") {
		t.Errorf("status says %q; want the line that is wrong", got)
	}
	f.exchange(c, "", "still")
}

// logged waits until the decision log has a record of each of these.
func (f *fabric) logged(path string, wanted ...string) {
	f.t.Helper()
	type side struct{ VPC, Name string }
	f.eventually("the decision log", func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var has []string
		for line := range bytes.Lines(text) {
			var r struct {
				Src, Dst      side
				Proto, Reason string
				Port          int
			}
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // the rest of it is still to come
			}
			if err := json.Unmarshal(line, &r); err != nil {
				return err
			}
			has = append(has, fmt.Sprintf("%s/%s > %s/%s %s/%d: %s", r.Src.VPC, r.Src.Name, r.Dst.VPC, r.Dst.Name, r.Proto, r.Port, r.Reason))
		}
		for _, want := range wanted {
			if !slices.Contains(has, want) {
				return fmt.Errorf("%q is not in %q", want, has)
			}
		}
		return nil
	})
}

// replays has the decisions of a log made again by what is on disk now: what acme's
// Rego denied passes.
func (f *fabric) replays(log, policies string) {
	f.t.Helper()
	cmd := f.Command(f.ctx, f.Binary("daoli-reconcile"), "replay", log, f.Specs(), "--policies", policies, "-o", "json")
	out, err := cmd.Output()
	const exitChanges = 3
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitChanges {
		f.t.Fatalf("daoli-reconcile replay: %v; want exit code %d:\n%s", err, exitChanges, out)
	}
	var said struct {
		Changes []struct {
			From, To, Port string
			Was, Is        struct{ Verdict, Reason string }
		}
	}
	if err := json.Unmarshal(out, &said); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range said.Changes {
		if c.From == "acme/edit/client" && c.To == "acme/edit/server" && c.Port == "tcp/9000" && c.Was.Reason == "tenant-policy" && c.Is.Verdict == "allow" {
			return
		}
	}
	f.t.Errorf("replay says %s; want that what tenant-policy denied is allowed", out)
}

// bisects finds the revision without acme's deny.
func (f *fabric) bisects() {
	f.t.Helper()
	f.eventually("bisect", func() error { // a revision is stored after it is in force
		out, err := f.Command(f.ctx, f.Binary("daolictl"), "--socket", f.Controller.Socket,
			"bisect", "acme/edit/client", "acme/edit/server:9000", "-o", "json").Output()
		if err != nil {
			return err
		}
		var said struct {
			Before, After struct {
				Revision struct{ ID string }
				Why      api.Why
			}
		}
		if err := json.Unmarshal(out, &said); err != nil {
			return err
		}
		if said.Before.Why.Decision.Reason != "tenant-policy" || !said.After.Why.Decision.Allowed() || said.After.Revision.ID != f.status().Revision.ID {
			return fmt.Errorf("bisect says %s", out)
		}
		return nil
	})
}
