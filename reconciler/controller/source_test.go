package controller

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/world"
)

// Two tenants, the second of which lets the first in, and their Peering.
const (
	acmeYAML = `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: to-globex, tenant: acme}
spec: {vpcs: [acme/prod, globex/shared]}
`
	globexYAML = `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: shared, tenant: globex}
spec: {subnets: [{name: log, cidr: 10.2.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: log, tenant: globex, vpc: shared}
spec:
  members: {all: true}
  ingress: [{from: [{vpc: acme/prod}], ports: [tcp/514]}]
`
	peeringYAML = `---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: to-acme, tenant: globex}
spec: {vpcs: [globex/shared, acme/prod]}
`
	// It asks about an identity that no endpoint is bound to have: of a label that
	// no selector names.
	assertionYAML = `apiVersion: daoli.net/v1
kind: Assertion
metadata: {name: no-logs, tenant: globex}
spec: {never: {from: {vpc: acme/prod}, to: {vpc: globex/shared}, port: tcp/514}}
`
)

func revision(files map[string]string) gitsource.Revision {
	specs := fstest.MapFS{"tenants.yaml": {Data: []byte(tenantYAML + "---\n" + strings.Replace(tenantYAML, "acme", "globex", 1))}}
	for name, text := range files {
		specs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return gitsource.Revision{ID: "r1", Specs: specs}
}

func TestLoadRefusesWhatBreaksAnAssertion(t *testing.T) {
	files := map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML, "assert.yaml": assertionYAML}
	l, errs := Load(world.Start, revision(files), nil)
	if l.Policy != nil || len(errs) != 1 || !strings.HasPrefix(errs[0], "assert.yaml:3: ") || !strings.Contains(errs[0], "globex/shared/log/ingress/0") {
		t.Errorf("Load = %v, %q; want the assertion's line and the rule", l, errs)
	}
	files["globex.yaml"] = globexYAML // no way to globex: the promise is kept
	if l, errs = Load(world.Start, revision(files), nil); l.Policy == nil || len(errs) != 0 {
		t.Errorf("Load without the Peering = %q; want it accepted", errs)
	}
}

func TestLoadAsksForTheIdentitiesOfTheNewNetwork(t *testing.T) {
	files := map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}
	asked := 0
	_, errs := Load(world.Start, revision(files), func(n *spec.Network) []*inventory.Identity {
		asked++
		if !n.Peered("acme/prod", "globex/shared") {
			t.Error("asked with another network")
		}
		return nil
	})
	if asked != 1 || len(errs) > 0 {
		t.Errorf("asked %d times, %q; want once", asked, errs)
	}
}

func TestLoadKeepsWarnings(t *testing.T) {
	text := strings.Replace(acmeYAML, "globex/shared", "globex/nosuch", 1)
	l, errs := Load(world.Start, revision(map[string]string{"acme.yaml": text}), nil)
	if len(errs) > 0 || len(l.Warnings) != 1 || !strings.HasPrefix(l.Warnings[0].String(), "acme.yaml:9: warning: ") {
		t.Fatalf("Load = %+v, %q; want a warning at acme.yaml:9", l, errs)
	}
}

func TestLoadKeepsWarningsOfWhatItRefuses(t *testing.T) {
	odd := strings.Replace(acmeYAML, "globex/shared", "globex/nosuch", 1)
	never := `apiVersion: daoli.net/v1
kind: Assertion
metadata: {name: x, tenant: acme}
spec: {never: {from: {vpc: acme/prod}, to: {vpc: acme/prod}}}
`
	for name, more := range map[string]string{"a mistake": "kind: Tenant\n", "a broken Assertion": never} {
		files := map[string]string{"acme.yaml": odd, "more.yaml": more}
		loads := map[string]func(time.Time, gitsource.Revision, func(*spec.Network) []*inventory.Identity) (*Loaded, []string){
			"Load": Load, "Loader.Load": new(Loader).Load,
		}
		for by, load := range loads {
			l, errs := load(world.Start, revision(files), nil)
			if len(errs) == 0 || l.Policy != nil || len(l.Warnings) != 1 || !strings.HasPrefix(l.Warnings[0].String(), "acme.yaml:9: warning: ") {
				t.Errorf("%s of %s = %+v, %q; want it refused, and the warning at acme.yaml:9", by, name, l, errs)
			}
		}
	}
}

// looping is a controller whose loop runs, with web1 of acme/prod and log1 of
// globex/shared on one host.
func looping(t *testing.T) *Controller {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := newController(ctx, Config{StateDir: t.TempDir(), Wire: pipeline.DefaultWireRange, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); c.loop(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	log1 := world.Endpoint("globex", "log1", "log", "10.2.0.2", 17)
	log1.VPC = "shared"
	report := world.New().Hosts[0]
	report.Endpoints = []inventory.EndpointReport{world.Endpoint("acme", "web1", "web", "10.1.0.2", 16), log1}
	c.do(func() { c.step(engine.HostUp{Conn: 1, Report: report}) })
	return c
}

func TestActiveRevisionsWarningsAreInTheStatus(t *testing.T) {
	c := looping(t)
	text := strings.Replace(acmeYAML, "globex/shared", "globex/nosuch", 1)
	l, errs := Load(time.Now(), revision(map[string]string{"acme.yaml": text}), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	c.activate(t.Context(), l, gitsource.Revision{ID: "r1", Specs: fstest.MapFS{}})
	st, err := (*backend)(c).Status(t.Context())
	if err != nil || len(st.Revision.Warnings) != 1 || !strings.HasPrefix(st.Revision.Warnings[0], "acme.yaml:9: warning: ") {
		t.Errorf("status %+v, %v; want the warning", st.Revision, err)
	}
	if l, errs = Load(time.Now(), revision(map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}), nil); len(errs) > 0 {
		t.Fatal(errs)
	}
	c.activate(t.Context(), l, gitsource.Revision{ID: "r1", Specs: fstest.MapFS{}})
	if st, err = (*backend)(c).Status(t.Context()); err != nil || len(st.Revision.Warnings) != 0 {
		t.Errorf("status of the next %+v, %v; want no warning", st.Revision, err)
	}
}

func TestObservedIdentitiesAreThoseOfTheNewNetworkOnce(t *testing.T) {
	c := looping(t)
	l, errs := Load(time.Now(), revision(map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML}), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var got []string
	for _, id := range c.observed(t.Context(), l.Policy.Network()) {
		got = append(got, string(id.VPC)+" "+strings.Join(id.Groups, ","))
	}
	if want := []string{"acme/prod ", "globex/shared log"}; !slices.Equal(got, want) {
		t.Errorf("observed = %q; want %q", got, want)
	}
}

// TestRevisionIsWarmBeforeItIsActive: what live sessions will ask is answered
// from the cache, with the identities of the new network, not of the old.
func TestRevisionIsWarmBeforeItIsActive(t *testing.T) {
	c := looping(t)
	l, errs := Load(time.Now(), revision(map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globexYAML + peeringYAML}), nil)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	snap, err := c.trial(t.Context(), nil, l.Policy.Network())
	if err != nil {
		t.Fatal(err)
	}
	keys := []session.Key{
		{
			Client: inventory.AddrKey{VPC: "acme/prod", IP: netip.MustParseAddr("10.1.0.2")},
			Server: inventory.AddrKey{VPC: "globex/shared", IP: netip.MustParseAddr("10.2.0.2")},
			Proto:  packet.TCP, Port: 514,
		},
		{Client: inventory.AddrKey{VPC: "acme/gone"}, Proto: packet.TCP},
	}
	warm(snap, l.Policy, time.Now(), keys)
	if s := l.Policy.Stats(); s.Misses != 1 {
		t.Fatalf("decisions evaluated = %d; want 1", s.Misses)
	}
	c.activate(t.Context(), l, gitsource.Revision{ID: "r1", Specs: fstest.MapFS{}})
	if _, err := (*backend)(c).Why(t.Context(), api.Pair{From: "web1", To: "log1", Proto: "tcp", Port: 514}); err != nil {
		t.Fatal(err)
	}
	if s := l.Policy.Stats(); s.Hits == 0 {
		t.Errorf("stats %+v; want the decision from the cache", s)
	}
}

func TestWhyAnswersAcrossVPCs(t *testing.T) {
	c := looping(t)
	why := func(globex string, port int, proto string) api.Why {
		t.Helper()
		l, errs := Load(time.Now(), revision(map[string]string{"acme.yaml": acmeYAML, "globex.yaml": globex}), nil)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		c.activate(t.Context(), l, gitsource.Revision{ID: "r1", Specs: fstest.MapFS{}})
		w, err := (*backend)(c).Why(t.Context(), api.Pair{From: "acme/prod/web1", To: "globex/shared/log1", Proto: proto, Port: port})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, tt := range []struct {
		name, globex, proto string
		port                int
		verdict, reason, at string
	}{
		{"a rule allows", globexYAML + peeringYAML, "tcp", 514, "allow", "rule", "globex.yaml:11"},
		{"nothing allows", globexYAML + peeringYAML, "sctp", 514, "drop", "ingress-default", "globex.yaml:11"},
		{"one side only", globexYAML, "tcp", 514, "drop", "isolation", "acme.yaml:8"},
	} {
		got := why(tt.globex, tt.port, tt.proto)
		if d := got.Decision; d.Verdict != tt.verdict || d.Reason != tt.reason || d.At != tt.at {
			t.Errorf("%s: %+v; want %s %s at %s", tt.name, d, tt.verdict, tt.reason, tt.at)
		}
		if len(got.Lines) == 0 {
			t.Errorf("%s: no explanation", tt.name)
		}
	}
}

func TestWarningsInTheStatusAreBounded(t *testing.T) {
	if got := lines(make([]spec.Problem, maxWarnings)); len(got) != maxWarnings {
		t.Errorf("lines = %d; want all %d", len(got), maxWarnings)
	}
	got := lines(make([]spec.Problem, maxWarnings+7))
	if len(got) != maxWarnings+1 || !strings.HasPrefix(got[maxWarnings], "and 7 more") {
		t.Errorf("lines = %d, last %q; want %d and the number of the others", len(got), got[len(got)-1], maxWarnings)
	}
}
