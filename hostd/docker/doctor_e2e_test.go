//go:build e2e

package docker_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/daolinet/daolinet/hostd/doctor"
	"github.com/daolinet/daolinet/testbed/netns"
)

// TestDoctorLooksAtDocker has a real dockerd: it is well, without daoli-hostd's
// socket, without an answer there, dead, and not there at all.
func TestDoctorLooksAtDocker(t *testing.T) {
	s := start(t, 1)
	h := s.Hosts[0]
	plugin := filepath.Join(h.Docker.Plugins, "daoli.sock")
	looks := func(what string, want ...string) {
		t.Helper()
		cmd := s.Command(s.ctx, "ip", "netns", "exec", h.Namespace, s.Binary("daoli-hostd"), "doctor", "-o", "json", "--socket", h.Socket,
			"--state-dir", h.StateDir(), "--ovs-rundir", h.OVSDir, "--docker", h.Docker.Socket, "--plugin-socket", plugin)
		out, _ := cmd.Output() // its exit code is of all checks
		var checks []doctor.Check
		if err := json.Unmarshal(out, &checks); err != nil {
			t.Fatalf("doctor: %v: %s", err, out)
		}
		var got []string
		for _, c := range checks {
			if c.Name == "Docker" || c.Name == "Docker plugin" {
				got = append(got, c.Name+": "+string(c.Result))
				if c.Result == doctor.Fail && c.Way == "" {
					t.Errorf("%s: %+v has no way out", what, c)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: doctor says %q; want %q", what, got, want)
		}
	}
	well, sick := string(doctor.OK), string(doctor.Fail)
	looks("all is well", "Docker: "+well, "Docker plugin: "+well)
	if err := os.Rename(plugin, plugin+".aside"); err != nil {
		t.Fatal(err)
	}
	looks("the plugin's socket is gone", "Docker: "+well, "Docker plugin: "+sick)
	if err := os.Rename(plugin+".aside", plugin); err != nil {
		t.Fatal(err)
	}
	looks("it is back", "Docker: "+well, "Docker plugin: "+well)
	if err := s.Kill(netns.Part{Program: netns.ProgramDocker, Host: h.Name}); err != nil {
		t.Fatal(err)
	}
	looks("dockerd is dead", "Docker: "+sick, "Docker plugin: "+well)
	if err := os.Remove(h.Docker.Socket); err != nil {
		t.Fatal(err)
	}
	looks("there is no Docker", "Docker: "+well)
}
