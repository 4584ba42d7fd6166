package simnet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Switch interprets flows, meters and groups as Open vSwitch 3.1 does for
// OpenFlow 1.3, fail mode secure and set-frags nx-match. Its clock is the time
// that its methods are given; a time before the last one counts as the last.
type Switch struct {
	Name string
	DPID uint64

	ports  map[openflow.PortNo]bool
	tables map[openflow.TableID][]*entry // highest priority first, then oldest
	byKey  map[openflow.Key]*entry
	meters map[uint32]*meter
	groups map[uint32]openflow.Actions
	now    time.Time
}

// entry is a flow in a table.
type entry struct {
	openflow.Flow
	created, modified, used time.Time
	packets, bytes          uint64

	finIdle uint16 // idle timeout since a FIN or RST, 0: none came
}

// idle is the entry's idle timeout as it is now.
func (e *entry) idle() uint16 {
	if e.finIdle != 0 && (e.IdleTimeout == 0 || e.finIdle < e.IdleTimeout) {
		return e.finIdle
	}
	return e.IdleTimeout
}

// NewSwitch returns an empty switch with the given ports and LOCAL.
func NewSwitch(name string, dpid uint64, ports ...openflow.PortNo) *Switch {
	s := &Switch{Name: name, DPID: dpid, ports: map[openflow.PortNo]bool{openflow.PortLocal: true}}
	for _, p := range ports {
		s.AddPort(p)
	}
	s.Restart()
	return s
}

// AddPort adds a port.
func (s *Switch) AddPort(p openflow.PortNo) { s.ports[p] = true }

// RemovePort removes a port. Flows that name it stay, as in OVS.
func (s *Switch) RemovePort(p openflow.PortNo) { delete(s.ports, p) }

// Restart empties the switch of flows, meters and groups: what a new
// ovs-vswitchd starts with. Ports stay.
func (s *Switch) Restart() {
	s.tables = map[openflow.TableID][]*entry{}
	s.byKey = map[openflow.Key]*entry{}
	s.meters = map[uint32]*meter{}
	s.groups = map[uint32]openflow.Actions{}
}

// Output is a frame that left a switch.
type Output struct {
	Port  openflow.PortNo
	Frame []byte
}

// Result is what a switch did with packets.
type Result struct {
	Outputs   []Output
	PacketIns []openflow.PacketIn
	// Passed are the flows that took the packets, in order.
	Passed []openflow.Key
	// Ambiguous tells of packets that two flows of one priority took: which one
	// OVS chooses is not defined (OpenFlow 1.3.5, 5.3). Here it is the older.
	Ambiguous []string
}

// Apply does what a batch says, in its order: meters, groups, flows, packets. A
// message that OVS would refuse changes nothing and gives an error; the others
// are done.
func (s *Switch) Apply(now time.Time, b openflow.Batch) (Result, []error) {
	s.Advance(now)
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("switch %s: %w", s.Name, err))
		}
	}
	for i := range b.Meters {
		note(s.applyMeter(&b.Meters[i]))
	}
	for i := range b.Groups {
		note(s.applyGroup(&b.Groups[i]))
	}
	for i := range b.Flows {
		note(s.applyFlow(&b.Flows[i]))
	}
	var res Result
	for i := range b.Packets {
		note(s.packetOut(&b.Packets[i], &res))
	}
	return res, errs
}

// applyMeter adds or replaces a meter, with a full bucket. Deleting one deletes
// the flows that use it (OpenFlow 1.3.5, 6.5).
func (s *Switch) applyMeter(m *openflow.MeterMod) error {
	if m.ID == 0 || m.ID > 0xffff0000 {
		return errMeter.about(m.String())
	}
	if !m.Delete {
		s.meters[m.ID] = newMeter(m.Rate, m.Burst, s.now)
		return nil
	}
	delete(s.meters, m.ID)
	s.remove(func(e *entry) bool { return e.Meter == m.ID })
	return nil
}

// applyGroup adds or replaces an indirect group. Deleting one deletes the flows
// that use it (OpenFlow 1.3.5, 6.7).
func (s *Switch) applyGroup(g *openflow.GroupMod) error {
	if g.ID > 0xffffff00 {
		return errGroup.about(g.String())
	}
	if g.Delete {
		delete(s.groups, g.ID)
		s.remove(func(e *entry) bool { return usesGroup(&e.Actions, g.ID) })
		return nil
	}
	for i := range g.Actions.Len() {
		if err := s.checkAction(&g.Actions[i], nil, nil); err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
	}
	s.groups[g.ID] = g.Actions
	return nil
}

func usesGroup(as *openflow.Actions, id uint32) bool {
	return slices.ContainsFunc(as[:as.Len()], func(a openflow.Action) bool {
		return a.Kind == openflow.ActionGroup && a.Value == uint64(id)
	})
}

func (s *Switch) applyFlow(m *openflow.FlowMod) error {
	f := &m.Flow
	switch m.Command {
	case openflow.FlowAdd:
		if err := s.checkFlow(f); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		s.add(f)
	case openflow.FlowDelete:
		s.remove(func(e *entry) bool {
			return (f.Table == openflow.AllTables || f.Table == e.Table) && agree(m, e) && covers(&f.Match, &e.Match)
		})
	case openflow.FlowDeleteStrict:
		if e := s.byKey[f.Key()]; e != nil && agree(m, e) {
			s.remove(func(o *entry) bool { return o == e })
		}
	}
	return nil
}

// agree reports whether e's cookie is one that the deletion is about.
func agree(m *openflow.FlowMod, e *entry) bool {
	return (e.Cookie^m.Flow.Cookie)&m.CookieMask == 0
}

// add inserts a flow, or overwrites the one with its key: that keeps its
// counters, and with them the time of its last packet (ofproto/ofproto.c,
// replace_rule_start).
func (s *Switch) add(f *openflow.Flow) {
	if e := s.byKey[f.Key()]; e != nil {
		e.Flow, e.created, e.modified, e.finIdle = *f, s.now, s.now, 0
		return
	}
	e := &entry{Flow: *f, created: s.now, modified: s.now, used: s.now}
	s.byKey[f.Key()] = e
	t := s.tables[f.Table]
	at, _ := slices.BinarySearchFunc(t, f.Priority, func(o *entry, p uint16) int {
		return cmp.Or(cmp.Compare(p, o.Priority), -1) // behind those of its priority
	})
	s.tables[f.Table] = slices.Insert(t, at, e)
}

// remove removes the flows that gone says and returns them in table order.
func (s *Switch) remove(gone func(*entry) bool) []*entry {
	var out []*entry
	for _, id := range s.tableIDs() {
		s.tables[id] = slices.DeleteFunc(s.tables[id], func(e *entry) bool {
			if !gone(e) {
				return false
			}
			delete(s.byKey, e.Key())
			out = append(out, e)
			return true
		})
	}
	return out
}

func (s *Switch) tableIDs() []openflow.TableID {
	ids := make([]openflow.TableID, 0, len(s.tables))
	for id := range s.tables {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Advance moves the switch's clock to now and returns the flows that ended by
// their timeouts.
func (s *Switch) Advance(now time.Time) []openflow.FlowRemoved {
	if now.After(s.now) {
		s.now = now
	}
	var out []openflow.FlowRemoved
	for _, e := range s.remove(func(e *entry) bool { _, ok := s.expired(e); return ok }) {
		reason, _ := s.expired(e)
		out = append(out, openflow.FlowRemoved{
			Table: e.Table, Priority: e.Priority, Cookie: e.Cookie, Reason: reason, Packets: e.packets, Bytes: e.bytes,
		})
	}
	return out
}

// expired reports whether a timeout of e has passed, as OVS does: a flow of 5 s
// still stands after 5 s.
func (s *Switch) expired(e *entry) (reason uint8, ok bool) {
	if e.HardTimeout != 0 && s.now.Sub(e.modified) > time.Duration(e.HardTimeout)*time.Second {
		return openflow.RemovedHard, true
	}
	if n := e.idle(); n != 0 && s.now.Sub(e.used) > time.Duration(n)*time.Second {
		return openflow.RemovedIdle, true
	}
	return 0, false
}

// Dump returns what flow statistics tell of each flow, in the order of Flows.
func (s *Switch) Dump() []openflow.FlowStats {
	var out []openflow.FlowStats
	for _, e := range s.sorted() {
		out = append(out, s.stats(e))
	}
	return out
}

// Flows returns the flows in a canonical order: by table, highest priority
// first, then by text.
func (s *Switch) Flows() []openflow.Flow {
	var out []openflow.Flow
	for _, e := range s.sorted() {
		out = append(out, e.Flow)
	}
	return out
}

func (s *Switch) sorted() []*entry {
	var out []*entry
	for _, id := range s.tableIDs() {
		t := slices.Clone(s.tables[id])
		slices.SortStableFunc(t, func(a, b *entry) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), strings.Compare(a.String(), b.String()))
		})
		out = append(out, t...)
	}
	return out
}

// Text returns all that the switch was told, one meter, group or flow a line in
// a canonical order: equal texts are equal switches, counters aside.
func (s *Switch) Text() string {
	var lines []string
	for _, id := range sortedKeys(s.meters) {
		m := s.meters[id]
		lines = append(lines, openflow.MeterMod{ID: id, Rate: uint32(m.rate), Burst: uint32(m.burst)}.String())
	}
	for _, id := range sortedKeys(s.groups) {
		lines = append(lines, openflow.GroupMod{ID: id, Actions: s.groups[id]}.String())
	}
	for _, f := range s.Flows() {
		lines = append(lines, f.String())
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

func sortedKeys[V any](m map[uint32]V) []uint32 {
	ids := make([]uint32, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
