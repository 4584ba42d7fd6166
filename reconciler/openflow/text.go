package openflow

import (
	"encoding/hex"
	"strconv"
)

// String returns the flow as `ovs-ofctl -O OpenFlow13 add-flow` takes it, with
// the fields always in the same order.
func (f Flow) String() string { return string(f.AppendText(nil)) }

// AppendText appends String to b.
func (f *Flow) AppendText(b []byte) []byte {
	l := textList{b: b}
	l.number("table=", uint64(f.Table))
	l.number("priority=", uint64(f.Priority))
	if f.Cookie != 0 {
		l.hex("cookie=", f.Cookie)
	}
	if f.IdleTimeout != 0 {
		l.number("idle_timeout=", uint64(f.IdleTimeout))
	}
	if f.HardTimeout != 0 {
		l.number("hard_timeout=", uint64(f.HardTimeout))
	}
	l.match(&f.Match)
	return f.appendInstructions(append(l.b, " actions="...))
}

// appendInstructions appends the instructions in OpenFlow's order of execution.
func (f *Flow) appendInstructions(b []byte) []byte {
	l := textList{b: b}
	if f.Meter != 0 {
		l.number("meter:", uint64(f.Meter))
	}
	l.actions(&f.Actions, &f.Learn)
	if w := f.WriteMetadata; w.Mask != 0 {
		field(&l, "write_metadata:", w)
	}
	if f.Goto != 0 {
		l.number("goto_table:", uint64(f.Goto))
	}
	if l.n == 0 {
		l.text("drop")
	}
	return l.b
}

// String returns the change as a line of a file for `ovs-ofctl add-flows` or
// `parse-flows`: an ADD is the flow's own text, deletes start with their command.
func (m FlowMod) String() string { return string(m.AppendText(nil)) }

// AppendText appends String to b.
func (m *FlowMod) AppendText(b []byte) []byte {
	f := &m.Flow
	switch m.Command {
	case FlowAdd:
		return f.AppendText(b)
	case FlowDeleteStrict:
		b = append(b, "delete_strict "...)
	default:
		b = append(b, "delete "...)
	}
	start := len(b)
	l := textList{b: b}
	if f.Table != AllTables {
		l.number("table=", uint64(f.Table))
	}
	if m.Command == FlowDeleteStrict {
		l.number("priority=", uint64(f.Priority))
	}
	if m.CookieMask != 0 {
		l.hex("cookie=", f.Cookie&m.CookieMask)
		l.b = append(l.b, '/')
		l.b = appendHex(l.b, m.CookieMask)
	}
	l.match(&f.Match)
	if l.n == 0 {
		return l.b[:start-1] // the command alone
	}
	return l.b
}

// String returns the group as `ovs-ofctl --may-create mod-group` takes it; a
// deletion starts with the word delete, as in a file for `ovs-ofctl bundle`.
func (m GroupMod) String() string {
	var l textList
	if m.Delete {
		l.b = append(l.b, "delete "...)
	}
	l.number("group_id=", uint64(m.ID))
	if m.Delete {
		return string(l.b)
	}
	l.text("type=indirect")
	l.text("bucket=")
	a := textList{b: l.b}
	a.actions(&m.Actions, nil)
	if a.n == 0 {
		a.text("drop")
	}
	return string(a.b)
}

// String returns the meter as `ovs-ofctl add-meter` and `mod-meter` take it; a
// deletion starts with the word delete.
func (m MeterMod) String() string {
	var l textList
	if m.Delete {
		l.b = append(l.b, "delete "...)
	}
	l.number("meter=", uint64(m.ID))
	if !m.Delete {
		l.text("pktps")
		l.text("burst")
		l.text("band=type=drop")
		l.number("rate=", uint64(m.Rate))
		l.number("burst_size=", uint64(m.Burst))
	}
	return string(l.b)
}

// inPort is what the packet stands for: it must be a port, and PortController
// says that it came from none.
func (p *PacketOut) inPort() PortNo {
	if p.InPort == 0 {
		return PortController
	}
	return p.InPort
}

// String returns the packet as `ovs-ofctl packet-out` takes it, the frame in
// hexadecimal.
func (p PacketOut) String() string {
	var l textList
	l.text("in_port=")
	l.b = appendPort(l.b, p.inPort())
	l.text("packet=")
	l.b = hex.AppendEncode(l.b, p.Frame)
	l.text("actions=")
	a := textList{b: l.b}
	a.actions(&p.Actions, nil)
	if a.n == 0 {
		a.text("drop")
	}
	return string(a.b)
}

// String returns the address in the usual notation.
func (m MAC) String() string { return string(appendMAC(nil, m)) }

// String returns the number, or the name of a reserved port.
func (p PortNo) String() string { return string(appendPort(nil, p)) }

// String returns the match alone, as in a flow; "" takes every packet.
func (m Match) String() string {
	var l textList
	l.match(&m)
	return string(l.b)
}

// String returns the action as flows have it. The body of a learn action is its
// flow's Learn, which is not known here.
func (a Action) String() string { return string(a.appendText(nil, nil)) }

// textList appends comma separated items to b; n counts them.
type textList struct {
	b []byte
	n int
}

func (l *textList) text(s string) {
	if l.n > 0 {
		l.b = append(l.b, ',')
	}
	l.n++
	l.b = append(l.b, s...)
}

func (l *textList) number(name string, v uint64) {
	l.text(name)
	l.b = strconv.AppendUint(l.b, v, 10)
}

func (l *textList) hex(name string, v uint64) {
	l.text(name)
	l.b = appendHex(l.b, v)
}

// bits appends value/mask to the current item.
func (l *textList) bits(v, mask uint64) {
	l.b = appendSmall(l.b, v)
	l.b = append(l.b, '/')
	l.b = appendSmall(l.b, mask)
}

func appendHex(b []byte, v uint64) []byte {
	return strconv.AppendUint(append(b, "0x"...), v, 16)
}

// appendSmall writes one digit as itself and everything else in hexadecimal, as
// masks read best: 0/0x8000, 1/1.
func appendSmall(b []byte, v uint64) []byte {
	if v < 10 {
		return append(b, '0'+byte(v))
	}
	return appendHex(b, v)
}

func appendPort(b []byte, p PortNo) []byte {
	switch p {
	case PortInPort:
		return append(b, "IN_PORT"...)
	case PortTable:
		return append(b, "TABLE"...)
	case PortController:
		return append(b, "CONTROLLER"...)
	case PortLocal:
		return append(b, "LOCAL"...)
	case PortAny:
		return append(b, "ANY"...)
	}
	return strconv.AppendUint(b, uint64(p), 10)
}

func appendMAC(b []byte, m MAC) []byte {
	const digits = "0123456789abcdef"
	for i, v := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[v>>4], digits[v&15])
	}
	return b
}

func appendIPv4(b []byte, v uint32) []byte { return AddrFrom32(v).AppendTo(b) }
