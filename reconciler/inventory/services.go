package inventory

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// services is what an inventory must know of the network's Services.
type services struct {
	vips     map[AddrKey]*spec.Service
	named    map[EndpointRef]*spec.Service // those with a virtual address
	backends map[spec.VPCID]*backends
}

// backends are the peers that one VPC's Services name, each only once.
type backends struct {
	all             bool
	groups, subnets map[string]bool
	labels          []map[string]string
}

func servicesOf(net *spec.Network) services {
	s := services{
		vips: make(map[AddrKey]*spec.Service), named: make(map[EndpointRef]*spec.Service), backends: make(map[spec.VPCID]*backends),
	}
	for _, svc := range net.Services {
		if svc.VIP.IsValid() {
			s.vips[AddrKey{svc.VPC, svc.VIP}] = svc
			s.named[EndpointRef{svc.VPC, svc.Name}] = svc
		}
		b := s.backends[svc.VPC]
		if b == nil {
			b = &backends{groups: make(map[string]bool), subnets: make(map[string]bool)}
			s.backends[svc.VPC] = b
		}
		switch p := &svc.Backends; {
		case p.Group != "":
			b.groups[p.Group] = true
		case p.Subnet != "":
			b.subnets[p.Subnet] = true
		case len(p.Labels) > 0:
			b.labels = append(b.labels, p.Labels)
		default:
			b.all = true
		}
	}
	return s
}

// backs reports whether an endpoint with the identity is some Service's backend.
func (s *services) backs(id *Identity) bool {
	b := s.backends[id.VPC]
	if b == nil {
		return false
	}
	if b.all || b.subnets[id.Subnet] {
		return true
	}
	for _, g := range id.Groups {
		if b.groups[g] {
			return true
		}
	}
	for _, labels := range b.labels {
		if spec.HasLabels(id.Labels, labels) {
			return true
		}
	}
	return false
}

// ServiceAt returns the Service whose virtual address a is in a VPC, or nil.
func (s *Snapshot) ServiceAt(vpc spec.VPCID, a netip.Addr) *spec.Service {
	return s.services.vips[AddrKey{vpc, a}]
}

// ServiceByName returns the Service of a name in a VPC that has a virtual address,
// or nil.
func (s *Snapshot) ServiceByName(r EndpointRef) *spec.Service { return s.services.named[r] }
