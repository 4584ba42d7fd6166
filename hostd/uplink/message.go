package uplink

import (
	"fmt"
	"net/netip"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// Host is what a host says of itself.
type Host struct {
	Name      string
	BootID    string
	DPID      uint64
	Link      Link
	Listeners []Listener
	Addresses
}

// Addresses are the IPv4 addresses that no tenant may take for outside ones, as
// the host knows them: sorted, within the contract's limits.
type Addresses struct {
	Own         []netip.Addr // on all devices, but the uplink's
	Controllers []netip.Addr
	Resolvers   []netip.Addr // name servers of the host's
}

// Link is how the host reaches the underlay.
type Link struct {
	Port       uint32 // ofport
	MAC        endpoint.MAC
	Addr       netip.Prefix
	NextHop    netip.Addr   // invalid: there is none
	NextHopMAC endpoint.MAC // zero: not known
	MTU        int          // bytes
}

// Listener is one socket of the host's own.
type Listener struct {
	Proto packet.Proto
	Port  uint16
}

// HelloMsg returns the full report.
func HelloMsg(h Host, endpoints []endpoint.Endpoint) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: &hostpb.Hello{
		Host: h.Name, BootId: h.BootID, Dpid: h.DPID,
		Uplink: linkPB(h.Link), Listeners: listenersPB(h.Listeners), Endpoints: endpointsPB(endpoints),
		Addresses: addressesPB(h.Own), Controllers: addressesPB(h.Controllers), Resolvers: addressesPB(h.Resolvers),
	}}}
}

// EndpointsMsg returns a delta about endpoints.
func EndpointsMsg(seq uint64, up []endpoint.Endpoint, down []endpoint.Ref) *hostpb.HostMsg {
	d := &hostpb.Delta{Seq: seq, Up: endpointsPB(up)}
	for _, r := range down {
		d.Down = append(d.Down, &hostpb.EndpointRef{Vpc: r.VPCID(), Name: r.Name})
	}
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: d}}
}

// LinkMsg returns a delta about the uplink.
func LinkMsg(seq uint64, l Link) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: seq, Uplink: linkPB(l)}}}
}

// ListenersMsg returns a delta about the listeners.
func ListenersMsg(seq uint64, ls []Listener) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{
		Seq: seq, Listeners: &hostpb.ListenerList{Listeners: listenersPB(ls)},
	}}}
}

// AddressesMsg returns a delta about the addresses.
func AddressesMsg(seq uint64, a Addresses) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{
		Seq: seq, Addresses: &hostpb.AddressList{Addresses: addressesPB(a.Own), Controllers: addressesPB(a.Controllers), Resolvers: addressesPB(a.Resolvers)},
	}}}
}

// LeaseRequestMsg returns a request for an address.
func LeaseRequestMsg(q endpoint.AskLease) *hostpb.HostMsg {
	m := &hostpb.LeaseRequest{Id: q.ID, Tenant: q.Ref.Tenant, Vpc: q.Ref.VPC, Subnet: q.Subnet, Name: q.Ref.Name, Held: q.Held}
	if q.IP.IsValid() {
		m.Ip = q.IP.AsSlice()
	}
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRequest{LeaseRequest: m}}
}

// LeaseReleaseMsg returns the end of a lease.
func LeaseReleaseMsg(r endpoint.SendRelease) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRelease{LeaseRelease: &hostpb.LeaseRelease{
		Vpc: r.Ref.VPCID(), Ip: r.IP.AsSlice(), Name: r.Ref.Name,
	}}}
}

// NameQueryMsg returns a question about a name.
func NameQueryMsg(id uint64, vpc, name string) *hostpb.HostMsg {
	return &hostpb.HostMsg{Msg: &hostpb.HostMsg_NameQuery{NameQuery: &hostpb.NameQuery{Id: id, Vpc: vpc, Name: name}}}
}

// ParseLease checks a controller's answer to a request for an address.
func ParseLease(l *hostpb.Lease) (endpoint.Leased, error) {
	out := endpoint.Leased{ID: l.GetId(), Err: l.GetError()}
	if out.Err != "" {
		return out, nil
	}
	ip, ok := netip.AddrFromSlice(l.GetIp())
	if !ok || !ip.Is4() || len(l.GetMac()) != len(out.MAC) {
		return out, fmt.Errorf("lease %d has IP %x and MAC %x", l.GetId(), l.GetIp(), l.GetMac())
	}
	out.IP, out.MAC = ip, endpoint.MAC(l.GetMac())
	return out, nil
}

// Network is a subnet whose endpoints the host may have.
type Network struct {
	Tenant, VPC, Subnet string // VPC: bare name within Tenant
	CIDR                netip.Prefix
}

// VPCID returns TENANT/NAME of the network's VPC.
func (n Network) VPCID() string { return n.Tenant + "/" + n.VPC }

// ParseNetworks checks a controller's list.
func ParseNetworks(l *hostpb.NetworkList) ([]Network, error) {
	if len(l.GetNetworks()) > hostpb.MaxNetworks {
		return nil, fmt.Errorf("%d networks are more than %d", len(l.GetNetworks()), hostpb.MaxNetworks)
	}
	out := make([]Network, 0, len(l.GetNetworks()))
	for _, n := range l.GetNetworks() {
		ip, ok := netip.AddrFromSlice(n.GetIp())
		cidr := netip.PrefixFrom(ip, int(n.GetPrefixLen()))
		if !ok || !ip.Is4() || n.GetPrefixLen() > 32 || !cidr.IsValid() || cidr.Masked() != cidr ||
			!hostpb.ValidName(n.GetTenant()) || !hostpb.ValidName(n.GetVpc()) || !hostpb.ValidName(n.GetSubnet()) {
			return nil, fmt.Errorf("network %.80q of vpc %.80q/%.80q has address %x/%d", n.GetSubnet(), n.GetTenant(), n.GetVpc(), n.GetIp(), n.GetPrefixLen())
		}
		out = append(out, Network{n.GetTenant(), n.GetVpc(), n.GetSubnet(), cidr})
	}
	return out, nil
}

func linkPB(l Link) *hostpb.Uplink {
	u := &hostpb.Uplink{
		Ofport: l.Port, Mac: l.MAC[:], Ip: l.Addr.Addr().AsSlice(), PrefixLen: uint32(l.Addr.Bits()), Mtu: uint32(l.MTU),
	}
	if l.NextHop.IsValid() {
		u.NextHopIp = l.NextHop.AsSlice()
	}
	if !l.NextHopMAC.IsZero() {
		u.NextHopMac = l.NextHopMAC[:]
	}
	return u
}

func listenersPB(ls []Listener) []*hostpb.Listener {
	out := make([]*hostpb.Listener, 0, len(ls))
	for _, l := range ls {
		out = append(out, &hostpb.Listener{Proto: uint32(l.Proto), Port: uint32(l.Port)})
	}
	return out
}

func addressesPB(as []netip.Addr) [][]byte {
	out := make([][]byte, 0, len(as))
	for _, a := range as {
		out = append(out, a.AsSlice())
	}
	return out
}

func endpointsPB(es []endpoint.Endpoint) []*hostpb.Endpoint {
	out := make([]*hostpb.Endpoint, 0, len(es))
	for _, e := range es {
		out = append(out, &hostpb.Endpoint{
			Name: e.Name, Tenant: e.Tenant, Vpc: e.VPC, Subnet: e.Subnet, Claims: e.Groups, Labels: e.Labels,
			Ip: e.IP.AsSlice(), Mac: e.MAC[:], Ofport: e.Port,
		})
	}
	return out
}
