// Package inventory holds what is seen now: hosts, their uplinks, their
// endpoints, joined with the desired network into one immutable Snapshot that
// every decision is made against.
//
// Data flows one way: reports of hosts and a validated network go in, a
// Snapshot comes out. Nothing changes a Snapshot afterwards.
package inventory

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// Snapshot is the network as it is desired and seen at one moment. It is
// immutable and safe for concurrent use.
type Snapshot struct {
	Net *spec.Network // never nil

	interner   *Interner
	hosts      map[string]*Host
	byDPID     map[uint64]*Host
	byUnderlay map[netip.Addr]*Host
	known      map[netip.Addr]bool // what the hosts' lists hold
	byHost     map[*Host][]*Endpoint
	byPort     map[uint64]map[uint32]*Endpoint // by DPID and port
	byVPC      map[spec.VPCID]*vpcView
	vpcs       []*vpcView // the same by number
	byName     map[EndpointRef]*Endpoint
	services   services
}

// vpcView is a VPC that has endpoints.
type vpcView struct {
	vpc    *spec.VPC
	tenant *spec.Tenant
	byIP   map[uint32]*Endpoint
	peers  []spec.VPCID
}

// AddrKey names an endpoint by its VPC and address: the only way in which
// addresses are ever looked up, since two VPCs may use the same ones.
type AddrKey struct {
	VPC spec.VPCID
	IP  netip.Addr
}

// AddrID is the number of an AddrKey that an endpoint has or had, from 1: a short
// name to look things up by. It is never used again in one process for another.
type AddrID uint32

// VPCNo and TenantID are numbers of VPCs and tenants that have or had an endpoint,
// from 1, likewise.
type (
	VPCNo    uint32
	TenantID uint32
)

// Refusal says why a reported endpoint is not part of a Snapshot.
type Refusal struct {
	Host string
	Ref  EndpointRef
	Text string
}

// Build joins the desired network with what hosts reported. Endpoints that the
// network does not allow (unknown VPC or subnet, address outside it, taken or a
// Service's, host not among the tenant's, quota used up) are left out and
// returned with the reason. The result depends on the arguments only, except for
// the numbers of new identities, which come from in. Reports are taken in the
// order given: of two claims to one address the first stands.
func Build(in *Interner, net *spec.Network, reports []HostReport) (*Snapshot, []Refusal) {
	return Rebuild(in, net, reports, &Snapshot{})
}

// Rebuild is Build for a world that was was before: hosts and endpoints that are
// as they were keep their pointers, so that who compares two snapshots sees at
// once what changed. A claim that stood before stands, whoever else makes it now.
func Rebuild(in *Interner, net *spec.Network, reports []HostReport, was *Snapshot) (*Snapshot, []Refusal) {
	s := newSnapshot(in, net, len(reports))
	var refused []Refusal
	count := make(map[string]int) // tenant -> endpoints
	claim := func(h *Host, e *EndpointReport) {
		if text := s.refuse(h, e, count); text != "" {
			refused = append(refused, Refusal{h.Name, EndpointRef{e.VPCID(), e.Name}, text})
			return
		}
		count[e.Tenant]++
		s.add(h, e, was)
	}
	type claimed struct {
		host     *Host
		endpoint *EndpointReport
	}
	var later []claimed
	for i := range reports {
		r := &reports[i]
		h := was.hostLike(r)
		s.hosts[h.Name], s.byDPID[h.DPID], s.byUnderlay[h.Uplink.Addr.Addr()] = h, h, h
		s.know(&h.AddressLists)
		for j := range r.Endpoints {
			if e := &r.Endpoints[j]; was.stands(h, e) {
				claim(h, e)
			} else {
				later = append(later, claimed{h, e})
			}
		}
	}
	for _, c := range later {
		claim(c.host, c.endpoint)
	}
	return s, refused
}

// stands reports whether a host had the endpoint already, with the same name and
// address: nobody takes either from it.
func (s *Snapshot) stands(h *Host, e *EndpointReport) bool {
	o := s.byName[EndpointRef{e.VPCID(), e.Name}]
	return o != nil && o.Host.Name == h.Name && o.IP == e.IP
}

func newSnapshot(in *Interner, net *spec.Network, hosts int) *Snapshot {
	return &Snapshot{
		Net: net, interner: in,
		hosts:      make(map[string]*Host, hosts),
		byDPID:     make(map[uint64]*Host, hosts),
		byUnderlay: make(map[netip.Addr]*Host, hosts),
		known:      make(map[netip.Addr]bool),
		byHost:     make(map[*Host][]*Endpoint),
		byPort:     make(map[uint64]map[uint32]*Endpoint, hosts),
		byVPC:      make(map[spec.VPCID]*vpcView),
		byName:     make(map[EndpointRef]*Endpoint),
		services:   servicesOf(net),
	}
}

// know takes what a host says of addresses that no tenant may take for outside.
func (s *Snapshot) know(l *AddressLists) {
	for _, a := range l.Addresses {
		s.known[a] = true
	}
	for _, a := range l.Controllers {
		s.known[a] = true
	}
}

// refuse returns why e may not be an endpoint of h, or "".
func (s *Snapshot) refuse(h *Host, e *EndpointReport, count map[string]int) string {
	sub, err := s.MayClaim(h.Name, e.Tenant, e.VPC, e.Subnet)
	if err != nil {
		return err.Error()
	}
	if t := s.Net.Tenants[e.Tenant]; t.Quota.Endpoints > 0 && count[t.Name] >= t.Quota.Endpoints {
		return fmt.Sprintf("tenant %q has its quota of %d endpoints (%s)", t.Name, t.Quota.Endpoints, t.At)
	}
	if text := s.refusePlace(sub, e); text != "" {
		return text
	}
	if o := s.byPort[h.DPID][e.Port]; o != nil {
		return fmt.Sprintf("port %d of host %q is endpoint %q's", e.Port, h.Name, o.Name)
	}
	return ""
}

// refusePlace returns why e may not have its address and name, or "".
func (s *Snapshot) refusePlace(sub *spec.Subnet, e *EndpointReport) string {
	vpc := e.VPCID()
	if !sub.CIDR.Contains(e.IP) {
		return fmt.Sprintf("address %s is not in subnet %q, %s (%s)", e.IP, sub.Name, sub.CIDR, sub.At)
	}
	if svc := s.ServiceAt(vpc, e.IP); svc != nil {
		return fmt.Sprintf("address %s is the vip of service %q (%s)", e.IP, svc.Name, svc.At)
	}
	if o := s.EndpointByAddr(vpc, e.IP); o != nil {
		return fmt.Sprintf("address %s is endpoint %q's%s", e.IP, o.Name, onHost(o))
	}
	if o := s.byName[EndpointRef{vpc, e.Name}]; o != nil {
		return fmt.Sprintf("name %q is taken by the endpoint %s%s", e.Name, o.IP, onHost(o))
	}
	return ""
}

// onHost says where an endpoint is, but for one that is only imagined.
func onHost(e *Endpoint) string {
	if e.Host.Name == "" {
		return ""
	}
	return fmt.Sprintf(" on host %q", e.Host.Name)
}

// NotGivenError says that a host may not have endpoints of a tenant.
type NotGivenError struct{ text string }

func (e *NotGivenError) Error() string { return e.text }

func notGiven(format string, args ...any) error { return &NotGivenError{fmt.Sprintf(format, args...)} }

// MayClaim returns the subnet that a host's endpoint would be in, or why the
// host may not have an endpoint there: a NotGivenError where that is the tenant.
func (s *Snapshot) MayClaim(host, tenant, vpc, subnet string) (*spec.Subnet, error) {
	t := s.Net.Tenants[tenant]
	if t == nil {
		return nil, notGiven("tenant %q is not declared", tenant)
	}
	if !matchesAny(t.Hosts, host) {
		return nil, notGiven("host %q may not claim endpoints of tenant %q (%s: spec.hosts)", host, t.Name, t.At)
	}
	if h := s.hosts[host]; h != nil && len(h.Tenants) > 0 && !slices.Contains(h.Tenants, tenant) {
		return nil, notGiven("host %q joined for endpoints of %s only, not for tenant %q (join it again with a token for that tenant)",
			host, strings.Join(h.Tenants, ", "), tenant)
	}
	return s.subnet(tenant, vpc, subnet)
}

func (s *Snapshot) subnet(tenant, vpc, subnet string) (*spec.Subnet, error) {
	v := s.Net.VPCs[spec.MakeVPCID(tenant, vpc)]
	if v == nil {
		return nil, fmt.Errorf("vpc %q is not declared", spec.MakeVPCID(tenant, vpc))
	}
	sub := v.Subnet(subnet)
	if sub == nil {
		return nil, fmt.Errorf("vpc %q has no subnet %q (%s)", v.ID, subnet, v.At)
	}
	return sub, nil
}

// hostLike returns the host that a report is about, the one that is there already
// if nothing about it changed.
func (s *Snapshot) hostLike(r *HostReport) *Host {
	h := &Host{
		Name: r.Name, BootID: r.BootID, DPID: r.DPID, Uplink: r.Uplink, Listeners: r.Listeners, AddressLists: r.AddressLists,
		Tenants: r.Tenants,
	}
	o := s.hosts[r.Name]
	if o != nil && o.BootID == h.BootID && o.DPID == h.DPID && o.Uplink == h.Uplink && slices.Equal(o.Listeners, h.Listeners) &&
		slices.Equal(o.Addresses, h.Addresses) && slices.Equal(o.Controllers, h.Controllers) && slices.Equal(o.Tenants, h.Tenants) &&
		slices.Equal(o.Resolvers, h.Resolvers) {
		return o
	}
	return h
}

// endpointLike returns the endpoint that is there already if nothing about it
// changed, or nil.
func (s *Snapshot) endpointLike(net *spec.Network, h *Host, e *EndpointReport) *Endpoint {
	o := s.byName[EndpointRef{e.VPCID(), e.Name}]
	if o == nil || s.Net != net || o.Host != h || o.Tenant != e.Tenant || o.Subnet != e.Subnet || o.IP != e.IP || o.MAC != e.MAC ||
		o.Port != e.Port || !slices.Equal(o.Claims, e.Claims) || !maps.Equal(o.Labels, e.Labels) {
		return nil
	}
	return o
}

// add joins one endpoint that refuse let through.
func (s *Snapshot) add(h *Host, e *EndpointReport, was *Snapshot) {
	ep := was.endpointLike(s.Net, h, e)
	if ep == nil {
		ep = s.endpoint(h, e)
	}
	s.byHost[h] = append(s.byHost[h], ep)
	if s.byPort[h.DPID] == nil {
		s.byPort[h.DPID] = make(map[uint32]*Endpoint)
	}
	s.byPort[h.DPID][e.Port] = ep
	s.view(ep).byIP[number(e.IP)] = ep
	s.byName[EndpointRef{ep.VPC, e.Name}] = ep
}

// view returns the view of an endpoint's VPC, to be written to.
func (s *Snapshot) view(ep *Endpoint) *vpcView {
	v := s.byVPC[ep.VPC]
	if v == nil {
		v = &vpcView{
			vpc: s.Net.VPCs[ep.VPC], tenant: s.Net.Tenants[ep.Tenant], byIP: make(map[uint32]*Endpoint), peers: s.Net.Peers[ep.VPC],
		}
		s.byVPC[ep.VPC] = v
		for int(ep.VPCNo) >= len(s.vpcs) {
			s.vpcs = append(s.vpcs, nil)
		}
		s.vpcs[ep.VPCNo] = v
	}
	return v
}

// number is an IPv4 address as a number: what all endpoints have.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func (s *Snapshot) endpoint(h *Host, e *EndpointReport) *Endpoint {
	ep := s.numberless(h, e)
	ep.AddrID, ep.VPCNo, ep.TenantID = s.interner.numbers(ep.VPC, e.IP, e.Tenant)
	return ep
}

// numberless is endpoint without the numbers of its address, VPC and tenant.
func (s *Snapshot) numberless(h *Host, e *EndpointReport) *Endpoint {
	vpc := e.VPCID()
	groups, ignored := s.membership(e)
	ep := &Endpoint{EndpointReport: *e, VPC: vpc, Host: h, Ignored: ignored}
	id := Identity{Tenant: e.Tenant, VPC: vpc, Subnet: e.Subnet, Groups: groups, Labels: e.Labels}
	if s.Net.Named[vpc][e.Name] || s.services.backs(&id) {
		id.Name = e.Name
	}
	ep.Identity = s.interner.endpoint(id)
	return ep
}

// membership resolves which groups of its VPC an endpoint is in, sorted, and
// which of its claims grant nothing: a group with members is not claimable.
func (s *Snapshot) membership(e *EndpointReport) (groups, ignored []string) {
	known := s.Net.Groups[e.VPCID()]
	for name, g := range known {
		if g.Members != nil && g.Members.Select(e.Name, e.Subnet, e.Labels) {
			groups = append(groups, name)
		}
	}
	for _, claim := range e.Claims {
		if g := known[claim]; g != nil && g.Members == nil {
			groups = append(groups, claim)
		} else {
			ignored = append(ignored, claim)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), ignored
}

func matchesAny(globs []string, name string) bool {
	return slices.ContainsFunc(globs, func(g string) bool {
		ok, err := path.Match(g, name)
		return err == nil && ok
	})
}

// Host returns the host of a name, or nil.
func (s *Snapshot) Host(name string) *Host { return s.hosts[name] }

// HostByDPID returns the host whose bridge has the datapath id, or nil.
func (s *Snapshot) HostByDPID(dpid uint64) *Host { return s.byDPID[dpid] }

// HostByUnderlay returns the host with an underlay address, or nil.
func (s *Snapshot) HostByUnderlay(a netip.Addr) *Host { return s.byUnderlay[a] }

// HostOrController reports whether an address is a host's, on the underlay or on
// any other device, or a controller's, as far as a host knows it.
func (s *Snapshot) HostOrController(a netip.Addr) bool {
	return s.byUnderlay[a] != nil || s.known[a]
}

// EndpointAt returns the endpoint at a switch's port, or nil.
func (s *Snapshot) EndpointAt(dpid uint64, port uint32) *Endpoint {
	return s.byPort[dpid][port]
}

// EndpointsOf returns a host's endpoints in the order of its report.
func (s *Snapshot) EndpointsOf(h *Host) []*Endpoint { return s.byHost[h] }

// EndpointByAddr returns the endpoint with an address in a VPC, or nil.
func (s *Snapshot) EndpointByAddr(vpc spec.VPCID, a netip.Addr) *Endpoint {
	return s.byVPC[vpc].at(a)
}

// at returns the endpoint with an address, or nil.
func (v *vpcView) at(a netip.Addr) *Endpoint {
	if v == nil || !a.Is4() {
		return nil
	}
	return v.byIP[number(a)]
}

// viewOf returns the view of an endpoint's VPC as it is now, or nil.
func (s *Snapshot) viewOf(ep *Endpoint) *vpcView {
	if int(ep.VPCNo) >= len(s.vpcs) {
		return nil
	}
	return s.vpcs[ep.VPCNo]
}

// VPCOf returns the VPC of one of the snapshot's endpoints.
func (s *Snapshot) VPCOf(ep *Endpoint) *spec.VPC { return s.viewOf(ep).vpc }

// TenantOf returns the tenant of one of the snapshot's endpoints.
func (s *Snapshot) TenantOf(ep *Endpoint) *spec.Tenant { return s.viewOf(ep).tenant }

// EndpointByName returns the endpoint of a name in a VPC, or nil.
func (s *Snapshot) EndpointByName(r EndpointRef) *Endpoint { return s.byName[r] }

// Hosts returns the hosts sorted by name.
func (s *Snapshot) Hosts() []*Host {
	return slices.SortedFunc(maps.Values(s.hosts), func(a, b *Host) int { return cmp.Compare(a.Name, b.Name) })
}

// Endpoints returns the endpoints sorted by VPC and name.
func (s *Snapshot) Endpoints() []*Endpoint {
	return slices.SortedFunc(maps.Values(s.byName), func(a, b *Endpoint) int {
		return cmp.Or(cmp.Compare(a.VPC, b.VPC), cmp.Compare(a.Name, b.Name))
	})
}

// Identities returns the identities of all endpoints, each once and without its
// number: so no cache keeps what is decided about them, and they may be of a
// Snapshot that is made only to be asked about.
func (s *Snapshot) Identities() []*Identity {
	var out []*Identity
	known := make(map[*Identity]bool)
	for _, e := range s.Endpoints() {
		if !known[e.Identity] {
			known[e.Identity] = true
			id := *e.Identity
			id.ID = 0
			out = append(out, &id)
		}
	}
	return out
}

// Outside returns the identity of an address that is no endpoint's, which is
// the set of the policy's prefixes that it lies in.
func (s *Snapshot) Outside(cidrs []netip.Prefix) *Identity { return s.interner.outside(cidrs) }

// UnderlayRanges returns the subnets that the hosts' underlay addresses lie in,
// sorted, none of them within another.
func (s *Snapshot) UnderlayRanges() []netip.Prefix {
	var all []netip.Prefix
	for _, h := range s.hosts {
		if h.Uplink.Addr.IsValid() {
			all = append(all, h.Uplink.Addr.Masked())
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(a.Bits(), b.Bits()), a.Addr().Compare(b.Addr()))
	})
	var out []netip.Prefix
	for _, p := range all {
		if !slices.ContainsFunc(out, func(o netip.Prefix) bool { return o.Contains(p.Addr()) }) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}
