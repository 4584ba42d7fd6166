package engine

import "maps"

// tally counts by key. Most of what follows each other has the same key, which is
// looked up once.
type tally[K comparable] struct {
	key  K
	n    uint64 // of key, since it is
	rest map[K]uint64
}

func (t *tally[K]) add(k K) {
	if t.n > 0 && k != t.key {
		t.flush()
	}
	t.key = k
	t.n++
}

func (t *tally[K]) flush() {
	if t.n == 0 {
		return
	}
	if t.rest == nil {
		t.rest = make(map[K]uint64)
	}
	t.rest[t.key] += t.n
	t.n = 0
}

// counts returns a copy of all counts.
func (t *tally[K]) counts() map[K]uint64 {
	t.flush()
	if t.rest == nil {
		return make(map[K]uint64)
	}
	return maps.Clone(t.rest)
}
