package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
)

// queryInput returns the document input of q after the first passed ends. It is
// made of what the decision cache has as key, and of passed: nothing else may
// enter here.
// Of tenants' modules it has what they answered, and waits for that if wait is not nil.
func (p *Policy) queryInput(passed int, q Query, wait Hooks) *ast.Term {
	lastEnd := int64(0)
	if passed > 0 {
		lastEnd = p.ends[passed-1]
	}
	src, dst := p.identityPart(q.Src), p.identityPart(q.Dst)
	ingress, restIn := p.sideInput(q.Dst, q.Src, q, ingressWords)
	egress, restOut := p.sideInput(q.Src, q.Dst, q, egressWords)
	input := ast.NewObject(
		pair("src", src.term),
		pair("dst", dst.term),
		pair("proto", ast.InternedTerm(q.Proto.String())),
		pair("port", ast.InternedTerm(int(q.Port))),
		pair("exceptions", exceptionsInput(p.between.ranks(src.ends, dst.ends), restIn, restOut, nil)),
		pair("now", number(lastEnd)),
	)
	for _, allowing := range [...][2]*ast.Term{
		pair("ingress", ingress), pair("egress", egress), pair("entries", p.entriesInput(q)),
	} {
		if allowing[1] != ast.InternedEmptyObject {
			input.Insert(allowing[0], allowing[1])
		}
	}
	if p.evaluator.guard.query == nil && !p.asked(q) {
		return ast.NewTerm(input)
	}
	if hooks := p.hooksInput(ast.NewTerm(input), q, wait); hooks != nil {
		input.Insert(ast.StringTerm("exceptions"), exceptionsInput(p.between.ranks(src.ends, dst.ends), restIn, restOut, hooks))
	}
	return ast.NewTerm(input)
}

// exceptionsInput returns input.exceptions: the ranks of Links, and the pairs of
// rules that deny or end, and what tenants' modules say (hooks, nil: nothing); or the
// empty object if there are none.
func exceptionsInput(links []int, ingress, egress, hooks *ast.Term) *ast.Term {
	if len(links) == 0 && ingress == ast.InternedEmptyObject && egress == ast.InternedEmptyObject && hooks == nil {
		return ast.InternedEmptyObject
	}
	if hooks == nil {
		hooks = noHooks
	}
	return ast.ObjectTerm(pair("links", ranksTerm(links)), pair("ingress", ingress), pair("egress", egress), pair("hooks", hooks))
}

// noHooks is input.exceptions.hooks where no module has anything to say.
var noHooks = ast.ObjectTerm(pair("operator", ast.InternedEmptyArray), pair("deny", ast.InternedEmptyArray), pair("failed", ast.InternedEmptyArray))

// inputPart is what is kept of an identity for the input: of its own, or of its
// keys in the words of a VPC.
type inputPart struct {
	term  *ast.Term // src or dst
	ends  []string  // what Links call it
	peers *keySet   // the peers in the rules of the VPC that select it
}

// inputKey finds a part of the input: an identity's own, or with the number of a
// VPC, its keys there.
type inputKey struct {
	identity inventory.IdentityID
	vpc      uint32
}

// cached returns the part under k, which build makes if it is not there. What
// an identity that is not interned says is not kept.
func (p *Policy) cached(k inputKey, build func() *inputPart) *inputPart {
	if k.identity == 0 {
		return build()
	}
	hash := mix(uint64(k.vpc)<<32 | uint64(k.identity))
	if part := p.inputs.get(hash, k); part != nil {
		return part
	}
	part := build()
	p.inputs.put(hash, k, part)
	return part
}

func (p *Policy) identityPart(id *inventory.Identity) *inputPart {
	return p.cached(inputKey{identity: id.ID}, func() *inputPart {
		return &inputPart{term: p.identityTerm(id), ends: p.between.keys(id)}
	})
}

// peers returns the keys of other in the rules of a VPC.
func (p *Policy) peers(words *words, other *inventory.Identity) *keySet {
	return p.cached(inputKey{identity: other.ID, vpc: words.vpc}, func() *inputPart {
		return &inputPart{peers: newKeySet(words.peers.keys(other))}
	}).peers
}

func ingressWords(w *words) *sideWords { return &w.ingress }
func egressWords(w *words) *sideWords  { return &w.egress }

// sideInput returns input.ingress or input.egress, and the same of
// input.exceptions: the pairs of ports and peer, in the rules of self's VPC, that
// hold the port of q and select other.
func (p *Policy) sideInput(self, other *inventory.Identity, q Query, side func(*words) *sideWords) (allow, rest *ast.Term) {
	words := p.words(self.VPC)
	if words == nil {
		return ast.InternedEmptyObject, ast.InternedEmptyObject
	}
	ports := words.ports.holding(q.Proto, q.Port)
	if len(ports) == 0 {
		return ast.InternedEmptyObject, ast.InternedEmptyObject
	}
	peers, of := p.peers(words, other), side(words)
	return of.allow.holding(self, ports, peers), of.rest.holding(self, ports, peers)
}

// entriesInput returns input.entries: the pairs of ports and source, in what lets
// the outside in to dst's VPC, that hold the port of q and src, if that lies outside.
func (p *Policy) entriesInput(q Query) *ast.Term {
	words := p.words(q.Dst.VPC)
	if words == nil || !q.Src.Outside {
		return ast.InternedEmptyObject
	}
	return words.entries.holding(words.ports.holding(q.Proto, q.Port), p.peers(words, q.Src))
}

// identityTerm returns an identity with its keys: what Ingresses and Services of
// its VPC call it.
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
		pair("keys", stringsTerm(p.targetKeys(id))),
	)
}

// targetKeys returns what Ingresses and Services of its VPC call id.
func (p *Policy) targetKeys(id *inventory.Identity) []string {
	if words := p.words(id.VPC); words != nil {
		return words.self.keys(id)
	}
	return nil
}

// selfKeys returns what Links, Ingresses and Services of its VPC call id.
func (p *Policy) selfKeys(id *inventory.Identity) []string {
	keys := append(p.targetKeys(id), p.between.keys(id)...)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func stringsTerm(values []string) *ast.Term {
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	return ast.ArrayTerm(terms...)
}

func ranksTerm(ranks []int) *ast.Term {
	if len(ranks) == 0 {
		return ast.InternedEmptyArray
	}
	terms := make([]*ast.Term, len(ranks))
	for i, rank := range ranks {
		terms[i] = ast.InternedTerm(rank)
	}
	return ast.ArrayTerm(terms...)
}
