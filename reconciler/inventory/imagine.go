package inventory

import (
	"errors"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// firstImagined is the port number of the first imagined endpoint, as a host
// would begin (DESIGN 7.3).
const firstImagined = 16

// Imagine is Build for endpoints that no host reported: they are all at one
// imaginary host that every tenant lets claim; there are no quotas, and the
// ports that the endpoints came with don't count. A Refusal's Host is "".
func Imagine(in *Interner, net *spec.Network, eps []EndpointReport) (*Snapshot, []Refusal) {
	s := newSnapshot(in, net, 0)
	var refused []Refusal
	h := &Host{}
	for i := range eps {
		e := eps[i]
		e.Port = firstImagined + uint32(i)
		text := ""
		if sub, err := s.subnet(e.Tenant, e.VPC, e.Subnet); err != nil {
			text = err.Error()
		} else {
			text = s.refusePlace(sub, &e)
		}
		if text != "" {
			refused = append(refused, Refusal{Ref: EndpointRef{e.VPCID(), e.Name}, Text: text})
			continue
		}
		s.add(h, &e, &Snapshot{})
	}
	return s, refused
}

// Imagined returns e as it would be beside the snapshot's endpoints at a host, or
// why it could not be there. Host "" is one that every tenant lets claim; quotas and
// ports don't count. The snapshot doesn't have it afterwards, and it has an identity
// but no numbers: it may be decided about, and not be looked up.
func (s *Snapshot) Imagined(host string, e *EndpointReport) (*Endpoint, error) {
	sub, err := s.subnet(e.Tenant, e.VPC, e.Subnet)
	if err == nil && host != "" {
		_, err = s.MayClaim(host, e.Tenant, e.VPC, e.Subnet)
	}
	if err != nil {
		return nil, err
	}
	if text := s.refusePlace(sub, e); text != "" {
		return nil, errors.New(text)
	}
	return s.numberless(&Host{Name: host}, e), nil
}
