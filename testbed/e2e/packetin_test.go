//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func TestConnectionsOfAKnownServiceCauseNoPacketIn(t *testing.T) {
	f := start(t, 2)
	client := f.attach("h1:acme/wide/one/client")
	server := f.attach("h2:acme/wide/two/server")
	f.serveTCP(server, 80, "hi ")
	// One is due. Until the datapath has looked again at what it cached for that
	// one, which on a busy machine takes a while, another may be lifted as well.
	const few = 3
	before, err := f.Controller.API().Status(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		c := f.dial(client, "tcp4", 0, server.AddrPort(80))
		f.exchange(c, "hi ", fmt.Sprint("connection ", i))
		c.Close()
	}
	after, err := f.Controller.API().Status(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	endpoints := after.PacketIns.FromEndpoints - before.PacketIns.FromEndpoints
	wire := after.PacketIns.FromWire - before.PacketIns.FromWire
	t.Logf("100 connections: %d PacketIns from the endpoints' ports, %d from the wire", endpoints, wire)
	if endpoints < 1 || endpoints > few || wire > few {
		t.Errorf("PacketIns of 100 connections = %d from endpoints, %d from the wire; want 1 to %d, at most %d", endpoints, wire, few, few)
	}
	// The switches agree, once they have pushed their counters.
	f.eventually("counters of the miss tables", func() error {
		if n := f.missed("h1", client.Port); n < 1 || n > few {
			return fmt.Errorf("h1 missed %d packets of the client; want 1 to %d", n, few)
		}
		return nil
	})
	if n := f.missed("h2", server.Port); n != 0 {
		t.Errorf("h2 missed %d packets of the server; want 0", n)
	}
}

const (
	firstPacketSessions = 4000
	firstPacketRate     = 200 // new sessions per second
)

// TestFirstPackets4000 opens 4,000 distinct (A, B, port) across hosts, none of
// which has a flow yet, and measures SYN to SYN-ACK at A's own interface. A SYN
// that had to be sent twice counts as lost.
func TestFirstPackets4000(t *testing.T) {
	f := start(t, 3)
	var clients, servers []*netns.Endpoint
	for i := range 10 {
		clients = append(clients, f.attach(fmt.Sprintf("h%d:acme/wide/one/client%d", 1+i%2, i)))
	}
	const ports = 50
	for i := range 8 {
		s := f.attach(fmt.Sprintf("h3:acme/wide/two/server%d", i))
		for p := range uint16(ports) {
			f.serveTCP(s, 8000+p, "")
		}
		servers = append(servers, s)
	}
	type target struct {
		client *netns.Endpoint
		addr   netip.AddrPort
	}
	var targets []target
	for _, c := range clients {
		for _, s := range servers {
			for p := range uint16(ports) {
				targets = append(targets, target{c, s.AddrPort(8000 + p)})
			}
		}
	}
	rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	if len(targets) != firstPacketSessions || len(f.flows("h1", sessionFlows)) != 0 {
		t.Fatalf("%d targets and flows %v at the start; want %d and none", len(targets), f.flows("h1", sessionFlows), firstPacketSessions)
	}

	var captures []*inside.Capture
	for _, c := range clients {
		capture, err := inside.StartCapture(c.Namespace, "eth0", func(c *inside.Captured) bool {
			return c.Proto == inside.TCP && c.Flags&inside.SYN != 0
		})
		if err != nil {
			t.Fatal(err)
		}
		captures = append(captures, capture)
	}
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / firstPacketRate)
	defer tick.Stop()
	began := time.Now()
	for _, to := range targets {
		<-tick.C
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
			defer cancel()
			c, err := inside.Dial(ctx, to.client.Namespace, "tcp4", 0, to.addr)
			if err != nil {
				t.Errorf("%s > %s: %v", to.client.Name, to.addr, err)
				return
			}
			c.Close()
		})
	}
	wg.Wait()
	rate := float64(len(targets)) / time.Since(began).Seconds()
	var times []time.Duration
	lost := 0
	for _, c := range captures {
		d, l := handshakes(c.Stop())
		times, lost = append(times, d...), lost+l
	}
	report(t, times, lost, rate)
	if lost != 0 || len(times) != firstPacketSessions {
		t.Errorf("%d of %d SYNs answered, %d lost; want all answered, none lost", len(times), firstPacketSessions, lost)
	}
}

// handshakes pairs each SYN with its SYN-ACK. lost counts SYNs sent again or
// never answered.
func handshakes(frames []inside.Captured) (times []time.Duration, lost int) {
	type conn struct {
		client uint16
		server netip.AddrPort
	}
	syn := map[conn]time.Time{}
	for _, c := range frames {
		if c.Flags&inside.ACK == 0 {
			k := conn{c.SrcPort, netip.AddrPortFrom(c.Dst, c.DstPort)}
			if _, again := syn[k]; again {
				lost++
			}
			syn[k] = c.Time
			continue
		}
		k := conn{c.DstPort, netip.AddrPortFrom(c.Src, c.SrcPort)}
		if sent, open := syn[k]; open {
			times = append(times, c.Time.Sub(sent))
			delete(syn, k)
		}
	}
	return times, lost + len(syn)
}

func report(t *testing.T, times []time.Duration, lost int, rate float64) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	at := func(share float64) time.Duration {
		return times[min(len(times)-1, int(share*float64(len(times))))].Round(10 * time.Microsecond)
	}
	t.Logf("first packets, SYN to SYN-ACK at the client: %d sessions at %.0f/s, %d lost: p50 %s, p90 %s, p99 %s, p99.9 %s, max %s",
		len(times), rate, lost, at(.5), at(.9), at(.99), at(.999), at(1))
}
