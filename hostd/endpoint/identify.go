package endpoint

import "fmt"

// identify asks the controller whether an endpoint may have another name.
func (m *Machine) identify(ev Identify) {
	e := m.endpoints[ev.Ref]
	refuse := func(kind Kind, format string, args ...any) {
		m.do(Answer{Token: ev.Token, Err: &Error{kind, fmt.Sprintf(format, args...)}})
	}
	if e == nil {
		refuse(NotFound, "there is no endpoint %s on this host", ev.Ref)
		return
	}
	to := ev.Ref
	to.Name = ev.To.Name
	if to == ev.Ref && !e.Hidden && e.State == Up && e.next == nil { // it is called so already
		e.Docker = ev.To.Docker
		m.do(Save{e.Endpoint}, Answer{Token: ev.Token, Endpoint: e.Endpoint})
		return
	}
	switch {
	case e.State != Up || e.next != nil:
		refuse(Conflict, "endpoint %s cannot be renamed now", ev.Ref)
	case m.named(to):
		refuse(Conflict, "endpoint %s exists on this host", to)
	case !m.connected:
		refuse(Timeout, "endpoint %s keeps its name: %s", ev.Ref, noController)
	default:
		e.next = &ev
		m.lease++
		e.lease = m.lease
		m.askLease(e)
	}
}

// named reports whether an endpoint has that name, or will have.
func (m *Machine) named(ref Ref) bool {
	for _, e := range m.endpoints {
		if e.Ref == ref || e.nextRef() == ref {
			return true
		}
	}
	return false
}

// nextRef is what e will be called.
func (e *entry) nextRef() Ref {
	ref := e.Ref
	if e.next != nil {
		ref.Name = e.next.To.Name
	}
	return ref
}

// identified gives e the name that it asked for, and reports it, unless the
// controller refused.
func (m *Machine) identified(e *entry, ev Leased) {
	if ev.Err != "" {
		m.unidentified(e, &Error{Refused, fmt.Sprintf("endpoint %s is not renamed: %s", e.Ref, ev.Err)})
		return
	}
	old, next := e.Ref, e.next
	e.Ref, e.next, e.Hidden = e.nextRef(), nil, false
	e.Groups, e.Labels, e.Docker = next.To.Groups, next.To.Labels, next.To.Docker
	delete(m.endpoints, old)
	m.endpoints[e.Ref] = e
	m.do(Save{e.Endpoint}, Forget{old})
	d := SendDelta{Seq: m.NextSeq(), Up: []Endpoint{e.Endpoint}}
	if e.reported {
		d.Down = []Ref{old}
	}
	e.reported = true
	m.do(d, Answer{Token: next.Token, Endpoint: e.Endpoint})
}

// unidentified tells who asked for another name why there is none.
func (m *Machine) unidentified(e *entry, err *Error) {
	if e.next == nil {
		return
	}
	m.do(Answer{Token: e.next.Token, Endpoint: e.Endpoint, Err: err})
	e.next = nil
}
