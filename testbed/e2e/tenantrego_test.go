//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

// TestTenantsRegoDecides has acme's Rego deny a port that YAML allows, another module
// that doesn't, and one that loops: the last good one stays, and status says so.
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
	f := startWith(t, netns.Options{Hosts: 2, ControllerArgs: []string{"--policies", policies}})
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
	write("deny if http.send({})\n")
	taken()
	if got := strings.Join(f.status().Revision.Tenants, "\n"); !strings.Contains(got, "tenants/acme/policy.rego:3: undefined function http.send") {
		t.Errorf("status says %q; want the line that is wrong", got)
	}
	f.exchange(c, "", "still")
}
