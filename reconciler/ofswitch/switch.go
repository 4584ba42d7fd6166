package ofswitch

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Switch is one connection of a switch. All methods may be called from any
// goroutine, and go on to work (with an error) after the connection ended.
type Switch struct {
	cfg    *Config
	conn   net.Conn
	remote string
	dpid   uint64 // set by the handshake, before anybody else knows the Switch

	in  *bufio.Reader // the reader goroutine's
	now *instant      // writes what the socket takes at once; nil: conn has no socket

	// What the reader goroutine logs, each kind for itself: a flood of one must not
	// hide another.
	dropped, refusals, panicked limiter

	closing chan struct{} // closed with the cause set
	done    chan struct{} // closed when the reader has called SwitchDown
	wake    chan struct{} // tells the writer that out has bytes

	// waiting is since when, in Unix nanoseconds, the reader waits for a message; 0
	// while it handles one.
	waiting atomic.Int64
	counts  counters

	mu      sync.Mutex // guards the fields below
	err     error      // why the connection ends
	xid     uint32     // of the next message
	out     []byte     // whole messages to be written
	left    []byte     // what a Flush began to write: goes before out
	writing bool       // somebody took bytes to write, and nobody else may until they are
	spare   []byte     // an empty buffer to take out's place, or nil
	pending pendingBatches
	stats   map[uint32]*statsRequest // by xid
}

func newSwitch(cfg *Config, conn net.Conn) *Switch {
	sw := &Switch{
		cfg:     cfg,
		conn:    conn,
		remote:  conn.RemoteAddr().String(),
		in:      bufio.NewReaderSize(conn, readBuffer),
		now:     newInstant(conn),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		wake:    make(chan struct{}, 1),
		xid:     1,
		stats:   make(map[uint32]*statsRequest),
	}
	sw.waiting.Store(time.Now().UnixNano())
	return sw
}

// DPID returns the switch's datapath id.
func (s *Switch) DPID() uint64 { return s.dpid }

// RemoteAddr returns the switch's end of the connection.
func (s *Switch) RemoteAddr() string { return s.remote }

// name is the datapath id as OVS writes it, or the address before it is known.
func (s *Switch) name() string {
	if s.dpid == 0 {
		return s.remote
	}
	return fmt.Sprintf("%016x", s.dpid)
}

// Close ends the connection without waiting for it: SwitchDown follows.
func (s *Switch) Close() { s.fail(ErrClosed) }

// fail ends the connection with err as its cause, unless it already has one. It
// doesn't close it itself, since closing may take time (TLS says goodbye).
func (s *Switch) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked(err)
}

func (s *Switch) failLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.out, s.left = nil, nil
	close(s.closing)
}

// cause returns why the connection ends, nil as long as it doesn't.
func (s *Switch) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Send queues the batch and never blocks. Everything in it reaches the switch
// in order, after what was sent before. The switch processes meters, groups and
// flows in this order; with a Token, BatchDone tells when it has done all of it.
//
// The batch's slices must not be changed before BatchDone, which may quote them;
// without a Token, after Send. An error means that nothing of it was queued and
// that the connection ends or has ended, or that the batch is for another switch.
func (s *Switch) Send(b openflow.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.addLocked(&b)
	if err == nil {
		s.wakeLocked()
	}
	return err
}

// Queue is Send for one of several batches: they leave together by Flush, if not
// before.
func (s *Switch) Queue(b openflow.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(&b)
}

func (s *Switch) addLocked(b *openflow.Batch) error {
	if b.DPID != s.dpid {
		return fmt.Errorf("send to switch %s: batch is for %016x", s.name(), b.DPID)
	}
	if s.err != nil {
		return fmt.Errorf("send to switch %s: %w", s.name(), s.err)
	}
	first := s.xid
	s.xid += uint32(b.Messages())
	s.out = openflow.AppendBatch(s.out, first, b)
	if b.Token != 0 {
		s.out = openflow.AppendBarrierRequest(s.out, s.xid)
		s.pending.add(pendingBatch{first: first, barrier: s.xid, batch: *b})
		s.xid++
		s.boundPendingLocked()
	}
	s.boundQueueLocked()
	if s.err != nil {
		return fmt.Errorf("send to switch %s: %w", s.name(), s.err)
	}
	return nil
}

func (s *Switch) boundPendingLocked() {
	if n := s.pending.len(); n > s.cfg.MaxPending {
		s.failLocked(fmt.Errorf("%w: %d batches are not answered", ErrOverflow, n))
	}
}

// boundQueueLocked ends the connection when more waits than may.
func (s *Switch) boundQueueLocked() {
	if n := len(s.left) + len(s.out); n > s.cfg.MaxQueued {
		s.failLocked(fmt.Errorf("%w: %d bytes wait", ErrOverflow, n))
	}
}

// wakeLocked tells the writer that there is something to write.
func (s *Switch) wakeLocked() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// queue sends one message, which add appends with the xid it is given.
func (s *Switch) queue(add func(b []byte, xid uint32) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.out = add(s.out, s.xid)
	s.xid++
	s.boundQueueLocked()
	s.wakeLocked()
}

// Counters counts what happened on a connection.
type Counters struct {
	Messages  uint64 // received
	PacketIns uint64 // given to the handler
	Malformed uint64 // messages that could not be decoded, dropped
	Unwanted  uint64 // messages that nobody waits for: unknown, unasked or late
	Errors    uint64 // OFPT_ERRORs, without those that mean nothing
	Panics    uint64 // recovered while a message was handled
}

type counters struct {
	messages, packetIns, malformed, unwanted, errors, panics atomic.Uint64
}

// Counters returns the counters as they are now.
func (s *Switch) Counters() Counters {
	c := &s.counts
	return Counters{
		Messages:  c.messages.Load(),
		PacketIns: c.packetIns.Load(),
		Malformed: c.malformed.Load(),
		Unwanted:  c.unwanted.Load(),
		Errors:    c.errors.Load(),
		Panics:    c.panics.Load(),
	}
}
