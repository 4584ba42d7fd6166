package inventory

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/daolinet/daolinet/reconciler/spec"
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

	vpcs    map[spec.VPCID]VPCNo
	tenants map[string]TenantID
}

// NewInterner returns an empty interner.
func NewInterner() *Interner {
	return &Interner{
		byKey: make(map[string]*Identity), addrs: make(map[AddrKey]AddrID),
		vpcs: make(map[spec.VPCID]VPCNo), tenants: make(map[string]TenantID),
	}
}

// numbers returns the numbers of an address, its VPC and its tenant.
func (in *Interner) numbers(vpc spec.VPCID, ip netip.Addr, tenant string) (AddrID, VPCNo, TenantID) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return numbered(in.addrs, AddrKey{vpc, ip}), numbered(in.vpcs, vpc), numbered(in.tenants, tenant)
}

// numbered returns k's number, which is the next if it has none.
func numbered[K comparable, N ~uint32](m map[K]N, k K) N {
	n, found := m[k]
	if !found {
		n = N(len(m) + 1)
		m[k] = n
	}
	return n
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
