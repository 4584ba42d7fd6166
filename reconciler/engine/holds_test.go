package engine_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/testbed/world"
)

// question is one of host for a name; hold says that the name is made up, held
// the name under which it has the address.
func question(host, name, ip, held string) engine.LeaseAsked {
	q := engine.LeaseAsked{Conn: 1, ID: 1, Host: host, Tenant: "acme", VPC: "prod", Subnet: "web", Name: name, Held: held}
	q.Hold = strings.HasPrefix(name, "hold-")
	if ip != "" {
		q.IP = netip.MustParseAddr(ip)
	}
	return q
}

// ask returns the one answer, as an address or a refusal.
func (b *bench) ask(q engine.LeaseAsked) string {
	b.Helper()
	b.other = nil
	b.step(q)
	answers, _ := b.given()
	if len(answers) != 1 {
		b.Fatalf("%d answers; want one", len(answers))
	}
	if answers[0].Err != "" {
		return answers[0].Err
	}
	return answers[0].IP.String()
}

func (b *bench) want(what, got, want string) {
	b.Helper()
	if got != want && (want == "" || !strings.Contains(got, want)) {
		b.Errorf("%s: %q; want %q", what, got, want)
	}
}

func (b *bench) giveBack(host, name, ip string) {
	b.step(engine.LeaseReleased{Host: host, VPC: "acme/prod", IP: netip.MustParseAddr(ip), Name: name})
}

func TestHeldAddressIsNobodyElses(t *testing.T) {
	b := started(t)
	first := b.ask(question("h1", "hold-1", "", ""))
	if _, saved := b.given(); saved != nil {
		t.Error("a hold is saved; want that it lives no longer than the controller")
	}
	second := b.ask(question("h2", "hold-1", "", "")) // another host may have the same idea of a name
	if first == second {
		t.Errorf("both have %s", first)
	}
	b.want("somebody else", b.ask(question("h2", "x", first, "")), "is held by acme/prod/hold-1@h1")
	b.want("by another host's hold", b.ask(question("h2", "x", first, "hold-1")), "is held by")
	b.want("its endpoint", b.ask(question("h1", "x", first, "hold-1")), first)
	_, saved := b.given()
	if l := saved["acme/prod"][netip.MustParseAddr(first)]; l.Holder != "acme/prod/x@h1" || !l.Released.IsZero() {
		t.Errorf("lease = %+v; want the endpoint's", l)
	}
	b.giveBack("h1", "hold-1", first) // Docker gives back what the endpoint has
	b.want("after that", b.ask(question("h2", "y", first, "")), "is held by acme/prod/x@h1")
}

func TestHoldEndsByItselfOrWhenItIsGivenBack(t *testing.T) {
	b := started(t)
	ip := b.ask(question("h1", "hold-1", "", ""))
	b.giveBack("h2", "hold-1", ip)
	b.want("given back by another host", b.ask(question("h2", "x", ip, "")), "is held by")
	b.giveBack("h1", "hold-1", ip)
	b.want("given back", b.ask(question("h2", "hold-2", ip, "")), ip)
	b.now = b.now.Add(61 * time.Second)
	b.want("forgotten", b.ask(question("h1", "x", ip, "")), ip)
}

// TestRestingAddressMayBeHeldButOnlyBeTakenByItsName: whose the address will be is
// not known when it is held.
func TestRestingAddressMayBeHeldButOnlyBeTakenByItsName(t *testing.T) {
	b := started(t)
	const ip = "10.1.0.77"
	b.want("a", b.ask(question("h1", "a", ip, "")), ip)
	b.giveBack("h1", "a", ip)
	b.want("held while it rests", b.ask(question("h2", "hold-1", ip, "")), ip)
	b.want("another name", b.ask(question("h2", "b", ip, "hold-1")), "rests after its release by acme/prod/a@h1")
	b.want("the same name, elsewhere", b.ask(question("h2", "a", ip, "hold-1")), ip)
	b.giveBack("h2", "a", ip)
	b.want("held again", b.ask(question("h1", "hold-2", ip, "")), ip)
	b.now = b.now.Add(ipam.Rest)
	b.want("another name, when it has rested", b.ask(question("h1", "b", ip, "hold-2")), ip)
}

func TestEndpointThatIsRenamedKeepsItsAddress(t *testing.T) {
	b := started(t)
	const ip = "10.1.0.77"
	b.want("a", b.ask(question("h1", "a", ip, "")), ip)
	b.w.Hosts[0].Endpoints = append(b.w.Hosts[0].Endpoints, world.Endpoint("acme", "a", "web", ip, 40))
	b.hostUp(0)
	b.want("by another host", b.ask(question("h2", "b", ip, "a")), "is held by acme/prod/a@h1")
	b.want("to a name that another host has", b.ask(question("h1", "taken", ip, "a")), ip)
	b.want("renamed on", b.ask(question("h1", "b", ip, "taken")), ip)
	b.want("the old one's name again", b.ask(question("h1", "a", ip, "")), "is held by acme/prod/b@h1")
	b.giveBack("h1", "b", ip)
	b.want("given back, and passed on by who had it", b.ask(question("h1", "c", ip, "b")), ip)
}
