package ofswitch_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
)

// item is the n-th that a key pushed.
type item struct{ group, key, n int }

// queue is what the tests of fairness need of a queue.
type queue interface {
	Push(group, key, cost int, it item) bool
	Pop() (item, bool)
}

// fifo is a queue without the guard: the first come is the first served, and what
// comes when it is full is dropped.
type fifo struct {
	items []item
	limit int
}

func (f *fifo) Push(_, _, _ int, it item) bool {
	if len(f.items) >= f.limit {
		return false
	}
	f.items = append(f.items, it)
	return true
}

func (f *fifo) Pop() (item, bool) {
	if len(f.items) == 0 {
		return item{}, false
	}
	first := f.items[0]
	f.items = f.items[1:]
	return first, true
}

func newFair(l ofswitch.FairLimits) *ofswitch.FairQueue[int, int, item] {
	return ofswitch.NewFairQueue[int, int, item](l, nil)
}

// flood has one key push ten items for each of its neighbours', which are served
// at half the rate of all that comes. It returns how many of the neighbours' were
// lost, and the most Pops that one of them waited for.
func flood(q queue, neighbours, rounds int) (lost, waited int) {
	pushed := make(map[item]int) // at which Pop
	pops := 0
	pop := func() bool {
		it, ok := q.Pop()
		if !ok {
			return false
		}
		pops++
		if at, mine := pushed[it]; mine {
			waited = max(waited, pops-at)
			delete(pushed, it)
		}
		return true
	}
	for r := range rounds {
		for i := range 10 * neighbours {
			q.Push(1, 0, 1, item{1, 0, r*10*neighbours + i})
			if i%10 == 5 {
				it := item{1, 1 + i/10, r}
				pushed[it] = pops
				if !q.Push(1, it.key, 1, it) {
					lost++
					delete(pushed, it)
				}
			}
		}
		for range 11 * neighbours / 2 {
			pop()
		}
	}
	for pop() {
	}
	return lost + len(pushed), waited
}

func TestFloodOfOnePortDelaysOthersByItsTurnsOnly(t *testing.T) {
	for _, neighbours := range []int{1, 3, 20} {
		ports := neighbours + 1
		lost, waited := flood(newFair(ofswitch.FairLimits{PerKey: 512, PerGroup: 1024, Total: 4096}), neighbours, 500)
		if lost != 0 || waited > ports {
			t.Errorf("%d neighbours of a flood lost %d packets and waited for %d turns; want none and at most %d", neighbours, lost, waited, ports)
		}
		if lost, waited = flood(&fifo{limit: 1024}, neighbours, 500); lost < neighbours*500/4 || waited < 1000 {
			t.Errorf("%d neighbours without the guard lost %d packets and waited for %d turns; the hazard is not there", neighbours, lost, waited)
		}
	}
}

func TestGroupsAreServedInTurnWhateverTheirKeys(t *testing.T) {
	q := newFair(ofswitch.FairLimits{PerKey: 100, PerGroup: 1000, Total: 10_000})
	for i := range 10 { // group 1 has fifty keys, group 2 one
		for k := range 50 {
			q.Push(1, k, 1, item{1, k, i})
		}
		q.Push(2, 7, 1, item{2, 7, i})
	}
	for i := range 10 {
		a, _ := q.Pop()
		b, _ := q.Pop()
		if a != (item{1, i, 0}) || b != (item{2, 7, i}) {
			t.Fatalf("turn %d: %v, %v; want the first item of a key of group 1, then one of group 2", i, a, b)
		}
	}
	if q.Len() != 490 {
		t.Errorf("Len = %d; want 490", q.Len())
	}
}

func TestBoundCostsTheLongestQueueItsNewest(t *testing.T) {
	limits := ofswitch.FairLimits{PerKey: 6, PerGroup: 10, Total: 14}
	var dropped []item
	q := ofswitch.NewFairQueue(limits, func(_, _ int, it item) { dropped = append(dropped, it) })
	push := func(group, key, n int, want bool, drops ...item) {
		t.Helper()
		dropped = nil
		if got := q.Push(group, key, 1, item{group, key, n}); got != want || !slices.Equal(dropped, drops) {
			t.Errorf("Push(%d, %d, %d) = %v and dropped %v; want %v and %v", group, key, n, got, dropped, want, drops)
		}
	}
	for i := range 6 {
		push(1, 1, i, true)
	}
	push(1, 1, 6, false, item{1, 1, 6}) // its own bound
	for i := range 4 {
		push(1, 2, i, true)
	}
	push(1, 3, 0, true, item{1, 1, 5})  // the group's
	push(1, 2, 4, false, item{1, 2, 4}) // it would be as long as the longest
	for i := range 4 {
		push(2, 1, i, true)
	}
	push(2, 1, 4, true, item{1, 1, 4})  // the total: the longest queue of the largest group
	push(1, 2, 5, false, item{1, 2, 5}) // which is its own
	if q.Len() != 14 {
		t.Errorf("Len = %d; want 14", q.Len())
	}
}

func TestCostIsWhatIsBounded(t *testing.T) {
	q := newFair(ofswitch.FairLimits{PerKey: 64, PerGroup: 100, Total: 1000})
	if q.Push(1, 1, 65, item{}) || !q.Push(1, 1, 33, item{}) || q.Push(1, 1, 33, item{}) || !q.Push(1, 1, 31, item{}) {
		t.Error("a key of at most 64 did not take 33 and 31 and nothing else")
	}
	for range 64 {
		q.Push(1, 2, 1, item{})
	}
	if q.Len() > 2+64 || !q.Push(1, 3, 30, item{}) {
		t.Error("a short queue found no room beside long ones")
	}
}

func TestHeldKeyKeepsItsItemsAndHasNoTurn(t *testing.T) {
	q := newFair(ofswitch.FairLimits{PerKey: 10, PerGroup: 100, Total: 1000})
	want := func(its ...item) {
		t.Helper()
		for _, it := range its {
			if got, ok := q.Pop(); !ok || got != it {
				t.Fatalf("Pop = %v, %v; want %v", got, ok, it)
			}
		}
		if got, ok := q.Pop(); ok {
			t.Fatalf("Pop = %v; want nothing", got)
		}
	}
	q.Push(1, 1, 1, item{1, 1, 0})
	q.Push(1, 2, 1, item{1, 2, 0})
	q.Hold(1, 1)
	q.Hold(1, 1) // once more changes nothing
	q.Hold(2, 9) // before it has anything
	q.Push(1, 1, 1, item{1, 1, 1})
	q.Push(2, 9, 1, item{2, 9, 0})
	want(item{1, 2, 0})
	q.Release(1, 1)
	q.Release(1, 3) // which nobody holds
	want(item{1, 1, 0}, item{1, 1, 1})
	if n := q.Forget(2); n != 1 || q.Len() != 0 {
		t.Errorf("Forget = %d with %d left; want 1 and none", n, q.Len())
	}
	q.Push(2, 9, 1, item{2, 9, 1})
	want(item{2, 9, 1}) // forgotten with its hold
}

// model is a FairQueue as its words have it, without a thought on time.
type model struct {
	limits ofswitch.FairLimits
	groups []*modelGroup // in the order of their turns
}

type modelGroup struct {
	id   int
	keys []*modelKey
}

type modelKey struct {
	id    int
	held  bool
	items []item
	costs []int
}

func sum(costs []int) (n int) {
	for _, c := range costs {
		n += c
	}
	return n
}

func (g *modelGroup) size() (n int) {
	for _, k := range g.keys {
		n += sum(k.costs)
	}
	return n
}

func (m *model) size() (n int) {
	for _, g := range m.groups {
		n += g.size()
	}
	return n
}

// fits reports whether an item may be pushed without any other being dropped.
func (m *model) fits(group, key, cost int) bool {
	g, k := m.find(group, key)
	return sum(k.costs)+cost <= m.limits.PerKey && g.size()+cost <= m.limits.PerGroup && m.size()+cost <= m.limits.Total
}

func (m *model) find(group, key int) (*modelGroup, *modelKey) {
	i := slices.IndexFunc(m.groups, func(g *modelGroup) bool { return g.id == group })
	if i < 0 {
		i = len(m.groups)
		m.groups = append(m.groups, &modelGroup{id: group})
	}
	g := m.groups[i]
	k := slices.IndexFunc(g.keys, func(k *modelKey) bool { return k.id == key })
	if k < 0 {
		k = len(g.keys)
		g.keys = append(g.keys, &modelKey{id: key})
	}
	return g, g.keys[k]
}

func (m *model) served(g *modelGroup) bool {
	return slices.ContainsFunc(g.keys, func(k *modelKey) bool { return !k.held && len(k.items) > 0 })
}

// push adds an item; what has turns from now on has its first at the end.
func (m *model) push(group, key, cost int, it item) {
	g, k := m.find(group, key)
	idle, groupIdle := k.held || len(k.items) == 0, !m.served(g)
	k.items, k.costs = append(k.items, it), append(k.costs, cost)
	m.toEnd(g, k, idle, groupIdle)
}

func (m *model) toEnd(g *modelGroup, k *modelKey, idle, groupIdle bool) {
	if idle && !k.held {
		g.keys = append(slices.DeleteFunc(g.keys, func(o *modelKey) bool { return o == k }), k)
		if groupIdle {
			m.groups = append(slices.DeleteFunc(m.groups, func(o *modelGroup) bool { return o == g }), g)
		}
	}
}

func (m *model) release(group, key int) {
	g, k := m.find(group, key)
	if !k.held {
		return
	}
	groupIdle := !m.served(g)
	k.held = false
	if len(k.items) > 0 {
		m.toEnd(g, k, true, groupIdle)
	}
}

func (m *model) pop() (item, bool) {
	for i, g := range m.groups {
		for j, k := range g.keys {
			if k.held || len(k.items) == 0 {
				continue
			}
			it := k.items[0]
			k.items, k.costs = k.items[1:], k.costs[1:]
			g.keys = append(slices.Delete(g.keys, j, j+1), k)
			m.groups = append(slices.Delete(m.groups, i, i+1), g)
			return it, true
		}
	}
	return item{}, false
}

// drop removes what the queue says that it dropped, and reports whether that was
// the newest of the longest queue, with the item that is about to be pushed.
func (m *model) drop(it item, group, key, cost int) error {
	g, k := m.find(it.group, it.key)
	_, into := m.find(group, key)
	if len(k.items) == 0 || k.items[len(k.items)-1] != it {
		return fmt.Errorf("dropped %v, not the newest of its queue", it)
	}
	size := sum(k.costs)
	for _, o := range g.keys {
		if sum(o.costs) > size {
			return fmt.Errorf("dropped of a queue of %d where one of %d is", size, sum(o.costs))
		}
	}
	if own, _ := m.find(group, key); g != own || own.size()+cost <= m.limits.PerGroup {
		size := g.size()
		if g == own {
			size += cost
		}
		for _, o := range m.groups {
			if o != own && o.size() > size || o == own && o != g && o.size()+cost >= size {
				return fmt.Errorf("dropped of group %d of %d, not the largest", g.id, g.size())
			}
		}
	}
	if g.id == group && size <= sum(into.costs)+cost {
		return fmt.Errorf("dropped of a queue of %d for one of %d", size, sum(into.costs)+cost)
	}
	last := len(k.items) - 1
	k.items, k.costs = k.items[:last], k.costs[:last]
	return nil
}

// FuzzFairQueue compares a FairQueue with the model, operation by operation.
func FuzzFairQueue(f *testing.F) {
	random := rand.New(rand.NewPCG(5, 3))
	for _, n := range []int{10, 300, 4000} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := &model{limits: ofswitch.FairLimits{PerKey: 6, PerGroup: 14, Total: 24}}
		var dropped []item
		q := ofswitch.NewFairQueue(m.limits, func(g, k int, it item) {
			if g != it.group || k != it.key {
				t.Fatalf("%v was dropped as one of %d/%d", it, g, k)
			}
			dropped = append(dropped, it)
		})
		for n, op := range ops {
			group, key, cost := int(op>>4&3), int(op>>2&3), 1+int(op&3)/3*2
			switch {
			case op < 0xa0 && op&3 != 2:
				it := item{group, key, n}
				checkPush(t, q, m, it, cost, &dropped)
			case op >= 0xf8:
				q.Hold(group, key)
				m.find(group, key) // makes it
				_, k := m.find(group, key)
				k.held = true
			case op >= 0xf0:
				q.Release(group, key)
				m.release(group, key)
			case op == 0xef:
				q.Forget(group)
				m.groups = slices.DeleteFunc(m.groups, func(g *modelGroup) bool { return g.id == group })
			default:
				got, ok := q.Pop()
				if want, wantOK := m.pop(); got != want || ok != wantOK {
					t.Fatalf("op %d: Pop = %v, %v; want %v, %v", n, got, ok, want, wantOK)
				}
			}
		}
		for id := range 4 {
			for key := range 4 {
				q.Release(id, key)
				m.release(id, key)
			}
		}
		for left := q.Len(); left > 0; left-- {
			if _, ok := q.Pop(); !ok {
				t.Fatalf("%d items have no turn", left)
			}
		}
		q.CheckEmpty(t)
	})
}

func checkPush(t *testing.T, q *ofswitch.FairQueue[int, int, item], m *model, it item, cost int, dropped *[]item) {
	t.Helper()
	*dropped = nil
	fits := m.fits(it.group, it.key, cost)
	ok := q.Push(it.group, it.key, cost, it)
	drops := *dropped
	if !ok {
		if len(drops) == 0 || drops[len(drops)-1] != it || fits {
			t.Fatalf("Push(%v) = false with %v dropped; fits: %v", it, drops, fits)
		}
		drops = drops[:len(drops)-1]
	}
	if fits && len(drops) > 0 {
		t.Fatalf("Push(%v) dropped %v though there was room", it, drops)
	}
	for _, d := range drops {
		if err := m.drop(d, it.group, it.key, cost); err != nil {
			t.Fatalf("Push(%v): %v", it, err)
		}
	}
	if ok {
		if !m.fits(it.group, it.key, cost) {
			t.Fatalf("Push(%v) = true over a bound", it)
		}
		m.push(it.group, it.key, cost, it)
	}
}

func BenchmarkFairQueue(b *testing.B) {
	for _, ports := range []int{1, 16, 2000} {
		b.Run(fmt.Sprintf("%d ports", ports), func(b *testing.B) {
			q := newFair(ofswitch.FairLimits{PerKey: 512, PerGroup: 4096, Total: 65536})
			for i := range min(8*ports, 4000) {
				q.Push(1, i%ports, 1, item{})
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				q.Push(1, i%ports, 1, item{})
				q.Pop()
			}
		})
	}
}
