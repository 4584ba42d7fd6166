//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// hazard is one thing that must not happen. see makes the occasion for it, with
// its guard in force or taken out, and reports what it saw of it, or "".
type hazard struct {
	name string
	see  func(f *fabric, guarded bool) string
}

// TestHazards runs each hazard as built, and once with its guard taken out.
func TestHazards(t *testing.T) {
	f := start(t, 2)
	hazards := []hazard{
		{"expired flow is answered by the host's stack", expiredFlow},
		{"equal source ports mix two containers up", equalSourcePorts},
		{"overlapping addresses mix two tenants up", overlappingAddresses},
		{"spoofed IP passes", spoofedIP},
		{"spoofed MAC passes", spoofedMAC},
		{"spoofed ARP is answered", spoofedARP},
		{"VLAN tag passes", vlanTag},
		{"forged wire packet passes at its sender's host", forgedWirePacket},
		{"wire packet forged on the receiving host passes", forgedAtReceiver},
		{"B opens towards A by a reply flow", backwardsOpening},
	}
	for _, h := range hazards {
		t.Run(h.name, func(t *testing.T) {
			t.Run("as built", func(t *testing.T) {
				if seen := h.see(f.with(t), true); seen != "" {
					t.Errorf("saw the hazard: %s", seen)
				}
			})
			t.Run("guard taken out", func(t *testing.T) {
				seen := h.see(f.with(t), false)
				if seen == "" {
					t.Error("did not see the hazard though nothing guards against it: the test is blind")
				}
				t.Log(seen)
			})
		})
	}
}

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
	f.await(wire, "the answer", func(c *inside.Captured) bool {
		return c.Src == f.Host("h2").Addr.Addr() && strings.Contains(string(c.Payload), text)
	})
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

// spoofing is a hazard of frames that an attacker sends though they are not its
// own. It lets the frames out, and behind them an honest packet of a new session,
// which takes the way through the controller that the frames may have taken.
// Then it looks at the server and on the wire what came before.
func (f *fabric) spoofing(p pair, attacker *netns.Endpoint, frames ...inside.Frame) string {
	f.t.Helper()
	f.exchange(f.dial(attacker, "tcp4", 0, p.server.AddrPort(5432)), "", "hello")
	captures := map[string]*inside.Capture{"server": f.capture(p.server.Namespace, "eth0")}
	if attacker.Host != p.server.Host {
		captures["wire"] = f.wire(attacker.Host)
	}
	dev := f.device(attacker)
	for _, fr := range frames {
		fr.Payload = []byte("not honest")
		if err := dev.Send(fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
	udp := f.dial(attacker, "udp4", 0, p.server.AddrPort(5432))
	f.exchange(udp, "", "first") // not on the wire: the controller delivers it
	f.exchange(udp, "", "is honest")
	for place, capture := range captures {
		for _, c := range f.upTo(capture, "is honest") {
			// Lifted to the controller, in a PacketIn, it may be.
			if c.DstPort != netns.OpenFlowPort && strings.Contains(string(c.Payload), "not honest") {
				return fmt.Sprintf("at the %s: %s", place, &c.Frame)
			}
		}
	}
	return ""
}

// dataFrame is a TCP segment from one endpoint to the other, as the first would
// send it in a connection.
func dataFrame(from, to *netns.Endpoint, source, port uint16) inside.Frame {
	return inside.Frame{
		EthSrc: mac(from.HWAddr), EthDst: mac(gatewayMAC), EthType: inside.EtherIPv4, Proto: inside.TCP,
		Src: from.Addr, Dst: to.Addr, SrcPort: source, DstPort: port, Flags: inside.PSH | inside.ACK, Seq: 1, Ack: 1,
	}
}

func mac(text string) net.HardwareAddr {
	m, err := net.ParseMAC(text)
	if err != nil {
		panic("not a MAC: " + text)
	}
	return m
}

// believe makes a host's switch believe whatever an endpoint sends: the flows
// that check its address, MAC and tags are outdone by one that looks at the
// port alone.
func (f *fabric) believe(host string, e *netns.Endpoint) {
	f.t.Helper()
	f.add(host, netns.Flow{Table: tableClassify, Priority: 400, Match: fmt.Sprintf("in_port=%d", e.Port), Actions: "goto_table:1"})
}

func spoofedIP(f *fabric, guarded bool) string {
	p := f.pair()
	attacker := f.attach("h1:acme/prod/web/web2", "web")
	if !guarded {
		// Identity is port, MAC and address; the victim's session asks the port too.
		f.believe("h1", attacker)
		fl := f.forwardFlow("h1", f.session(p.client, p.server, "tcp", 5432), p.client.Port)
		fl.Match, fl.Priority = withoutField(fl.Match, "in_port"), fl.Priority+20
		f.add("h1", fl)
	}
	fr := dataFrame(p.client, p.server, localPort(p.conn), 5432)
	fr.EthSrc = mac(attacker.HWAddr)
	return f.spoofing(p, attacker, fr)
}

func spoofedMAC(f *fabric, guarded bool) string {
	p := f.pair()
	attacker := f.attach("h1:acme/prod/web/web2", "web")
	if !guarded {
		f.believe("h1", attacker)
	}
	fr := dataFrame(attacker, p.server, 50000, 5432)
	fr.EthSrc = mac(p.client.HWAddr)
	return f.spoofing(p, attacker, fr)
}

func vlanTag(f *fabric, guarded bool) string {
	p := f.pair()
	attacker := f.attach("h1:acme/prod/web/web2", "web")
	if !guarded {
		f.believe("h1", attacker)
	}
	fr := dataFrame(attacker, p.server, 50000, 5432)
	fr.VLAN = 100
	return f.spoofing(p, attacker, fr)
}

// spoofedARP asks in another's name. The switch answers honest requests in
// place, so an answer is what a believed one gets.
func spoofedARP(f *fabric, guarded bool) string {
	victim, attacker := f.attach("h1:acme/prod/web/web1", "web"), f.attach("h1:acme/prod/web/web2", "web")
	if !guarded {
		f.believe("h1", attacker)
	}
	at, dev := f.capture(attacker.Namespace, "eth0"), f.device(attacker)
	request := func(ip netip.Addr, hw string, target string) {
		fr := inside.Frame{
			EthSrc: mac(attacker.HWAddr), EthDst: mac("ff:ff:ff:ff:ff:ff"), EthType: inside.EtherARP, ICMPType: 1,
			ARPSrc: mac(hw), ARPDst: mac("00:00:00:00:00:00"), Src: ip, Dst: netip.MustParseAddr(target),
		}
		if err := dev.Send(fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
	}
	answer := func(target string) func(*inside.Captured) bool {
		return func(c *inside.Captured) bool {
			return c.EthType == inside.EtherARP && c.ICMPType == 2 && c.Src.String() == target
		}
	}
	request(victim.Addr, attacker.HWAddr, "10.1.0.201")
	request(attacker.Addr, victim.HWAddr, "10.1.0.202")
	request(attacker.Addr, attacker.HWAddr, "10.1.0.203")
	f.await(at, "the answer to an honest ARP request", answer("10.1.0.203"))
	for _, c := range at.Frames() {
		if answer("10.1.0.201")(&c) || answer("10.1.0.202")(&c) {
			return fmt.Sprintf("answered: %s", &c.Frame)
		}
	}
	return ""
}

// forgedWirePacket is what a container of h1 sends to look like h1 itself, with
// the wire port of another's session.
func forgedWirePacket(f *fabric, guarded bool) string {
	p := f.pair()
	attacker := f.attach("h1:acme/prod/web/web2", "web")
	fr, own := f.wireFrame(p, attacker), f.wireFrame(p, attacker)
	own.Src = attacker.Addr // the same in its own name
	if !guarded {
		// A container's packets reach the uplink by their session's flow alone.
		f.add("h1", netns.Flow{
			Table: tableClassify, Priority: 400, Match: fmt.Sprintf("ip,in_port=%d,nw_src=%s", attacker.Port, fr.Src),
			Actions: "set_field:" + f.routerMAC("h1").String() + "->eth_dst,output:1",
		})
	}
	return f.spoofing(p, attacker, fr, own)
}

// forgedAtReceiver is the same from a container of h2, where the session's flow
// takes what comes in at the uplink alone.
func forgedAtReceiver(f *fabric, guarded bool) string {
	p := f.pair()
	attacker := f.attach("h2:acme/prod/web/web2", "web")
	fr := f.wireFrame(p, attacker)
	if !guarded {
		f.believe("h2", attacker)
		fl := f.forwardFlow("h2", f.session(p.client, p.server, "tcp", 5432), uplinkPort)
		fl.Match, fl.Priority = withoutField(fl.Match, "in_port"), fl.Priority+20
		f.add("h2", fl)
	}
	return f.spoofing(p, attacker, fr)
}

// wireFrame is a packet of p's connection as it looks between the hosts, from
// the attacker's MAC.
func (f *fabric) wireFrame(p pair, attacker *netns.Endpoint) inside.Frame {
	f.t.Helper()
	s := f.session(p.client, p.server, "tcp", 5432)
	fr := dataFrame(attacker, p.server, localPort(p.conn), uint16(s.WirePorts[0]))
	fr.Src, fr.Dst = f.Host("h1").Addr.Addr(), f.Host("h2").Addr.Addr()
	return fr
}

// routerMAC is the underlay router's address at a host.
func (f *fabric) routerMAC(host string) net.HardwareAddr {
	f.t.Helper()
	d, err := inside.OpenDevice(f.Namespace("rt"), host)
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Close()
	return d.MAC
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
