package enrol_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/reconciler/trust"
)

// TestAHostThatLeavesIsNoHostAnyMore: also by a certificate that has ended, its
// connections end, the engine is told, its certificate is good for nothing, and
// its name and datapath id are free for another.
func TestAHostThatLeavesIsNoHostAnyMore(t *testing.T) {
	b := newBed(t)
	h1, other := b.connected("h1", dpid1), b.join("h2")
	if err := h1.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]<-chan error{"stream": b.gone, "switch": b.down} {
		if err := await(t, "end of the "+what, c); !strings.Contains(err.Error(), "left") {
			t.Errorf("the %s ended by %v", what, err)
		}
	}
	if host := await(t, "word to the engine", b.revoked); host != "h1" {
		t.Errorf("%s is told to be gone; want h1", host)
	}
	b.logged("host left", "host=h1")
	if hosts := b.authority.Hosts(); len(hosts) != 1 || hosts[0].Name != "h2" {
		t.Errorf("registry: %+v; want h2 alone", hosts)
	}
	if err := b.hello(h1.TLS(), "h1", dpid1); status.Code(err) != codes.PermissionDenied {
		t.Errorf("hello: %v; want a refusal", err)
	}
	if err := h1.Renew(t.Context()); err == nil {
		t.Error("renewed after it left")
	}
	if err := h1.Leave(t.Context()); err == nil {
		t.Error("it left twice")
	}
	b.logged("leave refused", "host=h1", "reason=unknown-host")
	again := b.join("h1") // another key
	if err := b.hello(again.TLS(), "h1", dpid1); err != nil {
		t.Errorf("hello of the next h1: %v", err)
	}

	b.clock.advance(24*time.Hour + trust.Grace - time.Hour)
	b.look()
	if err := other.Leave(t.Context()); err != nil {
		t.Errorf("leave by a certificate that has ended: %v", err)
	}
}

// TestNobodyLeavesForAnother: neither without a certificate, nor long after its
// end, nor by a revoked one.
func TestNobodyLeavesForAnother(t *testing.T) {
	b := newBed(t)
	h1, h2 := b.join("h1"), b.join("h2")
	if _, err := b.authority.Revoke("h1"); err != nil {
		t.Fatal(err)
	}
	if err := h1.Leave(t.Context()); err == nil {
		t.Error("a revoked host left: the registry would forget that it was")
	}
	b.logged("leave refused", "host=h1", "reason=revoked")
	b.clock.advance(24*time.Hour + trust.Grace + time.Hour)
	b.look()
	if err := h2.Leave(t.Context()); err == nil {
		t.Error("left by a certificate that ended long ago")
	}
	b.logged("leave refused", "host=h2", "reason=expired")
	if _, err := b.authority.Leave(t.Context(), nil); status.Code(err) != codes.Unauthenticated {
		t.Errorf("leave without a certificate: %v; want a refusal", err)
	}
	if n := len(b.authority.Hosts()); n != 2 {
		t.Errorf("%d hosts are left; want both", n)
	}
}
