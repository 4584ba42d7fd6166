package policy

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// never is the `until` of a rule that has none, in seconds since 1970.
const never = math.MaxInt64

// indexer makes data.daoli.index of a network; the README of the policies
// describes the document. Its size is that of the YAML times a constant: a rule
// stands once under each of its peers, and its ports are one key together.
type indexer struct {
	parts    map[spec.VPCID]*part
	inward   map[spec.VPCID][]entry
	between  *linkRanks
	prefixes prefixes
	ends     []int64 // each `until`, in seconds since 1970
	numbers  uint32  // that words have had
	current  *part   // being made
	terms    map[string]*ast.Term
}

// part is what one VPC, its groups and what lets the outside in to it make of the
// index. It is immutable once made, and as good for the next network if that has
// the very same objects.
type part struct {
	vpc    *spec.VPC
	groups map[string]*spec.SecurityGroup
	inward []entry

	words    *words
	term     *ast.Term
	prefixes []netip.Prefix
	ends     []int64
}

// isOf reports whether the part was made of these very objects.
func (p *part) isOf(vpc *spec.VPC, groups map[string]*spec.SecurityGroup, inward []entry) bool {
	return p != nil && p.vpc == vpc && maps.Equal(p.groups, groups) &&
		slices.EqualFunc(p.inward, inward, func(a, b entry) bool { return a.object == b.object })
}

func newIndexer() *indexer {
	return &indexer{
		parts:    map[spec.VPCID]*part{},
		between:  newLinkRanks(),
		prefixes: prefixes{known: map[netip.Prefix]bool{}},
		terms:    map[string]*ast.Term{},
	}
}

// index returns the index of network. Of before, the parts of another network's,
// it takes those that are the same.
func (x *indexer) index(network *spec.Network, before map[spec.VPCID]*part) ast.Value {
	vpcs := make([][2]*ast.Term, 0, len(network.VPCs))
	x.inward = entriesOf(network)
	known := map[netip.Prefix]bool{}
	for id, vpc := range network.VPCs {
		made := before[id]
		if !made.isOf(vpc, network.Groups[id], x.inward[id]) {
			made = x.part(vpc, network.Groups[id], x.inward[id])
		}
		x.parts[id] = made
		x.ends = append(x.ends, made.ends...)
		for _, prefix := range made.prefixes {
			known[prefix] = true
		}
		vpcs = append(vpcs, [2]*ast.Term{x.str(string(id)), made.term})
	}
	for prefix := range known {
		x.prefixes.add(prefix)
	}
	links := x.links(network)
	slices.Sort(x.ends)
	x.ends = slices.Compact(x.ends)
	return ast.NewObject(
		pair("peers", x.peers(network)),
		pair("onesided", x.onesided(network)),
		pair("links", links),
		pair("vpcs", ast.ObjectTerm(vpcs...)),
	)
}

func (x *indexer) part(v *spec.VPC, groups map[string]*spec.SecurityGroup, inward []entry) *part {
	x.numbers++
	x.current = &part{
		vpc: v, groups: groups, inward: inward,
		words: newWords(x.numbers),
	}
	x.current.term = x.vpc(v, groups, inward)
	slices.Sort(x.current.ends)
	x.current.ends = slices.Compact(x.current.ends)
	slices.SortFunc(x.current.prefixes, netip.Prefix.Compare)
	x.current.prefixes = slices.Compact(x.current.prefixes)
	return x.current
}

func (x *indexer) vpc(v *spec.VPC, groups map[string]*spec.SecurityGroup, entries []entry) *ast.Term {
	names := make([]string, 0, len(groups))
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)

	var rules []*ast.Term
	indexed := make([][2]*ast.Term, 0, len(groups))
	for _, name := range names {
		g := groups[name]
		var sides [][2]*ast.Term
		if g.Ingress != nil {
			sides = append(sides, pair("ingress", x.section(g, g.Ingress, &x.current.words.ingress, &rules)))
		}
		if g.Egress != nil {
			sides = append(sides, pair("egress", x.section(g, g.Egress, &x.current.words.egress, &rules)))
		}
		indexed = append(indexed, [2]*ast.Term{x.str(name), ast.ObjectTerm(sides...)})
	}

	list, targets := x.entries(entries)
	items := [][2]*ast.Term{
		pair("rule", x.str(string(v.ID))),
		pair("at", x.pos(v.At)),
		pair("default", x.defaulting(v, string(v.Default), v.DefaultAt)),
		pair("rules", ast.ArrayTerm(rules...)),
		pair("groups", ast.ObjectTerm(indexed...)),
		pair("entries", list),
		pair("targets", targets),
	}
	if v.Egress != nil {
		items = append(items, pair("egress", x.defaulting(v, v.Egress.Default, v.Egress.DefaultAt)))
	}
	return ast.ObjectTerm(items...)
}

// defaulting returns what a VPC says where no rule decides, and where it says so.
func (x *indexer) defaulting(v *spec.VPC, is string, at spec.Pos) *ast.Term {
	if at == (spec.Pos{}) {
		at = v.At
	}
	return ast.ObjectTerm(
		pair("is", x.str(is)),
		pair("rule", x.str(string(v.ID))),
		pair("at", x.pos(at)),
		pair("log", ast.InternedTerm(false)),
	)
}

// section indexes one side of g and appends its rules to the VPC's: the rank of
// a rule is its place there, so ranks of one side are in order of group name and
// index. Of rules that allow for good, the first is as good as all with the same
// ports and peer.
func (x *indexer) section(g *spec.SecurityGroup, s *spec.Section, side *sideWords, rules *[]*ast.Term) *ast.Term {
	words := x.current.words
	allow := map[string]map[string]*ast.Term{} // by ports, by peer
	rest := map[string]map[string][]*ast.Term{}
	for i := range s.Rules {
		r := &s.Rules[i]
		rank := ast.InternedTerm(len(*rules))
		*rules = append(*rules, x.rule(r))
		ports, found := words.ports.add(r)
		if !found {
			continue
		}
		forGood := r.Action == spec.Allow && r.Until.IsZero()
		for _, peer := range peersOf(r) {
			key := words.peers.add(&peer)
			x.addPrefixes(&peer)
			if !forGood {
				side.rest.groups[g.Name] = true
				side.rest.pairs.add(x, ports, key)
				row := rowOf(rest, ports)
				row[key] = append(row[key], rank)
				continue
			}
			side.allow.groups[g.Name] = true
			side.allow.pairs.add(x, ports, key)
			if row := rowOf(allow, ports); row[key] == nil {
				row[key] = rank
			}
		}
	}
	section := [][2]*ast.Term{pair("allow", x.objects(allow)), pair("rest", x.lists(rest))}
	if s.Isolating() {
		section = append(section, pair("isolating", ast.ObjectTerm(
			pair("rule", x.str(string(g.VPC)+"/"+g.Name)),
			pair("at", x.pos(s.At)),
		)))
	}
	return ast.ObjectTerm(section...)
}

func (x *indexer) addPrefixes(p *spec.Peer) {
	if p.CIDR.IsValid() {
		x.current.prefixes = append(x.current.prefixes, p.CIDR)
	}
	x.current.prefixes = append(x.current.prefixes, p.Except...)
}

// peersOf returns a rule's peers, with one for anybody where it names none.
func peersOf(r *spec.Rule) []spec.Peer {
	if r.AnyPeer {
		return []spec.Peer{{Any: true}}
	}
	return r.Peers
}

// rowOf returns the row of a table under a key, a new one if there is none.
func rowOf[V any](table map[string]map[string]V, key string) map[string]V {
	row := table[key]
	if row == nil {
		row = map[string]V{}
		table[key] = row
	}
	return row
}

// objects returns an object of objects.
func (x *indexer) objects(m map[string]map[string]*ast.Term) *ast.Term {
	items := make([][2]*ast.Term, 0, len(m))
	for key, row := range m {
		items = append(items, [2]*ast.Term{x.str(key), x.object(row)})
	}
	return ast.ObjectTerm(items...)
}

// lists returns an object of objects of arrays.
func (x *indexer) lists(m map[string]map[string][]*ast.Term) *ast.Term {
	items := make([][2]*ast.Term, 0, len(m))
	for key, row := range m {
		lists := make([][2]*ast.Term, 0, len(row))
		for k, values := range row {
			lists = append(lists, [2]*ast.Term{x.str(k), ast.ArrayTerm(values...)})
		}
		items = append(items, [2]*ast.Term{x.str(key), ast.ObjectTerm(lists...)})
	}
	return ast.ObjectTerm(items...)
}

func (x *indexer) rule(r *spec.Rule) *ast.Term {
	return ast.ObjectTerm(
		pair("rule", ast.StringTerm(r.ID)),
		pair("at", ast.StringTerm(r.At.String())),
		pair("action", x.str(string(r.Action))),
		pair("log", ast.InternedTerm(r.Log)),
		pair("until", number(x.end(r.Until))),
	)
}

// end returns the second from which on a rule has ended.
func (x *indexer) end(until time.Time) int64 {
	if until.IsZero() {
		return never
	}
	x.current.ends = append(x.current.ends, until.Unix())
	return until.Unix()
}

// str returns the one term of a string that many places of the index have.
func (x *indexer) str(s string) *ast.Term {
	t := x.terms[s]
	if t == nil {
		t = ast.StringTerm(s)
		x.terms[s] = t
	}
	return t
}

func (x *indexer) pos(p spec.Pos) *ast.Term { return x.str(p.String()) }

func pair(key string, value *ast.Term) [2]*ast.Term {
	return [2]*ast.Term{ast.InternedTerm(key), value}
}

func number(n int64) *ast.Term {
	return ast.NewTerm(ast.Number(strconv.FormatInt(n, 10)))
}
