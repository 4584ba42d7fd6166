package session

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// MaxPending bounds the sessions that wait for a decision, and so the Decide
// effects that are not answered yet.
const MaxPending = 4096

// Bounds on what lifted packets can make the table keep, and ages.
const (
	maxPendingEach  = 16                     // packets of one of them
	maxHeld         = 256                    // packets of senders not known yet
	holdUnknown     = 500 * time.Millisecond // how long those are held
	maxDropsPerPort = 256                    // drop flows at one endpoint's port
	dropTTL         = 10 * time.Second       // pipeline.DenyTimeout; flows' test compares them
	scanTTL         = time.Second            // pipeline.ScanTimeout, likewise
	reinstallAfter  = time.Second            // so long are a lane's flows on their way
	halfOpenAge     = 10 * time.Second
	closedAge       = 30 * time.Second // after FIN or RST, if nothing follows
	udpAge          = 60 * time.Second
	dnsAge          = 10 * time.Second
	icmpAge         = 30 * time.Second
	defaultTCPAge   = 2*time.Hour + 4*time.Minute // RFC 5382, REQ-5
)

// Config is what a Table depends on beside events.
type Config struct {
	WireFirst uint16 // the wire range's first port
	WireCount int    // and its size
	Cookies   uint64 // of the sessions: the upper half, their numbers fill the lower
}

// Table holds the live sessions. It has one owner; it is not safe for
// concurrent use.
type Table struct {
	cookies uint64
	snap    *inventory.Snapshot
	pol     admission.Policy
	memory  *admission.Memory // of pol

	decision *policy.Decision // the last that allowed a session

	byID      register
	watched   map[*Session]bool  // live ones that time may do something to, and some more
	clients   []*client          // by AddrID
	tenants   []tenant           // by TenantID
	openings  map[couple]opening // of new sessions, lately
	swept     time.Time          // openings, last
	labels    *labels
	closing   map[uint64]*closing // by token
	lost      map[uint64]bool     // DPIDs of SwitchLost
	intruded  map[uint64]bool     // cookies of sessions to redraw when no switch of theirs is lost
	disowned  map[uint64]bool     // cookies of adopted sessions that ended, until all switches confirmed it
	forbidden *forbidden

	pending map[pendingKey]*pending
	tickets map[uint64]pendingKey
	held    []*Packet
	drops   map[dropKey]*Drop
	dropIDs map[uint32]bool // of drops
	dropsAt map[portKey]int

	lastID     uint32
	lastTicket uint64
	lastToken  uint64
}

// pendingKey is the session that a packet would open, as the switch sees it.
type pendingKey struct {
	dpid     uint64
	inPort   uint32
	src, dst netip.Addr
	proto    packet.Proto
	sport    uint16 // only of a packet that cannot open
	port     uint16
}

type pending struct {
	packets []*Packet
	ticket  uint64
}

type portKey struct {
	dpid uint64
	port uint32
}

type dropKey struct {
	at       portKey
	src, dst netip.Addr
	proto    packet.Proto
	port     uint16 // for ICMP the type
	allPorts bool   // then port is 0
}

// closing is a session whose flows are being deleted: its labels are free when
// every hop has confirmed.
type closing struct {
	session uint64          // cookie
	waiting map[uint64]bool // DPIDs
	pair    pair
	labels  []wireLabel
}

// NewTable returns an empty table. Nothing is admitted before the first Revised.
func NewTable(c Config) *Table {
	return &Table{
		cookies: c.Cookies, byID: newRegister(),
		watched: make(map[*Session]bool), openings: make(map[couple]opening),
		labels:  newLabels(labelRange{int(c.WireFirst), c.WireCount}),
		closing: make(map[uint64]*closing), lost: make(map[uint64]bool), intruded: make(map[uint64]bool), disowned: make(map[uint64]bool), forbidden: newForbidden(),
		pending: make(map[pendingKey]*pending), tickets: make(map[uint64]pendingKey),
		drops: make(map[dropKey]*Drop), dropIDs: make(map[uint32]bool), dropsAt: make(map[portKey]int),
	}
}

// Step takes one event and returns what must be done, in that order.
func (t *Table) Step(now time.Time, ev Event) []Effect {
	switch ev := ev.(type) {
	case PacketArrived:
		return t.packetArrived(now, ev.Packet)
	case Decided:
		return t.decided(now, ev)
	case Revised:
		return t.revised(now, ev)
	case Confirmed:
		t.confirmed(now, ev.DPID, ev.Token)
	case Killed:
		return t.kill(now, ev.ID)
	case SwitchLost:
		t.lost[ev.DPID] = true
	case Resynced:
		t.known(now, ev.DPID)
	case SwitchGone:
		t.known(now, ev.DPID)
	case Counted:
		t.counted(now, ev)
	case Tick:
		return t.tick(now)
	default:
		panic(fmt.Sprintf("session: unknown event %T", ev))
	}
	return nil
}

// Get returns the live session with a cookie, or nil.
func (t *Table) Get(id uint64) *Session { return t.byID.get(id) }

// Find returns the live session of a key, or nil.
func (t *Table) Find(k Key) *Session {
	if t.snap == nil {
		return nil
	}
	client, server := t.snap.EndpointByAddr(k.Client.VPC, k.Client.IP), t.snap.EndpointByAddr(k.Server.VPC, k.Server.IP)
	if client == nil || server == nil {
		return nil // a session ends with its ends
	}
	return t.between(client, server, k.Proto, k.Port)
}

// Len is the number of live sessions.
func (t *Table) Len() int { return t.byID.n }

// All yields the live sessions, in no order. The table must not step meanwhile.
func (t *Table) All(yield func(*Session) bool) { t.byID.each(yield) }

// Passing yields the live sessions that pass a switch and whose cookies, divided by
// of, leave index, in no order; of is a power of two up to Shares. No session may be
// opened or end meanwhile.
func (t *Table) Passing(dpid uint64, index, of uint32) func(yield func(*Session) bool) {
	return func(yield func(*Session) bool) { t.byID.eachPassing(dpid, index, of, yield) }
}

// PassingLen is the number of live sessions that pass a switch.
func (t *Table) PassingLen(dpid uint64) int {
	if p := t.byID.passing[dpid]; p != nil {
		return p.n
	}
	return 0
}

// Sessions returns the live sessions by cookie.
func (t *Table) Sessions() []*Session {
	out := make([]*Session, 0, t.byID.n)
	for s := range t.All {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *Session) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Keys returns the live sessions' keys, in no order.
func (t *Table) Keys() []Key {
	out := make([]Key, 0, t.byID.n)
	for s := range t.All {
		out = append(out, s.Key())
	}
	return out
}

func (s *Session) query() policy.Query {
	return policy.Query{Src: s.Client.Identity, Dst: s.Server.Identity, Proto: s.Proto, Port: s.Port}
}

func keyOf(client, server *inventory.Endpoint, proto packet.Proto, port uint16) Key {
	return Key{
		Client: inventory.AddrKey{VPC: client.VPC, IP: client.IP},
		Server: inventory.AddrKey{VPC: server.VPC, IP: server.IP},
		Proto:  proto, Port: port,
	}
}

// granularity is the client VPC's word on sessions of a protocol.
func granularity(vpc *spec.VPC, proto packet.Proto) spec.Granularity {
	switch proto {
	case packet.TCP:
		return vpc.Sessions.TCP
	case packet.UDP:
		return vpc.Sessions.UDP
	}
	return spec.PerService
}
