package bench

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// The tenant of what is measured, and its VPC: all of subnet web may talk.
const (
	tenant = "bench"
	vpc    = "prod"
)

// start is the time of what has no clock.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// oneTenant are the specs of one tenant whose endpoints may all talk; rules are
// added to its group all.
func oneTenant(rules ...string) fs.FS {
	text := `apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: bench}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/16}, {name: flooded, cidr: 10.2.0.0/24}]
  default: same-vpc
  sessions: {tcp: service, udp: connection}
`
	if len(rules) > 0 {
		text += "---\napiVersion: daoli.net/v1\nkind: SecurityGroup\nmetadata: {name: all, tenant: bench, vpc: prod}\n" +
			"spec:\n  members: {subnets: [web, flooded]}\n  ingress:\n    - " + strings.Join(rules, "\n    - ") + "\n"
	}
	return fstest.MapFS{
		"tenants.yaml":            {Data: []byte("apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: bench}\nspec: {hosts: [\"*\"]}\n")},
		"tenants/bench/prod.yaml": {Data: []byte(text)},
	}
}

// compile makes specs the policy of a revision.
func compile(rev string, specs fs.FS) (*policy.Policy, error) {
	network, problems := spec.Load(specs)
	for _, p := range problems {
		if !p.Warning {
			return nil, fmt.Errorf("load the specs of a measurement: %s", p)
		}
	}
	return policy.Compile(rev, network, nil)
}

// fakeHost is the report of a host that exists only in it; i is from 1 to 200.
func fakeHost(i int) inventory.HostReport {
	n := byte(i)
	return inventory.HostReport{
		Name: fmt.Sprintf("h%d", i), BootID: "bench", DPID: uint64(i),
		Uplink: inventory.Uplink{
			Port: 1, MAC: packet.MAC{0x0a, 0, 0, 0, 0, n},
			Addr:    netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 31, n, 1}), 24),
			NextHop: netip.AddrFrom4([4]byte{172, 31, n, 254}), NextHopMAC: packet.MAC{0x0a, 0, 0, 0, 0xfe, n}, MTU: 1500,
		},
	}
}

// fakeEndpoint is endpoint j, from 0 to 239, of host i: 10.1.i.10 and on.
func fakeEndpoint(i, j int) inventory.EndpointReport {
	return inventory.EndpointReport{
		Name: fmt.Sprintf("e%d-%d", i, j), Tenant: tenant, VPC: vpc, Subnet: "web",
		IP:  netip.AddrFrom4([4]byte{10, 1, byte(i), byte(10 + j)}),
		MAC: packet.MAC{0x02, 0x42, 0, 0, byte(i), byte(10 + j)}, Port: uint32(pipeline.FirstEndpointPort) + uint32(j),
	}
}

// fakeHosts are hosts with endpoints.
func fakeHosts(hosts, endpoints int) []inventory.HostReport {
	var out []inventory.HostReport
	for i := 1; i <= hosts; i++ {
		h := fakeHost(i)
		for j := range endpoints {
			h.Endpoints = append(h.Endpoints, fakeEndpoint(i, j))
		}
		out = append(out, h)
	}
	return out
}

// opener is the frame by which an endpoint opens a session to another.
func opener(from, to *inventory.EndpointReport, proto packet.Proto, source, port uint16, payload ...byte) []byte {
	h := packet.Headers{
		EthSrc: from.MAC, EthDst: packet.MAC(pipeline.GatewayMAC), EthType: packet.EthTypeIPv4, TTL: 64,
		Src: from.IP, Dst: to.IP, Proto: proto, SrcPort: source, DstPort: port,
	}
	if proto == packet.TCP {
		h.Flags = packet.SYN
	}
	return packet.Build(h, payload)
}
