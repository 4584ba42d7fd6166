//go:build e2e

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func TestEndpointsReachEachOtherOverEveryProtocolWhereverTheyLive(t *testing.T) {
	f := start(t, 3)
	client := f.attach("h1:acme/wide/one/client")
	for name, where := range map[string]string{
		"same host, same subnet":     "h1:acme/wide/one/",
		"same host, other subnet":    "h1:acme/wide/two/",
		"other host, same subnet":    "h2:acme/wide/one/",
		"other host, other subnet":   "h2:acme/wide/two/",
		"another host, other subnet": "h3:acme/wide/two/",
	} {
		t.Run(name, func(t *testing.T) {
			f := f.with(t)
			server := f.attach(where + strings.ReplaceAll(strings.ReplaceAll(name, ", ", "-"), " ", "-"))
			f.serveTCP(server, 80, "tcp ")
			f.serveUDP(server, 53, "udp ")
			tcp := f.dial(client, "tcp4", 0, server.AddrPort(80))
			f.exchange(tcp, "tcp ", "hello")
			udp := f.dial(client, "udp4", 0, server.AddrPort(53))
			f.exchange(udp, "udp ", "hello")
			if err := f.ping(client, server.Addr); err != nil {
				t.Error(err)
			}
			low := f.dial(client, "tcp4", 999, server.AddrPort(80))
			f.exchange(low, "tcp ", "hello from a low port")
			f.transfer(client, server)
		})
	}
}

// transfer sends 2 MB through the echo server and compares what comes back.
func (f *fabric) transfer(client, server *netns.Endpoint) {
	f.t.Helper()
	c := f.dial(client, "tcp4", 0, server.AddrPort(80))
	if _, err := read(c, len("tcp "), 10*time.Second); err != nil {
		f.t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("daolinet "), 2_000_000/9)
	go c.Write(sent) // a failure shows as a short answer
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got := sha256.New()
	if n, err := io.CopyN(got, c, int64(len(sent))); err != nil {
		f.t.Fatalf("transfer: %v after %d of %d bytes", err, n, len(sent))
	}
	if want := sha256.Sum256(sent); !bytes.Equal(got.Sum(nil), want[:]) {
		f.t.Error("transfer: other bytes came back than were sent")
	}
}

func TestDeniedAndIsolatedAttemptsFailAsTheSpecSays(t *testing.T) {
	f := start(t, 2)
	web := f.attach("h1:acme/prod/web/web1", "web")
	db := f.attachAt("h2:acme/prod/db/db1", "10.1.1.77")
	stranger := f.attach("h1:globex/prod/web/web1")
	f.serveTCP(db, 5432, "db ")
	f.serveTCP(db, 5433, "db ")
	f.exchange(f.dial(web, "tcp4", 0, db.AddrPort(5432)), "db ", "select")

	// Reject: an answer at once.
	began := time.Now()
	if _, err := f.tryDial(web, "tcp4", 0, db.AddrPort(5433), 5*time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to a port that no rule opens = %v; want connection refused", err)
	}
	// TCP's second try is after 1 s, its third 2 s later: one of them may be lost to
	// a busy machine.
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("refusal took %s; want it at once, not after retries", d)
	}

	// Isolation: not even an answer, and db1 sees nothing of it.
	at := f.capture(db.Namespace, "eth0")
	if c, err := f.tryDial(stranger, "tcp4", 40404, db.AddrPort(5432), 1500*time.Millisecond); err == nil {
		t.Errorf("another tenant reached %s", c.RemoteAddr())
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("another tenant's attempt was answered; want silence")
	}
	f.exchange(f.dial(web, "tcp4", 0, db.AddrPort(5432)), "db ", "still there")
	for _, frame := range f.upTo(at, "still there") {
		if frame.SrcPort == 40404 {
			t.Errorf("db1 saw another tenant's packet: %s", &frame.Frame)
		}
	}
	why := f.why(web, db, "tcp", 5433)
	if why.Verdict != "reject" || !strings.HasPrefix(why.At, "tenants/acme/prod.yaml:") {
		t.Errorf("why tcp/5433 = %+v; want reject at a line of tenants/acme/prod.yaml", why)
	}
}

func TestWirePacketsAreTheContainersPacketsInHostsAddresses(t *testing.T) {
	f := start(t, 2)
	web := f.attach("h1:acme/prod/web/web1", "web")
	db := f.attach("h2:acme/prod/db/db1")
	f.serveTCP(db, 5432, "")
	f.serveUDP(db, 5432, "")
	tcp := f.dial(web, "tcp4", 0, db.AddrPort(5432))
	udp := f.dial(web, "udp4", 0, db.AddrPort(5432))
	// What opens a session travels by the controller, and what follows at once may:
	// the comparison begins when each session's flows carry packets.
	for range 3 {
		f.exchange(tcp, "", "open")
		f.exchange(udp, "", "open")
		if err := f.ping(web, db.Addr); err != nil {
			t.Fatal(err)
		}
	}
	inA, wire := f.capture(web.Namespace, "eth0"), f.wire("h1")
	for i := range 20 {
		text := fmt.Sprintf("%03d %s", i, strings.Repeat("x", i*70))
		f.exchange(tcp, "", text)
		f.exchange(udp, "", text)
	}
	if err := f.ping(web, db.Addr); err != nil {
		t.Error(err)
	}
	f.exchange(udp, "", "the end")
	s1, s2 := f.Host("h1").Addr.Addr(), f.Host("h2").Addr.Addr()
	tenants := netip.MustParsePrefix("10.0.0.0/8")
	byKey := map[string]inside.Captured{}
	for _, c := range f.upTo(wire, "the end") {
		if c.EthType != inside.EtherIPv4 || c.Proto != inside.TCP && c.Proto != inside.UDP && c.Proto != inside.ICMP {
			continue
		}
		if tenants.Contains(c.Src) || tenants.Contains(c.Dst) || c.VLAN != 0 {
			t.Errorf("on the wire: %s", &c.Frame)
		}
		if c.Src == s1 && c.Dst == s2 || c.Src == s2 && c.Dst == s1 {
			byKey[packetKey(&c, c.Src == s1)] = c
		}
	}
	compared := 0
	for _, c := range f.upTo(inA, "the end") {
		if c.EthType != inside.EtherIPv4 || c.Src != db.Addr && c.Dst != db.Addr {
			continue
		}
		w, found := byKey[packetKey(&c, c.Src == web.Addr)]
		if !found {
			t.Errorf("not found on the wire: %s", &c.Frame)
			continue
		}
		compared++
		if w.Length != c.Length || len(w.Raw) != len(c.Raw) {
			t.Errorf("%s has %d bytes in a frame of %d in the container, %d in %d on the wire", &c.Frame, c.Length, len(c.Raw), w.Length, len(w.Raw))
		}
	}
	if compared < 80 {
		t.Errorf("compared %d packets; want at least the 80 that carried data", compared)
	}
}

// packetKey is the same for a packet in the container and on the wire.
func packetKey(c *inside.Captured, forward bool) string {
	return fmt.Sprint(c.Proto, forward, c.Seq, c.Ack, c.Flags, c.ICMPType, c.ID, string(c.Payload))
}
