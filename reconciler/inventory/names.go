package inventory

import (
	"fmt"
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// NameServers returns the addresses whose DNS port is the host's own resolver as
// an endpoint sees it: those that its host asks for names, but for any that lies
// in a subnet of the endpoint's VPC or of a peer. There it is somebody else's.
func (s *Snapshot) NameServers(ep *Endpoint) []netip.Addr {
	var out []netip.Addr
	for _, a := range ep.Host.Resolvers {
		if _, in := s.Reach(ep.VPC, a); in == "" {
			out = append(out, a)
		}
	}
	return out
}

// MayAsk returns why a host may not ask for names as a VPC's endpoints see them,
// or nil: it may where it may have endpoints.
func (s *Snapshot) MayAsk(host string, vpc spec.VPCID) error {
	v := s.Net.VPCs[vpc]
	switch {
	case s.hosts[host] == nil:
		return fmt.Errorf("host %q has not reported", host)
	case v == nil:
		return fmt.Errorf("vpc %q is not declared", vpc)
	case len(v.Subnets) == 0:
		return fmt.Errorf("vpc %q has no subnet", vpc)
	}
	_, err := s.MayClaim(host, v.Tenant, v.Name, v.Subnets[0].Name)
	return err
}
