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

// MakeRef returns the reference to the endpoint name in a VPC given as
// TENANT/NAME. Which names are allowed is not its matter.
func MakeRef(vpc, name string) (Ref, error) {
	tenant, bare, found := strings.Cut(vpc, "/")
	if !found || tenant == "" || bare == "" || strings.Contains(bare, "/") {
		return Ref{}, fmt.Errorf("vpc %q is not TENANT/NAME", vpc)
	}
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
	Namespace string            `json:"netns"`           // file of the network namespace; empty: whoever asked moves the interface
	Interface string            `json:"interface"`       // in the namespace
	IP        netip.Addr        `json:"ip,omitzero"`     // invalid: any
	MAC       MAC               `json:"mac,omitzero"`    // zero: the one that comes with the address
	Groups    []string          `json:"groups,omitzero"` // claimed
	Labels    map[string]string `json:"labels,omitzero"`
	Held      string            `json:"held,omitempty"` // name of the Hold whose address it takes over
	Docker    *Docker           `json:"docker,omitempty"`
	// Hidden is an endpoint whose container is not known yet: it has the name, the
	// address and the MAC of a Hold, and is not reported, so that nothing passes,
	// before Identify says whose it is.
	Hidden bool `json:"hidden,omitempty"`
}

// Docker says which of Docker's interfaces an endpoint is.
type Docker struct {
	Network   string `json:"network"` // IDs
	Endpoint  string `json:"endpoint"`
	Container string `json:"container"`
	Name      string `json:"name"`    // of the container, as Docker has it
	Sandbox   string `json:"sandbox"` // file of its network namespace: interfaces of one container have the same
	Gateway   uint8  `json:"gateway"` // which next hop its routes have: each interface of a container needs another
}

// DefaultInterface is the interface's name where the request has none.
const DefaultInterface = "eth0"

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

// Peer returns the name of the other end while it is still on the host.
func (e *Endpoint) Peer() string { return PeerPrefix + strconv.FormatUint(uint64(e.Port), 10) }

// PeerPrefix begins the name of every Peer.
const PeerPrefix = "dlc"

// DevicePrefix begins the name of every endpoint's device on the host.
const DevicePrefix = "dl"

// PortOf returns the port of the endpoint whose device has a name; false if it is no
// endpoint's.
func PortOf(device string) (port uint32, ok bool) {
	number, ok := strings.CutPrefix(device, DevicePrefix)
	n, err := strconv.ParseUint(number, 10, 32)
	return uint32(n), ok && err == nil
}
