// Package ipam picks addresses for endpoints: (pool, leases, request) -> address
// or reason. It depends only on its arguments; who calls it keeps the leases.
package ipam

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

// Rest is how long an address rests after its release before another holder
// gets it, so that sessions and caches that name it are gone by then.
const Rest = 60 * time.Second

// Lease is one address that is held or was.
type Lease struct {
	Holder   string    // tenant/vpc/name@host
	Released time.Time // zero: held
}

// Request asks for an address for Holder.
type Request struct {
	Holder string
	IP     netip.Addr // invalid: any
}

// Reason says why there is no address.
type Reason uint8

// Reasons.
const (
	_          Reason = iota
	OutOfPool         // the wanted address lies outside the pool
	Reserved          // it is the network's, the broadcast's, the gateway's, or kept for a virtual IP
	Held              // another endpoint has it
	Resting           // another endpoint had it until a moment ago
	Exhausted         // every address of the pool is reserved, held or resting
	Unsuitable        // the pool is no IPv4 prefix
)

var reasonTexts = [...]string{
	OutOfPool:  "is outside the subnet",
	Reserved:   "is reserved",
	Held:       "is held by",
	Resting:    "rests after its release by",
	Exhausted:  "has no free address",
	Unsuitable: "is no IPv4 subnet",
}

// String returns the reason as the end of a sentence about an address or pool.
func (r Reason) String() string {
	if int(r) < len(reasonTexts) && reasonTexts[r] != "" {
		return reasonTexts[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}

// Error is why Pick gave no address.
type Error struct {
	Reason Reason
	Pool   netip.Prefix
	IP     netip.Addr    // the wanted one; invalid for Exhausted and Unsuitable
	Holder string        // of Held and Resting
	Wait   time.Duration // Resting, Exhausted: how long until one is free; 0: unknown
}

// Error says what is wrong and the way out.
func (e *Error) Error() string {
	switch e.Reason {
	case Exhausted:
		if e.Wait > 0 {
			return fmt.Sprintf("subnet %s %s; the next one is free in %s", e.Pool, e.Reason, e.Wait.Round(time.Second))
		}
		return fmt.Sprintf("subnet %s %s", e.Pool, e.Reason)
	case Unsuitable:
		return fmt.Sprintf("%s %s", e.Pool, e.Reason)
	case Held:
		return fmt.Sprintf("address %s %s %s", e.IP, e.Reason, e.Holder)
	case Resting:
		return fmt.Sprintf("address %s %s %s for another %s", e.IP, e.Reason, e.Holder, e.Wait.Round(time.Second))
	case OutOfPool:
		return fmt.Sprintf("address %s %s %s", e.IP, e.Reason, e.Pool)
	}
	return fmt.Sprintf("address %s of subnet %s %s", e.IP, e.Pool, e.Reason)
}

// Pick returns the address that req's holder gets of pool: the one it asks for,
// else the one it holds or held already, else the lowest free one. The network,
// broadcast and first (gateway) addresses, what reserved reports, and what
// others hold or released less than Rest before now are not free. Leases of
// addresses outside pool don't matter. Errors are *Error.
func Pick(pool netip.Prefix, reserved func(netip.Addr) bool, leases map[netip.Addr]Lease, req Request, now time.Time) (netip.Addr, error) {
	if !pool.IsValid() || !pool.Addr().Is4() {
		return netip.Addr{}, &Error{Reason: Unsuitable, Pool: pool}
	}
	p := picker{pool.Masked(), reserved, leases, req.Holder, now}
	if req.IP.IsValid() {
		if err := p.check(req.IP); err != nil {
			return netip.Addr{}, err
		}
		return req.IP, nil
	}
	if ip := p.own(); ip.IsValid() {
		return ip, nil
	}
	return p.lowest()
}

// MAC returns the Ethernet address of the endpoint with address ip in vpc: a
// locally administered unicast one from their hash, so that it is the same on
// every host.
func MAC(vpc string, ip netip.Addr) [6]byte {
	h := sha256.Sum256(fmt.Appendf(nil, "%s %s", vpc, ip))
	return [6]byte{0x02, h[0], h[1], h[2], h[3], h[4]}
}

type picker struct {
	pool     netip.Prefix
	reserved func(netip.Addr) bool
	leases   map[netip.Addr]Lease
	holder   string
	now      time.Time
}

// check returns why ip is not free for the holder, or nil.
func (p *picker) check(ip netip.Addr) error {
	if !p.pool.Contains(ip) {
		return &Error{Reason: OutOfPool, Pool: p.pool, IP: ip}
	}
	if p.isReserved(ip) {
		return &Error{Reason: Reserved, Pool: p.pool, IP: ip}
	}
	l, leased := p.leases[ip]
	if !leased || l.Holder == p.holder {
		return nil
	}
	if l.Released.IsZero() {
		return &Error{Reason: Held, Pool: p.pool, IP: ip, Holder: l.Holder}
	}
	if wait := l.Released.Add(Rest).Sub(p.now); wait > 0 {
		return &Error{Reason: Resting, Pool: p.pool, IP: ip, Holder: l.Holder, Wait: wait}
	}
	return nil
}

// own returns the lowest address that the holder holds, or else held, and may
// have again; the invalid one if there is none.
func (p *picker) own() netip.Addr {
	var held, had netip.Addr
	for ip, l := range p.leases {
		if l.Holder != p.holder || p.check(ip) != nil {
			continue
		}
		best := &had
		if l.Released.IsZero() {
			best = &held
		}
		if !best.IsValid() || ip.Less(*best) {
			*best = ip
		}
	}
	if held.IsValid() {
		return held
	}
	return had
}

func (p *picker) lowest() (netip.Addr, error) {
	var wait time.Duration
	for ip := p.pool.Addr(); p.pool.Contains(ip); ip = ip.Next() {
		err := p.check(ip)
		if err == nil {
			return ip, nil
		}
		if e, ok := err.(*Error); ok && e.Reason == Resting && (wait == 0 || e.Wait < wait) {
			wait = e.Wait
		}
	}
	return netip.Addr{}, &Error{Reason: Exhausted, Pool: p.pool, Wait: wait}
}

func (p *picker) isReserved(ip netip.Addr) bool {
	network := p.pool.Addr()
	return ip == network || ip == network.Next() || ip == lastAddr(p.pool) || p.reserved != nil && p.reserved(ip)
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	v := binary.BigEndian.Uint32(b[:]) | uint32(uint64(1)<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}
