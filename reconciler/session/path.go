package session

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// PortSet is the transport source ports that a flow takes: those p with
// p&Mask == Value. The zero PortSet is all of them.
type PortSet struct{ Value, Mask uint16 }

// The sets that sessions use beside single ports.
var (
	AnyPort  = PortSet{}
	HighHalf = PortSet{0x8000, 0x8000} // ports from 32768 on
	LowHalf  = PortSet{0, 0x8000}
)

// OnePort returns the set of one port.
func OnePort(p uint16) PortSet { return PortSet{p, 0xffff} }

// Contains reports whether p is in the set.
func (s PortSet) Contains(p uint16) bool { return p&s.Mask == s.Value }

// raised is the set with the top bit set in each port: what source ports look
// like on a wire leg, where the top bit tells them from wire ports.
func (s PortSet) raised() PortSet { return PortSet{s.Value | 0x8000, s.Mask | 0x8000} }

// View is the headers of the forward direction as one end of a leg sees them.
type View struct {
	Src, Dst netip.Addr
	SrcPort  PortSet // TCP, UDP
	DstPort  uint16  // TCP, UDP
	Tag      uint8   // ICMP echo: the code field, 0 at endpoints
}

// End is one end of a leg, where a switch's port stands.
type End struct {
	View View
	Port uint32     // of the switch
	MAC  packet.MAC // Ethernet source of frames that the switch sends here
	Peer packet.MAC // and their destination; on a wire leg its next hop's
}

// Leg is the stretch between two neighbours on a path. Near is the end towards
// the client; of the first leg it is the client itself, so only its View holds;
// likewise Far of the last leg.
type Leg struct {
	Wire      bool // between two hosts
	Near, Far End
}

// Path is the way of a lane's packets: hop i of the session turns leg i into leg
// i+1, and back for replies. It is made when it is asked for.
type Path struct {
	leg [maxHops + 1]Leg
	n   int
}

// Legs returns the path's legs, one more than hops.
func (p *Path) Legs() []Leg { return p.leg[:p.n] }

// Hops yields the hosts whose switches the session's packets pass, from the
// client, with their numbers from 0: they are the same for all lanes.
func (s *Session) Hops(yield func(int, *inventory.Host) bool) {
	if yield(0, s.Client.Host) && s.CrossHost() {
		yield(1, s.Server.Host)
	}
}

// HopCount is how many hops the session's paths have.
func (s *Session) HopCount() int {
	if s.CrossHost() {
		return 2
	}
	return 1
}

// Passes reports whether a switch is one of the session's hops.
func (s *Session) Passes(dpid uint64) bool {
	return s.Client.Host.DPID == dpid || s.Server.Host.DPID == dpid
}

// gatewayMAC is the hardware address that endpoints know their gateway by; it
// is pipeline.GatewayMAC, which flows' test compares it with.
var gatewayMAC = packet.MAC{0x02, 0, 0, 0, 0, 0x01}

// GatewayMAC returns the hardware address of every endpoint's gateway.
func GatewayMAC() packet.MAC { return gatewayMAC }

// wireLabel is what stands for a lane's session on a wire leg: a wire port for
// TCP and UDP, the code field for ICMP echo.
type wireLabel uint32 // of 16 bits: maps with keys of 32 are faster

// maxHops is how many hops the longest path has.
const maxHops = 2

// Path returns the path of one of the session's lanes.
func (s *Session) Path(l *Lane) (p Path) {
	client, server := s.Client, s.Server
	v := View{Src: client.IP, Dst: server.IP, SrcPort: l.Set}
	if s.Proto != packet.ICMP {
		v.DstPort = s.Port
	}
	p.n = s.HopCount() + 1
	first, last := &p.leg[0], &p.leg[p.n-1]
	first.Near.View = v
	first.Far = End{View: v, Port: client.Port, MAC: gatewayMAC, Peer: client.MAC}
	last.Near = End{View: v, Port: server.Port, MAC: gatewayMAC, Peer: server.MAC}
	last.Far.View = v
	if !s.CrossHost() {
		return p
	}
	w := View{Src: client.Host.Uplink.Addr.Addr(), Dst: server.Host.Uplink.Addr.Addr()}
	if s.Proto == packet.ICMP {
		w.Tag = uint8(l.label)
	} else {
		w.SrcPort, w.DstPort = l.Set.raised(), uint16(l.label)
	}
	p.leg[1] = Leg{Wire: true, Near: wireEnd(client.Host, w), Far: wireEnd(server.Host, w)}
	return p
}

func wireEnd(h *inventory.Host, v View) End {
	return End{View: v, Port: h.Uplink.Port, MAC: h.Uplink.MAC, Peer: h.Uplink.NextHopMAC}
}
