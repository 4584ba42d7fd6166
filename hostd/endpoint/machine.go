package endpoint

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	// retryUnplumb is how long after a failed Unplumb it is tried again.
	retryUnplumb = 2 * time.Second
	// maxReport bounds what all endpoints take of one report, in bytes, so that
	// it always fits into a message beside the listeners.
	maxReport = 3 << 20
)

// Limits bound a host's endpoints.
type Limits struct {
	Endpoints           int
	FirstPort, LastPort uint32 // ofports that endpoints may have
}

// Machine holds a host's endpoints. It is not safe for concurrent use.
type Machine struct {
	limits    Limits
	endpoints map[Ref]*entry
	nextPort  uint32
	connected bool
	seq       uint64          // last one given away on this stream
	lease     uint64          // last one given away
	holds     map[uint64]Hold // by the AskLease that waits for its answer
	releases  []SendRelease
	orphans   map[uint64]Ref // AskLeases whose endpoint is gone before the answer
	effects   []Effect       // of the running Step
	now       time.Time
}

// entry is an endpoint and what is going on with it.
type entry struct {
	Endpoint
	err       *Error // why it is leaving, if it failed
	attachers []uint64
	detachers []uint64
	deadline  time.Time // of the attach
	lease     uint64    // AskLease that waits for its answer
	next      *Identify // what that lease is for; nil: to attach
	leased    bool      // has an address of the controller's
	reported  bool      // in the controller's list, as far as this stream goes
	seq       uint64    // of the report that waits for its Ack
	busy      bool      // Plumb or Unplumb is running
	retry     time.Time // of Unplumb; zero: none
}

// New returns a machine with the endpoints that were saved, and the NextPort.
// Those that were not up are taken down by the first Step.
func New(limits Limits, saved []Endpoint, nextPort uint32) *Machine {
	m := &Machine{
		limits: limits, endpoints: map[Ref]*entry{}, holds: map[uint64]Hold{}, orphans: map[uint64]Ref{}, nextPort: nextPort,
	}
	for _, e := range saved {
		m.endpoints[e.Ref] = &entry{Endpoint: e, leased: e.IP.IsValid()}
	}
	return m
}

// NextPort returns the number to try first for the next endpoint's port.
func (m *Machine) NextPort() uint32 { return m.nextPort }

// NextSeq returns the number of the next delta on this stream. Every delta takes
// its number here, also those that are about the host and no endpoint.
func (m *Machine) NextSeq() uint64 {
	m.seq++
	return m.seq
}

// Endpoints returns the endpoints, sorted by name.
func (m *Machine) Endpoints() []Endpoint {
	out := make([]Endpoint, 0, len(m.endpoints))
	for _, e := range m.endpoints {
		out = append(out, e.Endpoint)
	}
	slices.SortFunc(out, func(a, b Endpoint) int { return cmp.Compare(a.Ref.String(), b.Ref.String()) })
	return out
}

// Deadline returns when the next Tick is due; zero: none is.
func (m *Machine) Deadline() time.Time {
	var next time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, e := range m.endpoints {
		earlier(e.retry)
		earlier(e.deadline)
	}
	for _, h := range m.holds {
		earlier(h.Deadline)
	}
	return next
}

// Step applies an event and returns what is to be done.
func (m *Machine) Step(now time.Time, ev Event) []Effect {
	m.now, m.effects = now, nil
	switch ev := ev.(type) {
	case Attach:
		m.attach(ev)
	case Detach:
		m.detach(ev)
	case Hold:
		m.hold(ev)
	case Unhold:
		m.release(SendRelease(ev))
	case Identify:
		m.identify(ev)
	case Adopt:
		m.adopt(ev)
	case Leased:
		m.leased(ev)
	case Plumbed:
		m.plumbed(ev)
	case Unplumbed:
		m.unplumbed(ev)
	case Acked:
		m.acked(ev)
	case StreamUp:
		m.streamUp()
	case StreamDown:
		m.connected = false
	case DeviceGone:
		m.deviceGone(ev)
	case Tick:
	}
	m.overdue()
	return m.effects
}

func (m *Machine) do(e ...Effect) { m.effects = append(m.effects, e...) }

func (m *Machine) attach(ev Attach) {
	refuse := func(format string, args ...any) {
		m.do(Answer{Token: ev.Token, Err: &Error{Conflict, fmt.Sprintf(format, args...)}})
	}
	if old := m.endpoints[ev.Request.Ref]; old != nil {
		refuse("endpoint %s exists on this host (%s)", old.Ref, old.State)
		return
	}
	if m.named(ev.Request.Ref) {
		refuse("endpoint %s exists on this host soon: another is being renamed", ev.Request.Ref)
		return
	}
	size := ev.Request.size()
	for _, e := range m.endpoints {
		size += e.size()
	}
	port, ok := m.takePort()
	if len(m.endpoints) >= m.limits.Endpoints || size > maxReport || !ok {
		refuse("the host has no room for another endpoint: it has %d", len(m.endpoints))
		return
	}
	e := &entry{
		Endpoint:  Endpoint{Request: ev.Request, Port: port, State: Leasing},
		attachers: []uint64{ev.Token}, deadline: ev.Deadline,
	}
	m.endpoints[e.Ref] = e
	if e.Hidden {
		m.plumbIt(e)
		return
	}
	m.lease++
	e.lease = m.lease
	if m.connected {
		m.askLease(e)
	}
}

// takePort returns a port number that no endpoint has. Numbers are not used
// again before all others were, so that a late flow finds nobody.
func (m *Machine) takePort() (uint32, bool) {
	used := make(map[uint32]bool, len(m.endpoints))
	for _, e := range m.endpoints {
		used[e.Port] = true
	}
	p := m.nextPort
	for range m.limits.LastPort - m.limits.FirstPort + 1 {
		if p < m.limits.FirstPort || p > m.limits.LastPort {
			p = m.limits.FirstPort
		}
		if !used[p] {
			m.nextPort = p + 1
			return p, true
		}
		p++
	}
	return 0, false
}

func (m *Machine) askLease(e *entry) {
	if e.next != nil {
		m.do(AskLease{ID: e.lease, Ref: e.nextRef(), Subnet: e.Subnet, IP: e.IP, Held: e.Name})
		return
	}
	m.do(AskLease{ID: e.lease, Ref: e.Ref, Subnet: e.Subnet, IP: e.IP, Held: e.Held})
}

func (m *Machine) leased(ev Leased) {
	for _, e := range m.endpoints {
		if e.lease != ev.ID {
			continue
		}
		e.lease = 0
		if e.next != nil {
			m.identified(e, ev)
			return
		}
		if ev.Err != "" {
			m.fail(e, Refused, "no address for %s: %s", e.Ref, ev.Err)
			return
		}
		e.IP, e.Held = ev.IP, ""
		if e.MAC.IsZero() {
			e.MAC = ev.MAC
		}
		m.plumbIt(e)
		return
	}
	if !m.held(ev) {
		m.orphaned(ev)
	}
}

// plumbIt has the devices made of an endpoint that has its address.
func (m *Machine) plumbIt(e *entry) {
	e.leased, e.State, e.busy = true, Plumbing, true
	m.do(Save{e.Endpoint}, Plumb{e.Endpoint})
}

// orphaned gives an address back that came too late, unless the endpoint was
// asked for again: then the controller gives it the same address.
func (m *Machine) orphaned(ev Leased) {
	ref, ok := m.orphans[ev.ID]
	delete(m.orphans, ev.ID)
	if ok && ev.Err == "" && m.endpoints[ref] == nil {
		m.release(SendRelease{Ref: ref, IP: ev.IP})
	}
}

func (m *Machine) plumbed(ev Plumbed) {
	e := m.endpoints[ev.Ref]
	if e == nil || !e.busy {
		return
	}
	e.busy = false
	switch {
	case e.State == Leaving: // its end was decided meanwhile
		m.unplumb(e)
	case ev.Err != nil:
		m.fail(e, Failed, "%v", ev.Err)
	case e.Hidden:
		m.isUp(e)
	default:
		e.State = Reporting
		if m.connected {
			m.report(e)
		}
	}
}

// report tells the controller of e.
func (m *Machine) report(e *entry) {
	e.reported, e.seq = true, m.NextSeq()
	m.do(SendDelta{Seq: e.seq, Up: []Endpoint{e.Endpoint}})
}

func (m *Machine) acked(ev Acked) {
	for _, e := range m.sorted() {
		problem, named := ev.Problems[e.Ref]
		waits := e.State == Reporting && e.reported && e.seq <= ev.Seq
		switch {
		case waits && named:
			m.fail(e, Refused, "controller refused %s: %s", e.Ref, problem)
		case waits:
			m.isUp(e)
		case e.State == Up && (named || ev.Seq == 0):
			e.Problem = problem
		}
	}
}

func (m *Machine) isUp(e *entry) {
	e.State, e.deadline = Up, time.Time{}
	m.do(Save{e.Endpoint})
	for _, token := range e.attachers {
		m.do(Answer{Token: token, Endpoint: e.Endpoint})
	}
	e.attachers = nil
}

func (m *Machine) detach(ev Detach) {
	e := m.endpoints[ev.Ref]
	if e == nil {
		m.do(Answer{Token: ev.Token, Err: &Error{NotFound, fmt.Sprintf("there is no endpoint %s on this host", ev.Ref)}})
		return
	}
	e.detachers = append(e.detachers, ev.Token)
	if e.State == Leaving {
		return
	}
	if e.State != Up {
		e.err = &Error{Failed, fmt.Sprintf("endpoint %s was detached meanwhile", e.Ref)}
	}
	m.takeDown(e)
}

func (m *Machine) deviceGone(ev DeviceGone) {
	for _, e := range m.endpoints {
		if e.Device() == ev.Device && (e.State == Reporting || e.State == Up) {
			e.err = &Error{Failed, fmt.Sprintf("the interface of %s vanished", e.Ref)}
			m.takeDown(e)
		}
	}
}

// streamUp tells a controller everything, asks it what is still to be asked,
// and gives back what was kept meanwhile.
func (m *Machine) streamUp() {
	m.connected, m.seq = true, 0
	var known []Endpoint
	for _, e := range m.sorted() {
		e.reported, e.seq = !e.Hidden && (e.State == Reporting || e.State == Up), 0
		if e.reported {
			known = append(known, e.Endpoint)
		}
	}
	m.do(SendHello{known})
	for _, r := range m.releases { // before an endpoint of that name asks again
		m.do(r)
	}
	m.releases = nil
	clear(m.orphans)
	for _, e := range m.sorted() {
		if e.lease != 0 {
			m.askLease(e)
		}
	}
	m.askHolds()
}

// overdue does what time asks for: attaches that took too long, second tries,
// and what a restart interrupted.
func (m *Machine) overdue() {
	for _, e := range m.sorted() {
		switch {
		case e.State == Leaving && !e.busy && !e.retry.After(m.now):
			m.unplumb(e)
		case e.State == Leaving, e.State == Up:
		case e.deadline.IsZero():
			e.err = &Error{Failed, fmt.Sprintf("the attach of %s was interrupted", e.Ref)}
			m.takeDown(e)
		case !e.deadline.After(m.now):
			m.fail(e, Timeout, "endpoint %s: %s", e.Ref, m.waitsFor(e))
		}
	}
	m.overdueHolds()
}

func (m *Machine) waitsFor(e *entry) string {
	switch {
	case e.State == Plumbing:
		return "the host did not plumb it in time"
	case !m.connected:
		return noController
	case e.State == Leasing:
		return noAddress
	}
	return "the controller did not confirm its flows in time"
}

// sorted returns the entries in a fixed order, so that Step's effects depend on
// nothing but its arguments.
func (m *Machine) sorted() []*entry {
	out := make([]*entry, 0, len(m.endpoints))
	for _, e := range m.endpoints {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *entry) int { return cmp.Compare(a.Port, b.Port) })
	return out
}
