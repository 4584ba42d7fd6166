package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
)

// queryInput returns the document input of q after the first passed ends. It is
// made of what the decision cache has as key, and of passed: nothing else may
// enter here.
func (p *Policy) queryInput(passed int, q Query) *ast.Term {
	lastEnd := int64(0)
	if passed > 0 {
		lastEnd = p.ends[passed-1]
	}
	return ast.ObjectTerm(
		pair("src", p.identityInput(q.Src)),
		pair("dst", p.identityInput(q.Dst)),
		pair("proto", ast.StringTerm(protoName(q.Proto))),
		pair("port", ast.InternedTerm(int(q.Port))),
		pair("peers", ast.ObjectTerm(
			pair("src", p.peersInput(q.Src, q.Dst)),
			pair("dst", p.peersInput(q.Dst, q.Src)),
		)),
		pair("ports", ast.ObjectTerm(
			pair("src", p.portsInput(q.Src, q)),
			pair("dst", p.portsInput(q.Dst, q)),
		)),
		pair("now", number(lastEnd)),
	)
}

// identityInput returns input.src or input.dst.
func (p *Policy) identityInput(id *inventory.Identity) *ast.Term {
	return p.cached(inputKey{identity: id.ID}, func() *ast.Term { return p.identityTerm(id) })
}

// peersInput returns the keys of the peers in the rules of self's VPC that
// select other.
func (p *Policy) peersInput(self, other *inventory.Identity) *ast.Term {
	words := p.words(self.VPC)
	if words == nil {
		return ast.InternedEmptyArray
	}
	return p.cached(inputKey{identity: other.ID, vpc: words.vpc}, func() *ast.Term {
		return stringsTerm(words.peers.keys(other))
	})
}

// portsInput returns the keys of the ports in the rules of self's VPC that hold
// the port of q.
func (p *Policy) portsInput(self *inventory.Identity, q Query) *ast.Term {
	words := p.words(self.VPC)
	if words == nil {
		return ast.InternedEmptyArray
	}
	return words.ports.holding(q.Proto, q.Port)
}

// inputKey finds a part of the input: an identity's own, or with the number of a
// VPC, its keys there.
type inputKey struct {
	identity inventory.IdentityID
	vpc      uint32
}

// cached returns the part under k, which build makes if it is not there. What
// an identity that is not interned says is not kept.
func (p *Policy) cached(k inputKey, build func() *ast.Term) *ast.Term {
	if k.identity == 0 {
		return build()
	}
	hash := mix(uint64(k.vpc)<<32 | uint64(k.identity))
	if t := p.inputs.get(hash, k); t != nil {
		return t
	}
	t := build()
	p.inputs.put(hash, k, t)
	return t
}

// identityTerm returns an identity with its keys: what Links, Ingresses and
// Services of its VPC call it.
func (p *Policy) identityTerm(id *inventory.Identity) *ast.Term {
	if id.Outside {
		return ast.ObjectTerm(
			pair("outside", ast.InternedTerm(true)),
			pair("groups", ast.InternedEmptyArray),
			pair("keys", ast.InternedEmptyArray),
		)
	}
	labels := make([][2]*ast.Term, 0, len(id.Labels))
	for name, value := range id.Labels {
		labels = append(labels, [2]*ast.Term{ast.StringTerm(name), ast.StringTerm(value)})
	}
	return ast.ObjectTerm(
		pair("tenant", ast.StringTerm(id.Tenant)),
		pair("vpc", ast.StringTerm(string(id.VPC))),
		pair("subnet", ast.StringTerm(id.Subnet)),
		pair("groups", stringsTerm(id.Groups)),
		pair("labels", ast.ObjectTerm(labels...)),
		pair("keys", stringsTerm(p.selfKeys(id))),
	)
}

// selfKeys returns what Links, Ingresses and Services of its VPC call id.
func (p *Policy) selfKeys(id *inventory.Identity) []string {
	words := p.words(id.VPC)
	if words == nil {
		return nil
	}
	keys := words.self.keys(id)
	if ends := p.linkEnds[id.VPC]; ends != nil {
		keys = append(keys, ends.keys(id)...)
		slices.Sort(keys)
	}
	return slices.Compact(keys)
}

func stringsTerm(values []string) *ast.Term {
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	return ast.ArrayTerm(terms...)
}
