package engine_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
)

func TestReportedAddressIsReservedUntilADeltaTakesItAway(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	listed := &inventory.AddressLists{Addresses: []netip.Addr{addr}}
	for _, tt := range []struct {
		name          string
		before, delta inventory.HostDelta
		want          policy.Reason
	}{
		{name: "none reported", want: policy.ReasonUnsupported}, // no way out yet
		{name: "reported", delta: inventory.HostDelta{Addresses: listed}, want: policy.ReasonAddressReserved},
		{
			name: "unchanged", before: inventory.HostDelta{Addresses: listed},
			delta: inventory.HostDelta{Listeners: &[]inventory.Listener{}}, want: policy.ReasonAddressReserved,
		},
		{
			name: "taken away", before: inventory.HostDelta{Addresses: listed},
			delta: inventory.HostDelta{Addresses: &inventory.AddressLists{}}, want: policy.ReasonUnsupported,
		},
	} {
		b := started(t)
		b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: tt.before})
		b.step(engine.HostChanged{Conn: 2, Host: "h2", Delta: tt.delta})
		b.other = nil
		web1 := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
		h := syn(80)
		h.EthSrc, h.EthDst, h.EthType, h.TTL, h.Src, h.Dst = web1.MAC, packet.MAC(pipeline.GatewayMAC), 0x800, 64, web1.IP, addr
		b.lift(1, 16, packet.Build(h, nil))
		denied := func(e engine.Effect) bool {
			d, ok := e.(engine.PacketDenied)
			return ok && d.Result.Decision.Reason == tt.want
		}
		if !slices.ContainsFunc(b.other, denied) {
			t.Errorf("%s: effects = %+v; want a denial with %s", tt.name, b.other, tt.want)
		}
	}
}
