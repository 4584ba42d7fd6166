package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// maxForbidden bounds how many forbidden keys are remembered.
const maxForbidden = 1 << 16

// forbidden remembers the keys of TCP sessions that a revision cut. Their
// connections still live in the endpoints, whose next packets, without SYN,
// look like those of a session that the switches lost; and such a packet may
// pass as a reply of the opposite session. One that belongs to a forbidden key
// is therefore judged as nothing else. Keys are forgotten after the age of an
// idle connection, or the oldest first when there are too many.
type forbidden struct {
	until map[Key]time.Time
	order []Key // as they came; may hold keys that are no longer in until
}

func newForbidden() *forbidden { return &forbidden{until: make(map[Key]time.Time)} }

func (f *forbidden) add(now time.Time, k Key, age time.Duration) {
	if _, found := f.until[k]; !found {
		f.order = append(f.order, k)
	}
	f.until[k] = now.Add(age)
	for len(f.order) > maxForbidden {
		delete(f.until, f.order[0])
		f.order = f.order[1:]
	}
}

func (f *forbidden) remove(k Key) { delete(f.until, k) }

// has reports whether a key is forbidden at now.
func (f *forbidden) has(now time.Time, k Key) bool {
	until, found := f.until[k]
	if found && !now.Before(until) {
		f.remove(k)
		return false
	}
	return found
}

// ofCutSession denies a TCP packet of a connection whose session was cut, if
// the policy still forbids that session; done is false for any other packet.
func (t *Table) ofCutSession(now time.Time, src *inventory.Endpoint, p Packet) (effects []Effect, done bool) {
	h := &p.Headers
	if h.Proto != packet.TCP || h.Opener() || h.LaterFragment || h.Src != src.IP {
		return nil, false
	}
	dst := t.snap.EndpointByAddr(src.VPC, h.Dst)
	if dst == nil {
		return nil, false
	}
	client, server, k := src, dst, keyOf(src, dst, packet.TCP, h.DstPort)
	if !t.forbidden.has(now, k) {
		client, server, k = dst, src, keyOf(dst, src, packet.TCP, h.SrcPort)
		if !t.forbidden.has(now, k) {
			return nil, false
		}
	}
	d := t.pol.Decide(now, policy.Query{Src: client.Identity, Dst: server.Identity, Proto: packet.TCP, Port: k.Port})
	if d.Verdict == policy.Allow {
		t.forbidden.remove(k)
		return nil, false
	}
	r := admission.Result{Decision: d, Client: client, Server: server, Proto: packet.TCP, Port: k.Port}
	return []Effect{Denied{Packet: p, Result: r, Cut: true}}, true
}
