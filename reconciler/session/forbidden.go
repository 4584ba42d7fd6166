package session

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// maxForbidden bounds how many forbidden keys are remembered.
const maxForbidden = 1 << 16

// forbidden remembers the keys of TCP sessions that a revision cut, or somebody. Their
// connections still live in the endpoints, whose next packets, without SYN,
// look like those of a session that the switches lost; and such a packet may
// pass as a reply of the opposite session. One that belongs to a forbidden key
// is therefore judged as nothing else. Keys are forgotten after the age of an
// idle connection, or the oldest first when there are too many.
//
// A session may have been cut because the Peering between its VPCs went away:
// then its ends cannot be found by each other's address any more. So keys are
// found by what one end's packets show.
type forbidden struct {
	until map[Key]time.Time
	order []Key // as they came; may hold keys that are no longer in until
	seen  map[sight]Key

	killed map[Key]bool // those of until that are over whatever the policy says
}

// sight is what the packets of one end of a connection show of its session. Two
// keys share one only if a VPC came to be joined with another that has the same
// addresses: then the newer one has it.
type sight struct {
	self   inventory.AddrKey
	other  netip.Addr
	port   uint16 // the server's
	server bool   // self is the server
}

func (k Key) sights() [2]sight {
	return [2]sight{
		{self: k.Client, other: k.Server.IP, port: k.Port},
		{self: k.Server, other: k.Client.IP, port: k.Port, server: true},
	}
}

func newForbidden() *forbidden {
	return &forbidden{until: make(map[Key]time.Time), seen: make(map[sight]Key), killed: make(map[Key]bool)}
}

func (f *forbidden) add(now time.Time, k Key, age time.Duration) {
	if _, found := f.until[k]; !found {
		f.order = append(f.order, k)
	}
	f.until[k] = now.Add(age)
	delete(f.killed, k)
	for _, v := range k.sights() {
		f.seen[v] = k
	}
	for len(f.order) > maxForbidden {
		f.remove(f.order[0])
		f.order = f.order[1:]
	}
}

func (f *forbidden) remove(k Key) {
	delete(f.until, k)
	delete(f.killed, k)
	for _, v := range k.sights() {
		if f.seen[v] == k {
			delete(f.seen, v)
		}
	}
}

// forbid remembers a session that is cut because the policy forbids it.
func (t *Table) forbid(now time.Time, s *Session) {
	if s.Proto == packet.TCP {
		t.forbidden.add(now, s.Key(), s.idle)
	}
}

// find returns the forbidden key that an endpoint's TCP packet belongs to.
func (f *forbidden) find(now time.Time, src *inventory.Endpoint, h *packet.Headers) (Key, bool) {
	self := inventory.AddrKey{VPC: src.VPC, IP: src.IP}
	for _, v := range [2]sight{
		{self: self, other: h.Dst, port: h.DstPort},
		{self: self, other: h.Dst, port: h.SrcPort, server: true},
	} {
		k, found := f.seen[v]
		if !found {
			continue
		}
		if now.Before(f.until[k]) {
			return k, true
		}
		f.remove(k)
	}
	return Key{}, false
}

// ofCutSession denies a TCP packet of a connection whose session was cut, if
// the policy still forbids that session; done is false for any other packet.
func (t *Table) ofCutSession(now time.Time, src *inventory.Endpoint, p *Packet) (effects []Effect, done bool) {
	h := &p.Headers
	if h.Proto != packet.TCP || h.Opener() || h.LaterFragment || h.Src != src.IP || h.EthSrc != src.MAC || h.VLAN != 0 {
		return nil, false
	}
	k, found := t.forbidden.find(now, src, h)
	if !found {
		return nil, false
	}
	client := t.snap.EndpointByAddr(k.Client.VPC, k.Client.IP)
	server := t.snap.EndpointByAddr(k.Server.VPC, k.Server.IP)
	if client == nil || server == nil {
		return nil, false
	}
	d := admission.Between(t.pol, now, client, server, packet.TCP, k.Port)
	if d.Verdict == policy.Allow && !t.forbidden.killed[k] {
		t.forbidden.remove(k)
		return nil, false
	}
	if d.Verdict == policy.Allow {
		d = policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonKilled, Revision: d.Revision}
	}
	r := admission.Result{Decision: d, Client: client, Server: server, Proto: packet.TCP, Port: k.Port}
	return []Effect{Denied{Packet: p, Result: r, Cut: true}}, true
}
