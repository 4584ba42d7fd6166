package endpoint

import "fmt"

// adopt takes in an endpoint that stands already. What is known of another
// counts more.
func (m *Machine) adopt(ev Adopt) {
	e := ev.Endpoint
	refuse := func(format string, args ...any) {
		m.do(Answer{Token: ev.Token, Err: &Error{Conflict, fmt.Sprintf(format, args...)}})
	}
	switch {
	case m.named(e.Ref):
		refuse("endpoint %s exists on this host", e.Ref)
		return
	case e.Port < m.limits.FirstPort || e.Port > m.limits.LastPort || !e.IP.IsValid() || e.MAC.IsZero():
		refuse("%s with address %s, MAC %s and port %d is no endpoint's", e.Ref, e.IP, e.MAC, e.Port)
		return
	case len(m.endpoints) >= m.limits.Endpoints:
		refuse("the host has no room for another endpoint: it has %d", len(m.endpoints))
		return
	}
	for _, o := range m.endpoints {
		if o.Port == e.Port || o.VPCID() == e.VPCID() && o.IP == e.IP {
			refuse("endpoint %s has port %d and address %s: %s cannot have port %d and address %s", o.Ref, o.Port, o.IP, e.Ref, e.Port, e.IP)
			return
		}
	}
	e.State = Up
	now := &entry{Endpoint: e, leased: true}
	m.endpoints[e.Ref] = now
	m.nextPort = max(m.nextPort, e.Port+1)
	m.do(Save{e})
	if m.connected {
		m.report(now)
	}
	m.do(Answer{Token: ev.Token, Endpoint: e})
}
