package session

import (
	"net/netip"
	"slices"

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

// Path is the way of a session's packets: hop i turns Legs[i] into Legs[i+1],
// and back for replies.
type Path struct {
	Hops []*inventory.Host
	Legs []Leg // one more than Hops
}

// Passes reports whether a switch is one of the path's hops.
func (p *Path) Passes(dpid uint64) bool {
	return slices.ContainsFunc(p.Hops, func(h *inventory.Host) bool { return h.DPID == dpid })
}

// gatewayMAC is the hardware address that endpoints know their gateway by; it
// is pipeline.GatewayMAC, which flows' test compares it with.
var gatewayMAC = packet.MAC{0x02, 0, 0, 0, 0, 0x01}

// GatewayMAC returns the hardware address of every endpoint's gateway.
func GatewayMAC() packet.MAC { return gatewayMAC }

// wireLabel is what stands for a lane's session on a wire leg: a wire port for
// TCP and UDP, the code field for ICMP echo.
type wireLabel uint16

// maxHops is how many hops the longest path has.
const maxHops = 2

// newPath returns the path of a session for the client ports of set; its hops take
// the room of an empty list. The label is not used on one host.
func newPath(room []*inventory.Host, s *Session, set PortSet, label wireLabel) Path {
	client, server := s.Client, s.Server
	v := View{Src: client.IP, Dst: server.IP, SrcPort: set}
	if s.Key.Proto != packet.ICMP {
		v.DstPort = s.Key.Port
	}
	first := Leg{Near: End{View: v}, Far: End{View: v, Port: client.Port, MAC: gatewayMAC, Peer: client.MAC}}
	last := Leg{Near: End{View: v, Port: server.Port, MAC: gatewayMAC, Peer: server.MAC}, Far: End{View: v}}
	if client.Host == server.Host {
		return Path{Hops: append(room, client.Host), Legs: []Leg{first, last}}
	}
	w := View{Src: client.Host.Uplink.Addr.Addr(), Dst: server.Host.Uplink.Addr.Addr()}
	if s.Key.Proto == packet.ICMP {
		w.Tag = uint8(label)
	} else {
		w.SrcPort, w.DstPort = set.raised(), uint16(label)
	}
	wire := Leg{Wire: true, Near: wireEnd(client.Host, w), Far: wireEnd(server.Host, w)}
	return Path{Hops: append(room, client.Host, server.Host), Legs: []Leg{first, wire, last}}
}

func wireEnd(h *inventory.Host, v View) End {
	return End{View: v, Port: h.Uplink.Port, MAC: h.Uplink.MAC, Peer: h.Uplink.NextHopMAC}
}
