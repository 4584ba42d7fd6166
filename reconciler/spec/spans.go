package spec

import "slices"

// span is a range of ports and who listens on it.
type span struct {
	lo, hi uint16
	owner  int32
}

// maxChunk bounds how many spans are moved to make room for one.
const maxChunk = 512

// spans are ranges of ports of one protocol that don't overlap, in order, cut
// into chunks, so that one more is soon put in.
type spans struct {
	chunks [][]span
}

// overlapping returns the first span that has a port from lo to hi.
func (s *spans) overlapping(lo, hi uint16) (sp span, found bool) {
	i, j := s.find(lo)
	if i == len(s.chunks) {
		return span{}, false
	}
	sp = s.chunks[i][j]
	return sp, sp.lo <= hi
}

// find returns the chunk and the place in it of the first span that reaches to
// lo or beyond. Without one, the chunk is beyond the last.
func (s *spans) find(lo uint16) (chunk, place int) {
	byEnd := func(sp span, lo uint16) int { return int(sp.hi) - int(lo) }
	chunk, _ = slices.BinarySearchFunc(s.chunks, lo, func(c []span, lo uint16) int { return byEnd(c[len(c)-1], lo) })
	if chunk < len(s.chunks) {
		place, _ = slices.BinarySearchFunc(s.chunks[chunk], lo, byEnd)
	}
	return chunk, place
}

// add puts in a span, which must overlap none that is there.
func (s *spans) add(sp span) {
	i, j := s.find(sp.lo)
	switch {
	case len(s.chunks) == 0:
		s.chunks = [][]span{{sp}}
		return
	case i == len(s.chunks):
		i--
		j = len(s.chunks[i])
	}
	c := slices.Insert(s.chunks[i], j, sp)
	s.chunks[i] = c
	if len(c) > maxChunk {
		s.chunks = slices.Insert(s.chunks, i+1, slices.Clone(c[maxChunk/2:]))
		s.chunks[i] = c[: maxChunk/2 : maxChunk/2]
	}
}

// portBits are sets of ports of one protocol.
type portBits [(maxPort + 1) / 64]uint64

// mask returns which bits of word i are ports of p.
func (p Port) mask(i int) uint64 {
	mask := ^uint64(0)
	if i == int(p.Lo)/64 {
		mask <<= p.Lo % 64
	}
	if i == int(p.Hi)/64 {
		mask &= ^uint64(0) >> (63 - p.Hi%64)
	}
	return mask
}

// hasAny reports whether a port of p is in the set.
func (b *portBits) hasAny(p Port) bool {
	for i := int(p.Lo) / 64; i <= int(p.Hi)/64; i++ {
		if b[i]&p.mask(i) != 0 {
			return true
		}
	}
	return false
}

// add puts in the ports of p.
func (b *portBits) add(p Port) {
	for i := int(p.Lo) / 64; i <= int(p.Hi)/64; i++ {
		b[i] |= p.mask(i)
	}
}
