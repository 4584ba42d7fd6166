package openflow

import (
	"encoding/binary"
	"fmt"
)

// Version is OpenFlow 1.3's version number, the only one spoken here.
const Version = 4

// HeaderLen is the length of the header that each message starts with.
const HeaderLen = 8

// MaxMessageLen is the longest a message can be: its length has 16 bits.
const MaxMessageLen = 0xffff

// MessageType is the type of a message (OpenFlow 1.3.5, enum ofp_type).
type MessageType uint8

// Message types.
const (
	TypeHello            MessageType = 0
	TypeError            MessageType = 1
	TypeEchoRequest      MessageType = 2
	TypeEchoReply        MessageType = 3
	TypeExperimenter     MessageType = 4
	TypeFeaturesRequest  MessageType = 5
	TypeFeaturesReply    MessageType = 6
	TypeSetConfig        MessageType = 9
	TypePacketIn         MessageType = 10
	TypeFlowRemoved      MessageType = 11
	TypePortStatus       MessageType = 12
	TypePacketOut        MessageType = 13
	TypeFlowMod          MessageType = 14
	TypeGroupMod         MessageType = 15
	TypeMultipartRequest MessageType = 18
	TypeMultipartReply   MessageType = 19
	TypeBarrierRequest   MessageType = 20
	TypeBarrierReply     MessageType = 21
	TypeRoleRequest      MessageType = 24
	TypeRoleReply        MessageType = 25
	TypeSetAsync         MessageType = 28
	TypeMeterMod         MessageType = 29
)

// Header is the start of every message.
type Header struct {
	Version uint8
	Type    MessageType
	Length  uint16 // of the whole message, at least HeaderLen
	Xid     uint32 // pairs a reply or an error with its request
}

// ParseHeader reads the header of the message that b starts with, of which at
// least HeaderLen bytes must be there. It refuses what cannot be a frame of an
// OpenFlow 1.3 connection, on which no next message can be found after it: a
// length below HeaderLen, and a version other than 1.3 on anything but a HELLO.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("read message header: %d of %d bytes", len(b), HeaderLen)
	}
	h := Header{
		Version: b[0],
		Type:    MessageType(b[1]),
		Length:  binary.BigEndian.Uint16(b[2:]),
		Xid:     binary.BigEndian.Uint32(b[4:]),
	}
	if h.Length < HeaderLen {
		return h, fmt.Errorf("read message header: length %d is below %d", h.Length, HeaderLen)
	}
	if h.Version != Version && h.Type != TypeHello {
		return h, fmt.Errorf("read message header: version %d on a message of type %d", h.Version, h.Type)
	}
	return h, nil
}
