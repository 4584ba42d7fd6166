package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// selectors knows the peers that the rules of one VPC name, or what Links,
// Ingresses and Services say of its own endpoints. A peer is a key, a string, and
// an identity has the keys of all peers that select it: so Rego finds the rules
// for an identity by looking its keys up. They are those of one VPC, so that no
// tenant can make another's queries longer.
//
//	any                            everybody
//	vpc:acme/prod                  the endpoints of a VPC
//	subnet:acme/prod/web           ... in a subnet
//	group:acme/prod/web            ... in a group
//	endpoint:acme/prod/web1        the one of a name
//	labels:acme/prod/"a"="1","b"="2"   ... with all of these labels
//	cidr:10.0.0.0/8!10.1.0.0/16    outside addresses in a prefix but for excepts
type selectors struct {
	used   map[string]bool // the keys that some rule has
	labels map[labelKey][]labelSelector
	cidrs  map[netip.Prefix][]cidrSelector
}

// labelKey finds the label selectors of a VPC by their first label.
type labelKey struct {
	vpc         spec.VPCID
	name, value string
}

type labelSelector struct {
	key    string
	labels map[string]string
}

type cidrSelector struct {
	key    string
	except map[netip.Prefix]bool
}

func newSelectors() *selectors {
	return &selectors{
		used:   map[string]bool{},
		labels: map[labelKey][]labelSelector{},
		cidrs:  map[netip.Prefix][]cidrSelector{},
	}
}

// add returns the key of a peer, and from then on identities that it selects
// have that key.
func (s *selectors) add(p *spec.Peer) string {
	key := peerKey(p)
	if s.used[key] {
		return key
	}
	s.used[key] = true
	switch {
	case len(p.Labels) > 0:
		first := slices.Min(slices.Collect(maps.Keys(p.Labels)))
		at := labelKey{vpc: p.VPC, name: first, value: p.Labels[first]}
		s.labels[at] = append(s.labels[at], labelSelector{key: key, labels: p.Labels})
	case p.CIDR.IsValid():
		except := make(map[netip.Prefix]bool, len(p.Except))
		for _, prefix := range p.Except {
			except[prefix] = true
		}
		s.cidrs[p.CIDR] = append(s.cidrs[p.CIDR], cidrSelector{key: key, except: except})
	}
	return key
}

// addEnd is add for one end of a Link.
func (s *selectors) addEnd(e *spec.End) string {
	if e.Endpoint == "" {
		return s.add(&spec.Peer{VPC: e.VPC, Group: e.Group})
	}
	key := endpointKey(e.VPC, e.Endpoint)
	s.used[key] = true
	return key
}

// keys returns the keys of id that some rule has.
func (s *selectors) keys(id *inventory.Identity) []string {
	var keys []string
	add := func(key string) {
		if s.used[key] {
			keys = append(keys, key)
		}
	}
	add("any")
	if id.Outside {
		return append(keys, s.cidrKeys(id.CIDRs)...)
	}
	add("vpc:" + string(id.VPC))
	if id.Name != "" {
		add(endpointKey(id.VPC, id.Name))
	}
	add("subnet:" + string(id.VPC) + "/" + id.Subnet)
	for _, group := range id.Groups {
		add("group:" + string(id.VPC) + "/" + group)
	}
	for _, name := range slices.Sorted(maps.Keys(id.Labels)) {
		for _, selector := range s.labels[labelKey{vpc: id.VPC, name: name, value: id.Labels[name]}] {
			if spec.HasLabels(id.Labels, selector.labels) {
				keys = append(keys, selector.key)
			}
		}
	}
	return keys
}

// cidrKeys returns the keys of an address that lies in just these prefixes.
func (s *selectors) cidrKeys(prefixes []netip.Prefix) []string {
	var keys []string
	for _, prefix := range prefixes {
		for _, selector := range s.cidrs[prefix] {
			if !slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return selector.except[p] }) {
				keys = append(keys, selector.key)
			}
		}
	}
	return keys
}

// peerKey returns the key of a peer. Peers that mean the same have one key.
func peerKey(p *spec.Peer) string {
	switch {
	case p.Any:
		return "any"
	case p.Group != "":
		return "group:" + string(p.VPC) + "/" + p.Group
	case p.Subnet != "":
		return "subnet:" + string(p.VPC) + "/" + p.Subnet
	case len(p.Labels) > 0:
		pairs := make([]string, 0, len(p.Labels))
		for name, value := range p.Labels {
			pairs = append(pairs, fmt.Sprintf("%q=%q", name, value))
		}
		slices.Sort(pairs)
		return "labels:" + string(p.VPC) + "/" + strings.Join(pairs, ",")
	case p.CIDR.IsValid():
		except := make([]string, 0, len(p.Except))
		for _, prefix := range p.Except {
			except = append(except, "!"+prefix.String())
		}
		slices.Sort(except)
		return "cidr:" + p.CIDR.String() + strings.Join(slices.Compact(except), "")
	}
	return "vpc:" + string(p.VPC)
}

func endpointKey(vpc spec.VPCID, name string) string {
	return "endpoint:" + string(vpc) + "/" + name
}

// prefixes are the ranges of all cidr peers and sources of a network, excepts included.
type prefixes struct {
	known   map[netip.Prefix]bool
	lengths []int // in bits, each once, sorted
}

func (s *prefixes) add(p netip.Prefix) {
	s.known[p] = true
	if i, found := slices.BinarySearch(s.lengths, p.Bits()); !found {
		s.lengths = slices.Insert(s.lengths, i, p.Bits())
	}
}

// containing returns the prefixes that a lies in, the widest first.
func (s *prefixes) containing(a netip.Addr) []netip.Prefix {
	var found []netip.Prefix
	for _, bits := range s.lengths {
		if p, err := a.Prefix(bits); err == nil && s.known[p] {
			found = append(found, p)
		}
	}
	return found
}
