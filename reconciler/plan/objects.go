package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Object is one that differs between two networks.
type Object struct {
	Change string `json:"change" yaml:"change"` // added, changed or removed
	Kind   string `json:"kind" yaml:"kind"`
	Name   string `json:"name" yaml:"name"` // TENANT/VPC/NAME, as far as its kind has them
	At     string `json:"at" yaml:"at"`     // FILE:LINE, after; of one that is removed, before
}

// Changes of an Object.
const (
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// Objects returns the objects that differ, by kind and name. Where an object
// stands makes no difference.
func Objects(before, after *spec.Network) []Object {
	was, is := objectsOf(before), objectsOf(after)
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	found := []Object{}
	for key := range keys {
		a, before := was[key]
		b, after := is[key]
		o := Object{Kind: key.kind, Name: key.name, At: b.at.String()}
		switch {
		case !before:
			o.Change = Added
		case !after:
			o.Change, o.At = Removed, a.at.String()
		case a.same(b.object):
			continue
		default:
			o.Change = Changed
		}
		found = append(found, o)
	}
	slices.SortFunc(found, func(a, b Object) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Kind, b.Kind))
	})
	return found
}

type objectKey struct{ kind, name string }

type written struct {
	at     spec.Pos
	object any
	same   func(any) bool
}

// write returns an object with what compares it.
func write[T any](at spec.Pos, o *T) written {
	return written{at: at, object: o, same: func(other any) bool { return spec.Same(o, other.(*T)) }}
}

func objectsOf(n *spec.Network) map[objectKey]written {
	all := map[objectKey]written{}
	for name, o := range n.Tenants {
		all[objectKey{"Tenant", name}] = write(o.At, o)
	}
	for id, o := range n.VPCs {
		all[objectKey{"VPC", string(id)}] = write(o.At, o)
	}
	for id, groups := range n.Groups {
		for name, o := range groups {
			all[objectKey{"SecurityGroup", string(id) + "/" + name}] = write(o.At, o)
		}
	}
	for _, o := range n.Peerings {
		declared := *o
		declared.InForce = false // that is the other tenant's doing as well
		all[objectKey{"Peering", o.Path()}] = write(o.At, &declared)
	}
	for _, o := range n.Links {
		all[objectKey{"Link", o.Path()}] = write(o.At, o)
	}
	for _, o := range n.Ingresses {
		all[objectKey{"Ingress", o.Path()}] = write(o.At, o)
	}
	for _, o := range n.Services {
		all[objectKey{"Service", o.Path()}] = write(o.At, o)
	}
	for _, o := range n.Assertions {
		all[objectKey{"Assertion", o.Path()}] = write(o.At, o)
	}
	for name, o := range n.Gateways {
		all[objectKey{"Gateway", name}] = write(o.At, o)
	}
	for name, o := range n.Sites {
		all[objectKey{"Site", name}] = write(o.At, o)
	}
	return all
}
