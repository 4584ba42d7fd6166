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
	var spare []byte
	for {
		select {
		case <-s.closing:
			return
		case <-echo.C:
			s.keepAlive()
		case <-s.wake:
			b := s.take(spare)
			if err := s.writeAll(b); err != nil {
				s.fail(fmt.Errorf("write: %w", err))
				return
			}
			spare = nil
			if cap(b) <= keepBuffer {
				spare = b[:0]
			}
		}
	}
}

// take returns what is queued and leaves spare in its place.
func (s *Switch) take(spare []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.out
	s.out = spare
	return b
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
	return nil
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
