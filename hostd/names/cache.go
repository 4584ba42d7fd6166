package names

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

// How long the controller's answers are believed, and how many are kept of each
// VPC: no VPC takes another's room, and names that don't exist none from those
// that do.
const (
	freshFor   = 2 * time.Second
	absentFor  = time.Second // of a name that may come to be any moment
	staleFor   = time.Hour   // while no controller answers
	maxPresent = 1024
	maxAbsent  = 1024
	maxZones   = 256

	// unsettledFor is how long after it was connected a controller may not know yet
	// what is there: its other hosts may not have reported.
	unsettledFor = 10 * time.Second
)

// key is a name as a VPC sees it.
type key struct{ vpc, name string }

// cache keeps the controller's answers. Its methods may be called from any
// goroutine.
type cache struct {
	mu   sync.Mutex // guards vpcs and all below
	vpcs map[string]*shelf
}

// shelf is the cache of one VPC.
type shelf struct {
	present lru             // names of ours that exist
	absent  lru             // all others
	zones   map[string]bool // that names of ours were in
}

type lru struct {
	max   int
	order list.List // of *entry, last used first
	by    map[string]*list.Element
}

type entry struct {
	name   string
	answer Answer
	at     time.Time
}

// get returns what is kept of a name, if it is not older than staleFor, and
// whether it is still fresh.
func (c *cache) get(now time.Time, k key) (a Answer, fresh, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.vpcs[k.vpc]
	if s == nil {
		return Answer{}, false, false
	}
	for _, l := range []*lru{&s.present, &s.absent} {
		el := l.by[k.name]
		if el == nil {
			continue
		}
		e := el.Value.(*entry)
		age := now.Sub(e.at) // less than 0: it came since the asker took the time
		if age > staleFor {
			l.remove(el)
			continue
		}
		l.order.MoveToFront(el)
		limit := absentFor
		if l == &s.present || !e.answer.Ours {
			limit = freshFor
		}
		return e.answer, age <= limit, true
	}
	return Answer{}, false, false
}

// put keeps an answer in the place of an older one.
func (c *cache) put(now time.Time, k key, a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.vpcs[k.vpc]
	if s == nil {
		s = &shelf{present: newLRU(maxPresent), absent: newLRU(maxAbsent), zones: map[string]bool{}}
		if c.vpcs == nil {
			c.vpcs = map[string]*shelf{}
		}
		c.vpcs[k.vpc] = s
	}
	to, other := &s.absent, &s.present
	if a.exists() {
		to, other = other, to
	}
	if el := other.by[k.name]; el != nil {
		other.remove(el)
	}
	to.put(&entry{k.name, a, now})
	if z := zone(k.name); a.Ours && z != "" && len(s.zones) < maxZones {
		s.zones[z] = true
	}
}

// inZone reports whether a name lies where one of ours was.
func (c *cache) inZone(k key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.vpcs[k.vpc]
	return s != nil && s.zones[zone(k.name)]
}

// zone is a name without its first label.
func zone(name string) string {
	_, z, _ := strings.Cut(name, ".")
	return z
}

// keep forgets all VPCs but these.
func (c *cache) keep(vpcs map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for v := range c.vpcs {
		if !vpcs[v] {
			delete(c.vpcs, v)
		}
	}
}

func newLRU(limit int) lru { return lru{max: limit, by: map[string]*list.Element{}} }

func (l *lru) put(e *entry) {
	if el := l.by[e.name]; el != nil {
		el.Value = e
		l.order.MoveToFront(el)
		return
	}
	if len(l.by) >= l.max {
		l.remove(l.order.Back())
	}
	l.by[e.name] = l.order.PushFront(e)
}

func (l *lru) remove(el *list.Element) {
	delete(l.by, el.Value.(*entry).name)
	l.order.Remove(el)
}
