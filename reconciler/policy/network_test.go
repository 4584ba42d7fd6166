package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// now is the time of the tests that do not care.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a network under construction. Each object and rule gets a line of
// its own in the file net.yaml, in the order of construction.
type world struct {
	network *spec.Network
	line    int
}

func newWorld() *world {
	return &world{network: &spec.Network{
		Tenants: map[string]*spec.Tenant{},
		VPCs:    map[spec.VPCID]*spec.VPC{},
		Groups:  map[spec.VPCID]map[string]*spec.SecurityGroup{},
		Peers:   map[spec.VPCID][]spec.VPCID{},
		Named:   map[spec.VPCID]map[string]bool{},
	}}
}

func (w *world) pos() spec.Pos {
	w.line++
	return spec.Pos{File: "net.yaml", Line: w.line}
}

// vpc adds a VPC; egress is "", "allow" or "deny".
func (w *world) vpc(id spec.VPCID, is spec.Default, egress string) *world {
	tenant, name, _ := strings.Cut(string(id), "/")
	v := &spec.VPC{ID: id, Tenant: tenant, Name: name, At: w.pos(), Default: is, DefaultAt: w.pos()}
	if egress != "" {
		v.Egress = &spec.Egress{Via: "own-host", Default: egress, DefaultAt: w.pos()}
	}
	w.network.VPCs[id] = v
	w.network.Groups[id] = map[string]*spec.SecurityGroup{}
	return w
}

// section is a side of a group for world.group.
type section struct {
	name  string
	rules []spec.Rule
}

func ingress(rules ...spec.Rule) section { return section{"ingress", rules} }
func egress(rules ...spec.Rule) section  { return section{"egress", rules} }

// group adds a group; its sections, then their rules take the next lines.
func (w *world) group(vpc spec.VPCID, name string, sections ...section) *world {
	g := &spec.SecurityGroup{VPC: vpc, Name: name, At: w.pos()}
	for _, s := range sections {
		at := w.pos()
		for i := range s.rules {
			s.rules[i].ID = fmt.Sprintf("%s/%s/%s/%d", vpc, name, s.name, i)
			s.rules[i].At = w.pos()
			for j := range s.rules[i].Peers {
				if p := &s.rules[i].Peers[j]; p.VPC == "" && !p.Any && !p.CIDR.IsValid() {
					p.VPC = vpc
				}
			}
		}
		side := &spec.Section{At: at, Rules: s.rules}
		if s.name == "ingress" {
			g.Ingress = side
		} else {
			g.Egress = side
		}
	}
	w.network.Groups[vpc][name] = g
	return w
}

// peer puts a Peering of two VPCs in force; it takes no line.
func (w *world) peer(a, b spec.VPCID) *world {
	for _, way := range [][2]spec.VPCID{{a, b}, {b, a}} {
		peers := append(slices.Clone(w.network.Peers[way[0]]), way[1])
		slices.Sort(peers)
		w.network.Peers[way[0]] = slices.Compact(peers)
	}
	return w
}

// peering adds a tenant's Peering, which is in force only by peer.
func (w *world) peering(tenant, name string, a, b spec.VPCID) *world {
	w.network.Peerings = append(w.network.Peerings, &spec.Peering{
		Tenant: tenant, Name: name, At: w.pos(), VPCs: [2]spec.VPCID{a, b},
	})
	return w
}

// link adds a Link of the VPC; an end is "web1", "group:db", and either with
// "@VPC" behind it.
func (w *world) link(vpc spec.VPCID, name, action, a, b string) *world {
	w.network.Links = append(w.network.Links, &spec.Link{
		VPC: vpc, Name: name, At: w.pos(), Connect: action == "connect",
		Between: [2]spec.End{parseEnd(vpc, a), parseEnd(vpc, b)},
	})
	return w
}

func parseEnd(vpc spec.VPCID, word string) spec.End {
	word, elsewhere, found := strings.Cut(word, "@")
	if found {
		vpc = spec.VPCID(elsewhere)
	}
	if group, found := strings.CutPrefix(word, "group:"); found {
		return spec.End{VPC: vpc, Group: group}
	}
	return spec.End{VPC: vpc, Endpoint: word}
}

// ingress adds an Ingress to an endpoint; words are targets of ports and
// prefixes of sources, "nobody" for none.
func (w *world) ingress(vpc spec.VPCID, name, endpoint string, words ...string) *world {
	entry, ports := parseEntry(words)
	w.network.Ingresses = append(w.network.Ingresses, &spec.Ingress{
		VPC: vpc, Name: name, At: w.pos(), Entry: entry, Ports: ports, Endpoint: endpoint,
	})
	return w
}

// service adds a Service with hosts over the backends that peer selects.
func (w *world) service(vpc spec.VPCID, name, peer string, words ...string) *world {
	entry, ports := parseEntry(words)
	backends := parsePeer(peer)
	backends.VPC = vpc
	w.network.Services = append(w.network.Services, &spec.Service{
		VPC: vpc, Name: name, At: w.pos(), Entry: entry, Ports: ports, Backends: backends,
	})
	return w
}

func parseEntry(words []string) (spec.Entry, []spec.PortMap) {
	entry := spec.Entry{Hosts: []string{"edge"}, Anybody: true}
	var ports []spec.PortMap
	for _, word := range words {
		if port, ok := parsePort(word); ok {
			listen := port
			listen.Lo, listen.Hi = 20000, 20000+port.Hi-port.Lo
			ports = append(ports, spec.PortMap{Listen: listen, Target: port})
			continue
		}
		entry.Anybody = false
		if word != "nobody" {
			p := parsePeer(word)
			entry.Sources = append(entry.Sources, spec.Source{CIDR: p.CIDR, Except: p.Except})
		}
	}
	return entry, ports
}

func (w *world) compile(t testing.TB) *policy.Policy {
	t.Helper()
	p, err := policy.Compile("r1", w.network, nil)
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

// rule returns a rule from its words: peers "group:web", "group:globex/shared/api",
// "subnet:db", "vpc:acme/prod", "role=api", "10.0.0.0/8", "10.0.0.0/8!10.1.0.0/16",
// "any", "nobody"; ports "tcp", "tcp/443", "tcp/1-9", "noport"; "deny", "reject",
// "log", "until:RFC3339". Without a peer it is for any, without a port for all.
func rule(words ...string) spec.Rule {
	r := spec.Rule{AnyPeer: true, AnyPort: true, Action: spec.Allow}
	for _, word := range words {
		switch word {
		case "deny", "reject":
			r.Action = spec.Action(word)
			continue
		case "log":
			r.Log = true
			continue
		case "nobody":
			r.AnyPeer = false
			continue
		case "noport":
			r.AnyPort = false
			continue
		}
		if end, found := strings.CutPrefix(word, "until:"); found {
			until, err := time.Parse(time.RFC3339, end)
			if err != nil {
				panic(err)
			}
			r.Until = until
			continue
		}
		if port, ok := parsePort(word); ok {
			r.AnyPort = false
			r.Ports = append(r.Ports, port)
			continue
		}
		r.AnyPeer = false
		r.Peers = append(r.Peers, parsePeer(word))
	}
	return r
}

func parsePort(word string) (spec.Port, bool) {
	proto, ports, ranged := strings.Cut(word, "/")
	switch proto {
	case "tcp", "udp", "sctp", "icmp":
	default:
		return spec.Port{}, false
	}
	if !ranged {
		if proto == "icmp" {
			return spec.Port{Proto: proto, Hi: 255}, true
		}
		return spec.Port{Proto: proto, Hi: 65535}, true
	}
	lo, hi, found := strings.Cut(ports, "-")
	if !found {
		hi = lo
	}
	return spec.Port{Proto: proto, Lo: mustPort(lo), Hi: mustPort(hi)}, true
}

func mustPort(s string) uint16 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		panic(err)
	}
	return uint16(n)
}

func parsePeer(word string) spec.Peer {
	if word == "any" {
		return spec.Peer{Any: true}
	}
	if name, value, found := strings.Cut(word, "="); found {
		return spec.Peer{Labels: map[string]string{name: value}}
	}
	kind, rest, found := strings.Cut(word, ":")
	if !found {
		parts := strings.Split(word, "!")
		p := spec.Peer{CIDR: netip.MustParsePrefix(parts[0])}
		for _, except := range parts[1:] {
			p.Except = append(p.Except, netip.MustParsePrefix(except))
		}
		return p
	}
	if kind == "vpc" {
		return spec.Peer{VPC: spec.VPCID(rest)}
	}
	var vpc spec.VPCID
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		vpc, rest = spec.VPCID(rest[:i]), rest[i+1:]
	}
	if kind == "group" {
		return spec.Peer{Group: rest, VPC: vpc}
	}
	return spec.Peer{Subnet: rest, VPC: vpc}
}

var lastIdentity inventory.IdentityID

// endpoint returns an identity of its own: "acme/prod/web" is VPC and subnet,
// then groups, labels as NAME=VALUE, and its name as @NAME.
func endpoint(where string, words ...string) *inventory.Identity {
	lastIdentity++
	i := strings.LastIndexByte(where, '/')
	vpc := spec.VPCID(where[:i])
	tenant, _, _ := strings.Cut(where, "/")
	id := &inventory.Identity{ID: lastIdentity, Tenant: tenant, VPC: vpc, Subnet: where[i+1:], Labels: map[string]string{}}
	for _, word := range words {
		if name, value, found := strings.Cut(word, "="); found {
			id.Labels[name] = value
		} else if name, found := strings.CutPrefix(word, "@"); found {
			id.Name = name
		} else {
			id.Groups = append(id.Groups, word)
		}
	}
	return id
}

// outside returns the identity of an outside address under p.
func outside(p *policy.Policy, addr string) *inventory.Identity {
	lastIdentity++
	return &inventory.Identity{ID: lastIdentity, Outside: true, CIDRs: p.OutsideCIDRs(netip.MustParseAddr(addr))}
}

// query asks for "tcp/443", or "gre".
func query(src, dst *inventory.Identity, port string) policy.Query {
	q := policy.Query{Src: src, Dst: dst}
	proto, number, found := strings.Cut(port, "/")
	if found {
		q.Port = mustPort(number)
	}
	q.Proto = map[string]packet.Proto{
		"tcp": packet.TCP, "udp": packet.UDP, "sctp": packet.SCTP, "icmp": packet.ICMP, "gre": 47,
	}[proto]
	return q
}
