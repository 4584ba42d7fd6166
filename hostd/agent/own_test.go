package agent

import (
	"net/netip"
	"strings"
	"testing"
)

func TestWireConfigIsChecked(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	for _, tt := range []struct {
		name string
		wire WireConfig
		want string // empty: it is fine
	}{
		{"none", WireConfig{}, ""},
		{"an address", WireConfig{Address: p("172.31.1.7/24")}, ""},
		{"all of it", WireConfig{Address: p("172.31.1.7/24"), Device: "eth1", Gateway: a("172.31.1.254")}, ""},
		{"a VLAN", WireConfig{Address: p("172.31.1.7/24"), VLAN: 4094}, ""},
		{"the smallest subnet", WireConfig{Address: p("172.31.1.6/31"), Gateway: a("172.31.1.7")}, ""},
		{"a device without an address", WireConfig{Device: "eth1"}, "--wire-address"},
		{"a VLAN without an address", WireConfig{VLAN: 5}, "--wire-address"},
		{"a gateway without an address", WireConfig{Gateway: a("172.31.1.254")}, "--wire-address"},
		{"a subnet", WireConfig{Address: p("172.31.1.0/24")}, "no IPv4 address of a host"},
		{"no subnet", WireConfig{Address: p("172.31.1.7/32")}, "no IPv4 address of a host"},
		{"IPv6", WireConfig{Address: p("fd00::7/64")}, "no IPv4 address of a host"},
		{"no VLAN", WireConfig{Address: p("172.31.1.7/24"), VLAN: 4095}, "VLAN"},
		{"VLAN and device", WireConfig{Address: p("172.31.1.7/24"), VLAN: 5, Device: "eth1"}, "--wire-vlan"},
		{"a gateway elsewhere", WireConfig{Address: p("172.31.1.7/24"), Gateway: a("172.31.2.254")}, "gateway"},
		{"itself as gateway", WireConfig{Address: p("172.31.1.7/24"), Gateway: a("172.31.1.7")}, "gateway"},
	} {
		err := tt.wire.validate()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: validate = %v; want %q", tt.name, err, tt.want)
		}
	}
}

func TestWireConfigOfAJoinedHostStays(t *testing.T) {
	p, a := netip.MustParsePrefix, netip.MustParseAddr
	have := &ownWire{Address: p("172.31.1.7/24"), Gateway: a("172.31.1.254"), Device: "daoli-wire", Parent: "eth0"}
	for _, tt := range []struct {
		name string
		wire WireConfig
		have *ownWire
		same bool
	}{
		{"nothing said", WireConfig{}, have, true},
		{"nothing said of a moved address", WireConfig{}, nil, true},
		{"the same", WireConfig{Address: have.Address, Gateway: have.Gateway}, have, true},
		{"another address", WireConfig{Address: p("172.31.1.8/24")}, have, false},
		{"another gateway", WireConfig{Address: have.Address, Gateway: a("172.31.1.253")}, have, false},
		{"another device", WireConfig{Address: have.Address, Device: "eth1"}, have, false},
		{"a VLAN", WireConfig{Address: have.Address, VLAN: 5}, have, false},
		{"where the host's was moved", WireConfig{Address: have.Address}, nil, false},
	} {
		if err := tt.wire.sameAs(tt.have); (err == nil) != tt.same {
			t.Errorf("%s: sameAs = %v", tt.name, err)
		}
	}
	if got := (&hostState{Uplink: "daoli-wire", Own: have}).parent(); got != "eth0" {
		t.Errorf("parent = %s; want eth0", got)
	}
}
