package engine_test

import (
	"net/netip"
	"testing"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// TestNameServersOfAHostAreItsResolver: what an endpoint asks them, the host's
// resolver gets, unless the address is one of the endpoint's own network: there
// it is a tenant's.
func TestNameServersOfAHostAreItsResolver(t *testing.T) {
	b := started(t)
	taken := func(addr string) (flows int) {
		for _, f := range b.tables[1] {
			if f.Table == pipeline.TableOpener && f.Match.InPort == 16 && f.Match.IPDst == openflow.IPv4(netip.MustParseAddr(addr)) {
				flows++
			}
		}
		return flows
	}
	before := len(b.tables[1])
	report := func(seq uint64, resolvers ...netip.Addr) {
		b.step(engine.HostChanged{Conn: 1, Host: "h1", Delta: inventory.HostDelta{Seq: seq, Addresses: &inventory.AddressLists{Resolvers: resolvers}}})
	}
	report(4, netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("10.1.0.200"))
	for addr, want := range map[string]int{"169.254.1.1": 2, "192.0.2.53": 2, "10.1.0.200": 0} {
		if got := taken(addr); got != want {
			t.Errorf("flows that take questions to %s = %d; want %d", addr, got, want)
		}
	}
	report(5)
	if got := len(b.tables[1]); got != before {
		t.Errorf("flows without name servers = %d; want %d as before", got, before)
	}
}
