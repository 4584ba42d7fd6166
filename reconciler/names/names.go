// Package names says what a name means to an endpoint: which addresses it stands
// for, as seen from the endpoint's VPC, and whether it is ours at all.
//
// Known are the endpoints and the Services (by their vip) of the asker's own VPC,
// and of those that a Peering in force joins with it. Nothing else exists: what
// is asked of any other VPC has the same answer whether there is such a name or
// not. A name is written in one of these ways:
//
//	NAME                       in the asker's own VPC
//	NAME.SUBNET.VPC            there, or in a peer
//	NAME.SUBNET.VPC.TENANT     the same, where VPC alone could be two
//
// A VPC without its tenant is first the asker's own, then its tenant's, then
// another tenant's, if exactly one peer has that name and it is none that the
// public DNS is full of: a peer could else take www.google.com from the asker by a
// subnet google in a VPC com.
package names

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Answer is what a name means.
type Answer struct {
	Addresses []netip.Addr // it stands for; none: there is no such name
	Ours      bool         // nobody else is to be asked for it
	// Target is, for the name of an address (RFC 1035, 3.5), the name of whoever has
	// the address, as the asker may write it; "": nobody.
	Target string
}

// reverse ends the name of an IPv4 address.
const reverse = ".in-addr.arpa"

// Resolve returns what name, in small letters and without a dot at its end, means
// to an endpoint of the VPC.
func Resolve(s *inventory.Snapshot, vpc spec.VPCID, name string) Answer {
	own := s.Net.VPCs[vpc]
	if own == nil || name == "" {
		return Answer{}
	}
	if digits, found := strings.CutSuffix(name, reverse); found {
		return resolveAddress(s, own, digits)
	}
	labels := strings.Split(name, ".")
	labels[0] = strings.ReplaceAll(labels[0], "_", "-") // a container's name has it, its endpoint's has not
	if len(labels) == 1 {
		return Answer{Addresses: anywhere(s, vpc, labels[0]), Ours: true}
	}
	z, depth := zoneOf(s, own, labels)
	if z.vpc == nil {
		return Answer{}
	}
	if len(labels) != depth+1 {
		return Answer{Ours: true}
	}
	return Answer{Addresses: z.lookUp(s, labels[0]), Ours: true}
}

// zone is a subnet, under whose name those of its endpoints stand.
type zone struct {
	vpc    *spec.VPC
	subnet *spec.Subnet
}

// zoneOf returns the zone that a name of at least two labels lies in and of how
// many labels its own name is, or no zone.
func zoneOf(s *inventory.Snapshot, own *spec.VPC, labels []string) (z zone, depth int) {
	n := len(labels)
	if n >= 3 { // SUBNET.VPC.TENANT
		if v := s.Net.VPCs[spec.MakeVPCID(labels[n-1], labels[n-2])]; v != nil && visible(s, own, v) {
			if sub := v.Subnet(labels[n-3]); sub != nil {
				return zone{v, sub}, 3
			}
		}
	}
	if v := bare(s, own, labels[n-1]); v != nil {
		if sub := v.Subnet(labels[n-2]); sub != nil {
			return zone{v, sub}, 2
		}
	}
	return zone{}, 0
}

// visible reports whether the endpoints of own may know names of v.
func visible(s *inventory.Snapshot, own, v *spec.VPC) bool {
	return v == own || s.Net.Peered(own.ID, v.ID)
}

// bare returns which VPC the asker means by a name without a tenant, or nil.
func bare(s *inventory.Snapshot, own *spec.VPC, name string) *spec.VPC {
	if own.Name == name {
		return own
	}
	var found *spec.VPC
	for _, id := range s.Net.Peers[own.ID] {
		v := s.Net.VPCs[id]
		if v == nil || v.Name != name {
			continue
		}
		if v.Tenant == own.Tenant {
			return v
		}
		if found != nil {
			return nil
		}
		found = v
	}
	if found == nil {
		return nil
	}
	if public(name) {
		return nil
	}
	return found
}

// public reports whether a name is one of a country (two letters, ISO 3166), or
// of the generic ones that the public DNS began with (RFC 920, RFC 1591, and the
// two of 2001 that are open to everybody).
func public(name string) bool {
	switch name {
	case "com", "net", "org", "edu", "gov", "mil", "int", "arpa", "info", "biz":
		return true
	}
	return len(name) == 2
}

// anywhere returns the addresses of a name in whatever subnet of a VPC. What the
// spec says stands above what a container is called.
func anywhere(s *inventory.Snapshot, vpc spec.VPCID, name string) []netip.Addr {
	ref := inventory.EndpointRef{VPC: vpc, Name: name}
	if svc := s.ServiceByName(ref); svc != nil {
		return []netip.Addr{svc.VIP}
	}
	if ep := s.EndpointByName(ref); ep != nil {
		return []netip.Addr{ep.IP}
	}
	return nil
}

// lookUp returns the addresses of a name in the zone.
func (z zone) lookUp(s *inventory.Snapshot, name string) []netip.Addr {
	ref := inventory.EndpointRef{VPC: z.vpc.ID, Name: name}
	if svc := s.ServiceByName(ref); svc != nil && z.subnet.CIDR.Contains(svc.VIP) {
		return []netip.Addr{svc.VIP}
	}
	if ep := s.EndpointByName(ref); ep != nil && ep.Subnet == z.subnet.Name {
		return []netip.Addr{ep.IP}
	}
	return nil
}

// resolveAddress answers for the name of an address, of which digits is all but
// the end. Those of subnets that the asker knows are ours.
func resolveAddress(s *inventory.Snapshot, own *spec.VPC, digits string) Answer {
	a, ok := address(digits)
	if !ok {
		return Answer{}
	}
	ep, in := s.Reach(own.ID, a)
	v := s.Net.VPCs[in]
	if v == nil {
		return Answer{}
	}
	out := Answer{Ours: true}
	if ep != nil {
		out.Target = fullName(s, own, v, ep.Subnet, ep.Name)
	} else if svc := s.ServiceAt(in, a); svc != nil {
		for i := range v.Subnets {
			if v.Subnets[i].CIDR.Contains(a) {
				out.Target = fullName(s, own, v, v.Subnets[i].Name, svc.Name)
			}
		}
	}
	return out
}

// fullName returns what the asker may write for a name in v.
func fullName(s *inventory.Snapshot, own, v *spec.VPC, subnet, name string) string {
	full := name + "." + subnet + "." + v.Name
	if bare(s, own, v.Name) != v {
		full += "." + v.Tenant
	}
	return full
}

// address reads the four bytes of an address, the last one first.
func address(digits string) (netip.Addr, bool) {
	parts := strings.Split(digits, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	var b [4]byte
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 8)
		if err != nil || strconv.FormatUint(n, 10) != p {
			return netip.Addr{}, false
		}
		b[3-i] = byte(n)
	}
	return netip.AddrFrom4(b), true
}
