package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/pflag"

	"github.com/daolinet/daolinet/hostd/agent"
)

// wireFlags adds the flags that say how a host reaches the underlay, beside
// --uplink.
func wireFlags(f *pflag.FlagSet, cfg *agent.Config) {
	f.Var((*prefixFlag)(&cfg.Wire.Address), "wire-address", "ADDRESS/LENGTH for the wire alone; the host's own interface, routes and firewall stay as they are (default: the host's address moves onto the bridge)")
	f.StringVar(&cfg.Wire.Device, "wire-device", "", "device without addresses that carries --wire-address (default: a macvlan that is made on --uplink)")
	f.IntVar(&cfg.Wire.VLAN, "wire-vlan", 0, "carry --wire-address by this VLAN of --uplink, in a sub-interface that is made")
	f.Var((*addrFlag)(&cfg.Wire.Gateway), "wire-gateway", "router in --wire-address's subnet (default: the default route's next hop)")
	f.StringSliceVar(&cfg.Accept, "accept", nil, "join although it was warned of: manager, dhcp, firewall, rules; may be given several times")
}

type prefixFlag netip.Prefix

func (p *prefixFlag) String() string {
	if !netip.Prefix(*p).IsValid() {
		return ""
	}
	return netip.Prefix(*p).String()
}

func (p *prefixFlag) Type() string { return "address/length" }

// Set parses an address with its length.
func (p *prefixFlag) Set(s string) error {
	v, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("%q is not ADDRESS/LENGTH", s)
	}
	*p = prefixFlag(v)
	return nil
}

type addrFlag netip.Addr

func (a *addrFlag) String() string {
	if !netip.Addr(*a).IsValid() {
		return ""
	}
	return netip.Addr(*a).String()
}

func (a *addrFlag) Type() string { return "address" }

// Set parses an address.
func (a *addrFlag) Set(s string) error {
	v, err := netip.ParseAddr(s)
	if err != nil {
		return fmt.Errorf("%q is no address", s)
	}
	*a = addrFlag(v)
	return nil
}
