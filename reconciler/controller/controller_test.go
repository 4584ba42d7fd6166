package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/pipeline"
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
	if err := writeFile(path, []byte(text)); err != nil {
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
	client, stop := running(t, dir, specs)
	await := func(what string, ok func(api.Status) bool) api.Status {
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

// running runs a controller until stop, which reports what Run returned.
func running(t *testing.T, dir, specs string) (*api.Client, func()) {
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
		Specs: specs, StateDir: filepath.Join(dir, "state"), Socket: socket, OpenFlow: listen(), Hosts: listen(),
		Wire: pipeline.DefaultWireRange, Version: "test", Logger: slog.New(slog.NewJSONHandler(&log, nil)),
	}
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
