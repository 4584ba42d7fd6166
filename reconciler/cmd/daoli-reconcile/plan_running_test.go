package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/api"
)

// inForce is a controller with one revision, two endpoints and a session.
type inForce struct {
	api.Backend
	refused []string
	asked   chan api.PlanRequest
}

func (f *inForce) Plan(_ context.Context, q api.PlanRequest) (api.Plan, error) {
	f.asked <- q
	return api.Plan{
		Running: "r1", Specs: map[string][]byte{"net.yaml": []byte(planYAML)}, Live: 3, Refused: f.refused,
		Cut: []api.PlanCut{{
			Session: "0x7", From: api.End{Name: "acme/prod/web1"}, To: api.End{Name: "acme/prod/db1"}, Port: "tcp/5432", Why: "policy",
			Decision: api.Decision{Verdict: "reject", Reason: "ingress-default", Rule: "acme/prod/db", At: "net.yaml:17"},
		}},
	}, nil
}

func (f *inForce) Endpoints(context.Context) ([]api.Endpoint, error) {
	return []api.Endpoint{
		{Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", IP: "10.1.0.2"},
		{Name: "db1", Tenant: "acme", VPC: "prod", Subnet: "db", IP: "10.1.1.2", Groups: []string{"db"}},
	}, nil
}

func TestPlanAgainstWhatRunsNamesSessionsAndEndpoints(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	socket := filepath.Join(dir, "r.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	f := &inForce{asked: make(chan api.PlanRequest, 1)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(ctx, listener, f, slog.New(slog.NewTextHandler(io.Discard, nil))) }()
	defer func() { stop(); <-ended }()

	next := strings.Replace(planYAML, "5432", "6432", 1)
	write(t, "specs/net.yaml", []byte(next))
	stdout, stderr, code := runWith(t, nil, "plan", "specs", "--socket", socket, "--detailed-exitcode")
	if code != exitChanges {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	if q := <-f.asked; string(q.Specs["net.yaml"]) != next || q.Policies != nil {
		t.Errorf("the controller was asked about %v", q)
	}
	for _, want := range []string{
		"Live sessions cut: 1 of 3",
		"! 0x7 acme/prod/web1 > acme/prod/db1 tcp/5432: now policy ingress-default acme/prod/db at net.yaml:17",
		"+ acme/prod/web1 > acme/prod/db1 tcp/6432",
		"- acme/prod/web1 > acme/prod/db1 tcp/5432",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("plan says\n%s\nwant %q", stdout, want)
		}
	}
	f.refused = []string{"net.yaml:17: the controller knows better"}
	if _, stderr, code := runWith(t, nil, "plan", "specs", "--socket", socket); code != exitRefused || !strings.Contains(stderr, "knows better") {
		t.Errorf("what the controller refuses: exit %d, %s", code, stderr)
	}
}
