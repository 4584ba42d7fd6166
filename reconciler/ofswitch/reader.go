package ofswitch

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// readBuffer holds the longest message, so that every message can be handled
// where it was received.
const readBuffer = 64 << 10

// next waits for a whole message and returns it. It is valid until the next call
// of next or skip; skip removes it.
func (s *Switch) next() (openflow.Header, []byte, error) {
	s.waiting.Store(time.Now().UnixNano())
	b, err := s.in.Peek(openflow.HeaderLen)
	if err != nil {
		return openflow.Header{}, nil, fmt.Errorf("read: %w", err)
	}
	h, err := openflow.ParseHeader(b)
	if err != nil {
		return h, nil, err
	}
	if b, err = s.in.Peek(int(h.Length)); err != nil {
		return h, nil, fmt.Errorf("read message of %d bytes: %w", h.Length, err)
	}
	s.waiting.Store(0)
	s.counts.messages.Add(1)
	return h, b, nil
}

// skip removes the message that next returned.
func (s *Switch) skip(h openflow.Header) {
	s.in.Discard(int(h.Length)) // cannot fail: next saw all of it in the buffer
}

// read handles messages until the connection ends, and returns why.
func (s *Switch) read() error {
	for {
		h, b, err := s.next()
		if err != nil {
			return err
		}
		if err := s.handle(h, b); err != nil {
			s.drop(h, err)
		}
		s.skip(h)
	}
}

// handle does what one message asks for. An error means that it could not be
// decoded. A panic costs this message and no other.
func (s *Switch) handle(h openflow.Header, b []byte) error {
	defer s.recovered()
	switch h.Type {
	case openflow.TypePacketIn:
		in, err := openflow.DecodePacketIn(b)
		if err != nil {
			return err
		}
		s.counts.packetIns.Add(1)
		s.cfg.Handler.PacketIn(s, in)
	case openflow.TypeBarrierReply:
		s.barrierDone(h.Xid)
	case openflow.TypeEchoRequest:
		s.answerEcho(h, b)
	case openflow.TypeEchoReply, openflow.TypeFlowRemoved, openflow.TypePortStatus:
		// That it came is all there is to know: flows age by statistics, and ports
		// are hostd's to report.
	case openflow.TypeMultipartReply:
		return s.statsPart(h, b)
	case openflow.TypeError:
		e, err := openflow.DecodeError(b)
		if err != nil {
			return err
		}
		s.refused(e)
	default:
		// An ONF ROLE_STATUS, for one: the switch has another master, and refuses
		// what this controller sends from now on.
		s.counts.unwanted.Add(1)
	}
	return nil
}

func (s *Switch) answerEcho(h openflow.Header, b []byte) {
	s.queue(func(out []byte, _ uint32) []byte {
		return openflow.AppendEchoReply(out, h.Xid, b[openflow.HeaderLen:])
	})
}

func (s *Switch) barrierDone(xid uint32) {
	s.mu.Lock()
	b, ok := s.pending.done(xid)
	s.mu.Unlock()
	if !ok {
		s.counts.unwanted.Add(1)
		return
	}
	s.cfg.Handler.BatchDone(s, b.batch.Token, b.err())
}

// refused notes an error with the batch or the request that it is about.
func (s *Switch) refused(e *openflow.ErrorMessage) {
	if e.Expected() {
		return
	}
	s.counts.errors.Add(1)
	s.mu.Lock()
	b := s.pending.find(e.Xid)
	if b != nil {
		b.refuse(e)
	}
	r := s.takeStatsLocked(e.Xid)
	s.mu.Unlock()
	if r != nil {
		r.answered(e)
	}
	if b != nil || r != nil {
		return
	}
	if missed, ok := s.refusals.allow(time.Now()); ok {
		s.cfg.Logger.Warn("switch refused a message", "switch", s.name(), "err", e, "unlogged", missed)
	}
}

// drop counts a message that could not be decoded, and logs one a second.
func (s *Switch) drop(h openflow.Header, err error) {
	s.counts.malformed.Add(1)
	if missed, ok := s.dropped.allow(time.Now()); ok {
		s.cfg.Logger.Warn("message dropped", "switch", s.name(), "unlogged", missed,
			"err", fmt.Errorf("message of type %d with %d bytes: %w", h.Type, h.Length, err))
	}
}

// recovered is deferred around what one message runs.
func (s *Switch) recovered() {
	r := recover()
	if r == nil {
		return
	}
	s.counts.panics.Add(1)
	if missed, ok := s.panicked.allow(time.Now()); ok {
		s.cfg.Logger.Error("message panicked", "switch", s.name(), "unlogged", missed,
			"err", fmt.Errorf("%v\n%s", r, debug.Stack()))
	}
}

// limiter lets one through a second and counts the others.
type limiter struct {
	next   time.Time
	missed uint64
}

// allow reports whether one may pass now, and how many before it did not.
func (l *limiter) allow(now time.Time) (missed uint64, ok bool) {
	if now.Before(l.next) {
		l.missed++
		return 0, false
	}
	missed, l.missed = l.missed, 0
	l.next = now.Add(time.Second)
	return missed, true
}
