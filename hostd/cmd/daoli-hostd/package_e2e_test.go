//go:build e2e

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesInstallAndRemove builds the Debian packages and installs them into a
// directory of their own.
func TestPackagesInstallAndRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("end-to-end tests need root")
	}
	dir := t.TempDir()
	do := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	bin, root := os.Getenv("DAOLI_E2E_BINARIES"), filepath.Join(dir, "root")
	if bin == "" {
		bin = filepath.Join(dir, "bin")
		const module = "github.com/daolinet/daolinet/"
		do("go", "build", "-o", bin+"/", module+"hostd/cmd/daoli-hostd", module+"reconciler/cmd/daoli-reconcile", module+"reconciler/cmd/daolictl")
	}
	debs := strings.Fields(do("../../package/build", bin, dir, "1.2.3"))
	if len(debs) != 2 {
		t.Fatalf("packages are %v", debs)
	}
	for _, deb := range debs {
		if info := do("dpkg-deb", "-I", deb); !strings.Contains(info, "Version: 1.2.3\n") || !strings.Contains(info, "conffiles") {
			t.Errorf("%s:\n%s", deb, info)
		}
		if list := do("dpkg-deb", "-c", deb); strings.Contains(list, dir) || strings.Count(list, "root/root") != strings.Count(list, "\n") {
			t.Errorf("%s holds\n%s", deb, list)
		}
	}
	for _, d := range []string{"/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/lib/daoli/hostd"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(root+path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("/var/lib/dpkg/status", "")
	write("/var/lib/dpkg/available", "")
	dpkg := func(args ...string) (string, error) {
		out, err := exec.Command("dpkg", append([]string{"--root=" + root, "--force-depends", "--force-script-chrootless", "--log=" + dir + "/log"}, args...)...).CombinedOutput()
		return string(out), err
	}
	if out, err := dpkg(append([]string{"-i"}, debs...)...); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	for _, path := range []string{
		"/usr/bin/daoli-hostd", "/usr/bin/daolictl", "/usr/bin/daoli-reconcile", "/lib/systemd/system/daoli-hostd.socket", "/etc/default/daoli-hostd",
		"/etc/default/daoli-reconcile", "/usr/share/bash-completion/completions/daolictl", "/usr/share/zsh/vendor-completions/_daoli-hostd",
		"/usr/share/fish/vendor_completions.d/daoli-reconcile.fish",
	} {
		if s, err := os.Stat(root + path); err != nil || s.Size() == 0 {
			t.Errorf("%s is not installed: %v", path, err)
		}
	}
	do(root+"/usr/bin/daoli-hostd", "--help")
	verifyUnits(t, root)
	write("/etc/default/daoli-hostd", "DAOLI_LOG_LEVEL=debug\n")
	write("/var/lib/daoli/hostd/host.json", `{`+"\n"+`  "uplink": "eth0",`+"\n}\n")
	if out, err := dpkg("-r", "daoli-hostd"); err == nil || !strings.Contains(out, "daoli-hostd leave") {
		t.Errorf("removal from a host that has joined: %v\n%s", err, out)
	}
	write("/var/lib/daoli/hostd/host.json", `{`+"\n"+`  "uplink": "",`+"\n}\n")
	if out, err := dpkg("-i", debs[0]); err != nil {
		t.Errorf("upgrade: %v\n%s", err, out)
	}
	if b, _ := os.ReadFile(root + "/etc/default/daoli-hostd"); string(b) != "DAOLI_LOG_LEVEL=debug\n" {
		t.Errorf("an upgrade changed the settings to %q", b)
	}
	if out, err := dpkg("-P", "daoli-hostd", "daoli-controller"); err != nil {
		t.Errorf("removal: %v\n%s", err, out)
	}
	if left, _ := filepath.Glob(root + "/usr/bin/*"); len(left) > 0 {
		t.Errorf("left after removal: %v", left)
	}
	if _, err := os.Stat(root + "/var/lib/daoli/hostd"); err == nil {
		t.Error("the state is left after a purge")
	}
}

// verifyUnits lets systemd read the units, where it is installed. That it finds no
// programs at the units' paths is not their fault here.
func verifyUnits(t *testing.T, root string) {
	t.Helper()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("systemd-analyze is not installed: the units are not verified")
		return
	}
	units, _ := filepath.Glob(root + "/lib/systemd/system/*")
	if len(units) != 3 {
		t.Errorf("units are %v", units)
	}
	for _, unit := range units {
		out, _ := exec.Command(verify, "verify", "--man=no", unit).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "daoli-") && !strings.Contains(line, "is not executable: No such file") {
				t.Errorf("%s: %s", filepath.Base(unit), line)
			}
		}
	}
}
