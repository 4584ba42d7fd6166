//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

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
