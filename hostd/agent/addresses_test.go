package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/uplink"
)

func addrs(texts ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var sameAddrs = cmpopts.EquateComparable(netip.Addr{})

func TestControllersAreWhereTheirNamesLead(t *testing.T) {
	n := newNames([]string{"172.31.250.2:7443", "172.31.250.1:7443", "172.31.250.1:7444", "127.0.0.1:7443", "nonsense"}, slog.New(slog.DiscardHandler))
	if diff := cmp.Diff(addrs("172.31.250.1", "172.31.250.2"), n.addresses(t.Context()), sameAddrs); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestControllerKeepsItsAddressesWhileItsNameIsNotFound(t *testing.T) {
	n := newNames([]string{"a:1", "b:1"}, slog.New(slog.DiscardHandler))
	answers := map[string][]netip.Addr{"a:1": addrs("192.0.2.1"), "b:1": addrs("192.0.2.2", "192.0.2.3")}
	n.resolve = func(_ context.Context, c string) ([]netip.Addr, error) {
		if found := answers[c]; found != nil {
			return found, nil
		}
		return nil, errors.New("name server is away")
	}
	for _, tt := range []struct {
		name string
		b    []netip.Addr
		want []netip.Addr
	}{
		{"found", addrs("192.0.2.2", "192.0.2.3"), addrs("192.0.2.1", "192.0.2.2", "192.0.2.3")},
		{"not found", nil, addrs("192.0.2.1", "192.0.2.2", "192.0.2.3")},
		{"found elsewhere", addrs("192.0.2.4"), addrs("192.0.2.1", "192.0.2.4")},
	} {
		answers["b:1"] = tt.b
		if diff := cmp.Diff(tt.want, n.addresses(t.Context()), sameAddrs); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestControllersAreKnownByNameStreamAndTarget(t *testing.T) {
	got := controllerAddresses(addrs("192.0.2.2", "192.0.2.1"), netip.MustParseAddr("192.0.2.3"), []string{
		"ssl:192.0.2.4:6653", "ssl:192.0.2.1:6653", "ssl:127.0.0.1:6653", "ssl:[2001:db8::1]:6653", "ssl:controller:6653", "punix:/run/x", "",
	})
	if diff := cmp.Diff(addrs("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"), got, sameAddrs); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got := controllerAddresses(nil, netip.Addr{}, nil); len(got) != 0 {
		t.Errorf("addresses of nobody = %v", got)
	}
}

func TestLoopKnowsItsAddressesWithoutTheUplinks(t *testing.T) {
	l := &loop{cfg: Config{Logger: slog.New(slog.DiscardHandler)}, plug: &plug{}}
	l.host.Link.Addr = netip.MustParsePrefix("172.31.1.1/24")
	l.own = addrs("127.0.0.1", "169.254.9.9", "172.17.0.1", "172.31.1.1", "198.51.100.9")
	l.told = addrs("172.31.250.1")
	l.addressesChanged()
	want := uplink.Addresses{Own: addrs("172.17.0.1", "198.51.100.9"), Controllers: addrs("172.31.250.1")}
	if diff := cmp.Diff(want, l.host.Addresses, sameAddrs); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if len(l.own) != 5 {
		t.Errorf("own = %v; want it as it was", l.own)
	}
}

func TestReportKeepsTheContractsLimit(t *testing.T) {
	var many []netip.Addr
	for i := range hostpb.MaxAddresses + 1 {
		many = append(many, netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}))
	}
	got := reported(uplink.Addresses{Own: many, Controllers: slices.Clone(many)}, slog.New(slog.DiscardHandler))
	if len(got.Own) != hostpb.MaxAddresses || len(got.Controllers) != hostpb.MaxAddresses {
		t.Errorf("%d addresses and %d controllers; want %d each", len(got.Own), len(got.Controllers), hostpb.MaxAddresses)
	}
}
