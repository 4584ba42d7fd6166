package inventory

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Reach says what an address is as seen from a VPC: in is the VPC whose subnet
// holds it, of that VPC itself and those that a Peering in force joins with it,
// and ep the endpoint there, or nil. An address outside has in "".
func (s *Snapshot) Reach(vpc spec.VPCID, a netip.Addr) (ep *Endpoint, in spec.VPCID) {
	if ep = s.byAddr[AddrKey{vpc, a}]; ep != nil {
		return ep, vpc
	}
	if s.holds(vpc, a) {
		return nil, vpc
	}
	peers := s.Net.Peers[vpc]
	for _, p := range peers {
		if ep = s.byAddr[AddrKey{p, a}]; ep != nil {
			return ep, p
		}
	}
	for _, p := range peers {
		if s.holds(p, a) {
			return nil, p
		}
	}
	return nil, ""
}

// EndpointSeen returns the endpoint that an address is as seen from a VPC, or
// nil: Reach for whom nothing else matters, at one look-up a peer, however many
// subnets there are.
func (s *Snapshot) EndpointSeen(vpc spec.VPCID, a netip.Addr) *Endpoint {
	if ep := s.byAddr[AddrKey{vpc, a}]; ep != nil {
		return ep
	}
	for _, p := range s.Net.Peers[vpc] {
		if ep := s.byAddr[AddrKey{p, a}]; ep != nil {
			return ep
		}
	}
	return nil
}

// holds reports whether a subnet of a VPC holds an address.
func (s *Snapshot) holds(vpc spec.VPCID, a netip.Addr) bool {
	v := s.Net.VPCs[vpc]
	if v == nil {
		return false
	}
	for i := range v.Subnets {
		if v.Subnets[i].CIDR.Contains(a) {
			return true
		}
	}
	return false
}
