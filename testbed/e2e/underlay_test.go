//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// TestUnderlayHazards is TestHazards for what lies below the endpoints: routers,
// and the hosts' own stacks.
func TestUnderlayHazards(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	hazards := []hazard{
		{"a server's push to the host itself after its switch started anew", pushAfterRestart},
		{"ICMP errors through NAT (path MTU)", narrowPath},
		{"a wire reply without flow reaches a listener of the host", replyToListener},
		{"a host's own connection to a server on a port inside the wire range", ownConnection},
		{"a host service listening in the wire range", ownServer},
	}
	for _, h := range hazards {
		t.Run(h.name, func(t *testing.T) { bothWays(t, f, h) })
	}
}

// narrowPath sends 400 KB over a router that carries less than the container's
// MTU, there and back.
func narrowPath(f *fabric, guarded bool) string {
	const narrow, wide, size = 1400, 1500, 400_000
	for _, h := range []string{"h1", "h2"} {
		if err := f.SetRouteMTU(h, narrow); err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() {
			if err := f.SetRouteMTU(h, wide); err != nil {
				f.t.Error(err)
			}
		})
		if guarded {
			continue
		}
		for _, fl := range f.flows(h, "table=3,icmp") {
			f.replace(h, fl, "drop")
		}
	}
	p := f.pair()
	deadline := time.Now().Add(10 * time.Second)
	if !guarded {
		deadline = time.Now().Add(2 * time.Second)
	}
	p.conn.SetDeadline(deadline)
	start := time.Now()
	go io.WriteString(p.conn, strings.Repeat("x", size))
	n, err := io.ReadFull(p.conn, make([]byte, size))
	mtu := f.pathMTU(p.conn)
	if err != nil {
		return fmt.Sprintf("%d of %d bytes came back, path MTU %d: %v", n, size, mtu, err)
	}
	f.t.Logf("%d bytes there and back in %s, path MTU %d", n, time.Since(start).Round(time.Millisecond), mtu)
	if mtu != narrow {
		f.t.Errorf("the client's path MTU is %d; want %d", mtu, narrow)
	}
	return ""
}

// pathMTU is what the kernel knows of a connection's way (ip(7), IP_MTU).
func (f *fabric) pathMTU(c net.Conn) (mtu int) {
	f.t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		f.t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { mtu, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU) })
	if err := errors.Join(err, failed); err != nil {
		f.t.Fatal(err)
	}
	return mtu
}

// serveOn lets a host's own stack, or the machine on the internet, serve a port.
func (f *fabric) serveOn(machine string, addr netip.Addr, port uint16) {
	f.t.Helper()
	s, err := inside.ServeTCP(f.Namespace(machine), netip.AddrPortFrom(addr, port), "")
	f.served(s, err)
}

// hasListener waits until a host has base flows for a port that it listens on.
func (f *fabric) hasListener(host string, port uint16) {
	f.t.Helper()
	start := time.Now()
	f.eventually("base flows of the listener", func() error {
		if len(f.listenerFlows(host, port)) > 0 {
			return nil
		}
		return errors.New("there are none")
	})
	// It looks twice a second; the rest is margin for a machine that is busy.
	if took := time.Since(start); took > 3*time.Second {
		f.t.Errorf("the listener had flows after %s; want at most 500 ms and a little", took)
	}
}

func (f *fabric) listenerFlows(host string, port uint16) []netns.Flow {
	f.t.Helper()
	return slices.DeleteFunc(f.flows(host, "table=3"), func(fl netns.Flow) bool {
		return fl.Actions != "LOCAL" || !strings.HasSuffix(fl.Match, fmt.Sprintf("tp_dst=%d", port))
	})
}

// replyToListener lets the host listen on the port that a container of it has a
// connection from, and takes the reply's flow away.
func replyToListener(f *fabric, guarded bool) string {
	const port = 40123
	h1 := f.Host("h1")
	p := pair{client: f.attach("h1:acme/prod/web/web1", "web"), server: f.attach("h2:acme/prod/db/db1")}
	f.serveTCP(p.server, 5432, "")
	p.conn = f.dial(p.client, "tcp4", port, p.server.AddrPort(5432))
	f.exchange(p.conn, "", "hello")
	f.serveOn("h1", h1.Addr.Addr(), port)
	f.hasListener("h1", port)
	if !guarded {
		for _, fl := range f.flows("h1", "table=3") {
			if fl.Priority == 305 && strings.HasPrefix(fl.Match, "tcp") {
				f.replace("h1", fl, "LOCAL")
			}
		}
	}
	wire := f.wire("h1")
	for _, fl := range f.flowsOf("h1", f.session(p.client, p.server, "tcp", 5432)) {
		if fromPort(fl, uplinkPort) {
			if err := h1.DeleteFlow(f.ctx, fl); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	d := 10 * time.Second
	if !guarded { // nothing comes until the flow is mended
		d = time.Second
	}
	err := say(p.conn, p.conn, "after the reply's flow has gone", d)
	for _, c := range wire.Frames() {
		if c.Proto == inside.TCP && c.Flags&inside.RST != 0 && c.Src == h1.Addr.Addr() {
			return fmt.Sprintf("h1 answered %s; the client got: %v", &c.Frame, err)
		}
	}
	if err != nil {
		f.t.Errorf("the connection did not go on: %v", err)
	}
	return ""
}

// dialFrom connects from a host's own stack.
func (f *fabric) dialFrom(machine string, source uint16, to netip.AddrPort, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(f.ctx, d)
	defer cancel()
	c, err := inside.Dial(ctx, f.Namespace(machine), "tcp4", source, to)
	if err == nil {
		f.t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// ownConnection lets h1's own stack connect to ports in the wire range, on the
// internet and on another host, and from one.
func ownConnection(f *fabric, guarded bool) string {
	internet, h2 := f.Internet().Addr(), f.Host("h2").Addr.Addr()
	server, client := uint16(17000), uint16(17001)
	if !guarded { // the datapath's cache would learn again what it has learned
		server, client = 17100, 17101
	}
	f.serveOn("in", internet, server)
	f.serveOn("in", internet, 443)
	f.serveOn("h2", h2, server)
	f.hasListener("h2", server)
	if !guarded {
		for _, fl := range f.flows("h1", "table=3,in_port=LOCAL") {
			if strings.Contains(fl.Actions, "learn(") {
				f.replace("h1", fl, "output:1")
			}
		}
	}
	for _, to := range []struct {
		source uint16
		addr   netip.AddrPort
	}{
		{0, netip.AddrPortFrom(internet, server)}, {0, netip.AddrPortFrom(h2, server)}, {client, netip.AddrPortFrom(internet, 443)},
	} {
		c, err := f.dialFrom("h1", to.source, to.addr, 2*time.Second)
		if err != nil {
			return fmt.Sprintf("h1 to %s from port %d: %v", to.addr, to.source, err)
		}
		f.exchange(c, "", "hello")
	}
	return ""
}

// ownServer lets h1's own stack serve ports in the wire range and above 32768.
func ownServer(f *fabric, guarded bool) string {
	h1 := f.Host("h1").Addr.Addr()
	for _, port := range []uint16{17500, 40500} {
		f.serveOn("h1", h1, port)
		f.hasListener("h1", port)
		if !guarded {
			for _, fl := range f.listenerFlows("h1", port) {
				f.replace("h1", fl, "drop")
			}
		}
		for _, source := range []uint16{0, port ^ 1, 17600} { // any, and in the wire range
			c, err := f.dialFrom("in", source, netip.AddrPortFrom(h1, port), 2*time.Second)
			if err != nil {
				return fmt.Sprintf("the internet from port %d to h1:%d: %v", source, port, err)
			}
			f.exchange(c, "", "hello")
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}
	return ""
}

// pushAfterRestart has h1's own stack wait for a server in the wire range, which
// speaks first after h1's switch started anew.
func pushAfterRestart(f *fabric, guarded bool) string {
	ns := f.Namespace("in")
	var ln net.Listener
	err := inside.Do(ns, func() (err error) {
		ln, err = net.Listen("tcp4", netip.AddrPortFrom(f.Internet().Addr(), 17001).String())
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	defer ln.Close()
	c, err := f.dialFrom("h1", 0, ln.Addr().(*net.TCPAddr).AddrPort(), 5*time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	defer server.Close()
	h1 := f.Host("h1")
	before := len(f.flows("h1", "cookie=0x0100000000000000/-1"))
	h1.Switch().Kill()
	<-h1.Switch().Done()
	if err := h1.StartSwitch(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	f.eventually("base flows of h1", func() error {
		if fs, err := h1.Flows(f.ctx, "cookie=0x0100000000000000/-1"); err != nil || len(fs) != before {
			return fmt.Errorf("%d of %d, %v", len(fs), before, err)
		}
		return nil
	})
	if !guarded {
		for _, fl := range f.flows("h1", "cookie=0x0110000000000006/-1") {
			if err := h1.DeleteFlow(f.ctx, fl); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	const text = "the server speaks first"
	start := time.Now()
	if _, err := io.WriteString(server, text); err != nil {
		f.t.Fatal(err)
	}
	got, err := read(c, len(text), 2*time.Second)
	if err != nil {
		return fmt.Sprintf("h1 got %q of the push: %v", got, err)
	}
	f.t.Logf("the push arrived after %s", time.Since(start).Round(time.Millisecond))
	return ""
}

// TestTraceroute runs traceroute's probes between subnets: each host is a hop,
// and so is the router between them.
func TestTraceroute(t *testing.T) {
	f := start(t, 2)
	gateway := netip.MustParseAddr("169.254.1.1")
	exceeded := inside.Hop{From: gateway, Type: 11}
	web1, db1, db2 := f.attach("h1:acme/prod/web/web1", "web"), f.attach("h2:acme/prod/db/db1"), f.attach("h1:acme/prod/db/db2")
	web2 := f.attach("h2:acme/prod/web/web2", "web")
	trace := func(from, to *netns.Endpoint, port uint16, spread bool) ([]inside.Hop, error) {
		ctx, cancel := context.WithTimeout(f.ctx, 5*time.Second)
		defer cancel()
		return inside.Trace(ctx, from.Namespace, to.AddrPort(port), spread)
	}
	before := f.revision()
	f.edit("tenants/acme/prod.yaml", "udp/5432", "udp/5432, udp/33434-33534")
	f.eventually("the revision", func() error {
		if f.revision() == before {
			return errors.New("it is the old one")
		}
		return nil
	})
	port := func(e *netns.Endpoint) inside.Hop { return inside.Hop{From: e.Addr, Type: 3, Code: 3} }
	for _, tt := range []struct {
		name     string
		from, to *netns.Endpoint
		want     []inside.Hop
	}{
		{"two hosts and the router between them", web1, db1, []inside.Hop{exceeded, exceeded, exceeded, port(db1)}},
		{"one host", web1, db2, []inside.Hop{exceeded, port(db2)}},
		{"one subnet over two hosts", web1, web2, []inside.Hop{port(web2)}},
	} {
		for _, spread := range []bool{false, true} {
			got, err := trace(tt.from, tt.to, 33440, spread)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s, spread %v: Trace = %v, %v; want %v", tt.name, spread, got, err, tt.want)
			}
		}
	}
	rejected := inside.Hop{From: gateway, Type: 3, Code: 13}
	if got, err := trace(web1, db1, 5000, false); err != nil || !slices.Equal(got, []inside.Hop{rejected}) {
		t.Errorf("what is denied: Trace = %v, %v; want %v", got, err, rejected)
	}
	if err := f.ping(web1, db1.Addr); err != nil {
		t.Errorf("ping after all: %v", err)
	}
}
