package policy

import "testing"

// TestCacheForgetsButNeverErrs puts more keys than there is room, with hashes
// that all meet in few places.
func TestCacheForgetsButNeverErrs(t *testing.T) {
	c := newCache[int, int](16)
	for round := range 3 {
		for key := range 1000 {
			value := key + round
			c.put(mix(uint64(key)), key, &value)
			if got := c.get(mix(uint64(key)), key); got == nil || *got != value {
				t.Fatalf("get(%d) = %v just after put", key, got)
			}
		}
		kept := 0
		for key := range 1000 {
			got := c.get(mix(uint64(key)), key)
			if got == nil {
				continue
			}
			kept++
			if *got != key+round {
				t.Errorf("get(%d) = %d, want %d", key, *got, key+round)
			}
		}
		if kept != 16 {
			t.Errorf("%d entries are kept, want 16", kept)
		}
	}
}
