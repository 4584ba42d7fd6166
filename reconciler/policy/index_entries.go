package policy

import (
	"cmp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// entry is an Ingress, or a Service with hosts or a gateway: what lets the
// outside in to the endpoints that it is for.
type entry struct {
	object   any // the *spec.Ingress or *spec.Service
	name     string
	path     string
	at       spec.Pos
	to       spec.Peer // whom; with endpoint, that one of the VPC
	endpoint string
	ports    []spec.Port
	from     []spec.Peer
}

// entriesOf returns the entries of each VPC, in order of their names, of an
// Ingress and a Service of one name the Ingress first.
func entriesOf(network *spec.Network) map[spec.VPCID][]entry {
	all := map[spec.VPCID][]entry{}
	for _, i := range network.Ingresses {
		all[i.VPC] = append(all[i.VPC], entry{
			object: i, name: i.Name, path: i.Path(), at: i.At,
			to: spec.Peer{VPC: i.VPC}, endpoint: i.Endpoint,
			ports: targets(i.Ports), from: sourcesOf(&i.Entry),
		})
	}
	for _, s := range network.Services {
		if s.VIP.IsValid() {
			continue // a virtual IP admits nothing from outside
		}
		all[s.VPC] = append(all[s.VPC], entry{
			object: s, name: s.Name, path: s.Path(), at: s.At,
			to:    s.Backends,
			ports: targets(s.Ports), from: sourcesOf(&s.Entry),
		})
	}
	for _, entries := range all {
		slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	}
	return all
}

// key returns the key of whom the entry is for.
func (e *entry) key() string {
	if e.endpoint != "" {
		return endpointKey(e.to.VPC, e.endpoint)
	}
	return peerKey(&e.to)
}

// target adds whom the entry is for to the keys of a VPC and returns the key.
func (e *entry) target(self *selectors) string {
	if e.endpoint != "" {
		return self.addEnd(&spec.End{VPC: e.to.VPC, Endpoint: e.endpoint})
	}
	return self.add(&e.to)
}

func targets(maps []spec.PortMap) []spec.Port {
	ports := make([]spec.Port, len(maps))
	for i := range maps {
		ports[i] = maps[i].Target
	}
	return ports
}

// sourcesOf returns the outside peers that an Entry is for.
func sourcesOf(e *spec.Entry) []spec.Peer {
	if e.Anybody {
		return []spec.Peer{{Any: true}}
	}
	peers := make([]spec.Peer, len(e.Sources))
	for i, s := range e.Sources {
		peers[i] = spec.Peer{CIDR: s.CIDR, Except: s.Except, At: s.At}
	}
	return peers
}

// entries returns entries and targets of a VPC: the entries in order, and by
// target, ports and source the rank of the first that has them.
func (x *indexer) entries(entries []entry) (list, targets *ast.Term) {
	words := x.current.words
	terms := make([]*ast.Term, len(entries))
	byTarget := map[string]map[string]map[string]*ast.Term{}
	for i := range entries {
		e := &entries[i]
		terms[i] = ast.ObjectTerm(
			pair("rule", x.str(e.path)),
			pair("at", x.pos(e.at)),
			pair("log", ast.InternedTerm(false)),
		)
		target := e.target(words.self)
		ports, found := words.ports.add(&spec.Rule{Ports: e.ports})
		if !found {
			continue
		}
		if byTarget[target] == nil {
			byTarget[target] = map[string]map[string]*ast.Term{}
		}
		first := rowOf(byTarget[target], ports)
		for j := range e.from {
			source := words.peers.add(&e.from[j])
			x.addPrefixes(&e.from[j])
			words.entries.add(x, ports, source)
			if first[source] == nil {
				first[source] = ast.InternedTerm(i)
			}
		}
	}
	rows := make(map[string]*ast.Term, len(byTarget))
	for target, byPorts := range byTarget {
		rows[target] = x.objects(byPorts)
	}
	return ast.ArrayTerm(terms...), x.object(rows)
}

func (x *indexer) object(m map[string]*ast.Term) *ast.Term {
	items := make([][2]*ast.Term, 0, len(m))
	for key, value := range m {
		items = append(items, [2]*ast.Term{x.str(key), value})
	}
	return ast.ObjectTerm(items...)
}
