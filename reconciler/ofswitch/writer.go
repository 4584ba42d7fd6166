package ofswitch

import (
	"fmt"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// chunk is how much is written under one deadline.
const chunk = 64 << 10

// keepBuffer is up to which size the writer keeps a buffer for the next time.
const keepBuffer = 1 << 20

// write is the writer goroutine. What was queued while it wrote goes out in one
// piece. It also asks silent switches whether they live.
func (s *Switch) write() {
	echo := time.NewTicker(s.cfg.EchoInterval)
	defer echo.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-echo.C:
			s.keepAlive()
		case <-s.wake:
			if err := s.writeQueued(); err != nil {
				s.fail(fmt.Errorf("write: %w", err))
				return
			}
		}
	}
}

// writeQueued writes until nothing is queued.
func (s *Switch) writeQueued() error {
	for {
		b := s.take()
		if b == nil {
			return nil
		}
		err := s.writeAll(b)
		s.wrote(b, nil)
		if err != nil {
			return err
		}
	}
}

// take returns what is to be written next, for its caller to write and nobody
// else before wrote; nil when there is nothing, or somebody else is at it.
func (s *Switch) take() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing || len(s.left)+len(s.out) == 0 {
		return nil
	}
	s.writing = true
	b := s.left
	if s.left = nil; b == nil {
		b, s.out, s.spare = s.out, s.spare, nil
	}
	return b
}

// wrote ends what take began with b, of which left is not written.
func (s *Switch) wrote(b, left []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	switch {
	case s.err != nil:
	case len(left) > 0:
		s.left = left
	case cap(b) <= keepBuffer:
		s.spare = b[:0]
	}
	if len(s.left)+len(s.out) > 0 {
		s.wakeLocked()
	}
}

// Flush sends what Queue queued. It never blocks: what the socket does not take
// at once is the writer's.
func (s *Switch) Flush() {
	if s.now == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wakeLocked()
		return
	}
	if b := s.take(); b != nil {
		s.wrote(b, s.now.write(b))
	}
}

func (s *Switch) writeAll(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), chunk)
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout)); err != nil {
			return err
		}
		if _, err := s.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return s.conn.SetWriteDeadline(time.Time{}) // which would stop a Flush once it has passed
}

// keepAlive asks a switch that is silent for an echo, and ends the connection of
// one that stays silent. A reader that waits for its handler says nothing about
// the switch.
func (s *Switch) keepAlive() {
	since := s.waiting.Load()
	if since == 0 {
		return
	}
	silent := time.Duration(time.Now().UnixNano() - since)
	switch {
	case silent >= deadIntervals*s.cfg.EchoInterval:
		s.fail(fmt.Errorf("%w for %v", ErrSilent, silent.Round(time.Millisecond)))
	case silent >= s.cfg.EchoInterval/2:
		s.queue(openflow.AppendEchoRequest)
	}
}
