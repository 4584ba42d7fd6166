package spec

import "gopkg.in/yaml.v3"

// peering reads the spec of a Peering.
func (s *source) peering(n *yaml.Node, o *object) *Peering {
	const wayOut = "a Peering is of two different ones, as [TENANT/VPC, TENANT/VPC]"
	p := &Peering{Tenant: o.tenant, Name: o.name, At: o.at}
	m, ok := s.mapping(n, "the spec of a Peering", "vpcs")
	if !ok {
		return p
	}
	n, ok = m.required("vpcs", wayOut)
	if !ok {
		return p
	}
	if _, ok := s.list(n, "vpcs"); !ok {
		return p
	}
	if len(n.Content) != 2 {
		s.err(s.pos(n), "vpcs has %d entries, %s; %s", len(n.Content), shown(n), wayOut)
		return p
	}
	valid := true
	for i, e := range n.Content {
		p.VPCs[i], ok = s.vpcID(e, "vpcs")
		o.places.vpcs[i] = s.pos(e)
		valid = valid && ok
	}
	if valid && p.VPCs[0] == p.VPCs[1] {
		s.err(s.pos(n), "vpcs has %q twice; %s", p.VPCs[0], wayOut)
	}
	return p
}
