package docker

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Options of Docker networks, in both the driver's and IPAM's set.
const (
	VPCOption    = "daoli.vpc"    // TENANT/VPC
	SubnetOption = "daoli.subnet" // the subnet's name
)

// hint says how such a network is made by hand.
const hint = "docker network create -d daoli -o daoli.vpc=TENANT/VPC -o daoli.subnet=NAME --ipam-driver daoli --ipam-opt (both again) --subnet CIDR NAME"

// subnetOf reads the options of a network. The answer has no CIDR.
func subnetOf(options map[string]string) (uplink.Network, error) {
	vpc, subnet := options[VPCOption], options[SubnetOption]
	if !hostpb.ValidVPCID(vpc) || !hostpb.ValidName(subnet) {
		return uplink.Network{}, fmt.Errorf("options %s=TENANT/VPC and %s=NAME are required (%s)", VPCOption, SubnetOption, hint)
	}
	tenant, name, _ := strings.Cut(vpc, "/")
	return uplink.Network{Tenant: tenant, VPC: name, Subnet: subnet}, nil
}

// generic reads the user's options out of a CreateNetworkRequest's.
func generic(v any) map[string]string {
	m, _ := v.(map[string]any)
	out := make(map[string]string, len(m))
	for k, v := range m {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

// poolID names the pool of a network, so that hostd needs to remember none:
// TENANT/VPC/SUBNET/ADDRESS/BITS/NONCE. Docker wants another for each network.
func poolID(n uplink.Network, nonce string) string {
	return n.VPCID() + "/" + n.Subnet + "/" + n.CIDR.String() + "/" + nonce
}

// parsePool is the reverse of poolID.
func parsePool(id string) (uplink.Network, error) {
	part := strings.Split(id, "/")
	if len(part) != 6 {
		return uplink.Network{}, fmt.Errorf("pool %.160q is not ours", id)
	}
	n, err := subnetOf(map[string]string{VPCOption: part[0] + "/" + part[1], SubnetOption: part[2]})
	if err != nil {
		return n, fmt.Errorf("pool %.160q is not ours", id)
	}
	n.CIDR, err = netip.ParsePrefix(part[3] + "/" + part[4])
	if err != nil || !n.CIDR.Addr().Is4() {
		return n, fmt.Errorf("pool %.160q is not ours", id)
	}
	return n, nil
}

// gatewayOf returns the address of a subnet that no endpoint gets, which Docker
// takes for the gateway's.
func gatewayOf(cidr netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(cidr.Masked().Addr().Next(), cidr.Bits())
}

// parseAddress reads an address with or without its length. Absent is not
// valid.
func parseAddress(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	bare, _, _ := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(bare)
	if err != nil || !ip.Is4() {
		return netip.Addr{}, fmt.Errorf("%.80q is no IPv4 address", s)
	}
	return ip, nil
}
