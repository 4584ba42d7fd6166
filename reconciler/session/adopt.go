package session

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Disowned reports whether a session with a cookie was adopted and has ended
// since: whatever bears it is nobody's.
func (t *Table) Disowned(cookie uint64) bool { return t.disowned[cookie] }

// Claim is what a forward flow at a client's port says of the lane that an
// earlier controller made it for. Nothing of it is believed before it agrees with
// the inventory.
type Claim struct {
	Cookie         uint64
	DPID           uint64
	ClientPort     uint32 // of the switch
	Client, Server netip.Addr
	Proto          packet.Proto
	Port           uint16 // the server's, for ICMP the type
	Set            PortSet

	ServerPort uint32     // on one host: the server's port of the switch
	ServerHost netip.Addr // between hosts: the other's underlay address
	Label      uint16     // and what stands for the session there

	Count Count
	Age   time.Duration // of the flow
}

// Adoption is what became of claims.
type Adoption struct {
	Adopted []*Session      // live now, in the order of their claims
	Later   map[uint64]bool // cookies whose server's host has not reported yet
}

// Adopt takes over the sessions that an earlier controller left in a client's
// switch: those whose ends are where the flows say, whose label nobody else has,
// and which the policy allows. A session that it forbids is cut, as by a new
// revision. What is neither adopted nor to be asked again is nobody's: its flows
// are to be deleted. Snapshot and policy must be there (Revised).
func (t *Table) Adopt(now time.Time, claims []Claim) (Adoption, []Effect) {
	a := Adoption{Later: make(map[uint64]bool)}
	for i := range claims {
		c := &claims[i]
		if t.disowned[c.Cookie] {
			continue
		}
		client, server, later := t.endsOf(c)
		if later {
			a.Later[c.Cookie] = true
			continue
		}
		if server == nil || !c.plausible() {
			continue
		}
		if s, fresh := t.adoptLane(now, c, client, server); fresh {
			a.Adopted = append(a.Adopted, s)
		}
	}
	var out []Effect
	live := a.Adopted[:0]
	for _, s := range a.Adopted {
		s.Decision = t.shared(t.pol.Decide(now, s.query()))
		if s.Decision.Verdict == policy.Allow {
			t.watch(s)
			live = append(live, s)
			continue
		}
		t.forbid(now, s)
		out = append(out, t.cut(now, s, EndPolicy)...)
	}
	a.Adopted = live
	return a, out
}

// endsOf returns the endpoints that a claim speaks of, nil where they are not
// where it says; later is set while the server's host is not known.
func (t *Table) endsOf(c *Claim) (client, server *inventory.Endpoint, later bool) {
	client = t.snap.EndpointAt(c.DPID, c.ClientPort)
	if client == nil || client.IP != c.Client {
		return nil, nil, false
	}
	host := client.Host
	if c.ServerHost.IsValid() {
		if host = t.snap.HostByUnderlay(c.ServerHost); host == nil {
			return client, nil, true
		}
	}
	server = t.snap.EndpointSeen(client, c.Server)
	if server == nil || server.Host != host || (host == client.Host && server.Port != c.ServerPort) {
		return client, nil, false
	}
	return client, server, false
}

// plausible reports whether a claim is of a lane as addLane makes them.
func (c *Claim) plausible() bool {
	wire := c.ServerHost.IsValid()
	switch c.Proto {
	case packet.ICMP:
		return c.Port == admission.EchoRequest && c.Set == AnyPort && (c.Label <= 255) && (c.Label != 0) == wire
	case packet.TCP, packet.UDP:
		single := c.Set.Mask == 0xffff
		if !wire {
			return single || c.Set == AnyPort
		}
		return single || c.Set == HighHalf || c.Set == LowHalf
	}
	return false
}

// adoptLane adds a claim's lane to the session of its cookie, making it if this
// is the first; fresh then. Nil if another session has the key or the label.
func (t *Table) adoptLane(now time.Time, c *Claim, client, server *inventory.Endpoint) (s *Session, fresh bool) {
	k := keyOf(client, server, c.Proto, c.Port)
	s = t.byID.get(c.Cookie)
	if s == nil && t.between(client, server, c.Proto, c.Port) == nil {
		s, fresh = t.addAdopted(now, k, c, client, server), true
	}
	if s == nil || s.Key() != k || s.laneOfSet(c.Set) != nil || !t.roomFor(s) || !t.claimLabel(s, c) {
		if fresh {
			t.forget(s)
		}
		return nil, false
	}
	if c.Set.Mask == 0xffff {
		s.Granularity = spec.PerConnection
	}
	l := newLane(now, s, c.Set, wireLabel(c.Label))
	l.opened, l.Forward = l.opened-age(c.Age), c.Count
	l.seen[0].forward = c.Count.Packets
	t.putLane(s, l)
	t.watch(s)
	return s, fresh
}

func (t *Table) addAdopted(now time.Time, k Key, c *Claim, client, server *inventory.Endpoint) *Session {
	s := &Session{
		ID: c.Cookie, Client: client, Server: server, Proto: k.Proto, Port: k.Port, Opened: now.Add(-c.Age), Adopted: now,
		Bridged: bridged(client, server), Decision: new(policy.Decision), // until it is judged
	}
	vpc := t.snap.Net.VPCs[client.VPC]
	s.Granularity, s.idle = granularity(vpc, k.Proto), idleAge(vpc, k.Proto, k.Port)
	t.enter(s)
	return s
}

// claimLabel gives a session the label that it has in the switches, unless that
// is another's, out of the range, or not the one of its other lanes.
func (t *Table) claimLabel(s *Session, c *Claim) bool {
	if !s.CrossHost() {
		return true
	}
	have := &s.high
	if s.Proto != packet.ICMP && c.Set.Value < 0x8000 {
		have = &s.low
	}
	label := wireLabel(c.Label)
	if *have != 0 {
		return *have == label
	}
	if !t.labels.claim(s.pair(), label, s) {
		return false
	}
	*have = label
	return true
}
