package inventory

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Reach says what an address is as seen from a VPC: in is the VPC whose subnet
// holds it, of that VPC itself and those that a Peering in force joins with it,
// and ep the endpoint there, or nil. An address outside has in "".
func (s *Snapshot) Reach(vpc spec.VPCID, a netip.Addr) (ep *Endpoint, in spec.VPCID) {
	if ep = s.EndpointByAddr(vpc, a); ep != nil {
		return ep, vpc
	}
	if s.holds(vpc, a) {
		return nil, vpc
	}
	peers := s.Net.Peers[vpc]
	for _, p := range peers {
		if ep = s.EndpointByAddr(p, a); ep != nil {
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

// ReachFrom is Reach from the VPC of one of the snapshot's endpoints.
func (s *Snapshot) ReachFrom(from *Endpoint, a netip.Addr) (ep *Endpoint, in spec.VPCID) {
	if ep = s.viewOf(from).at(a); ep != nil { // as most packets want
		return ep, from.VPC
	}
	return s.Reach(from.VPC, a)
}

// EndpointSeen returns the endpoint that an address is as seen from one of the
// snapshot's endpoints, or nil: ReachFrom for whom nothing else matters, at one
// look-up a peer, however many subnets there are.
func (s *Snapshot) EndpointSeen(from *Endpoint, a netip.Addr) *Endpoint {
	v := s.viewOf(from)
	if ep := v.at(a); ep != nil || v == nil {
		return ep
	}
	for _, p := range v.peers {
		if ep := s.EndpointByAddr(p, a); ep != nil {
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
