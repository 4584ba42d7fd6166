package policy

import (
	"cmp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// peers returns index.peers: the VPCs that have a Peering in force, both ways.
func (x *indexer) peers(network *spec.Network) *ast.Term {
	items := make([][2]*ast.Term, 0, len(network.Peers))
	for id, others := range network.Peers {
		row := make([][2]*ast.Term, 0, len(others))
		for _, other := range others {
			row = append(row, [2]*ast.Term{x.str(string(other)), ast.InternedTerm(true)})
		}
		if len(row) > 0 {
			items = append(items, [2]*ast.Term{x.str(string(id)), ast.ObjectTerm(row...)})
		}
	}
	return ast.ObjectTerm(items...)
}

// onesided returns index.onesided: the Peering, first by path, that one side
// declared and the other did not, both ways.
func (x *indexer) onesided(network *spec.Network) *ast.Term {
	peerings := slices.Clone(network.Peerings)
	slices.SortStableFunc(peerings, func(a, b *spec.Peering) int { return cmp.Compare(a.Path(), b.Path()) })
	rows := map[spec.VPCID]map[spec.VPCID]bool{}
	items := map[spec.VPCID][][2]*ast.Term{}
	for _, p := range peerings {
		a, b := p.VPCs[0], p.VPCs[1]
		if network.Peered(a, b) || p.Tenant != tenantOf(a) && p.Tenant != tenantOf(b) || rows[a][b] {
			continue
		}
		by := ast.ObjectTerm(pair("rule", x.str(p.Path())), pair("at", x.pos(p.At)))
		for _, way := range [][2]spec.VPCID{{a, b}, {b, a}} {
			if rows[way[0]] == nil {
				rows[way[0]] = map[spec.VPCID]bool{}
			}
			rows[way[0]][way[1]] = true
			items[way[0]] = append(items[way[0]], [2]*ast.Term{x.str(string(way[1])), by})
		}
	}
	all := make([][2]*ast.Term, 0, len(items))
	for id, row := range items {
		all = append(all, [2]*ast.Term{x.str(string(id)), ast.ObjectTerm(row...)})
	}
	return ast.ObjectTerm(all...)
}

// linkKey is what one of two Links between the same ends would say again: that
// they are disconnected, or that one tenant connects them.
type linkKey struct {
	from, to string
	tenant   string // "" of a disconnect, whoever declares it
}

// linkRanks finds the Links between two identities by what Links call them.
type linkRanks struct {
	ends map[spec.VPCID]*selectors   // of Links, in each VPC
	rows map[string]map[string][]int // ranks between what has one key and what has another, both ways
}

func newLinkRanks() *linkRanks {
	return &linkRanks{ends: map[spec.VPCID]*selectors{}, rows: map[string]map[string][]int{}}
}

// keys returns what Links call id.
func (l *linkRanks) keys(id *inventory.Identity) []string {
	ends := l.ends[id.VPC]
	if ends == nil {
		return nil
	}
	return ends.keys(id)
}

// ranks returns the ranks of the Links between what has some key of from and
// what has some key of to, each once, in order.
func (l *linkRanks) ranks(from, to []string) []int {
	var ranks []int
	for _, key := range from {
		row := l.rows[key]
		for _, other := range to {
			ranks = append(ranks, row[other]...)
		}
	}
	slices.Sort(ranks)
	return slices.Compact(ranks)
}

// endsOf returns the ends of Links in a VPC.
func (l *linkRanks) endsOf(id spec.VPCID) *selectors {
	if l.ends[id] == nil {
		l.ends[id] = newSelectors()
	}
	return l.ends[id]
}

func (l *linkRanks) add(from, to string, rank int) {
	row := rowOf(l.rows, from)
	row[to] = append(row[to], rank)
}

// links returns index.links, the Links in order of their paths, and notes which are
// between whom. Of Links that say the same there is only the first, so that there
// are three at most for a pair of keys. Links that can match nothing, since their
// ends are isolated, are left out.
func (x *indexer) links(network *spec.Network) *ast.Term {
	sorted := slices.Clone(network.Links)
	slices.SortStableFunc(sorted, func(a, b *spec.Link) int { return cmp.Compare(a.Path(), b.Path()) })
	var terms []*ast.Term
	known := map[linkKey]bool{}
	for _, l := range sorted {
		from, to := l.Between[0], l.Between[1]
		tenant := tenantOf(l.VPC)
		if tenant != tenantOf(from.VPC) && tenant != tenantOf(to.VPC) ||
			from.VPC != to.VPC && !network.Peered(from.VPC, to.VPC) ||
			x.parts[from.VPC] == nil || x.parts[to.VPC] == nil {
			continue
		}
		a, b := x.between.endsOf(from.VPC).addEnd(&from), x.between.endsOf(to.VPC).addEnd(&to)
		key := linkKey{from: a, to: b}
		if l.Connect {
			key.tenant = tenant
		}
		if known[key] {
			continue
		}
		rank := len(terms)
		terms = append(terms, x.link(l, tenant))
		x.between.add(a, b, rank)
		known[key] = true
		if a != b {
			x.between.add(b, a, rank)
			key.from, key.to = b, a
			known[key] = true
		}
	}
	return ast.ArrayTerm(terms...)
}

func (x *indexer) link(l *spec.Link, tenant string) *ast.Term {
	action := "disconnect"
	if l.Connect {
		action = "connect"
	}
	return ast.ObjectTerm(
		pair("rule", x.str(l.Path())),
		pair("at", x.pos(l.At)),
		pair("action", x.str(action)),
		pair("tenant", x.str(tenant)),
		pair("log", ast.InternedTerm(false)),
	)
}

// tenantOf returns the tenant of a VPC.
func tenantOf(id spec.VPCID) string {
	for i := range len(id) {
		if id[i] == '/' {
			return string(id[:i])
		}
	}
	return string(id)
}
