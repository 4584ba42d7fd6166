// Package preflight looks, before a host joins, for what joining would break:
// who else owns the uplink, what names it, what stands on it. Finding is a pure
// function of collected facts; each finding says what to do about it.
package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Kind is what kind of obstacle it is: the word that accepts it.
type Kind string

// Kinds of obstacles. The first four can be accepted: what they warn of happens
// later or elsewhere, and can be wanted. The others can't: the host would be cut
// off at once, or nothing would work.
const (
	Manager  Kind = "manager"  // something else configures the uplink's addresses
	DHCP     Kind = "dhcp"     // the address is leased
	Firewall Kind = "firewall" // rules name the uplink
	Rules    Kind = "rules"    // routing rules name the uplink
	IPv6     Kind = "ipv6"     // global addresses, which would not be moved
	Enslaved Kind = "enslaved" // the uplink is part of a bridge, bond or other switch
	Device   Kind = "device"   // the uplink is of a kind that can't be a port
	Stacked  Kind = "stacked"  // other devices stand on the uplink
	Routes   Kind = "routes"   // routes that can't be moved
	OVS      Kind = "ovs"      // somebody else's Open vSwitch settings would be replaced
)

// acceptable are the kinds that an operator may go on in spite of.
func acceptable(k Kind) bool {
	return slices.Contains([]Kind{Manager, DHCP, Firewall, Rules}, k)
}

// Obstacle is one thing that speaks against joining.
type Obstacle struct {
	Kind Kind
	What string // what was found, where
	Way  string // out of it
}

// Refusal lists the obstacles for which a host does not join.
type Refusal struct{ Obstacles []Obstacle }

// Error lists them, one a line, each with its way out.
func (r *Refusal) Error() string {
	var b strings.Builder
	b.WriteString("joining would break something:")
	for _, o := range r.Obstacles {
		fmt.Fprintf(&b, "\n  %s: %s\n    %s", o.Kind, o.What, o.Way)
		if acceptable(o.Kind) {
			fmt.Fprintf(&b, "; or go on all the same by --accept %s", o.Kind)
		}
	}
	return b.String()
}

// CheckAccepted reports the first word that accepts nothing.
func CheckAccepted(words []string) error {
	for _, w := range words {
		if !acceptable(Kind(w)) {
			return fmt.Errorf("--accept %q: %s, %s, %s and %s can be accepted", w, Manager, DHCP, Firewall, Rules)
		}
	}
	return nil
}

// Refuse returns a *Refusal of the obstacles that are not accepted, nil if none
// is left.
func Refuse(found []Obstacle, accepted []string) error {
	left := slices.DeleteFunc(slices.Clone(found), func(o Obstacle) bool {
		return acceptable(o.Kind) && slices.Contains(accepted, string(o.Kind))
	})
	if len(left) == 0 {
		return nil
	}
	return &Refusal{left}
}

// Facts are what Find depends on.
type Facts struct {
	Device     string // the uplink, or what a wire device is made on
	OwnAddress bool   // the wire gets an address of its own: the device keeps the host's
	Given      bool   // with OwnAddress: the device itself becomes the port
	Userspace  bool   // datapath

	Kind       string // of link, "" of hardware
	Master     string // that the device is part of
	MasterKind string
	Above      []Above // devices that stand on it
	Addrs      []Addr
	Multipath  []string // destinations of routes with several next hops through it

	NetworkManager string            // /run/NetworkManager/devices/INDEX
	Networkd       string            // /run/systemd/netif/links/INDEX
	NetworkdLease  string            // /run/systemd/netif/leases/INDEX
	IfState        string            // /run/network/ifstate
	Leases         map[string]string // path -> content, of dhclient's and dhcpcd's leases
	Clients        []string          // command lines of DHCP clients in this network namespace

	IPTables []string // output of iptables-save of the legacy tables, both families
	NFT      string   // output of nft -j list ruleset
	IPRules  []Rule

	OVSManager []string // targets
}

// Above is a device that stands on the uplink.
type Above struct{ Name, Kind string }

// Addr is an address of the device.
type Addr struct {
	Prefix    netip.Prefix
	Permanent bool
}

// Rule is a routing rule.
type Rule struct {
	Priority int
	Iif, Oif string
}

const wayAddress = "give the wire an address of its own by --wire-address, which leaves this one as it is"

// Find returns the obstacles, the gravest first.
func Find(f Facts) []Obstacle {
	var out []Obstacle
	add := func(k Kind, way, format string, args ...any) {
		out = append(out, Obstacle{Kind: k, What: fmt.Sprintf(format, args...), Way: way})
	}
	place(f, add)
	ovs(f, add)
	if f.OwnAddress {
		return out // the host's own interface stays as it is
	}
	for _, a := range f.Addrs {
		if a.Prefix.Addr().Is6() && !a.Prefix.Addr().IsLinkLocalUnicast() {
			add(IPv6, "remove it, or "+wayAddress, "%s has the IPv6 address %s, which would not be moved", f.Device, a.Prefix)
		}
	}
	for _, to := range f.Multipath {
		add(Routes, "replace it by a route with one next hop, or "+wayAddress, "the route to %s has several next hops and can't be moved", to)
	}
	lease(f, add)
	manager(f, add)
	firewall(f, add)
	for _, r := range f.IPRules {
		if r.Iif == f.Device || r.Oif == f.Device {
			add(Rules, "write it without the interface, or for the bridge; or "+wayAddress,
				"routing rule %d names %s: packets come from the bridge after joining", r.Priority, f.Device)
		}
	}
	return out
}

type adder = func(k Kind, way, format string, args ...any)

// place finds what makes a device no port, or no place for one above it.
func place(f Facts, add adder) {
	onIt := !f.OwnAddress || f.Given // the device itself becomes a port
	switch {
	case f.Master != "" && f.MasterKind == "openvswitch" && !onIt && f.Userspace:
		// In userspace a macvlan on a port goes on working.
	case f.Master != "" && f.MasterKind == "openvswitch":
		add(Enslaved, "take it out of that switch, or name another device by --uplink", "%s is a port of an Open vSwitch bridge", f.Device)
	case f.Master != "":
		add(Enslaved, fmt.Sprintf("name %s by --uplink if it is a bond, or "+wayAddress, f.Master), "%s is part of %s (%s)", f.Device, f.Master, f.MasterKind)
	}
	if !onIt {
		return
	}
	switch f.Kind {
	case "bridge":
		add(Device, "name the port behind it by --uplink, or "+wayAddress, "%s is a Linux bridge, whose ports' frames would bypass us", f.Device)
	case "openvswitch":
		add(Device, "name a network card, bond or VLAN by --uplink", "%s belongs to Open vSwitch", f.Device)
	case "wireguard", "tun", "sit", "ipip", "gre", "ipvlan":
		add(Device, "name a network card, bond or VLAN by --uplink", "%s is a %s device and can't be a port of a switch", f.Device, f.Kind)
	}
	for _, a := range f.Above {
		switch {
		case a.Kind == "macvlan" || a.Kind == "macvtap" || a.Kind == "ipvlan":
			add(Stacked, "delete it, or "+wayAddress, "%s (%s) stands on %s: a device can't carry it and be a port", a.Name, a.Kind, f.Device)
		case a.Kind == "vlan" && f.Userspace:
			add(Stacked, "delete it, use the kernel datapath, or "+wayAddress, "VLAN %s stands on %s: the userspace datapath would take its frames", a.Name, f.Device)
		}
	}
}

// ovs finds settings of a whole Open vSwitch that are somebody else's. TLS files
// that are set already are bridge.Ensure's matter, at each start.
func ovs(f Facts, add adder) {
	const way = "give DaoliNet an Open vSwitch of its own, or take that setting away (ovs-vsctl del-ssl)"
	for _, m := range f.OVSManager {
		if strings.HasPrefix(m, "ssl:") || strings.HasPrefix(m, "pssl:") {
			add(OVS, way, "Open vSwitch has the manager %s, which needs TLS files of its own", m)
		}
	}
}
