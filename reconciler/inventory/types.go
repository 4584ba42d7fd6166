package inventory

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// HostReport is all that one host says of itself: the full list, sent when its
// stream connects.
type HostReport struct {
	Name      string
	BootID    string // changes with each start of the host
	DPID      uint64 // of its bridge
	Uplink    Uplink
	Listeners []Listener // the host's own sockets from the wire range's start to 65535
	Endpoints []EndpointReport
	AddressLists
	// Tenants are those whose endpoints the host may have at most; none: all. The
	// controller adds it: the host does not say it of itself.
	Tenants []string
}

// AddressLists are addresses that no tenant may take for outside ones, as one
// host knows them.
type AddressLists struct {
	Addresses   []netip.Addr // the host's on all its devices, but the uplink's
	Controllers []netip.Addr // its controllers'
	Resolvers   []netip.Addr // name servers that the host asks, and its containers may be given
}

// Uplink is how a host reaches the underlay.
type Uplink struct {
	Port       uint32       // ofport of the uplink on the bridge
	MAC        packet.MAC   // source of the frames it sends
	Addr       netip.Prefix // the host's underlay address and its subnet
	NextHop    netip.Addr   // router towards the other hosts
	NextHopMAC packet.MAC   // zero: not known yet
	MTU        int          // bytes
}

// Listener is one socket of a host's own.
type Listener struct {
	Proto packet.Proto
	Port  uint16
}

// EndpointReport is what a host says of one endpoint.
type EndpointReport struct {
	Name   string // unique in its VPC
	Tenant string
	VPC    string // bare name within Tenant
	Subnet string
	Claims []string          // groups that the container's owner claims
	Labels map[string]string // declared by the container's owner
	IP     netip.Addr
	MAC    packet.MAC
	Port   uint32 // ofport on the host's bridge
}

// VPCID returns the id of the endpoint's VPC.
func (e *EndpointReport) VPCID() spec.VPCID { return spec.MakeVPCID(e.Tenant, e.VPC) }

// HostDelta is what changed on a host since its last report.
type HostDelta struct {
	Seq       uint64
	Up        []EndpointReport // new or changed, by name in the VPC
	Down      []EndpointRef    // gone
	Uplink    *Uplink          // nil: unchanged
	Listeners *[]Listener      // nil: unchanged
	Addresses *AddressLists    // nil: unchanged
}

// EndpointRef names one endpoint.
type EndpointRef struct {
	VPC  spec.VPCID
	Name string
}

// IdentityID is the number of an interned Identity, from 1; never used again in
// one process for another identity.
type IdentityID uint32

// Identity is what policy may see of an endpoint or of an outside address.
// Endpoints alike share one. It is immutable.
type Identity struct {
	ID     IdentityID
	Tenant string
	VPC    spec.VPCID
	Subnet string
	// Name is set only for an endpoint that the network names (spec.Network.Named)
	// or that is a Service's backend: it is alone with its identity.
	Name   string
	Groups []string          // names in VPC, sorted; membership resolved
	Labels map[string]string // as declared

	// Outside is set for an address that is no endpoint's: then only CIDRs holds,
	// the prefixes of the network's cidr peers that the address lies in, sorted.
	Outside bool
	CIDRs   []netip.Prefix
}

// Endpoint is one container interface as seen now. It is immutable.
type Endpoint struct {
	EndpointReport
	VPC      spec.VPCID
	AddrID   AddrID   // of VPC and IP
	VPCNo    VPCNo    // of VPC
	TenantID TenantID // of Tenant
	Host     *Host
	Identity *Identity
	// Ignored claims: groups that do not exist or have members. Reported, never granted.
	Ignored []string
}

// Host is one host as seen now. It is immutable.
type Host struct {
	Name      string
	BootID    string
	DPID      uint64
	Uplink    Uplink
	Listeners []Listener
	AddressLists
	Tenants []string // whose endpoints it may have at most; none: all
}
