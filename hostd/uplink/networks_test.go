package uplink_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/uplink"
)

func TestParseNetworks(t *testing.T) {
	good := func() *hostpb.Network {
		return &hostpb.Network{Tenant: "acme", Vpc: "prod", Subnet: "web", Ip: []byte{10, 1, 0, 0}, PrefixLen: 24}
	}
	got, err := uplink.ParseNetworks(&hostpb.NetworkList{Networks: []*hostpb.Network{good()}})
	want := []uplink.Network{{Tenant: "acme", VPC: "prod", Subnet: "web", CIDR: netip.MustParsePrefix("10.1.0.0/24")}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ParseNetworks = %v, %v; want %v", got, err, want)
	}
	for name, bend := range map[string]func(*hostpb.Network){
		"no address":        func(n *hostpb.Network) { n.Ip = nil },
		"IPv6":              func(n *hostpb.Network) { n.Ip = make([]byte, 16) },
		"too long a prefix": func(n *hostpb.Network) { n.PrefixLen = 33 },
		"as long as -1 is":  func(n *hostpb.Network) { n.PrefixLen = 1<<32 - 1 },
		"bits behind it":    func(n *hostpb.Network) { n.Ip = []byte{10, 1, 0, 1} },
		"tenant":            func(n *hostpb.Network) { n.Tenant = "a/b" },
		"vpc":               func(n *hostpb.Network) { n.Vpc = "" },
		"subnet":            func(n *hostpb.Network) { n.Subnet = "-" },
	} {
		n := good()
		bend(n)
		if got, err := uplink.ParseNetworks(&hostpb.NetworkList{Networks: []*hostpb.Network{n}}); err == nil {
			t.Errorf("%s: ParseNetworks = %v; want an error", name, got)
		}
	}
	if _, err := uplink.ParseNetworks(&hostpb.NetworkList{Networks: slices.Repeat([]*hostpb.Network{good()}, hostpb.MaxNetworks+1)}); err == nil {
		t.Error("more networks than are allowed: want an error")
	}
}
