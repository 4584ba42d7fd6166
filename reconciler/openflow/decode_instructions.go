package openflow

import "bytes"

// nextItem takes the first instruction or action off b: a type, a length of the
// whole, and its content, at least 8 bytes and a multiple of 8 of them.
func nextItem(b *[]byte) (item []byte, ok bool) {
	if len(*b) < 8 {
		return nil, false
	}
	n := int(be.Uint16((*b)[2:]))
	if n < 8 || n%8 != 0 || n > len(*b) {
		return nil, false
	}
	item, *b = (*b)[:n], (*b)[n:]
	return item, true
}

// decodeInstructions takes the instructions that b consists of into f, which has
// none yet. whole says that f now stands for all of them; what it can't hold is
// left out. ok says that each one, and each action, fits into b by its length.
func (f *Flow) decodeInstructions(b []byte) (whole, ok bool) {
	whole = true
	for len(b) > 0 {
		item, ok := nextItem(&b)
		if !ok {
			return false, false
		}
		if be.Uint16(item) == instructionApply {
			all, ok := f.decodeActions(item[8:])
			if !ok {
				return false, false
			}
			whole = whole && all
		} else if !f.setInstruction(item) {
			whole = false
		}
	}
	return whole, true
}

// setInstruction takes an instruction other than actions into f. It reports
// whether f now stands for it: false for what Flow doesn't have, or has already.
func (f *Flow) setInstruction(item []byte) bool {
	switch t := be.Uint16(item); {
	case t == instructionMeter && len(item) == 8 && f.Meter == 0:
		f.Meter = be.Uint32(item[4:])
		return f.Meter != 0
	case t == instructionGoto && len(item) == 8 && f.Goto == 0:
		f.Goto = TableID(item[4])
		return f.Goto != 0
	case t == instructionMetadata && len(item) == 24 && f.WriteMetadata.Mask == 0:
		f.WriteMetadata = Masked(be.Uint64(item[8:]), be.Uint64(item[16:]))
		return f.WriteMetadata.Mask != 0
	}
	return false
}

// decodeActions takes the actions that b consists of into f, which must have none
// yet; see decodeInstructions.
func (f *Flow) decodeActions(b []byte) (whole, ok bool) {
	n := 0
	whole = f.Actions[0].Kind == ActionNone
	room := whole
	for len(b) > 0 {
		item, ok := nextItem(&b)
		if !ok {
			return false, false
		}
		if !room || n == MaxActions || !f.setAction(&f.Actions[n], item) {
			whole = false
			continue
		}
		n++
	}
	return whole, true
}

// setAction decodes an action to a, and the body of a learn to f. It reports
// false, with both untouched, for what they can't hold.
func (f *Flow) setAction(a *Action, item []byte) bool {
	switch t := be.Uint16(item); {
	case t == actionTypeOutput && len(item) == 16:
		return a.setOutput(item)
	case t == actionTypeGroup && len(item) == 8:
		*a = Group(be.Uint32(item[4:]))
	case t == actionTypeSetField && len(item) == 16:
		return a.setSetField(item)
	case t == actionTypeDecTTL && len(item) == 8:
		*a = DecTTL()
	case t == actionTypeSetTTL && len(item) == 8:
		*a = SetTTL(item[4])
	case t == actionTypeExperimenter && len(item) >= 16 && be.Uint32(item[4:]) == niciraExperimenter:
		return f.setNicira(a, item)
	default:
		return false
	}
	return true
}

// setOutput decodes an output. How much of a packet goes to a port other than
// the controller's means nothing (OpenFlow 1.3.5, 7.2.5).
func (a *Action) setOutput(item []byte) bool {
	port := PortNo(be.Uint32(item[4:]))
	if port == PortController && be.Uint16(item[8:]) != maxLen {
		return false
	}
	*a = Output(port)
	return true
}

func (a *Action) setSetField(item []byte) bool {
	field := oxmFieldOf(be.Uint32(item[4:]))
	if field == FieldNone {
		return false
	}
	*a = Action{Kind: ActionSetField, Field: field, Value: be.Uint64(item[8:]) >> (64 - field.Bits())}
	return true
}

// setNicira decodes one of Nicira's actions.
func (f *Flow) setNicira(a *Action, item []byte) bool {
	switch subtype := be.Uint16(item[8:]); {
	case subtype == nxastMove && len(item) == 24:
		return a.setMove(item)
	case subtype == nxastLoad && len(item) == 24:
		return a.setLoad(item)
	case subtype == nxastFinTimeout && len(item) == 16 && be.Uint16(item[12:]) == 0 && be.Uint16(item[10:]) != 0:
		*a = FinTimeout(be.Uint16(item[10:]))
		return true
	case subtype == nxastLearn || subtype == nxastLearn2:
		return f.setLearn(a, item)
	}
	return false
}

func (a *Action) setMove(item []byte) bool {
	n, ofs2, ofs := be.Uint16(item[10:]), be.Uint16(item[12:]), be.Uint16(item[14:])
	src, dst := nxmFieldOf(be.Uint32(item[16:])), nxmFieldOf(be.Uint32(item[20:]))
	if !src.hasBits(ofs2, n) || !dst.hasBits(ofs, n) {
		return false
	}
	*a = Action{Kind: ActionMove, Field: dst, Field2: src, Ofs: uint8(ofs), Ofs2: uint8(ofs2), Bits: uint8(n)}
	return true
}

func (a *Action) setLoad(item []byte) bool {
	v := be.Uint16(item[10:])
	ofs, n := v>>6, v&0x3f+1
	field, value := nxmFieldOf(be.Uint32(item[12:])), be.Uint64(item[16:])
	if !field.hasBits(ofs, n) || value>>n != 0 {
		return false
	}
	*a = Load(value, field, uint8(ofs), uint8(n))
	return true
}

// A learn action as appendLearn encodes it is a head, specs, which have one
// length, and padding; the offsets below count from where the specs start.
const (
	learnHeadLen  = 32 // NXAST_LEARN
	learn2HeadLen = 40 // NXAST_LEARN2
	learnSpecsLen = 3*10 + 4*14 + 8
	maxLearnLen   = learn2HeadLen + learnSpecsLen + 2

	learnProto   = 10 + 2 // the value of the second spec
	learnInPort  = 20 + 2 // the value of the third
	learnDstBits = 30 + 3*14
)

// setLearn decodes the one kind of learn action that Learn can hold: the numbers
// are taken from where appendLearn writes them, and if it would then write the
// action just like this, they are all of it.
func (f *Flow) setLearn(a *Action, item []byte) bool {
	head := learnHeadLen
	if be.Uint16(item[8:]) == nxastLearn2 {
		head = learn2HeadLen
	}
	if f.Learn.Proto != 0 || len(item) < head+learnSpecsLen {
		return false
	}
	specs := item[head:]
	n := Learn{
		IdleTimeout: be.Uint16(item[10:]),
		Priority:    be.Uint16(item[14:]),
		Cookie:      be.Uint64(item[16:]),
		Table:       TableID(item[26]),
		InPort:      portFrom16(be.Uint16(specs[learnInPort:])),
		Proto:       uint8(be.Uint16(specs[learnProto:])),
		DstBits:     uint8(be.Uint16(specs[learnDstBits:])),
	}
	if head == learn2HeadLen {
		n.Limit = be.Uint32(item[learnHeadLen:])
	}
	if n.Proto != ProtoTCP && n.Proto != ProtoUDP || n.DstBits < 1 || n.DstBits > 16 {
		return false
	}
	var buf [maxLearnLen]byte
	if !bytes.Equal(appendLearn(buf[:0], &n), item) {
		return false
	}
	f.Learn, *a = n, Action{Kind: ActionLearn}
	return true
}

// portFrom16 returns a port by its number in OpenFlow 1.0, where the reserved
// ones lie at the end of 16 bits; NXM_OF_IN_PORT has those.
func portFrom16(n uint16) PortNo {
	if n >= 0xff00 {
		return PortNo(n) | 0xffff0000
	}
	return PortNo(n)
}

// hasBits reports whether n bits from bit ofs on, at least one, are in the field.
func (f Field) hasBits(ofs, n uint16) bool {
	bits := uint16(f.Bits())
	return n != 0 && n <= bits && ofs <= bits-n
}

// oxmFieldOf returns the field whose header in set_field is h, or FieldNone.
func oxmFieldOf(h uint32) Field {
	for f := len(fieldTable) - 1; f > 0; f-- {
		if fieldTable[f].oxm == h {
			return Field(f)
		}
	}
	return FieldNone
}

// nxmFieldOf returns the field whose header in move and load is h, or FieldNone.
func nxmFieldOf(h uint32) Field {
	for f := len(fieldTable) - 1; f > 0; f-- {
		if fieldTable[f].nxm == h {
			return Field(f)
		}
	}
	return FieldNone
}
