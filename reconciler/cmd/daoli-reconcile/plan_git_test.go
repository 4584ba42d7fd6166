package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProgram has the test binary be the program, so that git can run it as a hook.
const asProgram = "DAOLI_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" || len(os.Args) > 1 && os.Args[1] == sandboxCommandName { // a child gets no environment
		main()
	}
	os.Exit(m.Run())
}

// git runs git in dir without anybody's configuration, and returns what it says.
func git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@acme.example", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@acme.example")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git(t, dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

const planYAML = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: db, tenant: acme, vpc: prod}
spec:
  members: {subnets: [db]}
  ingress: [{from: [{subnet: web}], ports: [tcp/5432]}]
`

// pushing is a bare repository with the hook, and a clone.
type pushing struct {
	*testing.T
	bare, work string
}

func newPushing(t *testing.T, hook string) pushing {
	t.Helper()
	dir := t.TempDir()
	p := pushing{t, filepath.Join(dir, "bare.git"), filepath.Join(dir, "work")}
	mustGit(t, dir, "init", "-q", "--bare", "-b", "main", p.bare)
	mustGit(t, dir, "init", "-q", "-b", "main", p.work)
	mustGit(t, p.work, "remote", "add", "origin", p.bare)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + asProgram + "=1 exec '" + self + "' " + hook + "\n"
	if err := os.WriteFile(filepath.Join(p.bare, "hooks", "pre-receive"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

// push commits a file and pushes it.
func (p pushing) push(name, text string) (string, error) {
	p.Helper()
	file := filepath.Join(p.work, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.Fatal(err)
	}
	mustGit(p.T, p.work, "add", "-A")
	mustGit(p.T, p.work, "commit", "-q", "-m", "change")
	return git(p.T, p.work, "push", "-q", "origin", "main")
}

func (p pushing) head() string { p.Helper(); return mustGit(p.T, p.bare, "rev-parse", "main") }

func TestPreReceiveShowsThePlanAndRefusesABadPush(t *testing.T) {
	p := newPushing(t, "plan --pre-receive --ref main")
	for _, s := range []struct {
		name, file, text string
		refused          bool
		want             []string
	}{
		{"the first push", "specs/net.yaml", planYAML, false, []string{"+ VPC acme/prod (net.yaml:8)", "tcp/5432"}},
		{"another port", "specs/net.yaml", strings.Replace(planYAML, "5432", "6432", 1), false, []string{
			"~ SecurityGroup acme/prod/db (net.yaml:14)", "+ any of acme/prod in web > any of acme/prod in db, groups db tcp/6432", "- any of acme/prod in web"}},
		{"a file that is no revision's", "README.md", "hello\n", false, []string{"Objects: 0"}},
		{"a mistake", "specs/net.yaml", strings.Replace(planYAML, "/24}]", "/40}]", 1), true, []string{"net.yaml:10: cidr is"}},
		{"its repair", "specs/net.yaml", planYAML, false, []string{"tcp/5432"}},
		{"a file that an attribute hides", ".gitattributes", "* export-ignore\n", false, []string{"Objects: 0"}},
		{"bad Rego", "policies/system/x.rego", "package", true, []string{"x.rego:1"}},
	} {
		before := ""
		if s.name != "the first push" {
			before = p.head()
		}
		said, err := p.push(s.file, s.text)
		if (err != nil) != s.refused {
			t.Fatalf("push of %s: %v; want refused %v\n%s", s.name, err, s.refused, said)
		}
		for _, text := range s.want {
			if !strings.Contains(said, text) {
				t.Errorf("push of %s says\n%s\nwant %q", s.name, said, text)
			}
		}
		if s.refused && p.head() != before {
			t.Errorf("push of %s was refused, and the branch moved", s.name)
		}
	}
	if said, err := git(t, p.work, "push", "-q", "origin", ":main"); err == nil || !strings.Contains(said, "can't be deleted") {
		t.Errorf("deletion of the branch: %v\n%s\nwant it refused", err, said)
	}
	if said, err := git(t, p.work, "push", "-q", "origin", "HEAD:other"); err != nil {
		t.Errorf("push of another branch, with what main refuses: %v\n%s", err, said)
	}
}

// TestWithoutTheHookABadPushIsTaken is the test of the guard without its guard.
func TestWithoutTheHookABadPushIsTaken(t *testing.T) {
	p := newPushing(t, "plan --help > /dev/null")
	if said, err := p.push("specs/net.yaml", "nonsense"); err != nil {
		t.Fatalf("push: %v\n%s", err, said)
	}
}

func TestPlanRefusesASymbolicLinkOfACommit(t *testing.T) {
	p := newPushing(t, "plan --pre-receive")
	if err := os.MkdirAll(filepath.Join(p.work, "specs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(p.work, "specs", "net.yaml")); err != nil {
		t.Fatal(err)
	}
	said, err := p.push("specs/other.yaml", planYAML)
	if err == nil || !strings.Contains(said, "net.yaml:1: it is a symbolic link") {
		t.Errorf("push of a link: %v\n%s\nwant it refused by its name", err, said)
	}
}

func TestPlanOfACommitAgainstAnother(t *testing.T) {
	p := newPushing(t, "plan --pre-receive")
	for _, text := range []string{planYAML, strings.Replace(planYAML, "5432", "6432", 1)} {
		if said, err := p.push("specs/net.yaml", text); err != nil {
			t.Fatalf("push: %v\n%s", err, said)
		}
	}
	t.Chdir(p.work)
	stdout, stderr, code := runWith(t, nil, "plan", "HEAD", "--against", "HEAD~1", "-o", "markdown", "--detailed-exitcode")
	if code != exitChanges || !strings.Contains(stdout, "**Reach gained: 1**") {
		t.Errorf("exit %d\n%s%s\nwant %d, and one more", code, stdout, stderr, exitChanges)
	}
	if _, stderr, code := runWith(t, nil, "plan", "HEAD", "--against", "nosuch"); code != exitRefused || !strings.Contains(stderr, "no commit") {
		t.Errorf("against a commit that is not there: exit %d, %s", code, stderr)
	}
}
