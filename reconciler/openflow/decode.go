package openflow

import "fmt"

// The Decode functions take a whole message, header included, of a type that the
// caller saw in the header. They read it by its slice's length alone.

// DecodePacketIn decodes an OFPT_PACKET_IN (OpenFlow 1.3.5, 7.4.1):
//
//	 0 header            16 cookie
//	 8 buffer id         24 match, padded to 8 bytes
//	12 length of packet     two bytes of padding
//	14 reason, table        the packet
//
// It doesn't allocate: Frame is part of b. A packet that the switch cut is an
// error, since nothing can be answered or delivered with it.
func DecodePacketIn(b []byte) (PacketIn, error) {
	if len(b) < 24 {
		return PacketIn{}, errShort("packet-in", b, 24)
	}
	p := PacketIn{
		Reason: PacketInReason(b[14]),
		Table:  TableID(b[15]),
		Cookie: be.Uint64(b[16:]),
	}
	fields, rest, ok := cutMatch(b[24:])
	if !ok || len(rest) < 2 {
		return PacketIn{}, fmt.Errorf("decode packet-in: match does not fit into the message")
	}
	for len(fields) > 0 {
		f, ok := nextField(&fields)
		if !ok {
			return PacketIn{}, fmt.Errorf("decode packet-in: field does not fit into the match")
		}
		switch f.header {
		case oxmInPort:
			p.InPort = PortNo(be.Uint32(f.value))
		case oxmMetadata:
			p.Metadata = be.Uint64(f.value)
		}
	}
	p.Frame = rest[2:]
	total := int(be.Uint16(b[12:]))
	if len(p.Frame) < total {
		return PacketIn{}, fmt.Errorf("decode packet-in: %d of the packet's %d bytes", len(p.Frame), total)
	}
	p.Frame = p.Frame[:total]
	return p, nil
}

func errShort(what string, b []byte, want int) error {
	return fmt.Errorf("decode %s: %d of %d bytes", what, len(b), want)
}

// Reasons of FlowRemoved (OpenFlow 1.3.5, enum ofp_flow_removed_reason).
const (
	RemovedIdle   uint8 = 0
	RemovedHard   uint8 = 1
	RemovedDelete uint8 = 2
	RemovedGroup  uint8 = 3
)

// DecodeFlowRemoved decodes an OFPT_FLOW_REMOVED. libOpenflow's decoder would do,
// did it not print and panic over match fields that it doesn't know.
func DecodeFlowRemoved(b []byte) (FlowRemoved, error) {
	if len(b) < 48 {
		return FlowRemoved{}, errShort("flow-removed", b, 48)
	}
	return FlowRemoved{
		Cookie:   be.Uint64(b[8:]),
		Priority: be.Uint16(b[16:]),
		Reason:   b[18],
		Table:    TableID(b[19]),
		Packets:  be.Uint64(b[32:]),
		Bytes:    be.Uint64(b[40:]),
	}, nil
}

// DecodeRole decodes an OFPT_ROLE_REPLY.
func DecodeRole(b []byte) (r Role, generation uint64, err error) {
	if len(b) < 24 {
		return 0, 0, errShort("role reply", b, 24)
	}
	return Role(be.Uint32(b[8:])), be.Uint64(b[16:]), nil
}

// helloElementBitmap is the type of the version bitmap in a HELLO.
const helloElementBitmap = 1

// DecodeHello reports whether the sender of an OFPT_HELLO speaks OpenFlow 1.3: by
// its version bitmap, or, without one, when its version is at least 1.3, as the
// lower of both sides' versions is then spoken (OpenFlow 1.3.5, 6.3.1).
func DecodeHello(b []byte) (bool, error) {
	if len(b) < HeaderLen {
		return false, errShort("hello", b, HeaderLen)
	}
	version := b[0]
	for b = b[HeaderLen:]; len(b) >= 4; {
		n := int(be.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			return false, fmt.Errorf("decode hello: element of %d bytes in %d", n, len(b))
		}
		if be.Uint16(b) == helloElementBitmap && n >= 8 {
			return be.Uint32(b[4:])&(1<<Version) != 0, nil
		}
		b = b[min((n+7)/8*8, len(b)):]
	}
	return version >= Version, nil
}

// Port is a port of a switch.
type Port struct {
	No   PortNo
	MAC  MAC
	Name string // at most 15 bytes
}

// Reasons of PortStatus (OpenFlow 1.3.5, enum ofp_port_reason).
const (
	PortAdded    uint8 = 0
	PortDeleted  uint8 = 1
	PortModified uint8 = 2
)

// PortStatus tells that a port came, went or changed.
type PortStatus struct {
	Reason uint8
	Port   Port
}

const portLen = 64 // of a struct ofp_port

// DecodePortStatus decodes an OFPT_PORT_STATUS.
func DecodePortStatus(b []byte) (PortStatus, error) {
	if len(b) < 16+portLen {
		return PortStatus{}, errShort("port status", b, 16+portLen)
	}
	return PortStatus{Reason: b[8], Port: decodePort(b[16:])}, nil
}

// decodePort decodes the struct ofp_port that b starts with.
func decodePort(b []byte) Port {
	p := Port{No: PortNo(be.Uint32(b)), MAC: MAC(b[8:14])}
	name := b[16:32]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	p.Name = string(name)
	return p
}
