package inventory

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Interner gives equal identities one number and one pointer, and the addresses of
// endpoints numbers. Numbers are never used again, so a number may be a cache key
// for as long as the process lives.
// It is safe for concurrent use, since decisions made off the owner's goroutine
// intern outside addresses.
type Interner struct {
	mu    sync.Mutex // guards the fields below
	byKey map[string]*Identity
	addrs map[AddrKey]AddrID
}

// NewInterner returns an empty interner.
func NewInterner() *Interner {
	return &Interner{byKey: make(map[string]*Identity), addrs: make(map[AddrKey]AddrID)}
}

func (in *Interner) address(k AddrKey) AddrID {
	in.mu.Lock()
	defer in.mu.Unlock()
	id, found := in.addrs[k]
	if !found {
		id = AddrID(len(in.addrs) + 1)
		in.addrs[k] = id
	}
	return id
}

func (in *Interner) endpoint(id Identity) *Identity {
	var b strings.Builder
	field := func(s string) { b.WriteString(strconv.Itoa(len(s))); b.WriteByte(':'); b.WriteString(s) }
	field(string(id.VPC))
	field(id.Subnet)
	if id.Name != "" {
		b.WriteByte('n')
		field(id.Name)
	}
	for _, g := range id.Groups {
		b.WriteByte('g')
		field(g)
	}
	for _, k := range slices.Sorted(maps.Keys(id.Labels)) {
		b.WriteByte('l')
		field(k)
		field(id.Labels[k])
	}
	return in.intern(b.String(), id)
}

func (in *Interner) outside(cidrs []netip.Prefix) *Identity {
	sorted := slices.Clone(cidrs)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	var b strings.Builder
	b.WriteByte('o')
	for _, p := range sorted {
		b.WriteByte(' ')
		b.WriteString(p.String())
	}
	return in.intern(b.String(), Identity{Outside: true, CIDRs: sorted})
}

func (in *Interner) intern(key string, id Identity) *Identity {
	in.mu.Lock()
	defer in.mu.Unlock()
	if got := in.byKey[key]; got != nil {
		return got
	}
	id.ID = IdentityID(len(in.byKey) + 1)
	in.byKey[key] = &id
	return &id
}
