package engine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTallyCountsEachKey(t *testing.T) {
	var c tally[string]
	if got := c.counts(); got == nil || len(got) != 0 {
		t.Errorf("counts of none = %v; want an empty map", got)
	}
	for _, k := range []string{"a", "a", "b", "a", "", ""} {
		c.add(k)
	}
	want := map[string]uint64{"a": 3, "b": 1, "": 2}
	for range 2 { // looking changes nothing
		if diff := cmp.Diff(want, c.counts()); diff != "" {
			t.Error(diff)
		}
	}
}
