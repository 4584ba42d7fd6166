package engine_test

import (
	"net/netip"
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

// TestNameIsOneHostsFromItsAddressOn: of two hosts that want an endpoint of one
// name, neither of which is reported yet, the first to ask has it until it gives
// the address back.
func TestNameIsOneHostsFromItsAddressOn(t *testing.T) {
	b := started(t)
	ip := b.ask(question("h1", "same", "", ""))
	b.want("another host", b.ask(question("h2", "same", "", "")), `name "same" is taken in vpc "acme/prod" by an endpoint that comes on host "h1"`)
	b.want("the same host again", b.ask(question("h1", "same", "", "")), ip)
	b.giveBack("h1", "same", ip)
	if got := b.ask(question("h2", "same", "", "")); strings.Contains(got, "taken") {
		t.Errorf("after it was given back: %s; want an address", got)
	}
}

// TestHostThatIsGoneClaimsNoName: its leases stay, and keep no container from
// being made again elsewhere.
func TestHostThatIsGoneClaimsNoName(t *testing.T) {
	b := started(t)
	b.e = engine.New(engine.Config{Epoch: 8, Wire: pipeline.DefaultWireRange, Leases: engine.Leases{
		"acme/prod": {netip.MustParseAddr("10.1.0.77"): ipam.Lease{Holder: "acme/prod/same@h9"}}}})
	b.step(engine.RevisionLoaded{Policy: b.w.AllowAll("r1")})
	b.hostUp(0)
	if got := b.ask(question("h1", "same", "", "")); strings.Contains(got, "taken") {
		t.Errorf("h1 gets %s; want an address", got)
	}
}
