package openflow

// fieldInfo is what one Field is called and how it is written on the wire. An
// OXM or NXM header is class (16 bits), field (7), has-mask (1), length (8).
type fieldInfo struct {
	name    string // in set_field and in matches
	nxmName string // in move, load and learn
	oxm     uint32 // header in set_field
	nxm     uint32 // header in move, load and learn: what OVS writes there
	bits    uint8
}

// fieldTable is a constant: the fields of action.go by ovs-fields(7).
var fieldTable = [...]fieldInfo{
	FieldNone:     {},
	FieldInPort:   {"in_port", "NXM_OF_IN_PORT", 0x00000002, 0x00000002, 16},
	FieldEthSrc:   {"eth_src", "NXM_OF_ETH_SRC", 0x80000806, 0x00000406, 48},
	FieldEthDst:   {"eth_dst", "NXM_OF_ETH_DST", 0x80000606, 0x00000206, 48},
	FieldIPSrc:    {"ip_src", "NXM_OF_IP_SRC", 0x80001604, 0x00000e04, 32},
	FieldIPDst:    {"ip_dst", "NXM_OF_IP_DST", 0x80001804, 0x00001004, 32},
	FieldIPTTL:    {"nw_ttl", "NXM_NX_IP_TTL", 0x00013a01, 0x00013a01, 8},
	FieldTCPSrc:   {"tcp_src", "NXM_OF_TCP_SRC", 0x80001a02, 0x00001202, 16},
	FieldTCPDst:   {"tcp_dst", "NXM_OF_TCP_DST", 0x80001c02, 0x00001402, 16},
	FieldUDPSrc:   {"udp_src", "NXM_OF_UDP_SRC", 0x80001e02, 0x00001602, 16},
	FieldUDPDst:   {"udp_dst", "NXM_OF_UDP_DST", 0x80002002, 0x00001802, 16},
	FieldICMPType: {"icmp_type", "NXM_OF_ICMP_TYPE", 0x80002601, 0x00001a01, 8},
	FieldICMPCode: {"icmp_code", "NXM_OF_ICMP_CODE", 0x80002801, 0x00001c01, 8},
	FieldARPOp:    {"arp_op", "NXM_OF_ARP_OP", 0x80002a02, 0x00001e02, 16},
	FieldARPSPA:   {"arp_spa", "NXM_OF_ARP_SPA", 0x80002c04, 0x00002004, 32},
	FieldARPTPA:   {"arp_tpa", "NXM_OF_ARP_TPA", 0x80002e04, 0x00002204, 32},
	FieldARPSHA:   {"arp_sha", "NXM_NX_ARP_SHA", 0x80003006, 0x00012206, 48},
	FieldARPTHA:   {"arp_tha", "NXM_NX_ARP_THA", 0x80003206, 0x00012406, 48},
	FieldReg0:     {"reg0", "NXM_NX_REG0", 0x00010004, 0x00010004, 32},
}

// info returns FieldNone's for a Field that does not exist.
func (f Field) info() *fieldInfo {
	if int(f) >= len(fieldTable) {
		f = FieldNone
	}
	return &fieldTable[f]
}

// Bits returns the field's width in bits, 0 for FieldNone.
func (f Field) Bits() uint8 { return f.info().bits }

// String returns the field's name as set_field and matches have it.
func (f Field) String() string { return f.info().name }

// NXMName returns the field's name as move, load and learn have it.
func (f Field) NXMName() string { return f.info().nxmName }

// isMAC says that the field holds an Ethernet address.
func (f Field) isMAC() bool { return f.info().bits == 48 }

// isIPv4 says that the field holds an IPv4 address.
func (f Field) isIPv4() bool {
	switch f {
	case FieldIPSrc, FieldIPDst, FieldARPSPA, FieldARPTPA:
		return true
	}
	return false
}
