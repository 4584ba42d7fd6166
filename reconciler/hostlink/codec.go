package hostlink

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Whatever a host sends passes one of these functions before anything else sees
// it. They refuse the whole message at the first thing wrong: an honest host
// keeps the same limits.

// decodeHello turns a first message into a report. h is nil if it was no Hello.
func decodeHello(h *hostpb.Hello) (inventory.HostReport, error) {
	if h == nil {
		return inventory.HostReport{}, errors.New("first message is no hello")
	}
	if !hostpb.ValidHostName(h.GetHost()) {
		return inventory.HostReport{}, fmt.Errorf("host name %.80q is not allowed: use small letters, digits, hyphens and dots", h.GetHost())
	}
	r, err := decodeReport(h)
	if err != nil {
		return inventory.HostReport{}, fmt.Errorf("hello of host %q: %w", h.GetHost(), err)
	}
	return r, nil
}

func decodeReport(h *hostpb.Hello) (inventory.HostReport, error) {
	r := inventory.HostReport{Name: h.GetHost(), BootID: h.GetBootId(), DPID: h.GetDpid()}
	if !hostpb.ValidText(r.BootID, hostpb.MaxBootID) {
		return r, errors.New("boot id is not printable text of at most 64 bytes")
	}
	if r.DPID == 0 {
		return r, errors.New("datapath id is zero")
	}
	if h.GetUplink() == nil {
		return r, errors.New("no uplink")
	}
	var err error
	if r.Uplink, err = decodeUplink(h.GetUplink()); err != nil {
		return r, err
	}
	if r.Listeners, err = decodeListeners(h.GetListeners()); err != nil {
		return r, err
	}
	if r.AddressLists, err = decodeAddressLists(h); err != nil {
		return r, err
	}
	r.Endpoints, err = decodeEndpoints(h.GetEndpoints())
	return r, err
}

func decodeDelta(d *hostpb.Delta) (inventory.HostDelta, error) {
	out := inventory.HostDelta{Seq: d.GetSeq()}
	if out.Seq == 0 {
		return out, errors.New("delta without a number")
	}
	var err error
	if out.Up, err = decodeEndpoints(d.GetUp()); err != nil {
		return out, fmt.Errorf("delta %d: %w", out.Seq, err)
	}
	if out.Down, err = decodeRefs(d.GetDown()); err != nil {
		return out, fmt.Errorf("delta %d: %w", out.Seq, err)
	}
	if d.GetUplink() != nil {
		u, err := decodeUplink(d.GetUplink())
		if err != nil {
			return out, fmt.Errorf("delta %d: %w", out.Seq, err)
		}
		out.Uplink = &u
	}
	if d.GetListeners() != nil {
		l, err := decodeListeners(d.GetListeners().GetListeners())
		if err != nil {
			return out, fmt.Errorf("delta %d: %w", out.Seq, err)
		}
		out.Listeners = &l
	}
	if d.GetAddresses() != nil {
		l, err := decodeAddressLists(d.GetAddresses())
		if err != nil {
			return out, fmt.Errorf("delta %d: %w", out.Seq, err)
		}
		out.Addresses = &l
	}
	return out, nil
}

func decodeUplink(u *hostpb.Uplink) (inventory.Uplink, error) {
	out := inventory.Uplink{Port: u.GetOfport(), MTU: int(min(u.GetMtu(), hostpb.MaxMTU+1))}
	if out.Port == 0 || out.Port >= hostpb.FirstEndpointPort {
		return out, fmt.Errorf("uplink: port %d is not 1 to %d", out.Port, hostpb.FirstEndpointPort-1)
	}
	if out.MTU < hostpb.MinMTU || out.MTU > hostpb.MaxMTU {
		return out, fmt.Errorf("uplink: mtu %d is not %d to %d", u.GetMtu(), hostpb.MinMTU, hostpb.MaxMTU)
	}
	var err error
	if out.MAC, err = decodeMAC(u.GetMac()); err != nil {
		return out, fmt.Errorf("uplink: %w", err)
	}
	ip, err := decodeIP(u.GetIp())
	if err != nil {
		return out, fmt.Errorf("uplink: %w", err)
	}
	if u.GetPrefixLen() > 32 {
		return out, fmt.Errorf("uplink: prefix length %d", u.GetPrefixLen())
	}
	out.Addr = netip.PrefixFrom(ip, int(u.GetPrefixLen()))
	if len(u.GetNextHopIp()) > 0 {
		if out.NextHop, err = decodeIP(u.GetNextHopIp()); err != nil {
			return out, fmt.Errorf("uplink: next hop: %w", err)
		}
	}
	if len(u.GetNextHopMac()) > 0 {
		if out.NextHopMAC, err = decodeMAC(u.GetNextHopMac()); err != nil {
			return out, fmt.Errorf("uplink: next hop: %w", err)
		}
	}
	return out, nil
}

func decodeListeners(ls []*hostpb.Listener) ([]inventory.Listener, error) {
	out := make([]inventory.Listener, 0, min(len(ls), 2<<16))
	seen := make(map[inventory.Listener]bool, cap(out))
	for _, l := range ls {
		v := inventory.Listener{Proto: packet.Proto(l.GetProto()), Port: uint16(l.GetPort())}
		if p := l.GetProto(); p != uint32(packet.TCP) && p != uint32(packet.UDP) {
			return nil, fmt.Errorf("listener: protocol %d is neither TCP nor UDP", p)
		}
		if p := l.GetPort(); p == 0 || p > 65535 {
			return nil, fmt.Errorf("listener: port %d", p)
		}
		if seen[v] {
			return nil, fmt.Errorf("listener: protocol %d port %d twice", v.Proto, v.Port)
		}
		seen[v] = true
		out = append(out, v)
	}
	return out, nil
}

// decodeAddressLists reads both lists of a Hello or of an AddressList.
func decodeAddressLists(m interface {
	GetAddresses() [][]byte
	GetControllers() [][]byte
	GetResolvers() [][]byte
}) (inventory.AddressLists, error) {
	var out inventory.AddressLists
	var err error
	if out.Addresses, err = decodeAddresses(m.GetAddresses()); err != nil {
		return inventory.AddressLists{}, fmt.Errorf("addresses: %w", err)
	}
	if out.Controllers, err = decodeAddresses(m.GetControllers()); err != nil {
		return inventory.AddressLists{}, fmt.Errorf("controllers: %w", err)
	}
	if len(m.GetResolvers()) > hostpb.MaxResolvers {
		return inventory.AddressLists{}, fmt.Errorf("resolvers: %d are more than %d", len(m.GetResolvers()), hostpb.MaxResolvers)
	}
	if out.Resolvers, err = decodeAddresses(m.GetResolvers()); err != nil {
		return inventory.AddressLists{}, fmt.Errorf("resolvers: %w", err)
	}
	return out, nil
}

// decodeAddresses returns nil for none.
func decodeAddresses(list [][]byte) ([]netip.Addr, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > hostpb.MaxAddresses {
		return nil, fmt.Errorf("%d are more than %d", len(list), hostpb.MaxAddresses)
	}
	out := make([]netip.Addr, 0, len(list))
	seen := make(map[netip.Addr]bool, len(list))
	for _, b := range list {
		if len(b) != 4 {
			return nil, fmt.Errorf("IPv4 address of %d bytes", len(b))
		}
		a := netip.AddrFrom4([4]byte(b))
		if !hostpb.ValidAddress(a) {
			return nil, fmt.Errorf("%s is reserved for everybody, and no host's", a)
		}
		if seen[a] {
			return nil, fmt.Errorf("%s twice", a)
		}
		seen[a] = true
		out = append(out, a)
	}
	return out, nil
}

func decodeEndpoints(es []*hostpb.Endpoint) ([]inventory.EndpointReport, error) {
	if len(es) > hostpb.MaxEndpoints {
		return nil, fmt.Errorf("%d endpoints are more than %d", len(es), hostpb.MaxEndpoints)
	}
	out := make([]inventory.EndpointReport, 0, len(es))
	names := make(map[inventory.EndpointRef]bool, len(es))
	ports := make(map[uint32]bool, len(es))
	for _, e := range es {
		v, err := decodeEndpoint(e)
		if err != nil {
			return nil, err
		}
		ref := inventory.EndpointRef{VPC: v.VPCID(), Name: v.Name}
		if names[ref] || ports[v.Port] {
			return nil, fmt.Errorf("endpoint %s/%s, port %d: name or port twice", ref.VPC, ref.Name, v.Port)
		}
		names[ref], ports[v.Port] = true, true
		out = append(out, v)
	}
	return out, nil
}

func decodeEndpoint(e *hostpb.Endpoint) (inventory.EndpointReport, error) {
	v := inventory.EndpointReport{
		Name: e.GetName(), Tenant: e.GetTenant(), VPC: e.GetVpc(), Subnet: e.GetSubnet(),
		Claims: e.GetClaims(), Labels: e.GetLabels(), Port: e.GetOfport(),
	}
	if err := checkNames(v.Tenant, v.VPC, v.Subnet, v.Name); err != nil {
		return v, fmt.Errorf("endpoint: %w", err)
	}
	fail := func(err error) (inventory.EndpointReport, error) {
		return v, fmt.Errorf("endpoint %s/%s: %w", v.VPCID(), v.Name, err)
	}
	if hostpb.IsHold(v.Name) {
		return fail(fmt.Errorf("names that begin with %q are made up for addresses", hostpb.HoldPrefix))
	}
	if len(v.Claims) > hostpb.MaxClaims {
		return fail(fmt.Errorf("%d claims are more than %d", len(v.Claims), hostpb.MaxClaims))
	}
	if err := checkNames(v.Claims...); err != nil {
		return fail(err)
	}
	if !hostpb.ValidLabels(v.Labels) {
		return fail(errors.New("labels are too many, too long or not printable"))
	}
	if v.Port < hostpb.FirstEndpointPort || v.Port > hostpb.LastEndpointPort {
		return fail(fmt.Errorf("port %d is not %d to %d", v.Port, hostpb.FirstEndpointPort, hostpb.LastEndpointPort))
	}
	var err error
	if v.IP, err = decodeIP(e.GetIp()); err != nil {
		return fail(err)
	}
	if v.MAC, err = decodeMAC(e.GetMac()); err != nil {
		return fail(err)
	}
	return v, nil
}

func decodeRefs(rs []*hostpb.EndpointRef) ([]inventory.EndpointRef, error) {
	if len(rs) > hostpb.MaxEndpoints {
		return nil, fmt.Errorf("%d endpoints are more than %d", len(rs), hostpb.MaxEndpoints)
	}
	out := make([]inventory.EndpointRef, 0, len(rs))
	for _, r := range rs {
		if !hostpb.ValidVPCID(r.GetVpc()) {
			return nil, fmt.Errorf("vpc %.160q is not TENANT/NAME", r.GetVpc())
		}
		if err := checkNames(r.GetName()); err != nil {
			return nil, err
		}
		out = append(out, inventory.EndpointRef{VPC: spec.VPCID(r.GetVpc()), Name: r.GetName()})
	}
	return out, nil
}

func decodeLeaseRequest(q *hostpb.LeaseRequest) (LeaseRequest, error) {
	out := LeaseRequest{ID: q.GetId(), Tenant: q.GetTenant(), VPC: q.GetVpc(), Subnet: q.GetSubnet(), Name: q.GetName(), Held: q.GetHeld()}
	if err := checkNames(out.Tenant, out.VPC, out.Subnet, out.Name); err != nil {
		return out, fmt.Errorf("lease request: %w", err)
	}
	if len(q.GetIp()) > 0 {
		var err error
		if out.IP, err = decodeIP(q.GetIp()); err != nil {
			return out, fmt.Errorf("lease request: %w", err)
		}
	}
	out.Hold = hostpb.IsHold(out.Name)
	if out.Held != "" && (!hostpb.ValidName(out.Held) || out.Hold || out.Held == out.Name || !out.IP.IsValid()) {
		return out, fmt.Errorf("lease request: %.80q cannot take over from %.80q", out.Name, out.Held)
	}
	return out, nil
}

func decodeLeaseRelease(q *hostpb.LeaseRelease) (LeaseRelease, error) {
	out := LeaseRelease{VPC: spec.VPCID(q.GetVpc()), Name: q.GetName()}
	if !hostpb.ValidVPCID(q.GetVpc()) {
		return out, fmt.Errorf("lease release: vpc %.160q is not TENANT/NAME", q.GetVpc())
	}
	if err := checkNames(out.Name); err != nil {
		return out, fmt.Errorf("lease release: %w", err)
	}
	var err error
	if out.IP, err = decodeIP(q.GetIp()); err != nil {
		return out, fmt.Errorf("lease release: %w", err)
	}
	return out, nil
}

func checkNames(names ...string) error {
	for _, n := range names {
		if !hostpb.ValidName(n) {
			return fmt.Errorf("name %.80q is not allowed: use small letters, digits and hyphens, at most %d", n, hostpb.MaxName)
		}
	}
	return nil
}

// decodeIP accepts the IPv4 addresses that one interface can have.
func decodeIP(b []byte) (netip.Addr, error) {
	if len(b) != 4 {
		return netip.Addr{}, fmt.Errorf("IPv4 address of %d bytes", len(b))
	}
	ip := netip.AddrFrom4([4]byte(b))
	if b[0] == 0 || ip.IsLoopback() || b[0] >= 224 {
		return netip.Addr{}, fmt.Errorf("%s is no unicast address", ip)
	}
	return ip, nil
}

func decodeMAC(b []byte) (packet.MAC, error) {
	if len(b) != 6 {
		return packet.MAC{}, fmt.Errorf("MAC of %d bytes", len(b))
	}
	m := packet.MAC(b)
	if m[0]&1 != 0 || m == (packet.MAC{}) {
		return packet.MAC{}, fmt.Errorf("MAC %x is no unicast one", b)
	}
	return m, nil
}

func welcomeMsg(w Welcome) *hostpb.ControllerMsg {
	return &hostpb.ControllerMsg{Msg: &hostpb.ControllerMsg_Welcome{Welcome: &hostpb.Welcome{
		Controllers: w.Controllers, WireValue: uint32(w.WireValue), WireMask: uint32(w.WireMask),
	}}}
}

func ackMsg(seq uint64, errs []EndpointError) *hostpb.ControllerMsg {
	a := &hostpb.Ack{Seq: seq}
	for _, e := range errs {
		a.Errors = append(a.Errors, &hostpb.EndpointError{Vpc: string(e.Ref.VPC), Name: e.Ref.Name, Text: clip(e.Text)})
	}
	return &hostpb.ControllerMsg{Msg: &hostpb.ControllerMsg_Ack{Ack: a}}
}

func leaseMsg(id uint64, l Lease) *hostpb.ControllerMsg {
	m := &hostpb.Lease{Id: id, Error: clip(l.Err)}
	if l.Err == "" {
		m.Ip, m.Mac = l.IP.AsSlice(), l.MAC[:]
	}
	return &hostpb.ControllerMsg{Msg: &hostpb.ControllerMsg_Lease{Lease: m}}
}

func networksMsg(ns []Network) *hostpb.ControllerMsg {
	l := &hostpb.NetworkList{}
	for _, n := range ns[:min(len(ns), hostpb.MaxNetworks)] {
		l.Networks = append(l.Networks, &hostpb.Network{
			Tenant: n.Tenant, Vpc: n.VPC, Subnet: n.Subnet, Ip: n.CIDR.Addr().AsSlice(), PrefixLen: uint32(n.CIDR.Bits()),
		})
	}
	return &hostpb.ControllerMsg{Msg: &hostpb.ControllerMsg_Networks{Networks: l}}
}

// clip shortens an error text to what the contract allows.
func clip(s string) string {
	if len(s) > hostpb.MaxErrorText {
		s = s[:hostpb.MaxErrorText]
	}
	return strings.ToValidUTF8(s, "")
}
