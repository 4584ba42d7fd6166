// Package world is a small network for unit tests: two tenants with the same
// addresses, three hosts in different underlay subnets, and a policy that says
// what a test wants. It builds only real inventory values.
package world

import (
	"maps"
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Start is when tests begin.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// UplinkPort is the ofport of each host's uplink.
const UplinkPort = 1

// World is what a test starts from; change it, then take a Snapshot.
type World struct {
	Net      *spec.Network
	Hosts    []inventory.HostReport
	Interner *inventory.Interner
}

// New returns a world with the tenants acme and globex, a VPC prod each with the
// subnets web 10.1.0.0/24 and db 10.1.1.0/24, and the hosts h1, h2 and h3:
//
//	h1: web1 10.1.0.2 (16), db1 10.1.1.2 (17)   globex web1 10.1.0.2 (18)
//	h2: web2 10.1.0.3 (16), db2 10.1.1.3 (17)   globex db1 10.1.1.2 (18)
//	h3: nothing yet
func New() *World {
	w := &World{Net: network("acme", "globex"), Interner: inventory.NewInterner()}
	w.Hosts = []inventory.HostReport{host(1), host(2), host(3)}
	w.Hosts[0].Endpoints = []inventory.EndpointReport{
		Endpoint("acme", "web1", "web", "10.1.0.2", 16), Endpoint("acme", "db1", "db", "10.1.1.2", 17),
		Endpoint("globex", "web1", "web", "10.1.0.2", 18),
	}
	w.Hosts[1].Endpoints = []inventory.EndpointReport{
		Endpoint("acme", "web2", "web", "10.1.0.3", 16), Endpoint("acme", "db2", "db", "10.1.1.3", 17),
		Endpoint("globex", "db1", "db", "10.1.1.2", 18),
	}
	return w
}

func network(tenants ...string) *spec.Network {
	n := &spec.Network{
		Tenants: make(map[string]*spec.Tenant), VPCs: make(map[spec.VPCID]*spec.VPC),
		Groups: make(map[spec.VPCID]map[string]*spec.SecurityGroup),
	}
	for _, t := range tenants {
		at := spec.Pos{File: "tenants/" + t + "/prod.yaml", Line: 1}
		id := spec.MakeVPCID(t, "prod")
		n.Tenants[t] = &spec.Tenant{Name: t, At: at, Hosts: []string{"*"}}
		n.VPCs[id] = &spec.VPC{
			ID: id, Tenant: t, Name: "prod", At: at, Default: spec.SameSubnet, DefaultAt: at,
			Subnets: []spec.Subnet{
				{Name: "web", CIDR: netip.MustParsePrefix("10.1.0.0/24"), At: at},
				{Name: "db", CIDR: netip.MustParsePrefix("10.1.1.0/24"), At: at},
			},
			Sessions: spec.Sessions{TCP: spec.PerService, UDP: spec.PerConnection, Idle: 2*time.Hour + 4*time.Minute},
		}
	}
	return n
}

func host(i byte) inventory.HostReport {
	return inventory.HostReport{
		Name: "h" + string('0'+i), BootID: "boot", DPID: uint64(i),
		Uplink: inventory.Uplink{
			Port: UplinkPort, MAC: packet.MAC{0xa, 0, 0, 0, 0, i},
			Addr:    netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, i, 1}), 24),
			NextHop: netip.AddrFrom4([4]byte{172, 31, i, 254}), NextHopMAC: packet.MAC{0xa, 0, 0, 0, 0xfe, i}, MTU: 1500,
		},
	}
}

// Endpoint returns the report of an endpoint of a tenant's VPC prod. Its MAC is
// made of its address.
func Endpoint(tenant, name, subnet, ip string, port uint32) inventory.EndpointReport {
	a := netip.MustParseAddr(ip)
	b := a.As4()
	return inventory.EndpointReport{
		Name: name, Tenant: tenant, VPC: "prod", Subnet: subnet, IP: a,
		MAC: packet.MAC{0x02, 0x42, b[0], b[1], b[2], b[3]}, Port: port,
	}
}

// Partial joins the world as it is now, without the endpoints that are refused.
func (w *World) Partial() *inventory.Snapshot {
	s, _ := inventory.Build(w.Interner, w.Net, w.Hosts)
	return s
}

// Snapshot joins the world as it is now. An endpoint that is refused is a
// mistake of the test.
func (w *World) Snapshot() *inventory.Snapshot {
	s, refused := inventory.Build(w.Interner, w.Net, w.Hosts)
	if len(refused) > 0 {
		panic("world: endpoint refused: " + refused[0].Text)
	}
	return s
}

// Share adds the VPC globex/shared, with the subnet log 10.2.0.0/24 and the
// endpoints log1 10.2.0.2 at h1 (19) and log2 10.2.0.3 at h2 (19). Nothing is
// peered with it yet.
func (w *World) Share() {
	id := spec.MakeVPCID("globex", "shared")
	v := *w.Net.VPCs["globex/prod"]
	v.ID, v.Name = id, "shared"
	v.Subnets = []spec.Subnet{{Name: "log", CIDR: netip.MustParsePrefix("10.2.0.0/24"), At: v.At}}
	n := *w.Net
	n.VPCs = maps.Clone(n.VPCs)
	n.VPCs[id] = &v
	w.Net = &n
	for i, ip := range []string{"10.2.0.2", "10.2.0.3"} {
		e := Endpoint("globex", "log"+string(rune('1'+i)), "log", ip, 19)
		e.VPC = "shared"
		w.Hosts[i].Endpoints = append(w.Hosts[i].Endpoints, e)
	}
}

// Peer brings into force a Peering of each two VPCs that follow one another, in
// place of those before.
func (w *World) Peer(vpcs ...spec.VPCID) {
	n := *w.Net
	n.Peers = make(map[spec.VPCID][]spec.VPCID)
	for i := 0; i+1 < len(vpcs); i += 2 {
		a, b := vpcs[i], vpcs[i+1]
		n.Peers[a], n.Peers[b] = append(n.Peers[a], b), append(n.Peers[b], a)
	}
	w.Net = &n
}

// Verdicts is a policy that says the same of everything.
type Verdicts struct {
	Decision policy.Decision
	Net      *spec.Network
	ID       string
	Isolates bool // it drops what goes between VPCs without a Peering
}

// AllowAll lets everything pass.
func (w *World) AllowAll(id string) *Verdicts {
	return &Verdicts{Decision: policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonDefault, Revision: id}, Net: w.Net, ID: id}
}

// AllowReachable lets all pass that isolation does.
func (w *World) AllowReachable(id string) *Verdicts {
	v := w.AllowAll(id)
	v.Isolates = true
	return v
}

// Deny denies everything with a verdict.
func (w *World) Deny(id string, v policy.Verdict) *Verdicts {
	return &Verdicts{Decision: policy.Decision{Verdict: v, Reason: policy.ReasonIngressDefault, Revision: id}, Net: w.Net, ID: id}
}

// Decide returns the one decision, but for what isolation drops.
func (p *Verdicts) Decide(_ time.Time, q policy.Query) policy.Decision {
	if p.Isolates && q.Src.VPC != q.Dst.VPC && !p.Net.Peered(q.Src.VPC, q.Dst.VPC) {
		return policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonIsolation, Revision: p.ID}
	}
	return p.Decision
}

// OutsideCIDRs returns none.
func (p *Verdicts) OutsideCIDRs(netip.Addr) []netip.Prefix { return nil }

// Revision returns the policy's name.
func (p *Verdicts) Revision() string { return p.ID }

// Network returns the world's.
func (p *Verdicts) Network() *spec.Network { return p.Net }
