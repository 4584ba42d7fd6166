package endpoint

import (
	"fmt"
	"maps"
	"slices"
)

// What is said of an address that did not come.
const (
	noController = "no controller is connected"
	noAddress    = "the controller gave no address in time"
)

// hold asks for an address that an endpoint will take over.
func (m *Machine) hold(ev Hold) {
	if len(m.holds) >= m.limits.Endpoints {
		m.do(Answer{Token: ev.Token, Err: &Error{Conflict, fmt.Sprintf("the host waits for %d addresses already", len(m.holds))}})
		return
	}
	m.lease++
	m.holds[m.lease] = ev
	if m.connected {
		m.askHold(m.lease)
	}
}

func (m *Machine) askHold(id uint64) {
	h := m.holds[id]
	m.do(AskLease{ID: id, Ref: h.Ref, Subnet: h.Subnet, IP: h.IP})
}

// askHolds asks a new controller for all that is still to be answered.
func (m *Machine) askHolds() {
	for _, id := range slices.Sorted(maps.Keys(m.holds)) {
		m.askHold(id)
	}
}

// held answers whoever asked for the address; false if it is no hold's.
func (m *Machine) held(ev Leased) bool {
	h, found := m.holds[ev.ID]
	if !found {
		return false
	}
	delete(m.holds, ev.ID)
	if ev.Err != "" {
		m.do(Answer{Token: h.Token, Err: &Error{Refused, "no address: " + ev.Err}})
		return true
	}
	m.do(Answer{Token: h.Token, Endpoint: Endpoint{Request: Request{Ref: h.Ref, Subnet: h.Subnet, IP: ev.IP, MAC: ev.MAC}}})
	return true
}

// overdueHolds ends those that took too long. An address that comes after all is
// given back.
func (m *Machine) overdueHolds() {
	for _, id := range slices.Sorted(maps.Keys(m.holds)) {
		h := m.holds[id]
		if h.Deadline.After(m.now) {
			continue
		}
		delete(m.holds, id)
		text := noController
		if m.connected {
			m.orphans[id], text = h.Ref, noAddress
		}
		m.do(Answer{Token: h.Token, Err: &Error{Timeout, "no address: " + text}})
	}
}
