package policy

import (
	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
)

// identityInput is input.src or input.dst.
type identityInput struct{ term *ast.Term }

// input returns what a query says of id under this policy.
func (p *Policy) input(id *inventory.Identity) *ast.Term {
	hash := hashIdentity(id.ID)
	if in := p.inputs.get(hash, id.ID); in != nil && id.ID != 0 {
		return in.term
	}
	in := &identityInput{term: p.identityTerm(id)}
	if id.ID != 0 {
		p.inputs.put(hash, id.ID, in)
	}
	return in.term
}

func (p *Policy) identityTerm(id *inventory.Identity) *ast.Term {
	keys := pair("keys", stringsTerm(p.selectors.keys(id)))
	if id.Outside {
		return ast.ObjectTerm(
			pair("outside", ast.InternedTerm(true)),
			pair("groups", ast.ArrayTerm()),
			keys,
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
		keys,
	)
}

// queryInput returns the document input of q after the first passed ends. It is
// made of what the decision cache has as key, and of passed: nothing else may
// enter here.
func (p *Policy) queryInput(passed int, q Query) *ast.Term {
	lastEnd := int64(0)
	if passed > 0 {
		lastEnd = p.ends[passed-1]
	}
	return ast.ObjectTerm(
		pair("src", p.input(q.Src)),
		pair("dst", p.input(q.Dst)),
		pair("proto", ast.StringTerm(protoName(q.Proto))),
		pair("port", ast.InternedTerm(int(q.Port))),
		pair("ports", ast.ObjectTerm(
			pair("src", p.portsHolding(q.Src, q)),
			pair("dst", p.portsHolding(q.Dst, q)),
		)),
		pair("now", number(lastEnd)),
	)
}

// portsHolding returns the keys of the ports in the rules of id's VPC that hold
// the port of q.
func (p *Policy) portsHolding(id *inventory.Identity, q Query) *ast.Term {
	lists := p.ports[id.VPC]
	if lists == nil {
		return ast.InternedEmptyArray
	}
	return lists.holding(q.Proto, q.Port)
}

func stringsTerm(values []string) *ast.Term {
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	return ast.ArrayTerm(terms...)
}
