package docker

import (
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// book is what is known of Docker's networks, and of what its calls have begun
// but not yet ended. It is safe for concurrent use.
type book struct {
	save func(map[string]uplink.Network) error // of the networks

	mu       sync.Mutex // guards what follows
	networks map[string]uplink.Network
	holds    map[placeKey]kept
	pending  map[string]pending // by endpoint ID
}

// placeKey is an address in a VPC.
type placeKey struct {
	vpc string
	ip  netip.Addr
}

type kept struct {
	Held
	since time.Time
}

// pending is an interface between CreateEndpoint and Join.
type pending struct {
	ip    netip.Addr
	mac   endpoint.MAC // zero: any
	held  Held         // no Name: not known
	since time.Time
}

func newBook(networks map[string]uplink.Network, save func(map[string]uplink.Network) error) *book {
	b := &book{save: save, networks: map[string]uplink.Network{}, holds: map[placeKey]kept{}, pending: map[string]pending{}}
	maps.Copy(b.networks, networks)
	return b
}

func (b *book) network(id string) (uplink.Network, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, found := b.networks[id]
	return n, found
}

// size returns how many networks there are.
func (b *book) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.networks)
}

// addNetwork keeps a network, also over a restart.
func (b *book) addNetwork(id string, n uplink.Network) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, found := b.networks[id]; found && old == n {
		return nil
	}
	b.networks[id] = n
	return b.save(maps.Clone(b.networks))
}

// dropNetwork forgets one. That this could not be kept does no harm: IDs are
// never used again.
func (b *book) dropNetwork(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, found := b.networks[id]; found {
		delete(b.networks, id)
		_ = b.save(maps.Clone(b.networks))
	}
}

// setNetworks replaces all networks by those that Docker lists.
func (b *book) setNetworks(now map[string]uplink.Network) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if maps.Equal(now, b.networks) {
		return nil
	}
	b.networks = maps.Clone(now)
	return b.save(now)
}

// addHold keeps a hold, and forgets those that Docker never came back for. The
// controller has long ended them.
func (b *book) addHold(h Held, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, o := range b.holds {
		if now.Sub(o.since) > keepPending {
			delete(b.holds, k)
		}
	}
	b.holds[placeKey{h.Ref.VPCID(), h.IP}] = kept{h, now}
}

func (b *book) hold(vpc string, ip netip.Addr) Held {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.holds[placeKey{vpc, ip}].Held
}

func (b *book) takeHold(vpc string, ip netip.Addr) (Held, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, found := b.holds[placeKey{vpc, ip}]
	delete(b.holds, placeKey{vpc, ip})
	return h.Held, found
}

func (b *book) addPending(id string, p pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, o := range b.pending {
		if p.since.Sub(o.since) > keepPending {
			delete(b.pending, k)
		}
	}
	b.pending[id] = p
}

func (b *book) takePending(id string) (pending, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, found := b.pending[id]
	delete(b.pending, id)
	return p, found
}
