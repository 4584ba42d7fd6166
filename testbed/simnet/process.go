package simnet

import (
	"bytes"
	"fmt"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// Receive runs a frame that comes in at a port through the tables.
func (s *Switch) Receive(now time.Time, in openflow.PortNo, b []byte) Result {
	s.Advance(now)
	var res Result
	if s.ports[in] {
		w := walk{s: s, f: parse(bytes.Clone(b), in), res: &res}
		w.tables()
	}
	return res
}

// packetOut runs the actions of a PacketOut on its frame.
func (s *Switch) packetOut(p *openflow.PacketOut, res *Result) error {
	in := p.InPort
	if in == 0 {
		in = openflow.PortController
	}
	for i := range p.Actions.Len() {
		if a := &p.Actions[i]; a.Kind != openflow.ActionOutput || a.Port() != openflow.PortTable {
			if err := s.checkAction(a, nil, nil); err != nil {
				return fmt.Errorf("packet-out: %w", err)
			}
		}
	}
	w := walk{s: s, f: parse(bytes.Clone(p.Frame), in), res: res, packetOut: true}
	w.actions(&p.Actions, nil)
	return nil
}

// walk is one packet's way through the tables.
type walk struct {
	s   *Switch
	f   frame
	res *Result

	packetOut bool   // run by a PacketOut's actions
	at        *entry // the flow that it is in, nil: none
	depth     int    // of groups in groups
}

// maxDepth bounds groups that hand a packet to each other (MAX_DEPTH in
// ofproto/ofproto-dpif-xlate.c).
const maxDepth = 64

// tables runs the packet through the tables from 0 on. A packet that no flow
// takes is dropped (OpenFlow 1.3.5, 5.4).
func (w *walk) tables() {
	for id := openflow.TableID(0); ; {
		e := w.lookup(id)
		if e == nil {
			return
		}
		w.at = e
		e.packets++
		e.bytes += uint64(len(w.f.b))
		e.used = w.s.now
		if e.Meter != 0 {
			if m := w.s.meters[e.Meter]; m != nil && !m.take(w.s.now) {
				return
			}
		}
		if !w.actions(&e.Actions, &e.Learn) {
			return
		}
		w.f.metadata = w.f.metadata&^e.WriteMetadata.Mask | e.WriteMetadata.Value
		if e.Goto == 0 {
			return
		}
		id = e.Goto
	}
}

// lookup returns the flow of a table that takes the packet.
func (w *walk) lookup(id openflow.TableID) *entry {
	var found *entry
	for _, e := range w.s.tables[id] {
		if found != nil && e.Priority < found.Priority {
			break
		}
		if !matches(&e.Match, &w.f) {
			continue
		}
		if found != nil {
			w.res.Ambiguous = append(w.res.Ambiguous, fmt.Sprintf("switch %s: %s and %s take one packet", w.s.Name, &found.Flow, &e.Flow))
			break
		}
		found = e
	}
	if found != nil {
		w.res.Passed = append(w.res.Passed, found.Key())
	}
	return found
}

// actions applies a list. It reports whether the packet goes on: a packet whose
// TTL ends stops at once.
func (w *walk) actions(as *openflow.Actions, learn *openflow.Learn) bool {
	f := &w.f
	for i := range as.Len() {
		switch a := &as[i]; a.Kind {
		case openflow.ActionOutput:
			w.output(a.Port())
		case openflow.ActionGroup:
			w.group(uint32(a.Value))
		case openflow.ActionSetField:
			f.set(a.Field, a.Value)
		case openflow.ActionSetTTL:
			f.set(openflow.FieldIPTTL, a.Value)
		case openflow.ActionDecTTL:
			if f.ip == 0 {
				continue
			}
			ttl := f.get(openflow.FieldIPTTL)
			if ttl <= 1 {
				return false // OVS would lift it, as INVALID_TTL, if it was told to
			}
			f.set(openflow.FieldIPTTL, ttl-1)
		case openflow.ActionMove:
			f.load(f.get(a.Field2)>>a.Ofs2, a.Field, a.Ofs, a.Bits)
		case openflow.ActionLoad:
			f.load(a.Value, a.Field, a.Ofs, a.Bits)
		case openflow.ActionLearn:
			w.learn(learn)
		case openflow.ActionFinTimeout:
			w.finTimeout(uint16(a.Value))
		}
	}
	return true
}

// finTimeout lowers the idle timeout of the flow that the packet is in, if it ends
// a connection (ovs-actions(7), fin_timeout).
func (w *walk) finTimeout(idle uint16) {
	h, err := packet.Decode(w.f.b)
	if w.at == nil || err != nil || h.Flags&(packet.FIN|packet.RST) == 0 {
		return
	}
	w.at.finIdle = idle
}

// load writes the lowest n bits of v to bits ofs.. of a field.
func (f *frame) load(v uint64, field openflow.Field, ofs, n uint8) {
	mask := (uint64(1)<<n - 1) << ofs
	f.set(field, f.get(field)&^mask|v<<ofs&mask)
}

// group runs an indirect group's bucket on a copy of the packet.
func (w *walk) group(id uint32) {
	as, ok := w.s.groups[id]
	if !ok || w.depth == maxDepth {
		return
	}
	in := *w
	in.f.b = bytes.Clone(w.f.b)
	in.depth++
	in.actions(&as, nil)
}

// output sends a copy of the packet as it is now. A port never gives back what
// came in there, unless it is named IN_PORT.
func (w *walk) output(p openflow.PortNo) {
	switch p {
	case openflow.PortController:
		w.lift()
		return
	case openflow.PortTable:
		if w.packetOut {
			in := *w
			in.f = parse(bytes.Clone(w.f.b), w.f.inPort)
			in.packetOut = false
			in.tables()
		}
		return
	case openflow.PortInPort:
		p = w.f.inPort
	case w.f.inPort:
		return
	}
	if w.s.ports[p] {
		w.res.Outputs = append(w.res.Outputs, Output{p, bytes.Clone(w.f.b)})
	}
}

// lift makes a PacketIn of the packet. The reason is NO_MATCH only from a
// table-miss flow, that of priority 0 for all packets.
func (w *walk) lift() {
	in := openflow.PacketIn{
		InPort: w.f.inPort, Cookie: ^uint64(0), Reason: openflow.ReasonAction, Metadata: w.f.metadata, Frame: bytes.Clone(w.f.b),
	}
	if e := w.at; e != nil {
		in.Table, in.Cookie = e.Table, e.Cookie
		if e.Priority == 0 && e.Match == (openflow.Match{}) {
			in.Reason = openflow.ReasonNoMatch
		}
	}
	w.res.PacketIns = append(w.res.PacketIns, in)
}

// learn adds the flow for the way back that openflow.Learn describes. One that
// is there already gets the cookie and starts its idle time again, but keeps
// its old timeouts.
func (w *walk) learn(l *openflow.Learn) {
	if l == nil || !w.f.isL4(l.Proto) {
		return
	}
	fields := learnFields(l.Proto)
	fl := openflow.Flow{
		Table: l.Table, Priority: l.Priority, Cookie: l.Cookie, IdleTimeout: l.IdleTimeout,
		Match: openflow.Match{
			InPort: l.InPort, EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(l.Proto),
			IPSrc: openflow.Exact(uint32(w.f.get(openflow.FieldIPDst))),
			IPDst: openflow.Exact(uint32(w.f.get(openflow.FieldIPSrc))),
			L4Src: openflow.Exact(uint16(w.f.get(fields[1]))),
			L4Dst: openflow.Masked(uint16(w.f.get(fields[0])), ^uint16(0)<<(16-l.DstBits)),
		},
		Actions: openflow.ActionList(openflow.Output(w.f.inPort)),
	}
	if e := w.s.byKey[fl.Key()]; e != nil {
		e.Cookie, e.Actions, e.used, e.modified = fl.Cookie, fl.Actions, w.s.now, w.s.now
		return
	}
	if l.Limit != 0 && w.s.count(l.Table, l.Cookie) >= int(l.Limit) {
		return
	}
	w.s.add(&fl)
}

// count returns how many flows of a table have the cookie.
func (s *Switch) count(t openflow.TableID, cookie uint64) int {
	n := 0
	for _, e := range s.tables[t] {
		if e.Cookie == cookie {
			n++
		}
	}
	return n
}
