package endpoint

import (
	"fmt"
	"time"
)

// How an endpoint ends, whatever the reason: it is reported down, unplumbed,
// its address given back, and whoever waits told.

func (m *Machine) fail(e *entry, kind Kind, format string, args ...any) {
	e.err = &Error{kind, fmt.Sprintf(format, args...)}
	m.takeDown(e)
}

// takeDown begins e's end.
func (m *Machine) takeDown(e *entry) {
	if e.lease != 0 && m.connected {
		m.orphans[e.lease] = e.nextRef()
	}
	m.unidentified(e, &Error{Failed, fmt.Sprintf("endpoint %s ended meanwhile", e.Ref)})
	e.State, e.deadline, e.lease = Leaving, time.Time{}, 0
	if e.reported && m.connected {
		m.do(SendDelta{Seq: m.NextSeq(), Down: []Ref{e.Ref}})
	}
	e.reported = false
	if e.leased {
		m.do(Save{e.Endpoint})
	}
	if !e.busy {
		m.unplumb(e)
	}
}

// unplumb starts Unplumb, or ends e where nothing was plumbed yet.
func (m *Machine) unplumb(e *entry) {
	e.retry = time.Time{}
	if !e.leased {
		m.gone(e)
		return
	}
	e.busy = true
	m.do(Unplumb{e.Endpoint})
}

func (m *Machine) unplumbed(ev Unplumbed) {
	e := m.endpoints[ev.Ref]
	if e == nil || e.State != Leaving || !e.busy {
		return
	}
	e.busy = false
	if ev.Err == nil {
		m.gone(e)
		return
	}
	e.Problem = ev.Err.Error()
	e.retry = m.now.Add(retryUnplumb)
	m.answer(e, &Error{Failed, fmt.Sprintf("endpoint %s is not gone yet: %v", e.Ref, ev.Err)})
}

// gone ends e.
func (m *Machine) gone(e *entry) {
	delete(m.endpoints, e.Ref)
	if e.leased {
		m.do(Forget{e.Ref})
		m.release(SendRelease{Ref: e.Ref, IP: e.IP})
	}
	m.answer(e, nil)
}

func (m *Machine) release(r SendRelease) {
	switch {
	case m.connected:
		m.do(r)
	case len(m.releases) < 2*m.limits.Endpoints:
		m.releases = append(m.releases, r)
	}
}

// answer tells those who wait for e's end. err is how it went.
func (m *Machine) answer(e *entry, err *Error) {
	for _, token := range e.attachers {
		a := Answer{Token: token, Endpoint: e.Endpoint}
		switch {
		case e.err != nil:
			a.Err = e.err
		case err != nil:
			a.Err = err
		}
		m.do(a)
	}
	for _, token := range e.detachers {
		a := Answer{Token: token, Endpoint: e.Endpoint}
		if err != nil {
			a.Err = err
		}
		m.do(a)
	}
	e.attachers, e.detachers = nil, nil
}
