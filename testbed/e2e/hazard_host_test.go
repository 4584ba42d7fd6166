//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Hazards between containers and the hosts, and of the hosts' own processes.

// ground is where a container of h1 says what it may not, and who listens.
type ground struct {
	*fabric
	client, neighbour, server *netns.Endpoint
}

// addressed is packets that a container sends to addresses where nobody must hear
// them.
type addressed struct {
	to  func(g ground) []netip.Addr
	dst string // hardware address
	// way is what a switch would do with them that gave no thought to it.
	way func(g ground) string
}

func talkingToItsHost(f *fabric, guarded bool) string {
	return f.ground().talking(guarded, addressed{
		to:  func(g ground) []netip.Addr { return []netip.Addr{g.Host("h1").Addr.Addr()} },
		dst: gatewayMAC,
		way: func(g ground) string { return "set_field:" + g.localMAC("h1") + "->eth_dst,LOCAL" },
	})
}

func talkingToAnotherHost(f *fabric, guarded bool) string {
	return f.ground().talking(guarded, addressed{
		to:  func(g ground) []netip.Addr { return []netip.Addr{g.Host("h2").Addr.Addr()} },
		dst: gatewayMAC, way: routed,
	})
}

func talkingToTheControllers(f *fabric, guarded bool) string {
	return f.ground().talking(guarded, addressed{
		to:  func(g ground) []netip.Addr { return []netip.Addr{g.Controller.Addr().Addr()} },
		dst: gatewayMAC, way: routed,
	})
}

func talkingToLinkLocal(f *fabric, guarded bool) string {
	return f.ground().talking(guarded, addressed{
		to: func(ground) []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("169.254.7.7")}
		},
		dst: gatewayMAC, way: routed,
	})
}

// talkingToAll is about the broadcast addresses of the container's subnet and of
// its host's too, of which the switch knows nothing.
func talkingToAll(f *fabric, guarded bool) string {
	return f.ground().talking(guarded, addressed{
		to: func(g ground) []netip.Addr {
			var list []netip.Addr
			for _, a := range []string{"255.255.255.255", "224.0.0.251", "239.1.2.3", "10.2.0.255", "172.31.1.255"} {
				list = append(list, netip.MustParseAddr(a))
			}
			return list
		},
		dst: "ff:ff:ff:ff:ff:ff",
		way: func(ground) string { return "FLOOD" },
	})
}

func routed(g ground) string {
	return "set_field:" + g.routerMAC("h1").String() + "->eth_dst,output:1"
}

// localMAC is the address of a host's own device on its bridge.
func (f *fabric) localMAC(host string) string {
	f.t.Helper()
	d, err := inside.OpenDevice(f.Host(host).Namespace, netns.Bridge)
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Close()
	return d.MAC.String()
}

func (f *fabric) ground() ground {
	f.t.Helper()
	g := ground{f, f.attach("h1:acme/wide/one/client"), f.attach("h1:acme/wide/one/neighbour"), f.attach("h2:acme/wide/two/server")}
	f.serveUDP(g.server, 53, "")
	return g
}

// knownPort tells the packets of ofAllProtocols from all others.
const knownPort = 40404

// ofAllProtocols are packets that a container sends to an address, by a next hop.
func ofAllProtocols(from *netns.Endpoint, to netip.Addr, next string) []inside.Frame {
	frame := inside.Frame{
		EthSrc: mac(from.HWAddr), EthDst: mac(next), EthType: inside.EtherIPv4, Src: from.Addr, Dst: to, SrcPort: knownPort,
	}
	tcp, udp, ping := frame, frame, frame
	tcp.Proto, tcp.DstPort, tcp.Flags = inside.TCP, netns.OpenFlowPort, inside.SYN
	udp.Proto, udp.DstPort = inside.UDP, 5353
	ping.Proto, ping.ICMPType, ping.ID = inside.ICMP, 8, knownPort
	return []inside.Frame{tcp, udp, ping}
}

// talking sends packets of all protocols to the addresses, and behind them an
// honest one that goes by the controller as they may have.
func (g ground) talking(guarded bool, a addressed) string {
	g.t.Helper()
	if !guarded {
		way := a.way(g)
		for _, fl := range g.flows("h1", "") {
			reserved := fl.Table == 1 && fl.Actions == "drop" && strings.HasPrefix(fl.Match, "ip,")
			if reserved || fl.Table == tableMiss && fromPort(fl, g.client.Port) {
				g.replace("h1", fl, way)
			}
		}
	}
	captures := map[string]*inside.Capture{
		"h1's stack": g.capture(g.Host("h1").Namespace, netns.Bridge), "the wire": g.wire("h1"),
		"another container": g.capture(g.neighbour.Namespace, "eth0"), "the container itself": g.capture(g.client.Namespace, "eth0"),
	}
	dev := g.device(g.client)
	for _, to := range a.to(g) {
		for _, fr := range ofAllProtocols(g.client, to, a.dst) {
			if err := dev.Send(fr.Bytes()); err != nil {
				g.t.Fatal(err)
			}
		}
	}
	if !guarded { // there is no honest way left either
		at, place := captures["the wire"], "the wire"
		if strings.HasSuffix(a.way(g), "LOCAL") {
			at, place = captures["h1's stack"], "h1's stack"
		}
		c := g.await(at, "a packet of the container at "+place, func(c *inside.Captured) bool { return c.Src == g.client.Addr })
		return fmt.Sprintf("%s got %s", place, &c.Frame)
	}
	honest := g.dial(g.client, "udp4", 0, g.server.AddrPort(53))
	g.exchange(honest, "", "first")
	g.exchange(honest, "", "is honest")
	g.upTo(captures["the wire"], "is honest")
	for place, at := range captures {
		for _, c := range at.Frames() {
			sent := c.SrcPort == knownPort || c.Proto == inside.ICMP && c.ID == knownPort || c.EthType == inside.EtherIPv4 && c.Src == g.client.Addr && c.DstPort != 53
			answer := c.EthType == inside.EtherIPv4 && c.Dst == g.client.Addr && c.Src != g.server.Addr
			own := place == "the container itself" && c.Outgoing
			if (sent || answer) && !own {
				return fmt.Sprintf("%s got %s", place, &c.Frame)
			}
		}
	}
	return ""
}

// hostProcess has processes of both hosts send, past their own stacks, what looks
// like a packet of a live session between these hosts.
func hostProcess(f *fabric, guarded bool) string {
	p := f.pair()
	s := f.session(p.client, p.server, "tcp", 5432)
	h1, h2 := f.Host("h1").Addr.Addr(), f.Host("h2").Addr.Addr()
	for _, h := range []string{"h1", "h2"} {
		guards := 0
		for _, fl := range f.flowsOf(h, s) {
			if strings.Contains(fl.Match, "in_port=LOCAL") {
				guards++
				if !guarded {
					f.replace(h, fl, "goto_table:3")
				}
			}
		}
		if guards == 0 {
			f.t.Fatalf("no flows of %s keep the host %s off its wire port", s.ID, h)
		}
	}
	wire := uint16(s.WirePorts[0])
	open := inside.Frame{Src: h1, Dst: h2, SrcPort: 50001, DstPort: wire, Flags: inside.SYN}
	reply := inside.Frame{Src: h2, Dst: h1, SrcPort: wire, DstPort: localPort(p.conn), Flags: inside.PSH | inside.ACK, Payload: []byte("not the server")}
	seen := ""
	for _, try := range []struct {
		host, to string
		fr       inside.Frame
		at       *netns.Endpoint
	}{{"h1", "h2", open, p.server}, {"h2", "h1", reply, p.client}} {
		at, text := f.capture(try.at.Namespace, "eth0"), "behind what "+try.host+" sends"
		dev, err := inside.OpenDevice(f.Host(try.host).Namespace, netns.Bridge)
		if err != nil {
			f.t.Fatal(err)
		}
		defer dev.Close()
		try.fr.EthSrc, try.fr.EthDst, try.fr.EthType, try.fr.Proto = dev.MAC, f.routerMAC(try.host), inside.EtherIPv4, inside.TCP
		if err := dev.Send(try.fr.Bytes()); err != nil {
			f.t.Fatal(err)
		}
		// The host's own ping leaves by the same device, behind it.
		if err := f.ping(&netns.Endpoint{Namespace: f.Host(try.host).Namespace}, f.Host(try.to).Addr.Addr()); err != nil {
			f.t.Fatal(err)
		}
		f.exchange(p.conn, "", text)
		for _, c := range f.upTo(at, text) {
			if !c.Outgoing && c.Proto == inside.TCP && (c.SrcPort == try.fr.SrcPort || string(c.Payload) == "not the server") {
				seen += fmt.Sprintf("%s got %s of a process of %s; ", try.at.Name, &c.Frame, try.host)
				break // what follows are answers to it
			}
		}
	}
	for _, h := range f.Hosts { // what the unguarded switch learned of it would take the session's replies
		for _, fl := range f.flows(h.Name, "cookie=0x0110000000000006/-1") {
			if err := h.DeleteFlow(f.ctx, fl); err != nil {
				f.t.Fatal(err)
			}
		}
	}
	if !guarded && strings.Count(seen, " got ") != 2 {
		f.t.Errorf("saw only: %s", seen)
	}
	return strings.TrimSuffix(seen, "; ")
}

// clientInWireRange opens connections from ports of the wire range to services
// of h1's own: from outside to one above 32768, which is how a reply between
// hosts looks, and from another host to one in the wire range. (From another host
// to one above 32768 none comes about: it can't be told from a reply.)
func clientInWireRange(f *fabric, guarded bool) string {
	h1 := f.Host("h1").Addr.Addr()
	for _, try := range []struct {
		from         string
		source, port uint16
	}{{"in", 17610, 40501}, {"h2", 17611, 17501}} {
		f.serveOn("h1", h1, try.port)
		f.hasListener("h1", try.port)
		f.unlisten(guarded, try.port)
		c, err := f.dialFrom(try.from, try.source, netip.AddrPortFrom(h1, try.port), 2*time.Second)
		if err != nil {
			return fmt.Sprintf("%s from port %d to h1:%d: %v", try.from, try.source, try.port, err)
		}
		f.exchange(c, "", "hello")
		c.(*net.TCPConn).SetLinger(0) // leaves no TIME_WAIT to the second run
		c.Close()
	}
	return ""
}

// udpListeners has h1's own stack serve UDP on ports in the wire range and above
// 32768, for clients on any port.
func udpListeners(f *fabric, guarded bool) string {
	h1 := f.Host("h1").Addr.Addr()
	for i, port := range []uint16{17502, 40502} {
		s, err := inside.ServeUDP(f.Namespace("h1"), netip.AddrPortFrom(h1, port), "")
		f.served(s, err)
		f.hasListener("h1", port)
		f.unlisten(guarded, port)
		for _, source := range []uint16{0, uint16(17620 + i)} {
			c, err := f.tryDial(&netns.Endpoint{Namespace: f.Namespace("in")}, "udp4", source, netip.AddrPortFrom(h1, port), time.Second)
			if err != nil {
				f.t.Fatal(err)
			}
			if err := say(c, c, "hello", 2*time.Second); err != nil {
				return fmt.Sprintf("%s to h1:%d: %v", c.LocalAddr(), port, err)
			}
		}
	}
	return ""
}

// unlisten takes the flows of a listener of h1 out.
func (f *fabric) unlisten(guarded bool, port uint16) {
	f.t.Helper()
	if guarded {
		return
	}
	for _, fl := range f.listenerFlows("h1", port) {
		f.replace("h1", fl, "drop")
	}
}
