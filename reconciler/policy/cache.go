package policy

import "sync/atomic"

// ways is how many entries share one place of a cache.
const ways = 4

// cache is a map of fixed size that forgets: each key has one place, and a key
// put into a full place takes the entry of another there. Entries are
// immutable; get does not allocate and nothing locks.
type cache[K comparable, V any] struct {
	mask   uint64
	places [][ways]atomic.Pointer[cacheEntry[K, V]]
}

type cacheEntry[K comparable, V any] struct {
	key   K
	value *V
}

// newCache returns a cache of size entries, a power of two of at least ways.
func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{
		mask:   uint64(size/ways - 1),
		places: make([][ways]atomic.Pointer[cacheEntry[K, V]], size/ways),
	}
}

// get returns the value of k, whose hash is given, or nil.
func (c *cache[K, V]) get(hash uint64, k K) *V {
	place := &c.places[hash&c.mask]
	for i := range place {
		if e := place[i].Load(); e != nil && e.key == k {
			return e.value
		}
	}
	return nil
}

// put gives k the value v: over its own entry, into a free one, or over one
// that the hash chooses.
func (c *cache[K, V]) put(hash uint64, k K, v *V) {
	place := &c.places[hash&c.mask]
	victim := int(hash >> 62)
	for i := range place {
		e := place[i].Load()
		if e == nil || e.key == k {
			victim = i
			break
		}
	}
	place[victim].Store(&cacheEntry[K, V]{key: k, value: v})
}

// hash mixes the key into 64 bits (the finalizer of MurmurHash3).
func (k decisionKey) hash() uint64 {
	return mix(uint64(k.src)<<32|uint64(k.dst)) ^ mix(uint64(k.proto)<<16|uint64(k.port)|1<<40)
}

func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
