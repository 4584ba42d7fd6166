package openflow

// Action types (OpenFlow 1.3.5, enum ofp_action_type) and the subtypes of
// Nicira's actions (ovs-actions(7)).
const (
	actionTypeOutput       = 0
	actionTypeGroup        = 22
	actionTypeSetTTL       = 23
	actionTypeDecTTL       = 24
	actionTypeSetField     = 25
	actionTypeExperimenter = 0xffff

	nxastMove       = 6
	nxastLoad       = 7
	nxastLearn      = 16
	nxastFinTimeout = 19
	nxastLearn2     = 45 // with a limit
)

// niciraExperimenter is the id of Nicira's extensions.
const niciraExperimenter uint32 = 0x00002320

// appendActions appends the actions; each one's length is a multiple of 8. The
// body of an ActionLearn is learn.
func appendActions(b []byte, as *Actions, learn *Learn) []byte {
	for i := range as {
		if as[i].Kind == ActionNone {
			break
		}
		b = appendAction(b, &as[i], learn)
	}
	return b
}

func appendAction(b []byte, a *Action, learn *Learn) []byte {
	switch a.Kind {
	case ActionOutput:
		var max uint64
		if a.Port() == PortController {
			max = maxLen
		}
		b = appendShort(b, actionTypeOutput, 16, uint32(a.Port()))
		return be.AppendUint64(b, max<<48)
	case ActionGroup:
		return appendShort(b, actionTypeGroup, 8, uint32(a.Value))
	case ActionSetField:
		return appendSetField(b, a)
	case ActionDecTTL:
		return appendShort(b, actionTypeDecTTL, 8, 0)
	case ActionSetTTL:
		return appendShort(b, actionTypeSetTTL, 8, uint32(a.Value)<<24)
	case ActionMove:
		b = appendNicira(b, 24, nxastMove)
		b = be.AppendUint16(b, uint16(a.Bits))
		b = be.AppendUint16(b, uint16(a.Ofs2))
		b = be.AppendUint16(b, uint16(a.Ofs))
		b = be.AppendUint32(b, a.Field2.info().nxm)
		return be.AppendUint32(b, a.Field.info().nxm)
	case ActionLoad:
		b = appendNicira(b, 24, nxastLoad)
		b = be.AppendUint16(b, uint16(a.Ofs)<<6|(uint16(a.Bits)-1)&0x3f)
		b = be.AppendUint32(b, a.Field.info().nxm)
		return be.AppendUint64(b, a.Value)
	case ActionFinTimeout:
		b = appendNicira(b, 16, nxastFinTimeout)
		b = be.AppendUint16(b, uint16(a.Value))
		return append(b, 0, 0, 0, 0) // hard timeout, padding
	case ActionLearn:
		if learn != nil {
			return appendLearn(b, learn)
		}
	}
	return b
}

// appendShort appends the first 8 bytes of an action of n bytes.
func appendShort(b []byte, kind, n uint16, rest uint32) []byte {
	return be.AppendUint64(b, uint64(kind)<<48|uint64(n)<<32|uint64(rest))
}

// appendNicira starts a Nicira action of n bytes.
func appendNicira(b []byte, n, subtype uint16) []byte {
	b = be.AppendUint16(b, actionTypeExperimenter)
	b = be.AppendUint16(b, n)
	b = be.AppendUint32(b, niciraExperimenter)
	return be.AppendUint16(b, subtype)
}

// appendSetField appends an OFPAT_SET_FIELD: 4 bytes, the OXM header, and the
// value with padding, which are 8 bytes for every field there is.
func appendSetField(b []byte, a *Action) []byte {
	info := a.Field.info()
	b = appendShort(b, actionTypeSetField, 16, info.oxm)
	return be.AppendUint64(b, a.Value<<(64-info.bits))
}

// A learn spec is 16 bits, a source (a field and an offset, or a value), and a
// destination (a field and an offset, or none): ovs-actions(7), learn;
// nicira-ext.h, NX_LEARN_*.
const (
	learnFromValue = 1 << 13 // source is a value, else a field of the packet
	learnToOutput  = 2 << 11 // destination is an output, else a match field
)

const nxmEthType uint32 = 0x00000602
const nxmIPProto uint32 = 0x00000c01

// appendLearn appends the NXAST_LEARN of n, or the NXAST_LEARN2 that can have a
// limit.
func appendLearn(b []byte, n *Learn) []byte {
	start := len(b)
	subtype := uint16(nxastLearn)
	if n.Limit != 0 {
		subtype = nxastLearn2
	}
	b = appendNicira(b, 0, subtype)
	b = be.AppendUint16(b, n.IdleTimeout)
	b = be.AppendUint16(b, 0) // hard timeout
	b = be.AppendUint16(b, n.Priority)
	b = be.AppendUint64(b, n.Cookie)
	b = be.AppendUint16(b, 0) // flags
	b = append(b, byte(n.Table), 0)
	b = append(b, 0, 0, 0, 0) // FIN timeouts
	if n.Limit != 0 {
		b = be.AppendUint32(b, n.Limit)
		b = append(b, 0, 0, 0, 0) // where to write the result: nowhere
	}
	b = appendLearnSpecs(b, n)
	b = pad8(b, start)
	be.PutUint16(b[start+2:], uint16(len(b)-start))
	return b
}

func appendLearnSpecs(b []byte, n *Learn) []byte {
	b = appendLearnValue(b, nxmEthType, 16, EthTypeIPv4)
	b = appendLearnValue(b, nxmIPProto, 8, uint16(n.Proto))
	b = appendLearnValue(b, FieldInPort.info().nxm, 16, uint16(n.InPort))
	src, dst := n.ports()
	b = appendLearnField(b, FieldIPSrc, FieldIPDst, 0, 32)
	b = appendLearnField(b, FieldIPDst, FieldIPSrc, 0, 32)
	b = appendLearnField(b, src, dst, 0, 16)
	b = appendLearnField(b, dst, src, 16-n.DstBits, n.DstBits)
	b = be.AppendUint16(b, learnToOutput|16)
	b = be.AppendUint32(b, FieldInPort.info().nxm)
	return append(b, 0, 0)
}

// appendLearnValue appends "the learned flow matches value in this field".
func appendLearnValue(b []byte, field uint32, bits, value uint16) []byte {
	b = be.AppendUint16(b, learnFromValue|bits)
	b = be.AppendUint16(b, value)
	b = be.AppendUint32(b, field)
	return append(b, 0, 0)
}

// appendLearnField appends "the learned flow matches in n bits of dst what the
// packet has in the same bits of src".
func appendLearnField(b []byte, dst, src Field, ofs, n uint8) []byte {
	b = be.AppendUint16(b, uint16(n))
	b = be.AppendUint32(b, src.info().nxm)
	b = be.AppendUint16(b, uint16(ofs))
	b = be.AppendUint32(b, dst.info().nxm)
	return be.AppendUint16(b, uint16(ofs))
}
