package session

import (
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

// share is how many of a pair's labels one client may hold: an eighth, or of
// few 128, enough for whoever watches a host full of containers.
func (r labelRange) share() int { return max(r.count/8, 128) }

// pair is two hosts in an order, and a protocol: what a label is unique in.
type pair struct {
	from, to netip.Addr
	proto    packet.Proto
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
	by   map[pair]*ledger
}

// ledger says who has which label of a pair.
type ledger struct {
	grants map[wireLabel]grant
	held   map[inventory.AddrID]int // labels that a client holds, or that rest after it
	full   time.Time                // no label is looked for before
}

// grant is a label that a session has, or had: one of the two is set.
type grant struct {
	session *Session
	resting *resting
}

// resting is whose a label was that was given back: nobody else's before free.
type resting struct {
	owner  owner
	client inventory.AddrID
	free   time.Time
}

func newLabels(wire labelRange) *labels { return &labels{wire: wire, by: make(map[pair]*ledger)} }

func (l *labels) rangeOf(p packet.Proto) labelRange {
	if p == packet.ICMP {
		return icmpTags
	}
	return l.wire
}

// take gives s a label on p, or 0 when none is left for its client: each client
// may hold its share of a pair's labels at most, so that none can starve the others;
// those that rest after it count, or a scan would use them up all the same.
// The choice starts at a hash of the owner, so that a session that comes again
// gets the label it had. Labels that busy reports are left out.
func (l *labels) take(now time.Time, p pair, o owner, s *Session, busy func(wireLabel) bool) wireLabel {
	r, of := l.rangeOf(p.proto), l.ledger(p)
	start, look := o.hash(), r.count
	if of.held[s.Client.AddrID] >= r.share() || now.Before(of.full) {
		if look = 1; !of.grants[wireLabel(r.first+start%r.count)].resting.after(&o) {
			return 0
		}
	}
	for i := range look {
		label := wireLabel(r.first + (start+i)%r.count)
		if !of.grants[label].taken(now, &o) && !busy(label) {
			of.grant(label, s)
			return label
		}
	}
	of.full = now.Add(lookAgain) // so that a search through all of them is not made for each packet
	return 0
}

// taken reports whether a label is not o's to take.
func (g grant) taken(now time.Time, o *owner) bool {
	return g.session != nil || (g.resting != nil && g.resting.owner != *o && now.Before(g.resting.free))
}

// claim gives s a label that it has already in the switches; false if another
// has it, or no session can.
func (l *labels) claim(p pair, label wireLabel, s *Session) bool {
	r := l.rangeOf(p.proto)
	if int(label) < r.first || int(label) >= r.first+r.count {
		return false
	}
	of := l.ledger(p)
	if of.grants[label].session != nil {
		return false
	}
	of.grant(label, s)
	return true
}

func (l *labels) ledger(p pair) *ledger {
	of := l.by[p]
	if of == nil {
		of = &ledger{grants: make(map[wireLabel]grant), held: make(map[inventory.AddrID]int)}
		l.by[p] = of
	}
	return of
}

func (l *ledger) grant(label wireLabel, s *Session) {
	l.rested(label)
	l.grants[label] = grant{session: s}
	l.held[s.Client.AddrID]++
}

// rested ends a label's rest, if it rests.
func (l *ledger) rested(label wireLabel) {
	r := l.grants[label].resting
	if r == nil {
		return
	}
	delete(l.grants, label)
	if l.held[r.client]--; l.held[r.client] == 0 {
		delete(l.held, r.client)
	}
}

// after reports whether it is o's own label that rests.
func (r *resting) after(o *owner) bool { return r != nil && r.owner == *o }

// release gives a label back; it rests before somebody else gets it.
func (l *labels) release(now time.Time, p pair, label wireLabel) {
	of := l.by[p]
	if of == nil || of.grants[label].session == nil {
		return
	}
	s := of.grants[label].session
	of.grants[label] = grant{resting: &resting{owner{s.Key, label == s.low}, s.Client.AddrID, now.Add(labelRest)}}
}

// forget drops what no longer matters, so that memory follows what lives.
func (l *labels) forget(now time.Time) {
	for p, of := range l.by {
		for label, g := range of.grants {
			if g.resting != nil && !now.Before(g.resting.free) {
				of.rested(label)
			}
		}
		if len(of.grants) == 0 && !now.Before(of.full) {
			delete(l.by, p)
		}
	}
}

// find returns the live session that a label stands for, or nil: one that is
// being cut holds its label, but nothing more of it may be delivered.
func (l *labels) find(p pair, label wireLabel) *Session {
	of := l.by[p]
	if of == nil {
		return nil
	}
	if s := of.grants[label].session; s != nil && !s.ended {
		return s
	}
	return nil
}

// hash depends on nothing but the owner, so that it is the same in every
// process.
func (o owner) hash() int {
	h := fnv.New32a()
	for _, a := range []inventory.AddrKey{o.key.Client, o.key.Server} {
		h.Write([]byte(a.VPC))
		b := a.IP.As4()
		h.Write(b[:])
	}
	low := byte(0)
	if o.low {
		low = 1
	}
	h.Write([]byte{byte(o.key.Proto), byte(o.key.Port >> 8), byte(o.key.Port), low})
	return int(h.Sum32() >> 1)
}
