package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ipam"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// leaseAsked gives an endpoint its address, or says why not. Before there is a
// revision the answer waits a little: this controller may have started just now.
func (e *Engine) leaseAsked(now time.Time, ev LeaseAsked) []Effect {
	if e.pol == nil && len(e.early) < maxEarly {
		e.early = append(e.early, early{ev, now})
		return nil
	}
	return e.answerLease(now, ev)
}

func (e *Engine) answerLease(now time.Time, ev LeaseAsked) []Effect {
	ip, err := e.lease(now, ev)
	vpc := spec.MakeVPCID(ev.Tenant, ev.VPC)
	if err != nil {
		given := LeaseGiven{Conn: ev.Conn, ID: ev.ID, Err: err.Error()}
		var no *inventory.NotGivenError
		if !errors.As(err, &no) {
			return []Effect{given}
		}
		refusal := inventory.Refusal{Host: ev.Host, Ref: inventory.EndpointRef{VPC: vpc, Name: ev.Name}, Text: err.Error()}
		return []Effect{EndpointRefused{refusal, 1}, given}
	}
	given := LeaseGiven{Conn: ev.Conn, ID: ev.ID, IP: ip, MAC: packet.MAC(ipam.MAC(string(vpc), ip))}
	if ev.Hold {
		return []Effect{given}
	}
	return []Effect{SaveLeases{e.cloneLeases()}, given}
}

func (e *Engine) lease(now time.Time, ev LeaseAsked) (netip.Addr, error) {
	if e.pol == nil {
		return netip.Addr{}, fmt.Errorf("the controller has no valid revision yet; see daolictl status")
	}
	sub, err := e.snap.MayClaim(ev.Host, ev.Tenant, ev.VPC, ev.Subnet)
	if err != nil {
		return netip.Addr{}, err
	}
	vpc := spec.MakeVPCID(ev.Tenant, ev.VPC)
	if o := e.snap.EndpointByName(inventory.EndpointRef{VPC: vpc, Name: ev.Name}); o != nil && o.Host.Name != ev.Host {
		return netip.Addr{}, fmt.Errorf("name %q is taken in vpc %q by an endpoint on host %q", ev.Name, vpc, o.Host.Name)
	}
	if other := e.claimed(vpc, ev.Name, ev.Host); other != "" {
		return netip.Addr{}, fmt.Errorf("name %q is taken in vpc %q by an endpoint that comes on host %q", ev.Name, vpc, other)
	}
	holder := holderOf(vpc, ev.Name, ev.Host)
	taken := e.leasesWithSeen(vpc)
	if l, found := taken[ev.IP]; found && !l.Released.IsZero() && (ev.Hold || strings.HasPrefix(l.Holder, holderOf(vpc, ev.Name, ""))) {
		taken[ev.IP] = ipam.Lease{Holder: holder} // it moved here with its address, which need not rest
	}
	held := e.holds[vpc][ev.IP]
	takesOver := ev.Held != "" && e.holds.end(vpc, ev.IP, holderOf(vpc, ev.Held, ev.Host))
	if l, found := taken[ev.IP]; found && ev.Held != "" && l.Holder == holderOf(vpc, ev.Held, ev.Host) {
		taken[ev.IP] = ipam.Lease{Holder: holder} // the endpoint has another name now, or could not have that one
	}
	e.holds.overlay(now, vpc, taken)
	vip := func(a netip.Addr) bool { return e.snap.ServiceAt(vpc, a) != nil }
	ip, err := ipam.Pick(sub.CIDR, vip, taken, ipam.Request{Holder: holder, IP: ev.IP}, now)
	if err != nil {
		if takesOver {
			e.holds.add(vpc, ev.IP, held) // another name may get it
		}
		return netip.Addr{}, err
	}
	if ev.Hold {
		e.holds.add(vpc, ip, hold{holder, now})
		return ip, nil
	}
	if e.leases[vpc] == nil {
		e.leases[vpc] = make(map[netip.Addr]ipam.Lease)
	}
	e.leases[vpc][ip] = ipam.Lease{Holder: holder}
	return ip, nil
}

// claimed returns the other host that got an address for an endpoint of that name
// and has not reported it yet, or "". Of two that ask at the same moment the first
// has the name: else both would attach, and one would be cut when it is reported.
// A host that is gone for good claims nothing.
func (e *Engine) claimed(vpc spec.VPCID, name, host string) string {
	prefix := holderOf(vpc, name, "")
	for _, l := range e.leases[vpc] {
		if other, ok := strings.CutPrefix(l.Holder, prefix); ok && l.Released.IsZero() && other != host && e.snap.Host(other) != nil {
			return other
		}
	}
	return ""
}

// leasesWithSeen is a VPC's leases, with the addresses of endpoints that are
// seen without one: those were there before the leases were lost.
func (e *Engine) leasesWithSeen(vpc spec.VPCID) map[netip.Addr]ipam.Lease {
	all := maps.Clone(e.leases[vpc])
	if all == nil {
		all = make(map[netip.Addr]ipam.Lease)
	}
	for _, ep := range e.snap.Endpoints() {
		if ep.VPC == vpc {
			if l, found := all[ep.IP]; !found || !l.Released.IsZero() {
				all[ep.IP] = ipam.Lease{Holder: holderOf(vpc, ep.Name, ep.Host.Name)}
			}
		}
	}
	return all
}

func holderOf(vpc spec.VPCID, name, host string) string {
	return fmt.Sprintf("%s/%s@%s", vpc, name, host)
}

// leaseReleased starts an address's rest; only its holder may give it back.
func (e *Engine) leaseReleased(now time.Time, ev LeaseReleased) []Effect {
	if e.holds.end(ev.VPC, ev.IP, holderOf(ev.VPC, ev.Name, ev.Host)) {
		return nil
	}
	l, found := e.leases[ev.VPC][ev.IP]
	if !found || l.Holder != holderOf(ev.VPC, ev.Name, ev.Host) || !l.Released.IsZero() {
		return nil
	}
	l.Released = now
	e.leases[ev.VPC][ev.IP] = l
	for ip, o := range e.leases[ev.VPC] {
		if !o.Released.IsZero() && now.Sub(o.Released) > ipam.Rest {
			delete(e.leases[ev.VPC], ip)
		}
	}
	return []Effect{SaveLeases{e.cloneLeases()}}
}

// reconcileLeases compares the addresses that a host holds with what it reports:
// one whose endpoint it has not was given back while nobody listened, and rests
// from now; one whose endpoint it has does not rest, whatever was thought before.
func (e *Engine) reconcileLeases(now time.Time, r *inventory.HostReport) []Effect {
	has := make(map[spec.VPCID]map[netip.Addr]string)
	for i := range r.Endpoints {
		ep := &r.Endpoints[i]
		if has[ep.VPCID()] == nil {
			has[ep.VPCID()] = make(map[netip.Addr]string)
		}
		has[ep.VPCID()][ep.IP] = holderOf(ep.VPCID(), ep.Name, r.Name)
	}
	changed := false
	for vpc, leases := range e.leases {
		for ip, l := range leases {
			if !strings.HasSuffix(l.Holder, "@"+r.Name) {
				continue
			}
			switch held := has[vpc][ip] == l.Holder; {
			case held && !l.Released.IsZero():
				l.Released = time.Time{}
			case !held && l.Released.IsZero():
				l.Released = now
			default:
				continue
			}
			leases[ip], changed = l, true
		}
	}
	if !changed {
		return nil
	}
	return []Effect{SaveLeases{e.cloneLeases()}}
}

// maxEarly bounds the questions for addresses that wait for the first revision,
// earlyWait how long they do.
const (
	maxEarly  = 256
	earlyWait = 5 * time.Second
)

// early is a question for an address that came before the first revision.
type early struct {
	ev LeaseAsked
	at time.Time
}

// answerEarly answers the questions that waited for the first revision, or have
// waited for it in vain.
func (e *Engine) answerEarly(now time.Time) []Effect {
	var out []Effect
	waiting := e.early
	e.early = nil
	for _, q := range waiting {
		if e.pol == nil && now.Sub(q.at) < earlyWait {
			e.early = append(e.early, q)
			continue
		}
		out = append(out, e.answerLease(now, q.ev)...)
	}
	return out
}

func (e *Engine) cloneLeases() Leases {
	out := make(Leases, len(e.leases))
	for vpc, l := range e.leases {
		out[vpc] = maps.Clone(l)
	}
	return out
}
