// Package endpoint is the life of a host's endpoints as a pure state machine:
// requests and events go in, effects come out. Who runs it plumbs, asks, reports
// and saves what the effects say.
//
//	attach -> leasing -> plumbing -> reporting -> up
//	              \          \           \        |  detach, refusal, time-out,
//	               v          v           v       v  device gone
//	               `------> leaving (report down, unplumb, release) -> gone
package endpoint

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// MAC is an Ethernet address.
type MAC [6]byte

// ParseMAC reads six bytes in hexadecimal with colons between. The address must
// be one interface's: neither zero nor a group's.
func ParseMAC(s string) (MAC, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil || len(b) != 6 || len(s) != 17 {
		return MAC{}, fmt.Errorf("MAC %q is not six bytes like 02:00:00:00:00:01", s)
	}
	m := MAC(b)
	if m == (MAC{}) || m[0]&1 != 0 {
		return MAC{}, fmt.Errorf("MAC %s is not an interface's", m)
	}
	return m, nil
}

// String returns the usual notation.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero reports whether m is no address.
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText returns String, or nothing for the zero MAC.
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText is the reverse of MarshalText.
func (m *MAC) UnmarshalText(b []byte) (err error) {
	*m = MAC{}
	if len(b) > 0 {
		*m, err = ParseMAC(string(b))
	}
	return err
}

// Ref names an endpoint.
type Ref struct {
	Tenant string `json:"tenant"`
	VPC    string `json:"vpc"` // bare name within Tenant
	Name   string `json:"name"`
}

// MakeRef returns the reference to the endpoint name in a VPC given as TENANT/NAME.
func MakeRef(vpc, name string) (Ref, error) {
	if !hostpb.ValidVPCID(vpc) {
		return Ref{}, fmt.Errorf("vpc %q is not TENANT/NAME", vpc)
	}
	tenant, bare, _ := strings.Cut(vpc, "/")
	return Ref{Tenant: tenant, VPC: bare, Name: name}, nil
}

// VPCID returns TENANT/NAME of the endpoint's VPC.
func (r Ref) VPCID() string { return r.Tenant + "/" + r.VPC }

// String returns TENANT/VPC/NAME.
func (r Ref) String() string { return r.VPCID() + "/" + r.Name }

// Request is what attach asks for.
type Request struct {
	Ref
	Subnet    string            `json:"subnet"`
	Namespace string            `json:"netns"`           // file of the network namespace
	Interface string            `json:"interface"`       // in the namespace
	IP        netip.Addr        `json:"ip,omitzero"`     // invalid: any
	MAC       MAC               `json:"mac,omitzero"`    // zero: the one that comes with the address
	Groups    []string          `json:"groups,omitzero"` // claimed
	Labels    map[string]string `json:"labels,omitzero"`
}

// DefaultInterface is the interface's name where the request has none.
const DefaultInterface = "eth0"

// Validate reports the first thing wrong with r, by the limits of the contract
// with the controllers.
func (r *Request) Validate() error {
	for _, n := range []struct{ what, name string }{
		{"tenant", r.Tenant}, {"vpc", r.VPC}, {"subnet", r.Subnet}, {"name", r.Name},
	} {
		if !hostpb.ValidName(n.name) {
			return fmt.Errorf("%s %q is not allowed: use small letters, digits and hyphens, at most %d", n.what, n.name, hostpb.MaxName)
		}
	}
	if len(r.Groups) > hostpb.MaxClaims {
		return fmt.Errorf("%d groups are more than %d", len(r.Groups), hostpb.MaxClaims)
	}
	for _, g := range r.Groups {
		if !hostpb.ValidName(g) {
			return fmt.Errorf("group %q is not allowed: use small letters, digits and hyphens, at most %d", g, hostpb.MaxName)
		}
	}
	if !hostpb.ValidLabels(r.Labels) {
		return fmt.Errorf("labels are more than %d, too long, or not printable", hostpb.MaxLabels)
	}
	if r.IP.IsValid() && !r.IP.Is4() {
		return fmt.Errorf("ip %s is not IPv4", r.IP)
	}
	if r.Namespace == "" {
		return fmt.Errorf("no network namespace")
	}
	return validInterface(r.Interface)
}

// validInterface refuses what Linux refuses, and what could be taken for a path
// or an option.
func validInterface(s string) error {
	if s == "" || len(s) > 15 || s[0] == '-' || s == "." || s == ".." || s == "lo" || strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '/' || r == ':'
	}) {
		return fmt.Errorf("interface name %q is not allowed", s)
	}
	return nil
}

// size is how much of a message the endpoint takes, at most, in bytes.
func (r *Request) size() int {
	n := 128 + len(r.Tenant) + len(r.VPC) + len(r.Subnet) + len(r.Name)
	for _, g := range r.Groups {
		n += len(g) + 4
	}
	for k, v := range r.Labels {
		n += len(k) + len(v) + 12
	}
	return n
}

// State says how far an endpoint is.
type State string

// States, in the order of an endpoint's life.
const (
	Leasing   State = "leasing"   // waits for its address
	Plumbing  State = "plumbing"  // its devices are being made
	Reporting State = "reporting" // waits until its flows are in the switch
	Up        State = "up"
	Leaving   State = "leaving" // its devices are being deleted
)

// Endpoint is one endpoint of the host.
type Endpoint struct {
	Request        // with the address and MAC it has
	Port    uint32 `json:"port"` // ofport
	State   State  `json:"state"`
	// Problem is why it is not in force although it is up, or not gone although
	// it is leaving.
	Problem string `json:"problem,omitempty"`
}

// Device returns the name of the endpoint's device on the host.
func (e *Endpoint) Device() string { return DevicePrefix + strconv.FormatUint(uint64(e.Port), 10) }

// DevicePrefix begins the name of every endpoint's device on the host.
const DevicePrefix = "dl"
