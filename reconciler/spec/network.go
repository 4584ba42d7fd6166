package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Pos is where something stands in the YAML: FILE relative to the root, and the
// line, from 1.
type Pos struct {
	File string
	Line int
}

// String returns FILE:LINE, or "-" for the zero Pos.
func (p Pos) String() string {
	if p.File == "" {
		return "-"
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// VPCID names a VPC: "tenant/name".
type VPCID string

// MakeVPCID returns the id of tenant's VPC name.
func MakeVPCID(tenant, name string) VPCID { return VPCID(tenant + "/" + name) }

// Network is one validated state of the YAML tree. It is frozen: whoever gets
// it must not change it or what it holds.
type Network struct {
	Tenants map[string]*Tenant
	VPCs    map[VPCID]*VPC
	// Groups of each VPC by name.
	Groups map[VPCID]map[string]*SecurityGroup

	Peerings   []*Peering   // by tenant, name
	Links      []*Link      // by tenant, VPC, name
	Ingresses  []*Ingress   // likewise
	Services   []*Service   // likewise
	Assertions []*Assertion // by tenant, name
	Gateways   map[string]*Gateway
	Sites      map[string]*Site

	// Peers are the VPCs that each VPC has a Peering in force with, sorted.
	Peers map[VPCID][]VPCID
	// Named are the endpoints of each VPC that a Link, Ingress or Assertion names.
	Named map[VPCID]map[string]bool
	// OperatorCIDRs are the cidrs that egress rules in files outside tenants/ allow: those
	// within the hosts' own range open it (SPEC 3, Outside).
	OperatorCIDRs []netip.Prefix
}

// Peered reports whether a Peering of the two VPCs is in force.
func (n *Network) Peered(a, b VPCID) bool {
	_, found := slices.BinarySearch(n.Peers[a], b)
	return found
}

// Tenant is the operator's word about one tenant.
type Tenant struct {
	Name   string
	At     Pos
	Hosts  []string // globs (path.Match) of hosts that may claim its endpoints
	Quota  Quota
	Listen Listen
}

// Listen says which ports of which hosts a tenant's Ingresses may take. The
// zero Listen is none.
type Listen struct {
	Hosts []string // globs (path.Match)
	Ports []Port   // tcp, udp or sctp
}

// Quota bounds a tenant; zero is unlimited, and the YAML refuses to write it.
type Quota struct {
	Endpoints, Sessions, NewSessionsPerSecond int
}

// Default says who may talk to an endpoint that no group isolates.
type Default string

// Defaults of a VPC.
const (
	SameSubnet Default = "same-subnet"
	SameVPC    Default = "same-vpc"
	Deny       Default = "deny"
)

// VPC is one private network.
type VPC struct {
	ID        VPCID
	Tenant    string
	Name      string
	At        Pos // its metadata.name
	Subnets   []Subnet
	Default   Default
	DefaultAt Pos     // the default's line, or At where it is absent
	Egress    *Egress // nil: no way out
	Sessions  Sessions
}

// Subnet is one range of a VPC.
type Subnet struct {
	Name string
	CIDR netip.Prefix
	At   Pos
}

// Egress is a VPC's way out.
type Egress struct {
	Via       string // "own-host" or a Gateway's name
	Default   string // "allow" or "deny"
	DefaultAt Pos
}

// Granularity says what a session's flows match.
type Granularity string

// Granularities.
const (
	PerService    Granularity = "service"    // flows wildcard the client's port
	PerConnection Granularity = "connection" // flows match it exactly
)

// Sessions says how sessions of a VPC are installed and how long idle TCP ones live.
type Sessions struct {
	TCP, UDP Granularity
	Idle     time.Duration
}

// SecurityGroup is a set of endpoints and the rules for them.
type SecurityGroup struct {
	VPC     VPCID
	Name    string
	At      Pos
	Members *Members // nil: the endpoints that claim it
	Ingress *Section // nil: absent
	Egress  *Section
}

// Members selects endpoints; the selectors that are set must all hold.
type Members struct {
	Subnets   []string
	Labels    map[string]string
	Endpoints []string
	All       bool
}

// Section is a group's ingress or egress list as written.
type Section struct {
	At    Pos
	Rules []Rule
}

// Isolating reports whether the section closes its side for what it does not
// allow: it is empty or has an allow rule, expired or not (SPEC.md 3).
func (s *Section) Isolating() bool {
	if s == nil {
		return false
	}
	for i := range s.Rules {
		if s.Rules[i].Action == Allow {
			return true
		}
	}
	return len(s.Rules) == 0
}

// Action of a rule.
type Action string

// Actions of a rule.
const (
	Allow    Action = "allow"
	DenyRule Action = "deny"
	Reject   Action = "reject"
)

// Rule is one element of a section.
type Rule struct {
	ID      string // tenant/vpc/group/section/index
	At      Pos
	AnyPeer bool   // from/to absent
	Peers   []Peer // empty with AnyPeer false: none
	AnyPort bool   // ports absent
	Ports   []Port
	Action  Action
	Log     bool
	Until   time.Time // zero: no end
}

// Peer is exactly one selector, optionally bound to a VPC.
type Peer struct {
	Group, Subnet string
	Labels        map[string]string
	VPC           VPCID // with Group, Subnet, Labels: where; alone: all its endpoints. Never empty but for CIDR and Any
	CIDR          netip.Prefix
	Except        []netip.Prefix
	Any           bool
	At            Pos
}

// Port is a protocol and a port range. Proto is tcp, udp, sctp or icmp. For
// icmp Lo..Hi is the type; Lo 0, Hi 65535 (icmp: 255) mean all.
type Port struct {
	Proto  string
	Lo, Hi uint16
}

// Peering is one side's word that two VPCs may talk. It is in force when the
// tenant of each has said it.
type Peering struct {
	Tenant, Name string
	At           Pos
	VPCs         [2]VPCID // two different ones, as written
	InForce      bool
}

// Path is how decisions name the Peering.
func (p *Peering) Path() string { return p.Tenant + "/" + p.Name }

// Link connects or disconnects what is at one end with what is at the other.
type Link struct {
	VPC     VPCID // of its metadata; an end may be elsewhere
	Name    string
	At      Pos
	Connect bool // else it disconnects
	Between [2]End
}

// Path is how decisions name the Link.
func (l *Link) Path() string { return string(l.VPC) + "/" + l.Name }

// End is one end of a Link: an endpoint, which need not exist, or a group.
type End struct {
	VPC             VPCID
	Endpoint, Group string // one of them
	At              Pos
}

// Entry says on which hosts something listens for the outside, and for whom.
type Entry struct {
	Hosts   []string // globs (path.Match)
	Gateway string   // or a Gateway's name
	Anybody bool     // sources absent
	Sources []Source // with Anybody false and none: nobody
}

// Source is a range of outside addresses.
type Source struct {
	CIDR   netip.Prefix
	Except []netip.Prefix
	At     Pos
}

// PortMap is a port that is listened on and the one that it leads to, ranges of
// one size and protocol.
type PortMap struct {
	Listen, Target Port
	At             Pos
}

// Ingress lets the outside in to one endpoint.
type Ingress struct {
	VPC      VPCID
	Name     string
	At       Pos
	Entry    Entry
	Ports    []PortMap
	Endpoint string // name in VPC, which need not exist
}

// Path is how decisions name the Ingress.
func (i *Ingress) Path() string { return string(i.VPC) + "/" + i.Name }

// Algorithm says how a Service chooses a backend.
type Algorithm string

// Algorithms of a Service.
const (
	RoundRobin    Algorithm = "round-robin"
	LeastSessions Algorithm = "least-sessions"
	SourceHash    Algorithm = "source"
)

// Check says how a Service finds out whether a backend lives.
type Check struct {
	HTTP       string // a path; "": TCP connects
	Every      time.Duration
	Fall, Rise int // answers in a row
}

// Service spreads sessions over backends, under a virtual address in its VPC or
// on hosts as an Ingress.
type Service struct {
	VPC       VPCID
	Name      string
	At        Pos
	VIP       netip.Addr // invalid: Entry holds
	Entry     Entry
	Ports     []PortMap
	Backends  Peer // of VPC
	Algorithm Algorithm
	Check     *Check // nil: none
}

// Path is how decisions name the Service.
func (s *Service) Path() string { return string(s.VPC) + "/" + s.Name }

// Gateway is a set of hosts through which traffic leaves or enters.
type Gateway struct {
	Name  string
	At    Pos
	Hosts []string // globs (path.Match)
}

// Site is a set of hosts that reach each other directly.
type Site struct {
	Name     string
	At       Pos
	Hosts    []string // globs (path.Match)
	Gateways []SiteGateway
	Trusted  bool // nobody between the gateways can forge
}

// SiteGateway is a host through which other sites reach a Site.
type SiteGateway struct {
	Host    string
	Address netip.Addr // that the outside sees
}

// Assertion is a promise about every pair of identities that a revision must
// keep. Only pairs with an end of its own tenant are its business.
type Assertion struct {
	Tenant, Name string
	At           Pos
	From, To     Subject
	AnyPort      bool // port absent
	Port         Port
	Allow        bool // expect: allow; else every verdict must deny
}

// Path is how problems name the Assertion.
func (a *Assertion) Path() string { return a.Tenant + "/" + a.Name }

// Subject is one side of an Assertion: an endpoint by its name, or a peer.
type Subject struct {
	Endpoint string // in Peer.VPC; "": whatever Peer selects
	Peer     Peer
}

// Sample is an endpoints file: what matrix asks about and testbed brings up
// (SPEC 4).
type Sample struct {
	Endpoints []SampleEndpoint
	Outside   []SampleOutside
	Ports     []SamplePort
}

// SampleEndpoint is one endpoint of a Sample.
type SampleEndpoint struct {
	Name        string
	Tenant, VPC string // VPC is the bare name
	Subnet      string
	IP          netip.Addr
	Groups      []string // claims
	Labels      map[string]string
	Host        int // of the testbed, from 1; 0: any
	At          Pos
}

// SampleOutside is an address outside.
type SampleOutside struct {
	Name string
	IP   netip.Addr
	At   Pos
}

// SamplePort is one protocol and port, and how the file writes it.
type SamplePort struct {
	Text string
	Port Port // Lo == Hi
	At   Pos
}

// Problem is one thing wrong in the tree.
type Problem struct {
	At      Pos
	Text    string // what is wrong, the bad value, the way out
	Warning bool
}

// String returns FILE:LINE: text, with "warning: " where it is one.
func (p Problem) String() string {
	if p.Warning {
		return fmt.Sprintf("%s: warning: %s", p.At, p.Text)
	}
	return fmt.Sprintf("%s: %s", p.At, p.Text)
}
