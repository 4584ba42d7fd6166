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
	text  string
	near  []*hostGlob // with which it may have a name in common, without itself
	spans [protocols]spans
}

// collider finds listeners that take the same port of one host.
type collider struct {
	*check
	globs map[string]*hostGlob
	taken [protocols]portBits // on any host
}

// taking is a range of ports on the hosts of a pattern that one listener has.
type taking struct {
	listener int // its index
	port     Port
	host     string
}

// String returns what is taken as a problem's text names it.
func (t taking) String() string { return t.port.String() + " on host " + quote(t.host) }

// collisions calls report for each listener that takes what an earlier one has,
// with what of both collides. What collides takes nothing. It returns false if
// there is too much to compare.
func (c *check) collisions(all []listener, report func(later, first taking)) bool {
	if len(all) < 2 {
		return true
	}
	k := &collider{check: c, globs: make(map[string]*hostGlob)}
	if !k.neighbours(all) {
		return false
	}
	for i := range all {
		later, first, ok := k.taker(&all[i])
		switch {
		case !ok:
			return false
		case first.host != "":
			later.listener = i
			report(later, first)
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
				g := &hostGlob{glob: parseGlob(h), text: h}
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

// taker returns which port of which hosts of l an earlier listener has, on hosts
// of the same pattern or of one that is near, and what that listener has there.
// Without one, the host is "". ok is false if there is too much to compare.
func (c *collider) taker(l *listener) (later, first taking, ok bool) {
	for _, p := range l.ports {
		proto := protocolIndex(p.Proto)
		if !c.taken[proto].hasAny(p) {
			continue
		}
		for _, h := range l.hosts {
			g := c.globs[h]
			if !c.spend(workLookup*(1+len(g.near)), l.at) {
				return taking{}, taking{}, false
			}
			first, found := g.takes(p)
			for i := 0; i < len(g.near) && !found; i++ {
				first, found = g.near[i].takes(p)
			}
			if found {
				return taking{port: p, host: h}, first, true
			}
		}
	}
	return taking{}, taking{}, true
}

// takes returns who has a port of p on the hosts of g.
func (g *hostGlob) takes(p Port) (t taking, found bool) {
	sp, found := g.spans[protocolIndex(p.Proto)].overlapping(p.Lo, p.Hi)
	return taking{int(sp.owner), Port{p.Proto, sp.lo, sp.hi}, g.text}, found
}

// take gives l its ports on its hosts.
func (c *collider) take(l *listener, index int32) bool {
	for _, p := range union(l.ports) {
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
