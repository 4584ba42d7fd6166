//go:build e2e

package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Hazards in the life of a session: how it begins, loses its flows, and ends.

// lowSourcePort opens two connections whose source ports differ in the bit alone
// that the wire has no room for: it is in the wire port.
func lowSourcePort(f *fabric, guarded bool) string {
	const low, high = 999, 999 | 0x8000
	client, server := f.attach("h1:acme/prod/web/web1", "web"), f.attach("h2:acme/prod/db/db1")
	f.serveTCP(server, 5432, "")
	conns := map[uint16]net.Conn{}
	for _, port := range []uint16{low, high} {
		conns[port] = f.dial(client, "tcp4", port, server.AddrPort(5432))
		f.exchange(conns[port], "", "hello")
	}
	if !guarded {
		s := f.session(client, server, "tcp", 5432)
		if len(s.WirePorts) != 2 {
			f.t.Fatalf("wire ports of %s = %v; want two", s.ID, s.WirePorts)
		}
		fl := f.flow("h1", "table=2,cookie="+s.ID+"/-1", func(fl netns.Flow) bool {
			return fromPort(fl, client.Port) && strings.Contains(fl.Actions, "NXM_OF_TCP_SRC[15]")
		})
		a, b := fmt.Sprintf("set_field:%d->tcp_dst", s.WirePorts[0]), fmt.Sprintf("set_field:%d->tcp_dst", s.WirePorts[1])
		if strings.Contains(fl.Actions, a) {
			a, b = b, a
		}
		f.replace("h1", fl, strings.Replace(fl.Actions, b, a, 1))
	}
	at := f.capture(server.Namespace, "eth0")
	text := func(port uint16) string { return fmt.Sprintf("text of port %d", port) }
	for port, c := range conns {
		if guarded {
			f.exchange(c, "", text(port))
		} else if _, err := io.WriteString(c, text(port)); err != nil {
			f.t.Fatal(err)
		}
	}
	for port := range conns {
		f.upTo(at, text(port))
		for _, c := range at.Frames() {
			if !c.Outgoing && strings.Contains(string(c.Payload), text(port)) && c.SrcPort != port {
				return fmt.Sprintf("the server got %q as if from port %d", c.Payload, c.SrcPort)
			}
		}
	}
	return ""
}

// pause stops a program until the function that it returns is called.
func (f *fabric) pause(p *netns.Process) (resume func()) {
	f.t.Helper()
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(p.PID(), s); err != nil {
			f.t.Fatalf("send %s to %s: %v", s, p.Name, err)
		}
	}
	signal(syscall.SIGSTOP)
	resumed := false
	resume = func() {
		if !resumed {
			resumed = true
			signal(syscall.SIGCONT)
		}
	}
	f.t.Cleanup(resume)
	return resume
}

// socket opens a UDP socket in a container.
func (f *fabric) socket(e *netns.Endpoint, port uint16) *net.UDPConn {
	f.t.Helper()
	var c *net.UDPConn
	err := inside.Do(e.Namespace, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(e.AddrPort(port)))
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// mirroredPorts has two containers open a connection to each other, both from and
// to the same port, so that what one opens looks like a reply to the other. Each
// is a session of its own, and the end of one leaves the other whole.
func mirroredPorts(f *fabric, guarded bool) string {
	const port = 7946
	a, b := f.attach("h1:acme/wide/one/a"), f.attach("h2:acme/wide/two/b")
	if guarded {
		f.mirroredUDP(a, b)
	}
	// No stack takes part: it would let neither end open what the other did.
	da, db := f.device(a), f.device(b)
	atA, atB := f.capture(a.Namespace, "eth0"), f.capture(b.Namespace, "eth0")
	send := func(dev *inside.Device, from, to *netns.Endpoint, flags byte, text string) {
		fr := dataFrame(from, to, port, port)
		fr.Flags, fr.Payload = flags, []byte(text)
		if err := dev.Send(fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
	came := func(at *inside.Capture, text string) error {
		ctx, cancel := context.WithTimeout(f.ctx, 2*time.Second)
		defer cancel()
		_, err := at.Await(ctx, func(c *inside.Captured) bool { return !c.Outgoing && string(c.Payload) == text })
		return err
	}
	send(da, a, b, inside.SYN, "a opens")
	if err := came(atB, "a opens"); err != nil {
		f.t.Fatal(err)
	}
	first := f.session(a, b, "tcp", port)
	if !guarded { // what opens may pass for a reply
		for host, in := range map[string]uint32{"h1": uplinkPort, "h2": b.Port} {
			fl := f.forwardFlow(host, first, in)
			fl.Match, fl.Priority = withoutField(fl.Match, "metadata"), fl.Priority+20
			if err := f.Host(host).AddFlow(f.ctx, fl); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	send(db, b, a, inside.SYN, "b opens")
	if err := came(atA, "b opens"); err != nil {
		f.t.Fatal(err)
	}
	if guarded {
		if second := f.session(b, a, "tcp", port); second.WirePorts[0] == first.WirePorts[0] {
			f.t.Errorf("what a opens is %+v, what b opens is %+v; want two sessions", first, second)
		}
	}
	defer f.pause(f.Controller.Process())() // it would mend what is amiss
	for _, h := range []string{"h1", "h2"} {
		for _, fl := range f.flowsOf(h, first) {
			if err := f.Host(h).DeleteFlow(f.ctx, fl); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	send(db, b, a, inside.ACK, "b goes on")
	if err := came(atA, "b goes on"); err != nil {
		return fmt.Sprintf("what b opened went with what a did: %v", err)
	}
	send(da, a, b, inside.ACK, "a answers")
	if err := came(atB, "a answers"); err != nil {
		return fmt.Sprintf("a's answers in what b opened went with what a opened: %v", err)
	}
	return ""
}

// mirroredUDP has both ends open at once, before either has flows.
func (f *fabric) mirroredUDP(a, b *netns.Endpoint) {
	f.t.Helper()
	const port = 7947
	ca, cb := f.socket(a, port), f.socket(b, port)
	send := func(from *net.UDPConn, to *netns.Endpoint, text string) {
		if _, err := from.WriteToUDPAddrPort([]byte(text), to.AddrPort(port)); err != nil {
			f.t.Fatal(err)
		}
	}
	receive := func(at *net.UDPConn, want string) {
		if got, err := read(at, len(want), 5*time.Second); err != nil || got != want {
			f.t.Fatalf("%s got %q, %v; want %q", at.LocalAddr(), got, err, want)
		}
	}
	lifted := f.missed("h1", a.Port) + f.missed("h2", b.Port)
	resume := f.pause(f.Controller.Process())
	send(ca, b, "a opens")
	send(cb, a, "b opens")
	f.eventually("both packets to be lifted", func() error {
		if n := f.missed("h1", a.Port) + f.missed("h2", b.Port) - lifted; n != 2 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
	resume()
	receive(cb, "a opens")
	receive(ca, "b opens")
	for n := range 20 {
		text := fmt.Sprint("message ", n)
		send(ca, b, text)
		receive(cb, text)
		send(cb, a, text)
		receive(ca, text)
	}
}

// pushWithoutFlows has the server speak first on a connection whose flows are gone
// on the one host, the other, or both.
func pushWithoutFlows(f *fabric, guarded bool) string {
	p := pair{client: f.attach("h1:acme/prod/web/web1", "web"), server: f.attach("h2:acme/prod/db/db1")}
	k := f.connect(p.client, p.server, 0, f.listen(p.server, 5432))
	if err := k.speak(false, "hello", 10*time.Second); err != nil {
		f.t.Fatal(err)
	}
	places := [][]string{{"h1"}, {"h2"}, {"h1", "h2"}}
	if !guarded {
		places = places[2:]
		for host, port := range map[string]uint32{"h1": uplinkPort, "h2": p.server.Port} {
			for _, fl := range f.flows(host, "table=3") {
				if fromPort(fl, port) && strings.Contains(fl.Actions, "CONTROLLER") {
					f.replace(host, fl, "drop")
				}
			}
		}
	}
	for _, hosts := range places {
		for _, h := range hosts {
			for _, fl := range f.flowsOf(h, f.session(p.client, p.server, "tcp", 5432)) {
				if err := f.Host(h).DeleteFlow(f.ctx, fl); err != nil {
					f.t.Fatal(err)
				}
			}
		}
		d := 10 * time.Second
		if !guarded {
			d = time.Second
		}
		if err := k.speak(true, "flows gone on "+strings.Join(hosts, " and "), d); err != nil {
			return fmt.Sprintf("with the flows gone on %s: %v", strings.Join(hosts, " and "), err)
		}
	}
	return ""
}

// otherAddress starts a container anew with another address while a client has a
// connection to its old one.
func otherAddress(f *fabric, guarded bool) string {
	client := f.attach("h1:acme/prod/web/web1", "web")
	spec := netns.EndpointSpec{Host: "h2", VPC: "acme/prod", Subnet: "db", Name: "db1"}
	first, err := f.Attach(f.ctx, spec)
	if err != nil {
		f.t.Fatal(err)
	}
	server, err := inside.ServeTCP(first.Namespace, first.AddrPort(5432), "")
	f.served(server, err)
	conn := f.dial(client, "tcp4", 0, first.AddrPort(5432))
	f.exchange(conn, "", "hello")
	flows := map[string][]netns.Flow{}
	for _, h := range []string{"h1", "h2"} {
		flows[h] = f.flowsOf(h, f.session(client, first, "tcp", 5432))
	}
	server.Close()
	if err := first.Detach(f.ctx); err != nil {
		f.t.Fatal(err)
	}
	second := f.attachAt("h2:acme/prod/db/db1", first.Addr.Next().Next().String())
	if second.Addr == first.Addr || second.Port == first.Port {
		f.t.Errorf("the container has %s at port %d again; want others", second.Addr, second.Port)
	}
	other := spec
	other.Name, other.IP = "db2", first.Addr.String()
	if e, err := f.Attach(f.ctx, other); err == nil {
		f.t.Errorf("another container got %s at once; want it to rest", e.Addr)
		if err := e.Detach(f.ctx); err != nil {
			f.t.Error(err)
		}
	}
	if !guarded { // the session's flows outlive the container, and somebody gets its port
		old, now := fmt.Sprintf("output:%d", first.Port), fmt.Sprintf("output:%d", second.Port)
		for h, list := range flows {
			for _, fl := range list {
				fl.Actions = strings.Replace(fl.Actions, old, now, 1)
				f.add(h, fl)
			}
		}
	}
	f.serveTCP(second, 5432, "")
	f.serveUDP(second, 5432, "")
	at := f.capture(second.Namespace, "eth0")
	// Whatever comes of it, it goes to the old address.
	if _, err := io.WriteString(conn, "for the old address"); err != nil && guarded {
		f.t.Logf("the old connection: %v", err)
	}
	honest := f.dial(client, "udp4", 0, second.AddrPort(5432))
	f.exchange(honest, "", "first")
	f.exchange(honest, "", "is honest")
	for _, c := range f.upTo(at, "is honest") {
		if c.EthType == inside.EtherIPv4 && c.Dst == first.Addr || strings.Contains(string(c.Payload), "for the old address") {
			return fmt.Sprintf("the container at %s got %s", second.Addr, &c.Frame)
		}
	}
	return ""
}
