//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// pair is a client on h1 with a live connection to a server on h2, where the
// client may reach tcp/5432 and the server may open nothing.
type pair struct {
	client, server *netns.Endpoint
	conn           net.Conn
}

func (f *fabric) pair() pair {
	f.t.Helper()
	p := pair{client: f.attach("h1:acme/prod/web/web1", "web"), server: f.attach("h2:acme/prod/db/db1")}
	f.serveTCP(p.server, 5432, "")
	f.serveUDP(p.server, 5432, "")
	p.conn = f.dial(p.client, "tcp4", 0, p.server.AddrPort(5432))
	f.exchange(p.conn, "", "hello")
	return p
}

// expiredFlow takes the session's flows from h2 and lets the client go on: its
// packet finds no flow there, and must not reach h2's own stack, which would
// answer RST into a live connection.
func expiredFlow(f *fabric, guarded bool) string {
	p := f.pair()
	if !guarded {
		for _, fl := range f.flows("h2", "table=3") {
			if fromPort(fl, uplinkPort) && strings.Contains(fl.Actions, "CONTROLLER") && strings.HasPrefix(fl.Match, "ip") {
				f.replace("h2", fl, "LOCAL")
			}
		}
	}
	wire := f.wire("h2")
	for _, fl := range f.flowsOf("h2", f.session(p.client, p.server, "tcp", 5432)) {
		if err := f.Host("h2").DeleteFlow(f.ctx, fl); err != nil {
			f.t.Fatal(err)
		}
	}
	const text = "after the flows of h2 have gone"
	err := exchange(p.conn, "", text)
	reset := func(c *inside.Captured) bool {
		return c.Proto == inside.TCP && c.Flags&inside.RST != 0 && c.Src == f.Host("h2").Addr.Addr()
	}
	if errors.Is(err, syscall.ECONNRESET) {
		c := f.await(wire, "the RST that the client got", reset)
		return fmt.Sprintf("h2 answered %s; the client got: %v", &c.Frame, err)
	}
	if err != nil {
		f.t.Errorf("the connection did not go on after its flows were made again: %v", err)
		return ""
	}
	// The answer may have gone out at the client's switch, where the controller puts
	// what is lifted while flows are on their way; what follows passes h2 anyway.
	const more = "and what follows"
	if err := exchange(p.conn, "", more); err != nil {
		f.t.Errorf("the connection did not go on: %v", err)
	}
	f.await(wire, "what the client sent next", func(c *inside.Captured) bool { return strings.Contains(string(c.Payload), more) })
	for _, c := range wire.Frames() {
		if reset(&c) {
			return fmt.Sprintf("h2 answered %s though the client went on", &c.Frame)
		}
	}
	return ""
}

// equalSourcePorts lets two containers of h1 use one source port to one service.
// Their wire ports tell them apart; without, the second is taken for the first.
func equalSourcePorts(f *fabric, guarded bool) string {
	const port = 43210
	server := f.attach("h2:acme/prod/db/db1")
	f.serveTCP(server, 5432, "")
	clients := []*netns.Endpoint{f.attach("h1:acme/prod/web/web1", "web"), f.attach("h1:acme/prod/web/web2", "web")}
	conns := make([]net.Conn, len(clients))
	for i, c := range clients {
		conns[i] = f.dial(c, "tcp4", port, server.AddrPort(5432))
		f.exchange(conns[i], "", "hello from "+c.Name)
	}
	at := f.capture(server.Namespace, "eth0")
	last := []string{"text of web1, number 99", "text of web2, number 99"}
	if !guarded {
		last = last[1:]
		first, second := f.session(clients[0], server, "tcp", 5432), f.session(clients[1], server, "tcp", 5432)
		fl := f.forwardFlow("h1", second, clients[1].Port)
		own, other := fmt.Sprintf("set_field:%d->tcp_dst", second.WirePorts[0]), fmt.Sprintf("set_field:%d->tcp_dst", first.WirePorts[0])
		if !strings.Contains(fl.Actions, own) {
			f.t.Fatalf("flow %s; want %s in it", fl, own)
		}
		f.replace("h1", fl, strings.Replace(fl.Actions, own, other, 1))
		io.WriteString(conns[1], last[0])
	} else {
		var wg sync.WaitGroup
		for i, c := range conns {
			wg.Go(func() {
				for n := range 100 {
					if err := exchange(c, "", fmt.Sprintf("text of web%d, number %d", i+1, n)); err != nil {
						f.t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	for _, text := range last {
		f.upTo(at, text)
	}
	for _, c := range at.Frames() {
		for i, client := range clients {
			if strings.Contains(string(c.Payload), fmt.Sprintf("text of web%d", i+1)) && !c.Outgoing && c.Src != client.Addr {
				return fmt.Sprintf("the server got %q as if from %s", c.Payload, c.Src)
			}
		}
	}
	return ""
}

// overlappingAddresses gives two tenants the same addresses on the same hosts.
func overlappingAddresses(f *fabric, guarded bool) string {
	type side struct{ client, server *netns.Endpoint }
	sides := map[string]side{}
	for _, tenant := range []string{"acme", "globex"} {
		s := side{f.attachAt("h1:"+tenant+"/prod/web/web1", "10.1.0.50", "web"), f.attachAt("h2:"+tenant+"/prod/db/db1", "10.1.1.60")}
		f.serveTCP(s.server, 5432, tenant+" ")
		f.serveUDP(s.server, 5432, tenant+" ")
		sides[tenant] = s
	}
	// One source port for both, so that addresses and ports agree altogether.
	for tenant, s := range sides {
		for _, network := range []string{"tcp4", "udp4"} {
			if !guarded && tenant == "globex" {
				continue
			}
			f.exchange(f.dial(s.client, network, 45454, s.server.AddrPort(5432)), tenant+" ", "whose is this")
		}
	}
	if guarded {
		for tenant, s := range sides {
			if err := f.ping(s.client, s.server.Addr); err != nil {
				f.t.Errorf("ping within %s: %v", tenant, err)
			}
		}
		return ""
	}
	acme := sides["acme"]
	fl := f.forwardFlow("h1", f.session(acme.client, acme.server, "tcp", 5432), acme.client.Port)
	fl.Match, fl.Priority = withoutField(fl.Match, "in_port"), fl.Priority+20
	f.add("h1", fl)
	at := f.capture(acme.server.Namespace, "eth0")
	go f.tryDial(sides["globex"].client, "tcp4", 45455, acme.server.AddrPort(5432), time.Second) // how it ends is not the point
	c := f.await(at, "globex's SYN at acme's server", func(c *inside.Captured) bool { return c.SrcPort == 45455 })
	return fmt.Sprintf("acme's server got globex's %s", &c.Frame)
}

// backwardsOpening lets the server send SYNs from its service's port to a port
// where the client listens: addresses and ports are those of replies.
func backwardsOpening(f *fabric, guarded bool) string {
	const port = 45000
	p := f.pair()
	f.serveTCP(p.client, port, "")
	if !guarded {
		s := f.session(p.client, p.server, "tcp", 5432)
		for host, in := range map[string]uint32{"h2": p.server.Port, "h1": uplinkPort} {
			fl := f.forwardFlow(host, s, in)
			fl.Match, fl.Priority = withoutField(fl.Match, "metadata"), fl.Priority+20
			f.add(host, fl)
		}
	}
	atA, atB, dev := f.capture(p.client.Namespace, "eth0"), f.capture(p.server.Namespace, "eth0"), f.device(p.server)
	for _, flags := range []byte{inside.SYN, inside.SYN | inside.FIN, inside.SYN | inside.RST, inside.SYN | inside.PSH, inside.SYN | 0xc0} {
		fr := dataFrame(p.server, p.client, 5432, port)
		fr.Flags, fr.Seq = flags, 77
		if err := dev.Send(fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
	// Whoever takes the plain SYN answers: the controller by RST, or the client.
	f.await(atB, "an answer to the server's SYN", func(c *inside.Captured) bool {
		return !c.Outgoing && c.Proto == inside.TCP && c.SrcPort == port && c.DstPort == 5432 && c.Ack == 78
	})
	f.exchange(p.conn, "", "the connection itself goes on")
	for _, c := range f.upTo(atA, "the connection itself goes on") {
		if !c.Outgoing && c.Proto == inside.TCP && c.DstPort == port && c.Flags&(inside.SYN|inside.ACK) == inside.SYN {
			return fmt.Sprintf("the client got %s", &c.Frame)
		}
	}
	return ""
}

func localPort(c net.Conn) uint16 { return uint16(c.LocalAddr().(*net.TCPAddr).Port) }

// withoutField takes a field out of a match in ovs-ofctl's syntax.
func withoutField(match, field string) string {
	return strings.Trim(regexp.MustCompile(`(^|,)`+field+`=[^,]*`).ReplaceAllString(match, ""), ",")
}
