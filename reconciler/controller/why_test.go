package controller

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/gitrepo"
	"github.com/daolinet/daolinet/reconciler/gitsource"
)

// inForce makes files the active revision, of a commit.
func inForce(t *testing.T, c *Controller, commit string, files map[string]string) {
	t.Helper()
	r := gitsource.Restore(commit[:12], &gitrepo.Commit{Hash: commit, Author: "Ann", Email: "ann@acme.example", Subject: "change " + commit[:1]}, filesOf(files), nil, time.Now())
	r.Policies = nil
	l, errs := Load(time.Now(), r, nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c.activate(t.Context(), l, r)
}

func filesOf(texts map[string]string) gitsource.Files {
	files := gitsource.Files{"tenants.yaml": []byte(tenantYAML + "---\n" + strings.Replace(tenantYAML, "acme", "globex", 1))}
	for name, text := range texts {
		files[name] = []byte(text)
	}
	return files
}

func TestWhyOfAddressesAndOfPastRevisions(t *testing.T) {
	c := looping(t)
	first, second := strings.Repeat("a1", 20), strings.Repeat("b2", 20)
	files := map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}
	inForce(t, c, first, files)
	c.history.save(c.log)
	files = maps.Clone(files)
	files["globex.yaml"] = strings.ReplaceAll(files["globex.yaml"], "514", "515")
	inForce(t, c, second, files)

	for _, tt := range []struct {
		name    string
		q       api.Pair
		verdict string
		reason  string
		commit  string
		to      string
		line    string
	}{
		{"now", api.Pair{From: "web1", To: "log1", Port: 515}, "allow", "rule", "change b", "globex/shared/log1", "allow: rule"},
		{"now, the port of before", api.Pair{From: "web1", To: "log1", Port: 514}, "drop", "ingress-default", "change b", "globex/shared/log1", "matches, but port tcp/514 is not in tcp/515"},
		{"the revision before, by its commit", api.Pair{From: "web1", To: "log1", Port: 514, Revision: "a1a1"}, "allow", "rule", "change a", "globex/shared/log1", "allow: rule"},
		{"the revision before, another port", api.Pair{From: "web1", To: "log1", Port: 515, Revision: first}, "drop", "ingress-default", "change a", "globex/shared/log1", "matches, but port tcp/515 is not in tcp/514"},
		{"an address that a container has", api.Pair{From: "web1", To: "10.2.0.2", Port: 515}, "allow", "rule", "change b", "globex/shared/log1", "allow: rule"},
		{"an address of a subnet that nobody has", api.Pair{From: "web1", To: "10.2.0.77", Port: 515}, "drop", "no-endpoint", "change b", "outside", "no endpoint has it"},
		{"to the outside", api.Pair{From: "web1", To: "203.0.113.9", Port: 443}, "reject", "no-egress", "change b", "outside", "has no egress"},
		{"from the outside", api.Pair{From: "203.0.113.9", To: "web1", Port: 443}, "drop", "no-ingress", "change b", "acme/prod/web1", "lets this in from outside"},
		{"to an address that never is outside", api.Pair{From: "web1", To: "127.0.0.1", Port: 443}, "drop", "address-reserved", "change b", "outside", "never is outside"},
	} {
		tt.q.Proto = "tcp"
		got, err := (*backend)(c).Why(t.Context(), tt.q)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got.Decision.Verdict != tt.verdict || got.Decision.Reason != tt.reason || got.Commit == nil || got.Commit.Subject != tt.commit || got.To.Name != tt.to {
			t.Errorf("%s: %+v, commit %v, to %v; want %s %s of %q, to %s", tt.name, got.Decision, got.Commit, got.To, tt.verdict, tt.reason, tt.commit, tt.to)
		}
		if lines := strings.Join(got.Lines, "\n"); !strings.Contains(lines, tt.line) {
			t.Errorf("%s: %s\nwant %q", tt.name, lines, tt.line)
		}
	}
	for name, q := range map[string]api.Pair{
		"two addresses":     {From: "203.0.113.9", To: "203.0.113.10", Proto: "tcp", Port: 1},
		"no such revision":  {From: "web1", To: "log1", Proto: "tcp", Port: 1, Revision: "ffff"},
		"no such container": {From: "web1", To: "nobody", Proto: "tcp", Port: 1},
	} {
		if got, err := (*backend)(c).Why(t.Context(), q); err == nil {
			t.Errorf("%s: %+v; want an error", name, got)
		}
	}
}

func TestPlanTellsWhatRunsAndWhatIsRefused(t *testing.T) {
	c := looping(t)
	files := map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}
	inForce(t, c, strings.Repeat("a1", 20), files)
	for range 2 { // before it is stored, and then
		got, err := (*backend)(c).Plan(t.Context(), api.PlanRequest{Specs: filesOf(files)})
		if err != nil {
			t.Fatal(err)
		}
		want := api.Plan{Running: "a1a1a1a1a1a1", Specs: filesOf(files)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Plan (-want +got):\n%s", diff)
		}
		c.history.save(c.log)
	}
	got, err := (*backend)(c).Plan(t.Context(), api.PlanRequest{Specs: map[string][]byte{"x.yaml": []byte("kind: VPC\n")}})
	if err != nil || len(got.Refused) == 0 || !strings.HasPrefix(got.Refused[0], "x.yaml:") {
		t.Errorf("Plan of nonsense = %+v, %v; want it refused by file and line", got.Refused, err)
	}
	if id := c.revision.ID; id != "a1a1a1a1a1a1" {
		t.Errorf("revision %q is in force after a plan", id)
	}
}
