package session

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// labelRest is how long a label that was given back is kept from other owners:
// longer than a packet lives in any queue of the underlay.
const labelRest = 60 * time.Second

// lookAgain is how long after a search in vain none is made.
const lookAgain = 250 * time.Millisecond

// labelRange is a block of labels.
type labelRange struct{ first, count int }

// icmpTags are the codes that ICMP echo can wear; 0 is the endpoints' own.
var icmpTags = labelRange{1, 255}

func (r labelRange) has(l wireLabel) bool { return int(l) >= r.first && int(l) < r.first+r.count }

// share is how many of a pair's labels one client may hold: an eighth, or of
// few 128, enough for whoever watches a host full of containers.
func (r labelRange) share() int { return max(r.count/8, 128) }

// pair is two hosts' IPv4 addresses in an order, and a protocol: what a label is
// unique in.
type pair struct {
	hosts uint64
	proto packet.Proto
}

func pairOf(from, to netip.Addr, proto packet.Proto) pair {
	return pair{uint64(number(from))<<32 | uint64(number(to)), proto}
}

// number is an IPv4 address as a number; 0 of what is none.
func number(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// owner is whom a label stands for: a session, and the half of its client ports.
type owner struct {
	key Key
	low bool
}

// labels gives out what stands for sessions on wire legs. A label of a pair
// stands for one owner at a time.
type labels struct {
	wire labelRange
	by   [256]map[uint64]*ledger // by protocol and hosts
}

// ledger says who has which label of a pair.
type ledger struct {
	owned   map[wireLabel]*Session
	resting map[wireLabel]*resting   // labels that were given back; none that is owned
	held    map[inventory.AddrID]int // labels that a client holds, or that rest after it
	full    time.Time                // no label is looked for before
}

// resting is whose a label was that was given back: nobody else's before free.
type resting struct {
	owner  owner
	client inventory.AddrID
	free   time.Time
}

func newLabels(wire labelRange) *labels { return &labels{wire: wire} }

func (l *labels) rangeOf(p pair) labelRange {
	if p.proto == packet.ICMP {
		return icmpTags
	}
	return l.wire
}

// take gives s a label, or 0 when none is left for its client: each client
// may hold its share of a pair's labels at most, so that none can starve the others;
// those that rest after it count, or a scan would use them up all the same.
// The choice starts at a hash of the owner, so that a session that comes again
// gets the label it had. Labels that busy reports are left out.
func (l *labels) take(now time.Time, s *Session, low bool, busy func(wireLabel) bool) wireLabel {
	p := s.pair()
	r, of := l.rangeOf(p), l.ledger(p)
	start, look := s.hash(low), r.count
	if of.held[s.Client.AddrID] >= r.share() || now.Before(of.full) {
		if look = 1; !of.resting[wireLabel(r.first+start%r.count)].after(s, low) {
			return 0
		}
	}
	for i := range look {
		label := wireLabel(r.first + (start+i)%r.count)
		if !of.taken(now, label, s, low) && !busy(label) {
			of.grant(label, s)
			return label
		}
	}
	of.full = now.Add(lookAgain) // so that a search through all of them is not made for each packet
	return 0
}

// taken reports whether a label is not a session's to take.
func (l *ledger) taken(now time.Time, label wireLabel, s *Session, low bool) bool {
	if l.owned[label] != nil {
		return true
	}
	r := l.resting[label]
	return r != nil && !r.after(s, low) && now.Before(r.free)
}

// claim gives s a label that it has already in the switches; false if another
// has it, or no session can.
func (l *labels) claim(p pair, label wireLabel, s *Session) bool {
	if !l.rangeOf(p).has(label) {
		return false
	}
	of := l.ledger(p)
	if of.owned[label] != nil {
		return false
	}
	of.grant(label, s)
	return true
}

func (l *labels) ledger(p pair) *ledger {
	of := l.by[p.proto][p.hosts]
	if of == nil {
		of = &ledger{owned: make(map[wireLabel]*Session), resting: make(map[wireLabel]*resting), held: make(map[inventory.AddrID]int)}
		if l.by[p.proto] == nil {
			l.by[p.proto] = make(map[uint64]*ledger)
		}
		l.by[p.proto][p.hosts] = of
	}
	return of
}

// grant gives s a label that nobody owns.
func (l *ledger) grant(label wireLabel, s *Session) {
	l.rested(label)
	l.owned[label] = s
	l.held[s.Client.AddrID]++
}

// rested ends a label's rest, if it rests.
func (l *ledger) rested(label wireLabel) {
	r := l.resting[label]
	if r == nil {
		return
	}
	delete(l.resting, label)
	if l.held[r.client]--; l.held[r.client] == 0 {
		delete(l.held, r.client)
	}
}

// after reports whether it is the label of a session's own half that rests.
func (r *resting) after(s *Session, low bool) bool { return r != nil && r.owner == owner{s.Key(), low} }

// release gives a label back; it rests before somebody else gets it.
func (l *labels) release(now time.Time, p pair, label wireLabel) {
	of := l.by[p.proto][p.hosts]
	if of == nil || of.owned[label] == nil {
		return
	}
	s := of.owned[label]
	delete(of.owned, label)
	of.resting[label] = &resting{owner{s.Key(), label == s.low}, s.Client.AddrID, now.Add(labelRest)}
}

// Remnant is what a flow that takes packets from the wire says of a session that
// nobody adopted: what stood for it between two hosts, by their underlay addresses (a
// wire port, or for ICMP the code), where its packets leave, with which addresses, the
// server's port (of ICMP the type), and whether the client's ports are low.
type Remnant struct {
	Client, Server netip.Addr
	Proto          packet.Proto
	Label          uint16

	Out        uint32 // the endpoint's port of the switch
	From, To   netip.Addr
	Port       uint16
	Low, Reply bool
}

// RestLabel keeps a label from everybody for some time, unless it is a session's
// now, or none can have it: one that nobody adopted may still have packets on their
// way. Only the session that had it, if whose says which, may have it at once.
func (t *Table) RestLabel(now time.Time, w Remnant, whose Key) {
	p, label := pairOf(w.Client, w.Server, w.Proto), wireLabel(w.Label)
	if !t.labels.rangeOf(p).has(label) {
		return
	}
	of := t.labels.ledger(p)
	if of.owned[label] != nil {
		return
	}
	o := owner{}
	if whose != (Key{}) {
		o = owner{whose, w.Low}
	} else if r := of.resting[label]; r != nil {
		o = r.owner // as another flow told
	}
	of.rested(label)
	of.resting[label] = &resting{owner: o, free: now.Add(labelRest)}
	of.held[0]++ // nobody's
}

// forget drops what no longer matters, so that memory follows what lives.
func (l *labels) forget(now time.Time) {
	for _, by := range &l.by {
		for hosts, of := range by {
			for label, r := range of.resting {
				if !now.Before(r.free) {
					of.rested(label)
				}
			}
			if len(of.owned) == 0 && len(of.resting) == 0 && !now.Before(of.full) {
				delete(by, hosts)
			}
		}
	}
}

// find returns the live session that a label stands for, or nil: one that is
// being cut holds its label, but nothing more of it may be delivered.
func (l *labels) find(p pair, label wireLabel) *Session {
	of := l.by[p.proto][p.hosts]
	if of == nil {
		return nil
	}
	if s := of.owned[label]; s != nil && !s.ended {
		return s
	}
	return nil
}

// hash is where the search for a label begins. It depends on nothing but whom the
// label is for, so that it is the same in every process.
func (s *Session) hash(low bool) int {
	h := fnv.New32a()
	for _, e := range [...]*inventory.Endpoint{s.Client, s.Server} {
		h.Write([]byte(e.VPC))
		b := e.IP.As4()
		h.Write(b[:])
	}
	half := byte(0)
	if low {
		half = 1
	}
	h.Write([]byte{byte(s.Proto), byte(s.Port >> 8), byte(s.Port), half})
	return int(h.Sum32() >> 1)
}
