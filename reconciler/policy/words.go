package policy

import (
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
)

// words are the peers and ports that the rules of one VPC name, which of them stand
// together in a rule, and its own endpoints as Ingresses and Services name them.
type words struct {
	vpc   uint32 // a number for the VPC, from 1
	peers *selectors
	self  *selectors
	ports *portLists

	ingress, egress sideWords
	entries         wordPairs
}

// sideWords are those of the rules of one side of a VPC's groups: of the rules that
// allow for good, and of the rest, which deny or end.
type sideWords struct{ allow, rest ruleWords }

// ruleWords are the pairs of ports and peer that stand in some rule, and the groups
// that have one.
type ruleWords struct {
	pairs  wordPairs
	groups map[string]bool
}

// wordPairs are the pairs of ports and peer that stand in some rule. A query is
// given those that hold for it, and so finds its rules by looking few up.
type wordPairs map[string]*portsPeers

// portsPeers are the peers that stand in a rule with these ports.
type portsPeers struct {
	ports *ast.Term
	peers map[string]*ast.Term
}

func newWords(vpc uint32) *words {
	return &words{
		vpc: vpc, peers: newSelectors(), self: newSelectors(), ports: newPortLists(),
		ingress: newSideWords(), egress: newSideWords(), entries: wordPairs{},
	}
}

func newSideWords() sideWords { return sideWords{newRuleWords(), newRuleWords()} }

func newRuleWords() ruleWords { return ruleWords{pairs: wordPairs{}, groups: map[string]bool{}} }

// holding returns the pairs of one of the ports and one of the peers, if a group of
// self has rules.
func (w *ruleWords) holding(self *inventory.Identity, ports []string, peers *keySet) *ast.Term {
	if !slices.ContainsFunc(self.Groups, func(group string) bool { return w.groups[group] }) {
		return ast.InternedEmptyObject
	}
	return w.pairs.holding(ports, peers)
}

func (w wordPairs) add(x *indexer, ports, peer string) {
	row := w[ports]
	if row == nil {
		row = &portsPeers{ports: x.str(ports), peers: map[string]*ast.Term{}}
		w[ports] = row
	}
	if row.peers[peer] == nil {
		row.peers[peer] = x.str(peer)
	}
}

// holding returns the pairs of one of the ports and one of the peers, as an object
// of lists of peers by ports. It takes as many steps as there are ports and peers,
// or pairs if they are fewer.
func (w wordPairs) holding(ports []string, peers *keySet) *ast.Term {
	if len(w) == 0 {
		return ast.InternedEmptyObject
	}
	var items [][2]*ast.Term
	for _, key := range ports {
		row := w[key]
		if row == nil {
			continue
		}
		if found := row.among(peers); len(found) > 0 {
			items = append(items, [2]*ast.Term{row.ports, ast.ArrayTerm(found...)})
		}
	}
	if len(items) == 0 {
		return ast.InternedEmptyObject
	}
	return ast.ObjectTerm(items...)
}

// among returns those of the peers that stand in the row.
func (r *portsPeers) among(peers *keySet) []*ast.Term {
	var found []*ast.Term
	if len(peers.list) <= len(r.peers) {
		for _, key := range peers.list {
			if t := r.peers[key]; t != nil {
				found = append(found, t)
			}
		}
		return found
	}
	for key, t := range r.peers {
		if peers.known[key] {
			found = append(found, t)
		}
	}
	return found
}

// keySet are keys, to walk through and to look up.
type keySet struct {
	list  []string
	known map[string]bool
}

func newKeySet(keys []string) *keySet {
	known := make(map[string]bool, len(keys))
	for _, key := range keys {
		known[key] = true
	}
	return &keySet{list: keys, known: known}
}
