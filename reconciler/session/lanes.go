package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// maxLanes bounds the lanes of one session, and maxLanesEach those of one client:
// what a flood from ever new ports makes the table and the switches keep.
const (
	maxLanes     = 1 << 12
	maxLanesEach = 1 << 13
)

// fewLanes is up to how many lanes are looked up one by one.
const fewLanes = 8

// LaneOf returns the lane that takes a client port, or nil.
func (s *Session) LaneOf(clientPort uint16) *Lane {
	if s.bySet == nil {
		for _, l := range s.Lanes {
			if l.Set.Contains(clientPort) {
				return l
			}
		}
		return nil
	}
	for _, set := range [...]PortSet{OnePort(clientPort), {clientPort & 0x8000, 0x8000}, AnyPort} {
		if l := s.bySet[set]; l != nil {
			return l
		}
	}
	return nil
}

// laneOfSet returns the lane of exactly a set, or nil.
func (s *Session) laneOfSet(set PortSet) *Lane {
	if s.bySet != nil {
		return s.bySet[set]
	}
	for _, l := range s.Lanes {
		if l.Set == set {
			return l
		}
	}
	return nil
}

// newLane returns a lane for a session, opened now; its first one is part of it.
func newLane(now time.Time, s *Session, set PortSet, label wireLabel) *Lane {
	l := &s.first.lane
	if s.first.taken {
		l = new(Lane)
	}
	s.first.taken = true
	at := s.age(now)
	l.Set, l.label, l.opened, l.busy, l.polled, l.installed = set, label, at, at, at, never
	return l
}

// putLane gives a session a lane.
func (t *Table) putLane(s *Session, l *Lane) {
	if s.Lanes == nil {
		s.Lanes = s.first.list[:0]
	}
	s.Lanes = append(s.Lanes, l)
	s.indexLanes()
	t.clientOf(s.Client).lanes++
	s.uses[s.half(l)]++
}

// half is 0 for a lane of the high label, 1 for one of the low.
func (s *Session) half(l *Lane) int {
	if l.label != 0 && l.label == s.low {
		return 1
	}
	return 0
}

func (s *Session) indexLanes() {
	switch {
	case len(s.Lanes) <= fewLanes:
		s.bySet = nil
	case s.bySet == nil:
		s.bySet = make(map[PortSet]*Lane, 2*fewLanes)
		for _, l := range s.Lanes {
			s.bySet[l.Set] = l
		}
	default:
		l := s.Lanes[len(s.Lanes)-1]
		s.bySet[l.Set] = l
	}
}

// dropLanes takes away the lanes that old names, in one pass.
func (t *Table) dropLanes(s *Session, old map[*Lane]bool) []Effect {
	var out []Effect
	keep := make([]*Lane, 0, len(s.Lanes)-len(old))
	for _, l := range s.Lanes {
		if !old[l] {
			keep = append(keep, l)
			continue
		}
		s.uses[s.half(l)]--
		out = append(out, RemoveLane{Session: s, Lane: l, Last: s.uses[s.half(l)] == 0})
	}
	s.Lanes, s.bySet = keep, nil
	if len(keep) > fewLanes {
		s.indexLanes()
	}
	t.freeLanes(s.Client, len(old))
	return out
}

func (t *Table) freeLanes(ep *inventory.Endpoint, n int) {
	t.clientOf(ep).lanes -= n
	t.dropIdle(ep.AddrID)
}

// roomFor reports whether a session may have one more lane.
func (t *Table) roomFor(s *Session) bool {
	return len(s.Lanes) < maxLanes && t.lanesOf(s.Client) < maxLanesEach
}

// laneOnWire returns the lane of a label that takes a client port as it looks on
// the wire, or nil.
func (s *Session) laneOnWire(label wireLabel, clientPort uint16) *Lane {
	if s.Proto == packet.ICMP {
		return s.laneOfSet(AnyPort)
	}
	if clientPort < 0x8000 {
		return nil
	}
	half := HighHalf
	if label == s.low {
		clientPort, half = clientPort&^0x8000, LowHalf
	}
	if l := s.laneOfSet(OnePort(clientPort)); l != nil {
		return l
	}
	return s.laneOfSet(half)
}
