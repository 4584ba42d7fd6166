package scenario

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Step is one thing that a script does; its type says what.
type Step interface{ step() }

// Host adds a host: its name, underlay address and subnet. The subnet's router
// has its address .254 in the last byte.
type Host struct {
	Name string
	Addr netip.Prefix
}

// Endpoint attaches an endpoint to a host.
type Endpoint struct {
	Name, Host          string
	Tenant, VPC, Subnet string
	IP                  netip.Addr // invalid: the controller chooses
	Groups              []string   // claims
	Labels              map[string]string
}

// Outside adds a machine behind the router that is no host.
type Outside struct {
	Name string
	IP   netip.Addr
}

// Listen opens a port of a machine: TCP connections to it are accepted, and
// what comes there is sent back.
type Listen struct {
	At    string
	Proto packet.Proto
	Port  uint16
}

// MTU makes the router carry packets of at most that many bytes to a host.
type MTU struct {
	Host  string
	Bytes int
}

// Packet sends one frame. From and To are names; To may be an address.
type Packet struct {
	From, To string
	Frame    FrameOptions
	// Proto and what follows describe the IPv4 packet.
	Proto            packet.Proto
	SrcPort, DstPort uint16
	Flags            uint8
	ICMPType         uint8
}

// FrameOptions change a frame from what its sender would send.
type FrameOptions struct {
	TTL    uint8       // 0: 64
	VLAN   uint16      // 0: no tag
	Src    netip.Addr  // invalid: the sender's own
	SrcMAC *packet.MAC // nil: the sender's own
	Code   uint8       // of an ICMP echo request
	Data   string      // payload
}

// ICMPError sends an ICMP error of type 3, 11 or 12 about a TCP or UDP packet
// that its sender never saw.
type ICMPError struct {
	From, To   string
	Type, Code uint8
	MTU        uint16 // of type 3, code 4
	Proto      packet.Proto
	Src, Dst   netip.AddrPort
	Cut        bool // the quote ends before the ports
}

// ARP sends one ARP packet.
type ARP struct {
	From      string
	Target    netip.Addr
	Reply     bool
	Sender    netip.Addr  // arp_spa; invalid: the sender's own
	SenderMAC *packet.MAC // arp_sha; nil: the sender's own
	Frame     FrameOptions
}

// Connect opens a TCP connection with a real stack.
type Connect struct {
	From, To string
	SrcPort  uint16
	Port     uint16
	Keep     bool // leave it open, if it is
}

// Edit makes a new revision, in which a file has other content, or is gone.
type Edit struct {
	File   string
	Data   []byte
	Remove bool
}

// Tick lets time pass.
type Tick struct{ D time.Duration }

// Detach removes an endpoint.
type Detach struct{ Name string }

// Move takes an endpoint, with its address, to another host.
type Move struct{ Name, Host string }

// Restart restarts a host's vswitchd.
type Restart struct{ Host string }

// Expect fails the run unless the last frame or connection came out so.
type Expect struct {
	Outcome Outcome
	At      string // OutcomeDelivered, OutcomeOnly: where
}

// Outcome is what became of a frame or a connection.
type Outcome string

// Outcomes. Of those of a frame, the first that holds of a reset or an error
// for its sender, and delivery.
const (
	OutcomeDelivered   Outcome = "delivered"   // the frame reached the machine
	OutcomeOnly        Outcome = "only"        // it, or what it led to, reached the machine and no other
	OutcomeRST         Outcome = "rst"         // its sender got a TCP RST
	OutcomeICMP        Outcome = "icmp"        // its sender got an ICMP error
	OutcomeNothing     Outcome = "nothing"     // nobody got anything
	OutcomeConnected   Outcome = "connected"   // the connection was established
	OutcomeRefused     Outcome = "refused"     // it was answered with RST
	OutcomeUnreachable Outcome = "unreachable" // it was answered with an ICMP error
	OutcomeNoAnswer    Outcome = "no-answer"   // it was not answered
)

func (Host) step()      {}
func (Endpoint) step()  {}
func (Outside) step()   {}
func (Listen) step()    {}
func (MTU) step()       {}
func (Packet) step()    {}
func (ICMPError) step() {}
func (ARP) step()       {}
func (Connect) step()   {}
func (Edit) step()      {}
func (Tick) step()      {}
func (Detach) step()    {}
func (Move) step()      {}
func (Restart) step()   {}
func (Expect) step()    {}
