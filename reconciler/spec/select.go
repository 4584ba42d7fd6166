package spec

import "slices"

// Subnet returns the subnet of a name, or nil.
func (v *VPC) Subnet(name string) *Subnet {
	i := slices.IndexFunc(v.Subnets, func(s Subnet) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &v.Subnets[i]
}

// Select reports whether the selectors choose an endpoint of the group's VPC:
// all that are set must hold, any of the subnets and endpoints, all of the labels.
func (m *Members) Select(name, subnet string, labels map[string]string) bool {
	if m.All {
		return true
	}
	if len(m.Subnets) > 0 && !slices.Contains(m.Subnets, subnet) {
		return false
	}
	if len(m.Endpoints) > 0 && !slices.Contains(m.Endpoints, name) {
		return false
	}
	return HasLabels(labels, m.Labels)
}

// HasLabels reports whether all has each of some, with its value.
func HasLabels(all, some map[string]string) bool {
	for name, value := range some {
		if v, found := all[name]; !found || v != value {
			return false
		}
	}
	return true
}
