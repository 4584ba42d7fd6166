package ofswitch

import (
	"bytes"
	"sync"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Inbox keeps the packets that switches lifted until one goroutine takes them:
// in turn over the switches, and over the ingress ports of each. So a port that
// floods delays the others of its switch by no more than one packet each time,
// and another switch by no more than that. Readers never wait for it.
type Inbox struct {
	ready chan struct{} // capacity 1

	mu     sync.Mutex // guards the fields below
	queue  *FairQueue[uint64, openflow.PortNo, Lifted]
	asleep bool // Next found nothing, and ready was not told since
	total  uint64
	taken  uint64                  // of total, by TakeDrops
	recent map[uint64]*switchDrops // since TakeDrops, by datapath id
}

// Lifted is a packet in an Inbox. Its Frame is the receiver's.
type Lifted struct {
	DPID uint64
	In   openflow.PacketIn
}

// Drops are packets that an Inbox dropped over its bounds.
type Drops struct {
	Packets uint64

	// The switch that lost the most of them, and the port of its last.
	DPID     uint64
	OfSwitch uint64
	LastPort openflow.PortNo
}

type switchDrops struct {
	n    uint64
	last openflow.PortNo
}

// maxRecent bounds the switches whose drops are told apart.
const maxRecent = 1024

// FrameUnit is the unit of an Inbox's limits, in bytes: a packet costs one, and
// one more for each that its frame fills. So the limits bound the packets and
// their memory at once.
const FrameUnit = 2048

// NewInbox returns an empty Inbox: PerKey bounds a port, PerGroup a switch.
func NewInbox(limits FairLimits) *Inbox {
	b := &Inbox{ready: make(chan struct{}, 1), asleep: true, recent: make(map[uint64]*switchDrops)}
	b.queue = NewFairQueue(limits, func(dpid uint64, port openflow.PortNo, _ Lifted) { b.droppedLocked(dpid, port) })
	return b
}

// Add keeps a copy of a lifted packet, or drops it or another: see FairQueue.
func (b *Inbox) Add(dpid uint64, in openflow.PacketIn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost := 1 + len(in.Frame)/FrameUnit
	n := b.queue.reserve(dpid, in.InPort, cost)
	if n == nil {
		b.droppedLocked(dpid, in.InPort)
		return
	}
	in.Frame = bytes.Clone(in.Frame) // not before there is room: a flood is to cost little
	b.queue.put(n, cost, Lifted{dpid, in})
	b.wakeLocked()
}

// Next takes the packet whose turn it is. When there is none, Ready will tell of
// the next.
func (b *Inbox) Next() (Lifted, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.queue.Pop()
	b.asleep = !ok
	return l, ok
}

// Ready receives when there are packets after Next found none.
func (b *Inbox) Ready() <-chan struct{} { return b.ready }

// Hold leaves a port's packets where they are until Release.
func (b *Inbox) Hold(dpid uint64, port openflow.PortNo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue.Hold(dpid, port)
}

// Release has a port's packets taken again.
func (b *Inbox) Release(dpid uint64, port openflow.PortNo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue.Release(dpid, port)
	b.wakeLocked()
}

// Forget removes what is kept of a switch, and its holds.
func (b *Inbox) Forget(dpid uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue.Forget(dpid)
}

// Dropped counts all packets that were dropped over the bounds.
func (b *Inbox) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// TakeDrops returns what was dropped since the last call.
func (b *Inbox) TakeDrops() Drops {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := Drops{Packets: b.total - b.taken}
	b.taken = b.total
	for dpid, s := range b.recent {
		if s.n > d.OfSwitch || s.n == d.OfSwitch && dpid < d.DPID {
			d.DPID, d.OfSwitch, d.LastPort = dpid, s.n, s.last
		}
	}
	clear(b.recent)
	return d
}

func (b *Inbox) droppedLocked(dpid uint64, port openflow.PortNo) {
	b.total++
	s := b.recent[dpid]
	if s == nil {
		if len(b.recent) >= maxRecent {
			return
		}
		s = new(switchDrops)
		b.recent[dpid] = s
	}
	s.n++
	s.last = port
}

func (b *Inbox) wakeLocked() {
	if !b.asleep {
		return
	}
	b.asleep = false
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
