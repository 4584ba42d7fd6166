package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/private"
	"github.com/daolinet/daolinet/testbed/world"
)

func TestEpochIsNeverGivenTwice(t *testing.T) {
	dir := t.TempDir()
	seen := make(map[uint16]bool)
	for range 5 {
		epoch, err := nextEpoch(dir)
		if err != nil || epoch == 0 || seen[epoch] {
			t.Fatalf("nextEpoch = %d, %v; want a new one", epoch, err)
		}
		seen[epoch] = true
	}
	if err := os.WriteFile(filepath.Join(dir, "epoch"), []byte("65535\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if epoch, err := nextEpoch(dir); err != nil || epoch != 1 {
		t.Errorf("after 65535: %d, %v; want 1", epoch, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "epoch"), []byte("seven"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nextEpoch(dir); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("broken file: %v; want an error with the way out", err)
	}
}

func TestLeasesOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	f, leases, err := openLeases(dir)
	if err != nil || leases != nil {
		t.Fatalf("first start: %v, %v; want no leases", leases, err)
	}
	want := engine.Leases{"acme/prod": {netip.MustParseAddr("10.1.0.2"): ipam.Lease{Holder: "acme/prod/web1@h1"}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.run(ctx) }()
	for range 100 { // only the newest needs to be written
		f.save(engine.Leases{})
	}
	f.save(want)
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, got, err := openLeases(dir)
		if err == nil && cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("on disk: %v, %v; want %v", got, err, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFindByNameOrAddress(t *testing.T) {
	snap := world.New().Snapshot()
	for _, tt := range []struct {
		text string
		want string
		code api.Code
	}{
		{"web2", "acme/prod/web2", 0},
		{"web1", "", api.CodeAmbiguous},
		{"globex/prod/web1", "globex/prod/web1", 0},
		{"globex/prod/10.1.0.2", "globex/prod/web1", 0},
		{"acme/prod/10.1.0.2", "acme/prod/web1", 0},
		{"nobody", "", api.CodeNotFound},
		{"acme/prod/nobody", "", api.CodeNotFound},
		{"acme/web2", "", api.CodeNotFound},
		{"", "", api.CodeNotFound},
	} {
		got, err := find(snap, tt.text)
		var refused *api.Error
		switch {
		case tt.code != 0 && (!errors.As(err, &refused) || refused.Code != tt.code || refused.Hint == ""):
			t.Errorf("find(%q) = %v; want code %d and a way out", tt.text, err, tt.code)
		case tt.code == 0 && (err != nil || endpointName(got) != tt.want):
			t.Errorf("find(%q) = %v, %v; want %s", tt.text, got, err, tt.want)
		}
	}
}

// write makes a file below dir, whole at once.
func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := private.WriteFile(path, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

const tenantYAML = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
`

func TestLoadNamesFileAndLine(t *testing.T) {
	specs, policies := t.TempDir(), t.TempDir()
	write(t, specs, "a.yaml", tenantYAML)
	read := func() []string {
		t.Helper()
		r, err := gitsource.ReadDir(specs, policies)
		if err != nil {
			t.Fatal(err)
		}
		_, errs := Load(time.Now(), r, nil)
		return errs
	}
	if errs := read(); len(errs) != 0 {
		t.Fatalf("errors of a good tree: %q", errs)
	}
	write(t, specs, "a.yaml", strings.Replace(tenantYAML, "hosts", "hostz", 1))
	if errs := read(); len(errs) == 0 || !strings.HasPrefix(errs[0], "a.yaml:4: ") {
		t.Errorf("bad YAML: %q; want a.yaml:4", errs)
	}
	write(t, specs, "a.yaml", tenantYAML)
	write(t, policies, "system/admission.rego", "package daoli.admission\n\ndecision := nosuch(1)\n")
	if errs := read(); len(errs) == 0 || !strings.Contains(errs[0], "system/admission.rego:3") {
		t.Errorf("bad Rego: %q; want system/admission.rego:3", errs)
	}
}

func TestExamplesLoad(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/*/specs")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, dir := range append(dirs, "../../specs") {
		r, err := gitsource.ReadDir(dir, "")
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if l, errs := Load(time.Now(), r, nil); len(errs) > 0 || len(l.Policy.Network().VPCs) == 0 {
			t.Errorf("%s: %q", dir, errs)
		}
	}
}

// TestRunKeepsTheLastGoodRevision edits a watched directory under a running
// controller: a bad edit is refused by name, the good one before it stays, and
// the next good one is taken.
func TestRunKeepsTheLastGoodRevision(t *testing.T) {
	dir, specs := t.TempDir(), t.TempDir()
	write(t, specs, "a.yaml", tenantYAML)
	client, stop := running(t, dir, func(c *Config) { c.Specs = specs })
	await := func(what string, ok func(api.Status) bool) api.Status { return await(t, client, what, ok) }
	first := await("first revision", func(s api.Status) bool { return s.Revision.ID != "" })
	write(t, specs, "b.yaml", "kind: [\n")
	bad := await("refused revision", func(s api.Status) bool { return s.Revision.Refused != nil })
	if bad.Revision.ID != first.Revision.ID || !strings.HasPrefix(bad.Revision.Refused.Problems[0], "b.yaml:") {
		t.Errorf("after a bad edit: %+v; want %s active and a problem in b.yaml", bad.Revision, first.Revision.ID)
	}
	write(t, specs, "b.yaml", strings.Replace(tenantYAML, "acme", "globex", 1))
	good := await("next revision", func(s api.Status) bool { return s.Revision.Refused == nil })
	if good.Revision.ID == first.Revision.ID || good.Revision.Files != 2 {
		t.Errorf("after a good edit: %+v; want another revision of 2 files", good.Revision)
	}
	stop()
	if _, err := client.Status(context.Background()); !errors.As(err, new(*api.UnreachableError)) {
		t.Errorf("status after the end: %v; want unreachable", err)
	}
}

// await waits until a controller's status is as it should be.
func await(t *testing.T, client *api.Client, what string, ok func(api.Status) bool) api.Status {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) { // the API has no events
		st, err := client.Status(context.Background())
		if err == nil && ok(st) {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: status %+v, %v", what, st, err)
		}
	}
}

// TestLastGoodRevisionOutlivesARestart starts a controller again while its files are
// broken: what was in force stays so, and what is refused is said.
func TestLastGoodRevisionOutlivesARestart(t *testing.T) {
	for _, breakage := range []string{"kind: [\n", ""} {
		dir, specs := t.TempDir(), t.TempDir()
		write(t, specs, "a.yaml", tenantYAML)
		client, stop := running(t, dir, func(c *Config) { c.Specs = specs })
		good := await(t, client, "first revision", func(s api.Status) bool { return s.Revision.ID != "" })
		stop()
		if breakage == "" {
			if err := os.RemoveAll(specs); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, specs, "a.yaml", breakage)
		}
		client, stop = running(t, dir, func(c *Config) { c.Specs = specs })
		again := await(t, client, "last good revision", func(s api.Status) bool { return s.Revision.ID != "" })
		if again.Revision.ID != good.Revision.ID || again.Revision.Files != 1 || again.Revision.Refused == nil {
			t.Errorf("after a restart: %+v; want %s in force and something refused", again.Revision, good.Revision.ID)
		}
		write(t, specs, "a.yaml", tenantYAML)
		await(t, client, "end of the refusal", func(s api.Status) bool { return s.Revision.Refused == nil })
		stop()
	}
}

// TestBranchIsFollowed has a controller follow a branch: each good commit becomes
// active with who made it, a bad one is refused with its line, and a rewound branch is
// refused, also after a restart.
func TestBranchIsFollowed(t *testing.T) {
	t.Setenv(asFetcher, "1")
	t.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	repo := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	commit := func(subject, yaml string) {
		t.Helper()
		write(t, repo, "specs/a.yaml", yaml)
		git("add", "-A")
		git("commit", "-q", "-m", subject)
	}
	git("init", "-q", "-b", "main")
	git("config", "user.name", "Ada")
	git("config", "user.email", "ada@acme.example")
	dir := t.TempDir()
	hurry := make(chan struct{})
	following := func(c *Config) {
		c.Git = &gitsource.GitOptions{
			Request: gitrepo.Request{URL: repo, Ref: "main", Dir: filepath.Join(dir, "state", "git"), Specs: "specs", Policies: "policies"},
			Child:   []string{os.Args[0]}, Poll: time.Hour, Hurry: hurry,
		}
	}
	commit("one tenant", tenantYAML)
	client, stop := running(t, dir, following)
	first := await(t, client, "first commit", func(s api.Status) bool { return s.Revision.ID != "" })
	if c := first.Revision.Commit; c == nil || c.Author != "Ada" || c.Subject != "one tenant" || c.Hash[:12] != first.Revision.ID {
		t.Fatalf("first revision %+v; want its commit", first.Revision)
	}
	commit("a mistake", strings.Replace(tenantYAML, "hosts", "hostz", 1))
	hurry <- struct{}{}
	bad := await(t, client, "refusal", func(s api.Status) bool { return s.Revision.Refused != nil })
	if r := bad.Revision; r.ID != first.Revision.ID || r.Refused.Commit.Subject != "a mistake" || !strings.HasPrefix(r.Refused.Problems[0], "a.yaml:4: ") {
		t.Errorf("after a bad commit: %+v, refused %+v", r, r.Refused)
	}
	commit("mended", strings.Replace(tenantYAML, "acme", "globex", 1))
	hurry <- struct{}{}
	second := await(t, client, "next commit", func(s api.Status) bool { return s.Revision.Commit.Subject == "mended" })
	git("reset", "-q", "--hard", "HEAD~2")
	hurry <- struct{}{}
	rewound := func(s api.Status) bool {
		return s.Revision.Refused != nil && strings.Contains(s.Revision.Refused.Problems[0], "was rewound")
	}
	await(t, client, "refusal of a rewound branch", rewound)
	want := []string{"mended active", "a mistake refused", "one tenant past"}
	history := func() []string {
		t.Helper()
		list, err := client.Revisions(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range list {
			out = append(out, r.Commit.Subject+" "+string(r.State))
		}
		return out
	}
	if diff := cmp.Diff(want, history()); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	stop()
	client, _ = running(t, dir, following)
	again := await(t, client, "refusal after a restart", rewound)
	again = await(t, client, "last good commit after a restart", func(s api.Status) bool { return s.Revision.ID != "" })
	if again.Revision.ID != second.Revision.ID {
		t.Errorf("after a restart %s is in force; want %s", again.Revision.ID, second.Revision.ID)
	}
	if diff := cmp.Diff([]string{"mended active", "one tenant past"}, history()); diff != "" {
		t.Errorf("history after a restart (-want +got):\n%s", diff)
	}
}

// asFetcher makes the test's own program the process that fetches.
const asFetcher = "DAOLI_TEST_FETCHER"

func TestMain(m *testing.M) {
	if os.Getenv(asFetcher) != "" {
		if err := gitrepo.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// running runs a controller until stop, which reports what Run returned.
func running(t *testing.T, dir string, bend func(*Config)) (*api.Client, func()) {
	t.Helper()
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	var log bytes.Buffer // read only when Run has returned
	socket := filepath.Join(dir, "r.sock")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg := Config{
		StateDir: filepath.Join(dir, "state"), Socket: socket, OpenFlow: listen(), Hosts: listen(),
		Wire: pipeline.DefaultWireRange, Version: "test", Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	}
	bend(&cfg)
	go func() { done <- Run(ctx, cfg) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		var line map[string]any
		if err := json.Unmarshal(log.Bytes()[:bytes.IndexByte(log.Bytes(), '\n')], &line); err != nil || line["msg"] != "controller started" {
			t.Errorf("first log line %v, %v; want controller started", line, err)
		}
	}
	t.Cleanup(stop)
	return api.NewClient(socket), stop
}
