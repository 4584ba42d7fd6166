package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/daolinet/daolinet/reconciler/api"
)

// organisation is examples/organisation in a work tree, the bare repository that it
// is pushed to, and a controller that follows that.
type organisation struct {
	*testing.T
	program    string
	bare, work string
	env        []string
	controller *exec.Cmd
	api        *api.Client
}

// TestOrganisationInGit pushes the example as its README says.
func TestOrganisationInGit(t *testing.T) {
	o := newOrganisation(t, built(t))
	first := o.commit("the network")
	if out, err := o.push(); err != nil {
		t.Fatalf("push: %v\n%s", err, out)
	}
	o.follow()
	o.await("the first commit", first)

	pay, rego := filepath.Join(o.work, "specs/tenants/pay/prod.yaml"), filepath.Join(o.work, "policies/tenants/pay/policy.rego")
	good, module := string(read(t, pay)), string(read(t, rego))
	const vault = "    - {from: [{subnet: api}], ports: [tcp/8200]}\n"
	for name, bad := range map[string]struct{ path, text, want string }{
		"a promise of the platform's is broken": {
			pay, strings.Replace(good, vault, vault+"    - {from: [{subnet: web, vpc: shop/prod}], ports: [tcp/8200]}\n", 1), "guardrails/pay.yaml:17: ",
		},
		"a test of a tenant's Rego fails": {rego, strings.Replace(module, `== "yes"`, `== "no"`, 1), "tenants/pay/policy_test.rego:3: "},
		"a value is wrong":                {pay, strings.Replace(good, "tcp/8200", "tcp/82000", 1), "tenants/pay/prod.yaml:25: "},
	} {
		write(t, bad.path, []byte(bad.text))
		o.commit(name)
		if out, err := o.plan(first); err == nil || !strings.Contains(out, bad.want) {
			t.Errorf("%s: the plan ends with %v and says\n%s\nwant a failure that names %s", name, err, out, bad.want)
		}
		if out, err := o.push(); err == nil || !strings.Contains(out, bad.want) {
			t.Errorf("%s: the push ends with %v and says\n%s\nwant a failure that names %s", name, err, out, bad.want)
		}
		o.git("reset", "-q", "--hard", first)
	}
	if out, err := o.try("push", o.bare, ":main"); err == nil {
		t.Errorf("main could be deleted:\n%s", out)
	}

	write(t, pay, []byte(strings.Replace(good, "ports: [tcp/443]", "ports: [tcp/443, tcp/5432]", 1)))
	second := o.commit("the shop may ask for reports")
	tell := func(whose, out string, err error) {
		for _, want := range []string{"SecurityGroup", "pay/prod/api", "tcp/5432"} {
			if err != nil || !strings.Contains(out, want) || strings.Contains(out, "vault") {
				t.Errorf("%s ends with %v and says\n%s\nwant what changes, with %s and without the vault", whose, err, out, want)
			}
		}
	}
	out, err := o.plan(first)
	tell("the plan", out, err)
	out, err = o.push()
	tell("the push", out, err)
	o.controller.Process.Signal(syscall.SIGHUP)
	o.await("the second commit", second)
	history, err := o.api.Revisions(t.Context())
	if err != nil || len(history) != 2 {
		t.Errorf("history is %+v, %v; want the two commits, and nothing that was refused", history, err)
	}
}

func newOrganisation(t *testing.T, program string) *organisation {
	dir := t.TempDir()
	o := &organisation{T: t, program: program, bare: filepath.Join(dir, "network.git"), work: filepath.Join(dir, "network")}
	o.env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "HOME="+dir, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@acme.example", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@acme.example")
	example := "../../../examples/organisation/repository"
	if err := os.CopyFS(o.work, os.DirFS(example)); err != nil {
		t.Fatal(err)
	}
	o.git("init", "-q", "-b", "main")
	o.git("init", "-q", "--bare", "-b", "main", o.bare)
	hook := filepath.Join(o.bare, "hooks", "pre-receive")
	write(t, hook, read(t, filepath.Join(o.work, "hooks", "pre-receive")))
	if err := os.Chmod(hook, 0o755); err != nil {
		t.Fatal(err)
	}
	return o
}

// follow starts a controller, until the test ends.
func (o *organisation) follow() {
	dir := o.T.TempDir()
	short, err := os.MkdirTemp("", "dlo") // a socket's path is short
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { os.RemoveAll(short) })
	var log bytes.Buffer
	o.controller = exec.Command(o.program, "--git", o.bare, "--git-poll", "1s", "--openflow", "127.0.0.1:0", "--hosts-listen", "127.0.0.1:0",
		"--advertise", "127.0.0.1", "--socket", filepath.Join(short, "s"), "--state-dir", filepath.Join(dir, "state"))
	o.controller.Env, o.controller.Stderr = o.env, &log
	if err := o.controller.Start(); err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() {
		o.controller.Process.Signal(syscall.SIGTERM)
		o.controller.Wait()
		if o.Failed() {
			o.Log(log.String())
		}
	})
	o.api = api.NewClient(filepath.Join(short, "s"))
}

// await waits until a commit of Ada's is in force.
func (o *organisation) await(what, commit string) {
	o.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		st, err := o.api.Status(o.Context())
		c := st.Revision.Commit
		if err == nil && c != nil && c.Hash == commit {
			if c.Author != "Ada" {
				o.Errorf("%s is %q's; want Ada's", what, c.Author)
			}
			return
		}
		if time.Now().After(deadline) {
			o.Fatalf("wait for %s: revision %+v, %v", what, st.Revision, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-o.Context().Done():
			o.Fatal(o.Context().Err())
		}
	}
}

// commit commits the work tree, and returns the commit.
func (o *organisation) commit(subject string) string {
	o.Helper()
	o.git("add", "-A")
	o.git("commit", "-q", "-m", subject)
	return o.git("rev-parse", "HEAD")
}

// plan runs the step of the CI file that makes the plan, and returns that.
func (o *organisation) plan(base string) (string, error) {
	o.Helper()
	var ci struct {
		Jobs struct {
			Plan struct {
				Steps []struct{ Name, Run string }
			}
		}
	}
	if err := yaml.Unmarshal(read(o.T, filepath.Join(o.work, ".github/workflows/network.yaml")), &ci); err != nil {
		o.Fatal(err)
	}
	for _, step := range ci.Jobs.Plan.Steps {
		if step.Name != "what it changes" {
			continue
		}
		said, err := o.script("env", "BASE="+base, "RUNNER_TEMP="+filepath.Dir(o.work), "sh", "-c", step.Run)
		text, _ := os.ReadFile(filepath.Join(filepath.Dir(o.work), "plan.md")) // if there is none, said says why
		return said + string(text), err
	}
	o.Fatal("the CI file has no step that makes the plan")
	return "", nil
}

func (o *organisation) push() (string, error) { return o.try("push", o.bare, "main") }

func (o *organisation) git(args ...string) string {
	o.Helper()
	out, err := o.try(args...)
	if err != nil {
		o.Fatal(fmt.Errorf("git %v: %w\n%s", args, err, out))
	}
	return strings.TrimSpace(out)
}

func (o *organisation) try(args ...string) (string, error) { return o.script("git", args...) }

// script runs a program in the work tree.
func (o *organisation) script(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(o.Context(), name, args...)
	cmd.Dir, cmd.Env = o.work, o.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
