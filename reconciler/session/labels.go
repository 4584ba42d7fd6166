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
// few 64, enough for whoever watches a host full of containers.
func (r labelRange) share() int { return max(r.count/8, 64) }

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

type grant struct {
	owner   owner
	session *Session  // nil: given back
	free    time.Time // when anybody may have it, if given back
}

// labels gives out what stands for sessions on wire legs. A label of a pair
// stands for one owner at a time.
type labels struct {
	wire labelRange
	by   map[pair]map[wireLabel]*grant
	held map[pair]map[inventory.AddrKey]int // labels that a client holds
	full map[pair]time.Time                 // no label is looked for before
}

func newLabels(wire labelRange) *labels {
	return &labels{wire: wire, by: make(map[pair]map[wireLabel]*grant), held: make(map[pair]map[inventory.AddrKey]int), full: make(map[pair]time.Time)}
}

func (l *labels) rangeOf(p packet.Proto) labelRange {
	if p == packet.ICMP {
		return icmpTags
	}
	return l.wire
}

// take gives s a label on p, or 0 when none is left for its client: each client
// may hold its share of a pair's labels at most, so that none can starve the others.
// The choice starts at a hash of the owner, so that a session that comes again
// gets the label it had. Labels that busy reports are left out.
func (l *labels) take(now time.Time, p pair, o owner, s *Session, busy func(wireLabel) bool) wireLabel {
	r := l.rangeOf(p.proto)
	if l.held[p][o.key.Client] >= r.share() || now.Before(l.full[p]) {
		return 0
	}
	grants := l.grantsOf(p)
	start := o.hash()
	for i := range r.count {
		label := wireLabel(r.first + (start+i)%r.count)
		g := grants[label]
		if busy(label) || (g != nil && (g.session != nil || (g.owner != o && now.Before(g.free)))) {
			continue
		}
		l.grant(p, label, o, s)
		return label
	}
	l.full[p] = now.Add(lookAgain) // so that a search through all of them is not made for each packet
	return 0
}

// claim gives s a label that it has already in the switches; false if another
// has it, or no session can.
func (l *labels) claim(p pair, label wireLabel, o owner, s *Session) bool {
	r := l.rangeOf(p.proto)
	if int(label) < r.first || int(label) >= r.first+r.count {
		return false
	}
	grants := l.grantsOf(p)
	if g := grants[label]; g != nil && g.session != nil {
		return false
	}
	l.grant(p, label, o, s)
	return true
}

func (l *labels) grantsOf(p pair) map[wireLabel]*grant {
	if l.by[p] == nil {
		l.by[p], l.held[p] = make(map[wireLabel]*grant), make(map[inventory.AddrKey]int)
	}
	return l.by[p]
}

func (l *labels) grant(p pair, label wireLabel, o owner, s *Session) {
	l.by[p][label] = &grant{owner: o, session: s}
	l.held[p][o.key.Client]++
}

// release gives a label back; it rests before somebody else gets it.
func (l *labels) release(now time.Time, p pair, label wireLabel) {
	g := l.by[p][label]
	if g == nil || g.session == nil {
		return
	}
	g.session, g.free = nil, now.Add(labelRest)
	client := g.owner.key.Client
	if l.held[p][client]--; l.held[p][client] == 0 {
		delete(l.held[p], client)
	}
}

// forget drops what no longer matters, so that memory follows what lives.
func (l *labels) forget(now time.Time) {
	for p, until := range l.full {
		if !now.Before(until) {
			delete(l.full, p)
		}
	}
	for p, grants := range l.by {
		for label, g := range grants {
			if g.session == nil && !now.Before(g.free) {
				delete(grants, label)
			}
		}
		if len(grants) == 0 {
			delete(l.by, p)
			delete(l.held, p)
		}
	}
}

// find returns the live session that a label stands for, or nil: one that is
// being cut holds its label, but nothing more of it may be delivered.
func (l *labels) find(p pair, label wireLabel) *Session {
	if g := l.by[p][label]; g != nil && g.session != nil && !g.session.ended {
		return g.session
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
