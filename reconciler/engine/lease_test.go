package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/world"
)

// asks is a question of a host for any address in acme/prod's web.
func asks(id uint64, name string) engine.LeaseAsked {
	return engine.LeaseAsked{Conn: 1, ID: id, Host: "h1", Tenant: "acme", VPC: "prod", Subnet: "web", Name: name}
}

// given are the answers to questions for addresses, and saved the leases.
func (b *bench) given() (answers []engine.LeaseGiven, saved engine.Leases) {
	for _, ef := range b.other {
		switch ef := ef.(type) {
		case engine.LeaseGiven:
			answers = append(answers, ef)
		case engine.SaveLeases:
			saved = ef.Leases
		}
	}
	return answers, saved
}

// TestAddressGivenBackWhileNobodyListenedRests: a full report without its endpoint
// says so. One whose endpoint is reported after all does not rest.
func TestAddressGivenBackWhileNobodyListenedRests(t *testing.T) {
	b := started(t)
	b.step(asks(1, "gone"))
	answers, _ := b.given()
	ip := answers[0].IP
	b.hostUp(0)
	_, saved := b.given()
	if l := saved["acme/prod"][ip]; l.Released.IsZero() {
		t.Errorf("lease = %+v; want it released, since its host reports no such endpoint", l)
	}
	b.now = b.now.Add(ipam.Rest / 2)
	ep := world.Endpoint("acme", "gone", "web", ip.String(), 40)
	b.w.Hosts[0].Endpoints = append(b.w.Hosts[0].Endpoints, ep)
	b.hostUp(0)
	_, saved = b.given()
	if l := saved["acme/prod"][ip]; !l.Released.IsZero() {
		t.Errorf("lease = %+v; want it held again", l)
	}
	b.step(engine.LeaseReleased{Host: "h1", VPC: "acme/prod", IP: ip, Name: "gone"})
	_, saved = b.given()
	if l := saved["acme/prod"][ip]; l.Released.IsZero() {
		t.Errorf("lease = %+v; want it released by its holder", l)
	}
}

// TestQuestionForAnAddressWaitsForTheFirstRevision, but not for ever.
func TestQuestionForAnAddressWaitsForTheFirstRevision(t *testing.T) {
	fresh := func() *bench {
		b := newBench(t)
		b.e = engine.New(engine.Config{Epoch: 8, Wire: pipeline.DefaultWireRange})
		b.hostUp(0)
		b.step(asks(1, "new"))
		if answers, _ := b.given(); len(answers) != 0 {
			t.Fatalf("answers before any revision = %+v; want none yet", answers)
		}
		return b
	}
	b := fresh()
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	if answers, _ := b.given(); len(answers) != 1 || !answers[0].IP.IsValid() || answers[0].ID != 1 {
		t.Errorf("answers = %+v; want an address", answers)
	}
	b = fresh()
	b.now = b.now.Add(5 * time.Second)
	b.step(engine.Tick{})
	if answers, _ := b.given(); len(answers) != 1 || !strings.Contains(answers[0].Err, "no valid revision") {
		t.Errorf("answers = %+v; want that there is no valid revision", answers)
	}
}
