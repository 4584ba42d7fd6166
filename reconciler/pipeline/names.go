package pipeline

import (
	"net/netip"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// The resolver is hostd's, behind a port of the bridge, in a network namespace of
// its own. Two endpoints of a host may have one address, so each
// reaches it from an alias made of its port, which never is on the wire.
const (
	// ResolverPort is the resolver's ofport, the highest that no endpoint has.
	ResolverPort openflow.PortNo = FirstEndpointPort - 1
	// DNSPort is where the resolver listens, TCP and UDP.
	DNSPort uint16 = 53
	// MeterResolver plus an endpoint's ofport is the meter of what it asks.
	MeterResolver uint32 = 1 << 14
	// ResolverRate and ResolverBurst bound what one endpoint asks, in packets per
	// second and packets; a question by TCP takes five.
	ResolverRate, ResolverBurst = 1000, 500
)

const (
	prioAsk    uint16 = 195 // in TableOpener, above the reserved addresses
	prioAnswer uint16 = 150 // in TableClassify, as what endpoints send
)

// ResolverMAC is the hardware address of the resolver's port.
var ResolverMAC = openflow.MAC{0x02, 0, 0, 0, 0, 0x02}

// ResolverIP is the resolver's address: the gateway's.
func ResolverIP() netip.Addr { return GatewayIP() }

// AliasRange holds the aliases of all ports: room for 14 bits.
func AliasRange() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, 64, 0}), 18)
}

// Alias is the address under which the resolver knows the endpoint of a port.
func Alias(p openflow.PortNo) netip.Addr {
	return netip.AddrFrom4([4]byte{169, 254, 64 | byte(p>>8)&0x3f, byte(p)})
}

// AliasPort is the port whose alias a is, or 0.
func AliasPort(a netip.Addr) openflow.PortNo {
	if !a.Is4() || !AliasRange().Contains(a) {
		return 0
	}
	b := a.As4()
	return openflow.PortNo(b[2]&0x3f)<<8 | openflow.PortNo(b[3])
}

// NamesConfig is all that the flows depend on by which an endpoint asks for names.
type NamesConfig struct {
	Port openflow.PortNo // of the endpoint
	MAC  openflow.MAC
	IP   netip.Addr
	// Servers are addresses beside ResolverIP whose DNS port is the resolver too:
	// those that the host asks itself, for containers that were given them.
	Servers []netip.Addr
	Cookie  uint64
}

// Names returns the meter and the flows by which an endpoint asks the resolver of
// its host, and gets its answers. They cost no other switch and no controller
// anything. An answer may come from any address, the one that was asked.
func Names(c NamesConfig) (openflow.MeterMod, []openflow.Flow) {
	m := openflow.MeterMod{ID: MeterResolver + uint32(c.Port), Rate: ResolverRate, Burst: ResolverBurst}
	answer := openflow.Match{InPort: ResolverPort, EthType: openflow.EthTypeIPv4, IPDst: openflow.IPv4(Alias(c.Port))}
	fs := []openflow.Flow{flow(TableClassify, prioAnswer, answer, apply(
		openflow.SetMAC(openflow.FieldEthSrc, GatewayMAC),
		openflow.SetMAC(openflow.FieldEthDst, c.MAC),
		openflow.SetIP(openflow.FieldIPDst, c.IP),
		openflow.Output(c.Port),
	))}
	for _, server := range append([]netip.Addr{ResolverIP()}, c.Servers...) {
		for _, p := range l4Protos {
			ask := l4Match(c.Port, p)
			ask.IPDst, ask.L4Dst = openflow.IPv4(server), openflow.Exact(DNSPort)
			fs = append(fs, flow(TableOpener, prioAsk, ask, meter(m.ID), apply(
				openflow.SetMAC(openflow.FieldEthDst, ResolverMAC),
				openflow.SetIP(openflow.FieldIPSrc, Alias(c.Port)),
				openflow.Output(ResolverPort),
			)))
		}
	}
	for i := range fs {
		fs[i].Cookie = c.Cookie
	}
	return m, fs
}
