package policy

import (
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
	words    map[spec.VPCID]*words
	prefixes prefixes
	ends     []int64 // each `until`, in seconds since 1970
	terms    map[string]*ast.Term
}

// words are the peers and ports that the rules of one VPC name.
type words struct {
	vpc   uint32 // a number for the VPC, from 1
	peers *selectors
	ports *portLists
}

func newIndexer() *indexer {
	return &indexer{
		words:    map[spec.VPCID]*words{},
		prefixes: prefixes{known: map[netip.Prefix]bool{}},
		terms:    map[string]*ast.Term{},
	}
}

// index returns the index of network.
func (x *indexer) index(network *spec.Network) ast.Value {
	vpcs := make([][2]*ast.Term, 0, len(network.VPCs))
	for id, vpc := range network.VPCs {
		x.words[id] = &words{vpc: uint32(len(x.words) + 1), peers: newSelectors(), ports: newPortLists()}
		vpcs = append(vpcs, [2]*ast.Term{x.str(string(id)), x.vpc(vpc, network.Groups[id])})
	}
	slices.Sort(x.ends)
	x.ends = slices.Compact(x.ends)
	return ast.NewObject(
		pair("peers", ast.ObjectTerm()),
		pair("vpcs", ast.ObjectTerm(vpcs...)),
	)
}

func (x *indexer) vpc(v *spec.VPC, groups map[string]*spec.SecurityGroup) *ast.Term {
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
			sides = append(sides, pair("ingress", x.section(g, g.Ingress, &rules)))
		}
		if g.Egress != nil {
			sides = append(sides, pair("egress", x.section(g, g.Egress, &rules)))
		}
		indexed = append(indexed, [2]*ast.Term{x.str(name), ast.ObjectTerm(sides...)})
	}

	items := [][2]*ast.Term{
		pair("rule", x.str(string(v.ID))),
		pair("at", x.pos(v.At)),
		pair("default", x.defaulting(v, string(v.Default), v.DefaultAt)),
		pair("rules", ast.ArrayTerm(rules...)),
		pair("groups", ast.ObjectTerm(indexed...)),
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
// index.
func (x *indexer) section(g *spec.SecurityGroup, s *spec.Section, rules *[]*ast.Term) *ast.Term {
	words := x.words[g.VPC]
	ranks := map[string]map[string][]*ast.Term{} // by ports, by peer
	for i := range s.Rules {
		r := &s.Rules[i]
		rank := ast.InternedTerm(len(*rules))
		*rules = append(*rules, x.rule(r))
		ports, found := words.ports.add(r)
		if !found {
			continue
		}
		if ranks[ports] == nil {
			ranks[ports] = map[string][]*ast.Term{}
		}
		for _, peer := range peersOf(r) {
			key := words.peers.add(&peer)
			x.addPrefixes(&peer)
			ranks[ports][key] = append(ranks[ports][key], rank)
		}
	}
	items := make([][2]*ast.Term, 0, len(ranks))
	for ports, peers := range ranks {
		items = append(items, [2]*ast.Term{x.str(ports), x.arrays(peers)})
	}
	section := [][2]*ast.Term{pair("rules", ast.ObjectTerm(items...))}
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
		x.prefixes.add(p.CIDR)
	}
	for _, except := range p.Except {
		x.prefixes.add(except)
	}
}

// peersOf returns a rule's peers, with one for anybody where it names none.
func peersOf(r *spec.Rule) []spec.Peer {
	if r.AnyPeer {
		return []spec.Peer{{Any: true}}
	}
	return r.Peers
}

// arrays returns an object of arrays.
func (x *indexer) arrays(m map[string][]*ast.Term) *ast.Term {
	items := make([][2]*ast.Term, 0, len(m))
	for key, values := range m {
		items = append(items, [2]*ast.Term{x.str(key), ast.ArrayTerm(values...)})
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
	x.ends = append(x.ends, until.Unix())
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
