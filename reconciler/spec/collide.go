package spec

import (
	"slices"
	"strings"
)

// listener is what listens on ports of hosts: a Tenant's whole listen, an
// Ingress or a Service.
type listener struct {
	at    Pos
	hosts []string
	ports []Port
}

// Protocols that can be listened on, by the index that collider has for each.
const protocols = 3

func protocolIndex(proto string) int {
	return strings.Index("tcp udp sctp", proto) / 4
}

// hostGlob is a pattern of hosts that listeners have.
type hostGlob struct {
	glob
	near  []*hostGlob // with which it may have a name in common, without itself
	spans [protocols]spans
}

// collider finds listeners that take the same port of one host.
type collider struct {
	*check
	globs map[string]*hostGlob
	taken [protocols]portBits // on any host
}

// collisions calls report for each listener that takes what an earlier one has,
// with the index of both. What collides takes nothing. It returns false if there
// is too much to compare.
func (c *check) collisions(all []listener, report func(later, first int)) bool {
	if len(all) < 2 {
		return true
	}
	k := &collider{check: c, globs: make(map[string]*hostGlob)}
	if !k.neighbours(all) {
		return false
	}
	for i := range all {
		first, found, ok := k.taker(&all[i])
		switch {
		case !ok:
			return false
		case found:
			report(i, int(first))
		case !k.take(&all[i], int32(i)):
			return false
		}
	}
	return true
}

// neighbours finds out which patterns may have a name in common. That needs the
// start of one to be the start of the other; in the order of their starts these
// are near each other.
func (c *collider) neighbours(all []listener) bool {
	var globs []*hostGlob
	var at Pos
	for i := range all {
		for _, h := range all[i].hosts {
			if !c.spend(workLookup, all[i].at) {
				return false
			}
			if c.globs[h] == nil {
				g := &hostGlob{glob: parseGlob(h)}
				c.globs[h] = g
				globs = append(globs, g)
			}
		}
		at = all[i].at
	}
	slices.SortStableFunc(globs, func(a, b *hostGlob) int {
		switch {
		case a.prefix != b.prefix:
			return strings.Compare(a.prefix, b.prefix)
		case a.literal == b.literal:
			return 0
		case b.literal:
			return -1
		}
		return 1
	})
	var above []*hostGlob // patterns, the start of each being the start of the next
	for _, g := range globs {
		for len(above) > 0 && !strings.HasPrefix(g.prefix, above[len(above)-1].prefix) {
			above = above[:len(above)-1]
		}
		for _, h := range above {
			cost, mayMeet := workLookup, g.mayEndAs(&h.glob)
			if mayMeet {
				cost = workGlobs + g.cost(&h.glob)
			}
			if !c.spend(cost, at) {
				return false
			}
			if mayMeet && g.intersects(&h.glob) {
				g.near, h.near = append(g.near, h), append(h.near, g)
			}
		}
		if !g.literal {
			above = append(above, g)
		}
	}
	return true
}

// taker returns the earlier listener that has a port of a host of l, or one that
// is near. ok is false if there is too much to compare.
func (c *collider) taker(l *listener) (first int32, found, ok bool) {
	for _, p := range l.ports {
		proto := protocolIndex(p.Proto)
		if !c.taken[proto].hasAny(p) {
			continue
		}
		for _, h := range l.hosts {
			g := c.globs[h]
			if !c.spend(workLookup*(1+len(g.near)), l.at) {
				return 0, false, false
			}
			if first, found := g.spans[proto].overlapping(p.Lo, p.Hi); found {
				return first, true, true
			}
			for _, n := range g.near {
				if first, found := n.spans[proto].overlapping(p.Lo, p.Hi); found {
					return first, true, true
				}
			}
		}
	}
	return 0, false, true
}

// take gives l its ports on its hosts.
func (c *collider) take(l *listener, index int32) bool {
	for _, p := range l.ports {
		proto := protocolIndex(p.Proto)
		c.taken[proto].add(p)
		for _, h := range l.hosts {
			if !c.spend(workSpan, l.at) {
				return false
			}
			s := &c.globs[h].spans[proto]
			if _, found := s.overlapping(p.Lo, p.Hi); !found { // as with a pattern that stands there twice
				s.add(span{p.Lo, p.Hi, index})
			}
		}
	}
	return true
}
