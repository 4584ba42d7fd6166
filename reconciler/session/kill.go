package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// EndKilled is the end of a session that somebody ended by name.
const EndKilled EndReason = "killed"

// Killed ends the live session with a cookie, whatever the policy says of it; of a
// cookie that no live session has it does nothing. A TCP connection that it carried
// is over: its packets are answered with a reset to both ends, until another
// connection has opened the session anew. What has no connections (UDP, ICMP) opens
// it anew with its next packet, if that is allowed.
type Killed struct{ ID uint64 }

func (Killed) event() {}

func (t *Table) kill(now time.Time, id uint64) []Effect {
	s := t.byID.get(id)
	if s == nil {
		return nil
	}
	if s.Proto == packet.TCP {
		t.forbidden.add(now, s.Key(), s.idle)
		t.forbidden.killed[s.Key()] = true
	}
	return t.cut(now, s, EndKilled)
}

// pardon forgets that a session was killed, now that it is open again.
func (t *Table) pardon(s *Session) {
	if len(t.forbidden.killed) == 0 {
		return
	}
	if k := s.Key(); t.forbidden.killed[k] {
		t.forbidden.remove(k)
	}
}
