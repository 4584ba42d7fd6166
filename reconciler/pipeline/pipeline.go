// Package pipeline is the one map of a switch's flow tables: table numbers,
// priorities, cookies, meters, and the base and endpoint flows that hold
// whether or not anybody talks. What sessions add is package flows' job.
//
// It imports only openflow, so that hostd can install the base flows and the
// controller the rest without either knowing the other. PIPELINE.md in package
// flows is generated from both (make golden) and therefore cannot drift.
package pipeline

import "github.com/daolinet/daolinet/reconciler/openflow"

// Tables, in the order that packets pass them.
const (
	TableClassify openflow.TableID = 0 // who sent it: endpoint, uplink, the host itself
	TableOpener   openflow.TableID = 1 // marks openers and dying TTLs; answers ARP and the gateway's ping
	TableSession  openflow.TableID = 2 // flows of live sessions, and of denied ones below them
	TableMiss     openflow.TableID = 3 // lifts what no session takes
)

// Metadata bits that TableOpener writes and TableSession matches.
const (
	MetaOpener uint64 = 1 << 0 // TCP SYN without ACK
	MetaTTL    uint64 = 1 << 1 // IPv4 TTL 1: must not be forwarded by a router
)

// Priorities in TableSession. Forward stands above reply, since two sessions
// between the same ports in opposite directions have equal matches. Guards take
// from the host's own port, which no session does.
const (
	PrioGuard   uint16 = 202
	PrioForward uint16 = 201
	PrioReply   uint16 = 200
	PrioDeny    uint16 = 150
)

// Priorities in TableMiss of what may be the host's own. Its own connections come
// first, then the guard that lifts replies of sessions, and then its listeners,
// which must not get a reply whose session flow is gone.
const (
	prioConnection uint16 = 310
	prioReplyGuard uint16 = 305
	prioListener   uint16 = 300
)

// Meters. The gateway's is hostd's, the others are the controller's; endpoint
// meters have the endpoint's ofport as id.
const (
	MeterWireMiss  uint32 = 1
	MeterICMPError uint32 = 2
	MeterGateway   uint32 = 3
	MeterWireTTL   uint32 = 4 // of wire packets whose TTL ends here
	// FirstEndpointPort is the lowest ofport, and meter id, of an endpoint.
	FirstEndpointPort openflow.PortNo = 16
)

// GroupNextHop is the indirect group by which wire legs leave: it addresses the
// frame to the router, so that the router's new hardware address changes one
// group and not each session's flows. It is the controller's.
const GroupNextHop uint32 = 1

// Rates in packets per second, and bursts in packets (DESIGN: "rates").
const (
	PortRate, PortBurst           = 1000, 200
	WireMissRate, WireMissBurst   = 200, 100
	ICMPErrorRate, ICMPErrorBurst = 50, 25
	WireTTLRate, WireTTLBurst     = 50, 25
	GatewayRate, GatewayBurst     = 100, 50
)

// DenyTimeout is how long a drop decision stays in the switch, in seconds.
const DenyTimeout uint16 = 10

// ScanTimeout is how long a flow stands, in seconds, that drops all which a client
// would open to a server that it scans.
const ScanTimeout uint16 = 1

// FinTimeout is after how many seconds without packets the flows of one TCP
// connection end in the switch once it has seen a FIN or RST of it. The controller
// reads from their idle timeout that it has, and removes them before, see package
// session.
const FinTimeout uint16 = 60

// Category is the owner and kind of a flow, the highest byte of its cookie.
type Category uint8

// Categories. Base and Learned are hostd's, the others the controller's.
const (
	CategoryBase     Category = 0x01
	CategoryEndpoint Category = 0x02
	CategorySession  Category = 0x03
	CategoryDeny     Category = 0x05
	CategoryPeer     Category = 0x06
)

// CategoryMask covers the category in a cookie.
const CategoryMask uint64 = 0xff << 56

// Cookies of flows that hostd owns.
const (
	BaseCookie       uint64 = uint64(CategoryBase) << 56
	LearnedTCPCookie uint64 = BaseCookie | 0x10<<48 | 6
	LearnedUDPCookie uint64 = BaseCookie | 0x10<<48 | 17
)

// Cookie names the owner of a flow: category, slot of the controller, the
// controller's epoch, and a number that the controller never gives twice in an
// epoch. A restarted controller has a new epoch, so old numbers cannot come back.
type Cookie struct {
	Category Category
	Slot     uint8
	Epoch    uint16
	Number   uint32
}

// Bits returns the cookie as OpenFlow carries it.
func (c Cookie) Bits() uint64 {
	return uint64(c.Category)<<56 | uint64(c.Slot)<<48 | uint64(c.Epoch)<<32 | uint64(c.Number)
}

// ParseCookie takes a cookie apart.
func ParseCookie(b uint64) Cookie {
	return Cookie{Category(b >> 56), uint8(b >> 48), uint16(b >> 32), uint32(b)}
}

// GatewayMAC is the hardware address of every endpoint's gateway.
var GatewayMAC = openflow.MAC{0x02, 0, 0, 0, 0, 0x01}

// WireRange is the block of transport ports that stand for sessions between
// hosts: those p with p&Mask == Value. Below 32768, so that a wire port never
// has the top bit that the other port of a wire packet always has.
type WireRange struct{ Value, Mask uint16 }

// DefaultWireRange is 16384..24575.
var DefaultWireRange = WireRange{0x4000, 0xe000}

// Contains reports whether p lies in the range.
func (r WireRange) Contains(p uint16) bool { return p&r.Mask == r.Value }

// Size is the number of ports in the range.
func (r WireRange) Size() int { return int(^r.Mask) + 1 }

// Valid reports whether r is one block of at least 256 ports between 1024 and 32767.
func (r WireRange) Valid() bool {
	inv := ^r.Mask
	return inv&(inv+1) == 0 && inv >= 255 && r.Value&inv == 0 && r.Value >= 1024 && r.Value&0x8000 == 0 && r.Mask&0x8000 != 0
}

func (r WireRange) bits() openflow.Bits[uint16] { return openflow.Masked(r.Value, r.Mask) }

// TopHalf matches ports from 32768 on, LowHalf those below.
var (
	TopHalf = openflow.Masked[uint16](0x8000, 0x8000)
	LowHalf = openflow.Masked[uint16](0, 0x8000)
)
