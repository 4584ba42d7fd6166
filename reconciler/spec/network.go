package spec

import (
	"fmt"
	"net/netip"
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
