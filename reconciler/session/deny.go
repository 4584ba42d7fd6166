package session

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// denied reports packets that are not let through, and puts a drop flow before
// those that would follow.
func (t *Table) denied(now time.Time, r *admission.Result, packets []*Packet) []Effect {
	if r.Decision.Reason == policy.ReasonUnknownEndpoint {
		for _, p := range packets {
			t.hold(p)
		}
		return nil
	}
	out := eachDenied(r, packets)
	if d := t.cacheDrop(now, *r, packets[0].request()); d != nil {
		out = append(out, InstallDrop{d})
	}
	return out
}

func eachDenied(r *admission.Result, packets []*Packet) []Effect {
	out := make([]Effect, 0, len(packets))
	for _, p := range packets {
		out = append(out, Denied{Packet: p, Result: *r})
	}
	return out
}

// cacheDrop returns the drop to put into the switch, or nil: a reject is
// answered packet by packet, and what is not one of the protocols that sessions
// carry, or not the sender's own, has no flow to stand for it.
func (t *Table) cacheDrop(now time.Time, r admission.Result, req admission.Request) *Drop {
	h := &req.Headers
	if r.Decision.Verdict != policy.Drop || r.Client == nil || h.LaterFragment {
		return nil
	}
	switch r.Decision.Reason {
	case policy.ReasonSpoofed, policy.ReasonProtocol, policy.ReasonQuota, policy.ReasonWirePorts, policy.ReasonPolicyTimeout:
		return nil
	}
	if !droppable(h) {
		return nil
	}
	d := &Drop{Request: req, Result: r, Expires: now.Add(dropTTL)}
	if !t.keepDrop(d) {
		return nil
	}
	return d
}

// keepDrop numbers a drop and takes note of it, unless it stands already or its
// port has as many as one may have.
func (t *Table) keepDrop(d *Drop) bool {
	k := d.key()
	if t.drops[k] != nil || t.dropsAt[k.at] >= maxDropsPerPort {
		return false
	}
	t.lastID++
	d.ID = t.lastID
	t.drops[k], t.dropIDs[d.ID] = d, true
	t.dropsAt[k.at]++
	return true
}

// droppable reports whether a drop flow may stand for the packet: for a TCP
// segment only if it opens, since others may be replies of a session that the
// switches lost.
func droppable(h *packet.Headers) bool {
	switch h.Proto {
	case packet.TCP:
		return h.Opener()
	case packet.UDP, packet.ICMP:
		return true
	}
	return false
}

func (d *Drop) key() dropKey {
	h := &d.Request.Headers
	k := dropKey{portKey{d.Request.DPID, d.Request.InPort}, h.Src, h.Dst, h.Proto, d.Result.Port, d.AllPorts}
	if d.AllPorts {
		k.port = 0
	}
	return k
}

func (t *Table) forgetDrop(d *Drop) {
	k := d.key()
	delete(t.drops, k)
	delete(t.dropIDs, d.ID)
	if t.dropsAt[k.at]--; t.dropsAt[k.at] == 0 {
		delete(t.dropsAt, k.at)
	}
}

// Dropping reports whether the drop with a number stands in a switch.
func (t *Table) Dropping(id uint32) bool { return t.dropIDs[id] }

// rejudgeDrops takes away the drops that the present policy and inventory would
// not make, and those about which a tenant's Rego must be asked first: their next
// packet asks.
func (t *Table) rejudgeDrops(now time.Time) []Effect {
	var out []Effect
	for _, d := range t.sortedDrops() {
		if d.AllPorts {
			continue // no decision's, and gone in a second
		}
		r := admission.Decide(t.snap, t.pol, now, d.Request)
		if r.Decision.Verdict != policy.Drop || r.Decision.Reason == policy.ReasonPolicyTimeout || r.Client == nil {
			t.forgetDrop(d)
			out = append(out, RemoveDrop{d})
			continue
		}
		d.Result = r
	}
	return out
}

// expireDrops forgets the drops that the switches let go of by now, and takes
// away those that a rule's end makes out of date.
func (t *Table) expireDrops(now time.Time) []Effect {
	var out []Effect
	for _, d := range t.sortedDrops() {
		if d.Result.Decision.Ended(now) {
			out = append(out, RemoveDrop{d})
		} else if now.Before(d.Expires) {
			continue
		}
		t.forgetDrop(d)
	}
	return out
}

func (t *Table) sortedDrops() []*Drop {
	return slices.SortedFunc(maps.Values(t.drops), func(a, b *Drop) int { return cmp.Compare(a.ID, b.ID) })
}
