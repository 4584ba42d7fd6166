//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
)

// receipt waits for the newest receipt to be as ready says.
func (f *fabric) receipt(what string, ready func(*api.Receipt) error) (r api.Receipt) {
	f.t.Helper()
	f.eventually(what, func() error {
		list, err := f.Controller.API().Receipts(f.ctx)
		if err != nil {
			return err
		}
		if len(list.Receipts) == 0 {
			return errors.New("there is none")
		}
		r = list.Receipts[0]
		return ready(&r)
	})
	return r
}

// cuts is ready for a receipt that names one session, to a port, and two hosts.
func cuts(port int, done bool) func(*api.Receipt) error {
	return func(r *api.Receipt) error {
		if r.Count != 1 || len(r.Sessions) != 1 || r.Sessions[0].Port != port || len(r.Hosts) != 2 || r.Done != done {
			return fmt.Errorf("receipt %+v; want one of a session to port %d, done: %t", r, port, done)
		}
		return nil
	}
}

// TestACutHasAReceiptThatEachHostConfirms has an edit cut a session between two
// hosts, and another one while a switch is dead. A transfer that stays allowed loses
// no byte through both.
func TestACutHasAReceiptThatEachHostConfirms(t *testing.T) {
	f := startKill(t, 2*time.Minute)
	client, server := f.attach("h1:acme/kill/one/client"), f.attach("h2:acme/kill/two/server", "servers")
	s := f.startStream(f.connect(client, server, 0, f.listen(server, streamPort)))
	s.flow(true)
	for _, port := range []uint16{clientFirstPort, serverFirstPort, 10000} {
		f.serveTCP(server, port, "")
		f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(port)), "", "before")
	}

	cookie := f.session(client, server, "tcp", clientFirstPort).ID
	was := f.revision()
	f.edit(killFile, "tcp/9002, ", "")
	r := f.receipt("the receipt of the first edit", cuts(clientFirstPort, true))
	if r.Cause != "revision" || r.Revision == was || r.Revision != f.revision() || r.Sessions[0].ID != cookie {
		t.Errorf("receipt %+v; want one of the new revision, of session %s", r, cookie)
	}
	if d := r.Sessions[0].Decision; d == nil || d.Allowed() || d.Revision != r.Revision {
		t.Errorf("what forbids it is %+v; want a denial by revision %s", d, r.Revision)
	}
	for i, h := range r.Hosts {
		if h.Name != fmt.Sprintf("h%d", i+1) || h.State != "confirmed" || h.TookSeconds == nil || *h.TookSeconds > 3 {
			t.Errorf("host %+v; want it confirmed, in a second or so", h)
		}
	}
	t.Logf("cut %.0f ms after it was seen, confirmed by both hosts after %.0f ms", 1000*r.Cut.Sub(r.Seen).Seconds(), 1000*r.TookSeconds)

	h2 := f.Host("h2")
	h2.Switch().Kill()
	f.edit(killFile, "tcp/9003, ", "")
	r = f.receipt("a receipt that waits for the dead switch", func(r *api.Receipt) error {
		if err := cuts(serverFirstPort, false)(r); err != nil {
			return err
		}
		// It is away once the controller has noticed; its connection just went silent.
		if dead := r.Hosts[1]; r.Hosts[0].State != "confirmed" || (dead.State != "sent" && dead.State != "away") || dead.TookSeconds != nil {
			return fmt.Errorf("hosts %+v; want h1 confirmed and h2 not", r.Hosts)
		}
		return nil
	})
	second := r.ID
	cookie = r.Sessions[0].ID
	if err := h2.StartSwitch(f.ctx); err != nil {
		t.Fatal(err)
	}
	r = f.receipt("the dead switch's confirmation", cuts(serverFirstPort, true))
	if r.ID != second || r.Hosts[1].State != "confirmed" || r.Hosts[1].TookSeconds == nil {
		t.Errorf("receipt %+v; want receipt %d, confirmed by h2", r, second)
	}
	for _, host := range []string{"h1", "h2"} {
		if left := f.flows(host, "cookie="+cookie+"/-1"); len(left) != 0 {
			t.Errorf("%s still has %+v", host, left)
		}
	}
	t.Logf("h2 confirmed %.1f s after the edit was seen", *r.Hosts[1].TookSeconds)
	f.within(settleTime, "the transfer to go on", func() error { return s.moved(s.sent.Load() - 10*streamChunk) })
	if err := s.finish(); err != nil {
		t.Error(err)
	}
	f.killed(client, server)
}

// killed has a session of two endpoints killed, to port 10000, though it is allowed.
func (f *fabric) killed(client, server *netns.Endpoint) {
	const port = 10000
	live := f.dial(client, "tcp4", 0, server.AddrPort(port))
	f.exchange(live, "", "before it is killed")
	s := f.session(client, server, "tcp", port)
	r, err := f.Controller.API().KillSession(f.ctx, s.ID)
	if err != nil || r.Cause != "kill" || r.Count != 1 || r.Sessions[0].ID != s.ID {
		f.t.Fatalf("kill of %s: %+v, %v", s.ID, r, err)
	}
	kill := strconv.FormatUint(r.ID, 10)
	f.eventually("both hosts' confirmation of the kill", func() error {
		r, err := f.Controller.API().Receipt(f.ctx, kill)
		if err == nil && !r.Done {
			err = fmt.Errorf("receipt %+v is open", r)
		}
		return err
	})
	if err := exchange(live, "", "after"); !errors.Is(err, syscall.ECONNRESET) {
		f.t.Errorf("the killed connection's next exchange: %v; want a reset", err)
	}
	f.exchange(f.dial(client, "tcp4", 0, server.AddrPort(port)), "", "a new one")
}
