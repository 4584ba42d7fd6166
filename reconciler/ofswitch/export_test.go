package ofswitch

import "testing"

// CheckEmpty fails the test if an empty queue keeps anything of its past.
func (q *FairQueue[G, K, T]) CheckEmpty(t *testing.T) {
	t.Helper()
	if q.items != 0 || len(q.keys) != 0 || len(q.groups) != 0 || q.root.size != 0 || q.root.turn != nil || len(q.root.children) != 0 || len(q.spare) > maxSpare {
		t.Errorf("empty queue keeps %d items, %d keys, %d groups, size %d, %d spare nodes", q.items, len(q.keys), len(q.groups), q.root.size, len(q.spare))
	}
}
