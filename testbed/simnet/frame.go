package simnet

import (
	"encoding/binary"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// frame is a packet on its way through one switch: its bytes, where their
// headers are, and what the pipeline keeps beside them. Headers that are not
// there, or are cut, read as zero, as in OVS (lib/flow.c, miniflow_extract).
// Later fragments keep their bytes when addresses are rewritten, as on the kernel
// datapath; the userspace one of OVS 3.1 takes them for a checksum.
type frame struct {
	b        []byte
	inPort   openflow.PortNo
	metadata uint64
	reg0     uint32

	tagged  bool
	ethType uint16
	arp, ip int // offsets of the headers, 0: none
	l4      int // offset of a whole transport header, 0: none
	sumAt   int // offset of TCP's, UDP's or ICMP's checksum, 0: none
	proto   uint8
	later   bool // a fragment without transport header
}

// Lengths of headers, in bytes.
const (
	ethLen = 14
	ipLen  = 20
	arpLen = 28
)

// typeNone is the EtherType of 802.3 frames without one (OFP_DL_TYPE_NOT_ETH_TYPE).
const typeNone = 0x05ff

// parse reads b, which it keeps, as it comes in at port in.
func parse(b []byte, in openflow.PortNo) frame {
	f := frame{b: b, inPort: in}
	if len(b) < ethLen {
		return f
	}
	at := 12
	if t := f.u16(at); t == 0x8100 || t == 0x88a8 {
		f.tagged = true
		at += 4
	}
	if len(b) < at+2 {
		return f
	}
	f.ethType = f.u16(at)
	at += 2
	if f.ethType < 0x600 {
		at = f.parseLLC(at)
	}
	switch f.ethType {
	case openflow.EthTypeARP:
		f.parseARP(at)
	case openflow.EthTypeIPv4:
		f.parseIPv4(at)
	}
	return f
}

// parseLLC finds the EtherType behind an 802.3 length, in a SNAP header, and
// returns the offset of what follows.
func (f *frame) parseLLC(at int) int {
	f.ethType = typeNone
	if len(f.b) < at+8 || string(f.b[at:at+6]) != "\xaa\xaa\x03\x00\x00\x00" {
		return at
	}
	if t := f.u16(at + 6); t >= 0x600 {
		f.ethType = t
	}
	return at + 8
}

func (f *frame) parseARP(at int) {
	const ethernetIPv4 = "\x00\x01\x08\x00\x06\x04"
	if len(f.b) >= at+arpLen && string(f.b[at:at+6]) == ethernetIPv4 {
		f.arp = at
	}
}

func (f *frame) parseIPv4(at int) {
	if len(f.b) < at+ipLen {
		return
	}
	head, total := int(f.b[at]&15)*4, int(f.u16(at+2))
	if head < ipLen || total < head || len(f.b) < at+total {
		return
	}
	f.ip, f.proto = at, f.b[at+9]
	f.later = f.u16(at+6)&0x1fff != 0
	if need := l4Len(f.proto); !f.later && need > 0 && total-head >= need {
		f.parseL4(at+head, total-head)
	}
}

// parseL4 reads the transport header at offset at, with n bytes from there on. A
// TCP header with a wrong data offset has no fields, but its checksum is mended.
func (f *frame) parseL4(at, n int) {
	f.l4 = at
	switch f.proto {
	case openflow.ProtoTCP:
		f.sumAt = at + 16
		if offset := int(f.b[at+12]>>4) * 4; offset < 20 || offset > n {
			f.l4 = 0
		}
	case openflow.ProtoUDP:
		f.sumAt = at + 6
	case openflow.ProtoICMP:
		f.sumAt = at + 2
	}
}

// l4Len returns the length of the header that must be whole for its fields to
// be seen, 0 for protocols whose header is not read.
func l4Len(proto uint8) int {
	switch proto {
	case openflow.ProtoTCP:
		return 20
	case openflow.ProtoUDP, openflow.ProtoICMP:
		return 8
	}
	return 0
}

func (f *frame) u16(at int) uint16 { return binary.BigEndian.Uint16(f.b[at:]) }

// isL4 reports whether the frame has a whole header of one of the protocols.
func (f *frame) isL4(protos ...uint8) bool {
	for _, p := range protos {
		if f.l4 != 0 && f.proto == p {
			return true
		}
	}
	return false
}

// place is where a field lies in the frame.
type place struct {
	base   int // offset of its header
	at, n  int // offset behind base and length, in bytes
	sums   sums
	absent bool
}

// sums says which checksums cover a field.
type sums uint8

const (
	sumNone   sums = iota
	sumIP          // the IP header's only
	sumPseudo      // the IP header's, and TCP's or UDP's by its pseudo header
	sumL4          // the transport header's only
)

// places are where fields lie; those of headers that are not there are absent.
func (f *frame) place(field openflow.Field) place {
	tcp, udp, icmp := f.isL4(openflow.ProtoTCP), f.isL4(openflow.ProtoUDP), f.isL4(openflow.ProtoICMP)
	switch field {
	case openflow.FieldEthDst:
		return place{0, 0, 6, sumNone, len(f.b) < ethLen}
	case openflow.FieldEthSrc:
		return place{0, 6, 6, sumNone, len(f.b) < ethLen}
	case openflow.FieldIPTTL:
		return place{f.ip, 8, 1, sumIP, f.ip == 0}
	case openflow.FieldIPSrc:
		return place{f.ip, 12, 4, sumPseudo, f.ip == 0}
	case openflow.FieldIPDst:
		return place{f.ip, 16, 4, sumPseudo, f.ip == 0}
	case openflow.FieldTCPSrc:
		return place{f.l4, 0, 2, sumL4, !tcp}
	case openflow.FieldTCPDst:
		return place{f.l4, 2, 2, sumL4, !tcp}
	case openflow.FieldUDPSrc:
		return place{f.l4, 0, 2, sumL4, !udp}
	case openflow.FieldUDPDst:
		return place{f.l4, 2, 2, sumL4, !udp}
	case openflow.FieldICMPType:
		return place{f.l4, 0, 1, sumL4, !icmp}
	case openflow.FieldICMPCode:
		return place{f.l4, 1, 1, sumL4, !icmp}
	case openflow.FieldARPOp:
		return place{f.arp, 6, 2, sumNone, f.arp == 0}
	case openflow.FieldARPSHA:
		return place{f.arp, 8, 6, sumNone, f.arp == 0}
	case openflow.FieldARPSPA:
		return place{f.arp, 14, 4, sumNone, f.arp == 0}
	case openflow.FieldARPTHA:
		return place{f.arp, 18, 6, sumNone, f.arp == 0}
	case openflow.FieldARPTPA:
		return place{f.arp, 24, 4, sumNone, f.arp == 0}
	}
	return place{absent: true}
}

// get reads a field, zero if it is not there.
func (f *frame) get(field openflow.Field) uint64 {
	switch field {
	case openflow.FieldInPort:
		return uint64(port16(f.inPort))
	case openflow.FieldReg0:
		return uint64(f.reg0)
	}
	p := f.place(field)
	var v uint64
	if p.absent {
		return 0
	}
	for _, b := range f.b[p.base+p.at : p.base+p.at+p.n] {
		v = v<<8 | uint64(b)
	}
	return v
}

// set writes a field and mends the checksums over it. A field that is not there
// stays away.
func (f *frame) set(field openflow.Field, v uint64) {
	switch field {
	case openflow.FieldInPort:
		f.inPort = port32(uint16(v))
		return
	case openflow.FieldReg0:
		f.reg0 = uint32(v)
		return
	}
	p := f.place(field)
	if p.absent {
		return
	}
	first, last := p.base+p.at&^1, p.base+p.at+p.n // whole 16-bit words
	old := append([]byte(nil), f.b[first:(last-first+1)&^1+first]...)
	for i := range p.n {
		f.b[p.base+p.at+i] = byte(v >> (8 * (p.n - 1 - i)))
	}
	for i := 0; i < len(old); i += 2 {
		f.mend(p.sums, binary.BigEndian.Uint16(old[i:]), f.u16(first+i))
	}
}

// mend updates the checksums over a word that was changed. ICMP's does not
// cover addresses, and a UDP checksum of zero is none (RFC 768).
func (f *frame) mend(s sums, old, new uint16) {
	if s == sumIP || s == sumPseudo {
		f.mendAt(f.ip+10, old, new)
	}
	udp := f.proto == openflow.ProtoUDP
	switch {
	case f.sumAt == 0, s != sumPseudo && s != sumL4:
	case s == sumPseudo && f.proto == openflow.ProtoICMP:
	case udp && f.u16(f.sumAt) == 0:
	default:
		f.mendAt(f.sumAt, old, new)
		if udp && f.u16(f.sumAt) == 0 {
			binary.BigEndian.PutUint16(f.b[f.sumAt:], 0xffff)
		}
	}
}

func (f *frame) mendAt(at int, old, new uint16) {
	binary.BigEndian.PutUint16(f.b[at:], packet.UpdateChecksum(f.u16(at), old, new))
}

// port16 is the 16-bit form of a port (OpenFlow 1.0), which NXM_OF_IN_PORT has.
func port16(p openflow.PortNo) uint16 { return uint16(p) }

// port32 is the reverse of port16: reserved ports lie at the top.
func port32(p uint16) openflow.PortNo {
	if p >= 0xff00 {
		return 0xffff0000 | openflow.PortNo(p)
	}
	return openflow.PortNo(p)
}
