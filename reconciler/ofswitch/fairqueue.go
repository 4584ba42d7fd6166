package ofswitch

import "container/heap"

// FairQueue is a bounded queue in which nobody can take the turns of others.
// Items belong to a key of a group, such as a port of a switch; the same key in
// two groups is two keys. Groups are served in turn, and in each of them its keys:
//
//	Pop ──► group 1 ──► key a: oldest ... newest
//	   │           └──► key b: oldest ... newest
//	   └──► group 2 ──► ...
//
// So a key's oldest item is served within as many Pops as there are groups times
// keys of its group that have items. An item that exceeds a bound costs the longest
// queue its newest item, which is the new one itself if its queue would be the
// longest. What a FairQueue keeps is bounded by its limits and by the keys on hold.
//
// It is not safe for concurrent use.
type FairQueue[G, K comparable, T any] struct {
	limits  FairLimits
	dropped func(g G, k K, item T)
	root    *fairNode[G, K, T] // its children are the groups
	groups  map[G]*fairNode[G, K, T]
	keys    map[fairKey[G, K]]*fairNode[G, K, T]
	spare   []*fairNode[G, K, T] // of keys, to be used again
	items   int
}

// FairLimits bound a FairQueue. Their unit is the cost with which items come.
type FairLimits struct {
	PerKey, PerGroup, Total int
}

type fairKey[G, K comparable] struct {
	group G
	key   K
}

// fairNode is the root, a group or a key.
type fairNode[G, K comparable, T any] struct {
	id     fairKey[G, K]
	parent *fairNode[G, K, T] // nil: the root
	size   int                // cost of all items below

	turn       *fairNode[G, K, T]    // child to be served next; nil: none can be
	next, prev *fairNode[G, K, T]    // ring of the parent's children that can be served; nil: not in it
	pos        int                   // in the parent's children
	children   fairChildren[G, K, T] // all of them, a heap, the largest first

	// Of a key: its items are queue[head:].
	queue []fairItem[T]
	head  int
	held  bool
}

type fairItem[T any] struct {
	item T
	cost int
}

// maxSpare and maxSpareItems bound the nodes that are kept to be used again, and
// the room in each.
const (
	maxSpare      = 64
	maxSpareItems = 64
)

// NewFairQueue returns an empty queue. Each item that a bound costs is given to
// dropped, unless that is nil; it must not call the queue.
func NewFairQueue[G, K comparable, T any](limits FairLimits, dropped func(g G, k K, item T)) *FairQueue[G, K, T] {
	if dropped == nil {
		dropped = func(G, K, T) {}
	}
	return &FairQueue[G, K, T]{
		limits: limits, dropped: dropped, root: new(fairNode[G, K, T]),
		groups: make(map[G]*fairNode[G, K, T]), keys: make(map[fairKey[G, K]]*fairNode[G, K, T]),
	}
}

// Len is the number of items, those on hold among them.
func (q *FairQueue[G, K, T]) Len() int { return q.items }

// Push adds an item of a cost of at least 1, and reports whether it found room.
func (q *FairQueue[G, K, T]) Push(g G, k K, cost int, item T) bool {
	n := q.reserve(g, k, cost)
	if n == nil {
		q.dropped(g, k, item)
		return false
	}
	q.put(n, cost, item)
	return true
}

// Pop removes the item whose turn it is; false when there is none.
func (q *FairQueue[G, K, T]) Pop() (item T, ok bool) {
	n := q.root
	if n.turn == nil {
		return item, false
	}
	for n.turn != nil {
		child := n.turn
		n.turn = child.next
		n = child
	}
	first := n.queue[n.head]
	n.queue[n.head] = fairItem[T]{}
	n.head++
	q.took(n, first.cost)
	return first.item, true
}

// Hold takes a key's turns away until Release. Its items stay, and more may come.
func (q *FairQueue[G, K, T]) Hold(g G, k K) {
	n := q.open(g, k)
	n.held = true
	n.leaveRing()
}

// Release gives a key its turns again.
func (q *FairQueue[G, K, T]) Release(g G, k K) {
	n := q.keys[fairKey[G, K]{g, k}]
	if n == nil || !n.held {
		return
	}
	n.held = false
	if n.len() > 0 {
		n.joinRing()
	}
	q.tidy(n)
}

// Forget removes all that belongs to a group, its holds among it, and returns how
// many items that were.
func (q *FairQueue[G, K, T]) Forget(g G) int {
	before := q.items
	for group := q.groups[g]; group != nil && len(group.children) > 0; {
		n := group.children[0]
		q.items -= n.len()
		n.resize(-n.size)
		n.leaveRing()
		n.queue, n.head, n.held = nil, 0, false
		q.tidy(n)
	}
	return before - q.items
}

// reserve returns the key's node when there is room for an item of this cost,
// which it may have made by dropping others. Without room it returns nil.
func (q *FairQueue[G, K, T]) reserve(g G, k K, cost int) *fairNode[G, K, T] {
	n := q.open(g, k)
	group := n.parent
	fits := n.size+cost <= q.limits.PerKey
	for fits && group.size+cost > q.limits.PerGroup {
		fits = q.shed(group, n, cost)
	}
	for fits && q.root.size+cost > q.limits.Total {
		largest := q.root.children[0]
		if largest.size <= group.size+cost {
			largest = group
		}
		fits = q.shed(largest, n, cost)
	}
	if !fits {
		q.tidy(n)
		return nil
	}
	return n
}

// shed drops the newest item of the longest queue of a group; false if that would
// be the item of this cost that n is about to get.
func (q *FairQueue[G, K, T]) shed(group, n *fairNode[G, K, T], cost int) bool {
	longest := group.children[0]
	if group == n.parent && longest.size <= n.size+cost {
		return false
	}
	last := len(longest.queue) - 1
	newest, id := longest.queue[last], longest.id
	longest.queue[last] = fairItem[T]{}
	longest.queue = longest.queue[:last]
	q.took(longest, newest.cost)
	q.dropped(id.group, id.key, newest.item)
	return true
}

// put adds an item to a node that reserve returned.
func (q *FairQueue[G, K, T]) put(n *fairNode[G, K, T], cost int, item T) {
	if len(n.queue) == cap(n.queue) && n.head > len(n.queue)/2 {
		live := copy(n.queue, n.queue[n.head:])
		clear(n.queue[live:])
		n.queue, n.head = n.queue[:live], 0
	}
	n.queue = append(n.queue, fairItem[T]{item, cost})
	q.items++
	n.resize(cost)
	if !n.held && n.next == nil {
		n.joinRing()
	}
}

// took accounts for an item of this cost that was removed from n.
func (q *FairQueue[G, K, T]) took(n *fairNode[G, K, T], cost int) {
	q.items--
	n.resize(-cost)
	if n.len() == 0 {
		n.queue, n.head = n.queue[:0], 0
		n.leaveRing()
		q.tidy(n)
	}
}

// open returns the node of a key, a new one if it has none.
func (q *FairQueue[G, K, T]) open(g G, k K) *fairNode[G, K, T] {
	id := fairKey[G, K]{g, k}
	if n := q.keys[id]; n != nil {
		return n
	}
	group := q.groups[g]
	if group == nil {
		group = &fairNode[G, K, T]{id: fairKey[G, K]{group: g}, parent: q.root}
		q.groups[g] = group
		heap.Push(&q.root.children, group)
	}
	var n *fairNode[G, K, T]
	if last := len(q.spare) - 1; last >= 0 {
		n, q.spare = q.spare[last], q.spare[:last]
	} else {
		n = new(fairNode[G, K, T])
	}
	n.id, n.parent = id, group
	q.keys[id] = n
	heap.Push(&group.children, n)
	return n
}

// tidy removes the node of a key that has nothing and is not on hold, and its
// group's with it if that was the last.
func (q *FairQueue[G, K, T]) tidy(n *fairNode[G, K, T]) {
	if n.len() > 0 || n.held {
		return
	}
	group := n.parent
	heap.Remove(&group.children, n.pos)
	delete(q.keys, n.id)
	if len(q.spare) < maxSpare && cap(n.queue) <= maxSpareItems {
		q.spare = append(q.spare, n)
	}
	if len(group.children) == 0 {
		heap.Remove(&q.root.children, group.pos)
		delete(q.groups, group.id.group)
	}
}

func (n *fairNode[G, K, T]) len() int { return len(n.queue) - n.head }

// resize changes the cost of what n and all above it hold.
func (n *fairNode[G, K, T]) resize(by int) {
	for ; n.parent != nil; n = n.parent {
		n.size += by
		heap.Fix(&n.parent.children, n.pos)
	}
	n.size += by
}

// joinRing gives n turns: its first comes when all others had theirs.
func (n *fairNode[G, K, T]) joinRing() {
	for ; n.parent != nil; n = n.parent {
		first := n.parent.turn
		if first != nil {
			n.next, n.prev = first, first.prev
			n.prev.next, n.next.prev = n, n
			return
		}
		n.next, n.prev = n, n
		n.parent.turn = n
	}
}

// leaveRing takes n's turns away, if it has any.
func (n *fairNode[G, K, T]) leaveRing() {
	for ; n.parent != nil && n.next != nil; n = n.parent {
		p, after := n.parent, n.next
		n.prev.next, after.prev = after, n.prev
		n.next, n.prev = nil, nil
		if after != n {
			if p.turn == n {
				p.turn = after
			}
			return
		}
		p.turn = nil
	}
}

// fairChildren is a heap by size.
type fairChildren[G, K comparable, T any] []*fairNode[G, K, T]

func (c fairChildren[G, K, T]) Len() int           { return len(c) }
func (c fairChildren[G, K, T]) Less(i, j int) bool { return c[i].size > c[j].size }
func (c fairChildren[G, K, T]) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].pos, c[j].pos = i, j
}

// Push is for package heap.
func (c *fairChildren[G, K, T]) Push(x any) {
	n := x.(*fairNode[G, K, T])
	n.pos = len(*c)
	*c = append(*c, n)
}

// Pop is for package heap.
func (c *fairChildren[G, K, T]) Pop() any {
	last := len(*c) - 1
	n := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return n
}
