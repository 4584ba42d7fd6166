package openflow

import (
	"fmt"

	of "github.com/contiv/libOpenflow/openflow13"
	"github.com/contiv/libOpenflow/util"
)

// This file is the border to libOpenflow: it encodes what is rare, and decodes
// the two messages whose decoder cannot be made to spin, behind decode. None of
// what is used here logs: its encoders log at logrus' debug level, which is off,
// and these two decoders not at all (a test watches).

// appendLibrary appends the bytes of a libOpenflow message. Its encoders fail
// only for what this file never builds; such a message is left out.
func appendLibrary(b []byte, m util.Message) []byte {
	data, err := m.MarshalBinary()
	if err != nil {
		return b
	}
	return append(b, data...)
}

// AppendFeaturesRequest appends an OFPT_FEATURES_REQUEST.
func AppendFeaturesRequest(b []byte, xid uint32) []byte {
	m := of.NewFeaturesRequest()
	m.Xid = xid
	return appendLibrary(b, m)
}

// fragNXMatch makes OVS match the first fragment by its ports like a whole packet
// and later ones by ip_frag (ovs-ofctl(8), set-frags nx-match). It is OVS'
// extension to enum ofp_config_flags.
const fragNXMatch = 3

// AppendSetConfig appends the OFPT_SET_CONFIG that DaoliNet's pipeline needs:
// fragments in nx-match mode, whole packets to the controller on a miss.
func AppendSetConfig(b []byte, xid uint32) []byte {
	m := of.NewSetConfig()
	m.Xid = xid
	m.Flags = fragNXMatch
	m.MissSendLen = maxLen
	return appendLibrary(b, m)
}

// StatsFilter says which flow entries to report.
type StatsFilter struct {
	Table      TableID // AllTables: of every table
	Cookie     uint64
	CookieMask uint64 // bits of Cookie that must agree; 0: any cookie
}

// AppendFlowStatsRequest appends the OFPT_MULTIPART_REQUEST for flow statistics.
func AppendFlowStatsRequest(b []byte, xid uint32, f StatsFilter) []byte {
	body := of.NewFlowStatsRequest()
	body.TableId = uint8(f.Table)
	body.OutPort, body.OutGroup = of.P_ANY, of.OFPG_ANY
	body.Cookie, body.CookieMask = f.Cookie&f.CookieMask, f.CookieMask
	return appendMultipart(b, xid, of.MultipartType_Flow, body)
}

// AppendPortDescRequest appends the OFPT_MULTIPART_REQUEST for the ports.
func AppendPortDescRequest(b []byte, xid uint32) []byte {
	return appendMultipart(b, xid, of.MultipartType_PortDesc, util.NewBuffer(nil))
}

func appendMultipart(b []byte, xid uint32, t uint16, body util.Message) []byte {
	m := &of.MultipartRequest{Header: of.NewOfp13Header(), Type: t, Body: body}
	m.Header.Type = of.Type_MultiPartRequest
	m.Header.Xid = xid
	return appendLibrary(b, m)
}

// groupAddOrModify is OVS' command that replaces a group or makes it
// (openflow-1.1.h, OFPGC11_ADD_OR_MOD). A deletion before an addition would also
// delete the flows that use the group.
const groupAddOrModify = 0x8000

// AppendGroupMod appends an OFPT_GROUP_MOD.
func AppendGroupMod(b []byte, xid uint32, g *GroupMod) []byte {
	m := of.NewGroupMod()
	m.Header.Xid = xid
	m.GroupId = g.ID
	if g.Delete {
		m.Command = of.OFPGC_DELETE
		return appendLibrary(b, m)
	}
	m.Command = groupAddOrModify
	m.Type = of.OFPGT_INDIRECT
	bucket := of.NewBucket()
	bucket.AddAction(rawActions(appendActions(nil, &g.Actions, nil)))
	m.AddBucket(*bucket)
	return appendLibrary(b, m)
}

// rawActions are encoded actions as a libOpenflow action, so that actions have
// one encoder.
type rawActions []byte

func (a rawActions) Header() *of.ActionHeader       { return &of.ActionHeader{} }
func (a rawActions) Len() uint16                    { return uint16(len(a)) }
func (a rawActions) MarshalBinary() ([]byte, error) { return a, nil }
func (a rawActions) UnmarshalBinary([]byte) error {
	return fmt.Errorf("encoded actions are only written")
}

// AppendMeterMod appends the OFPT_METER_MODs that add or replace a meter, or
// delete it. OVS has no "add or replace": it refuses an ADD of a meter that is
// there (OFPMMFC_METER_EXISTS) and a MODIFY of one that is not, and a DELETE also
// deletes the flows that use the meter (OpenFlow 1.3.5, 6.5). So the meter is
// added and then modified, and the error of the ADD is no error: see
// ErrorMessage.Expected.
func AppendMeterMod(b []byte, xid uint32, m *MeterMod) []byte {
	if m.Delete {
		return appendMeter(b, xid, of.OFPMC_DELETE, m)
	}
	b = appendMeter(b, xid, of.OFPMC_ADD, m)
	return appendMeter(b, xid, of.OFPMC_MODIFY, m)
}

func appendMeter(b []byte, xid uint32, command uint16, meter *MeterMod) []byte {
	m := of.NewMeterMod()
	m.Header.Xid = xid
	m.Command = command
	m.MeterId = meter.ID
	if command != of.OFPMC_DELETE {
		m.Flags = of.OFPMF13_PKTPS | of.OFPMF13_BURST
		band := &of.MeterBandDrop{MeterBandHeader: *of.NewMeterBandHeader()}
		band.Type = of.OFPMBT13_DROP
		band.Rate, band.BurstSize = meter.Rate, meter.Burst
		m.AddMeterBand(band)
	}
	return appendLibrary(b, m)
}

// decode runs one of libOpenflow's decoders, which panic where they should fail.
// Only decoders without loops over the message's content may be given to it, and
// b must have min bytes.
func decode(m util.Message, b []byte, min int) (err error) {
	if len(b) < min {
		return fmt.Errorf("%d of %d bytes", len(b), min)
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return m.UnmarshalBinary(b)
}

// Features is what a switch says of itself in the handshake.
type Features struct {
	DPID   uint64
	Tables uint8 // number of tables
}

// featuresLen is the length of an OFPT_FEATURES_REPLY.
const featuresLen = 32

// DecodeFeatures decodes an OFPT_FEATURES_REPLY.
func DecodeFeatures(b []byte) (Features, error) {
	m := of.NewFeaturesReply()
	if err := decode(m, b[:min(len(b), featuresLen)], featuresLen); err != nil {
		return Features{}, fmt.Errorf("decode features reply: %w", err)
	}
	return Features{DPID: be.Uint64(m.DPID), Tables: m.NumTables}, nil
}

// DecodeError decodes an OFPT_ERROR. Data is a copy.
func DecodeError(b []byte) (*ErrorMessage, error) {
	m := of.NewErrorMsg()
	if err := decode(m, b, HeaderLen+4); err != nil {
		return nil, fmt.Errorf("decode error message: %w", err)
	}
	e := &ErrorMessage{Xid: m.Header.Xid, Type: m.Type, Code: m.Code, Data: m.Data.Bytes()}
	if e.Type == errorTypeExperimenter && len(e.Data) >= 4 {
		e.Experimenter = be.Uint32(e.Data)
		e.Data = e.Data[4:]
	}
	return e, nil
}
