package controller

import (
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/session"
)

// asks are the engine's questions to the policy: those that wait for a decider,
// which get them in turn over the tenants and the ports of each, and how many are
// not answered yet. It is the loop's.
type asks struct {
	queue   *ofswitch.FairQueue[string, portRef, session.Decide]
	first   session.Decide // the next for a decider
	ready   bool           // there is one
	ports   map[portRef]*openAsks
	tenants map[string]*openAsks
	inbox   holder
}

// portRef is a port of a switch.
type portRef struct {
	dpid uint64
	port openflow.PortNo
}

// holder keeps the packets of ports that have enough questions open; it is an
// ofswitch.Inbox.
type holder interface {
	Hold(dpid uint64, port openflow.PortNo)
	Release(dpid uint64, port openflow.PortNo)
}

// openAsks are the questions of a port or a tenant that are not answered yet, and
// the ports that are held for them.
type openAsks struct {
	n     int
	holds map[portRef]bool
	held  int // of a port: by how many its packets are held, itself and tenants
}

func newAsks(inbox holder) *asks {
	// There are never more than the table of sessions has pending.
	limits := ofswitch.FairLimits{PerKey: session.MaxPending, PerGroup: session.MaxPending, Total: session.MaxPending}
	a := &asks{ports: make(map[portRef]*openAsks), tenants: make(map[string]*openAsks), inbox: inbox}
	a.queue = ofswitch.NewFairQueue(limits, func(_ string, _ portRef, d session.Decide) { a.answered(&d) })
	return a
}

// askedBy tells whose question it is: of the endpoint at the packet's port. What
// an uplink lifted is many senders', so it is nobody's, and never held.
func askedBy(d *session.Decide) (tenant string, port portRef, uplink bool) {
	r := &d.Request
	port = portRef{r.DPID, openflow.PortNo(r.InPort)}
	if d.Snapshot == nil {
		return "", port, false
	}
	if e := d.Snapshot.EndpointAt(r.DPID, r.InPort); e != nil {
		tenant = e.Tenant
	}
	return tenant, port, isUplink(d.Snapshot.HostByDPID(r.DPID), r.InPort)
}

func isUplink(h *inventory.Host, port uint32) bool { return h != nil && uint32(h.Uplink.Port) == port }

// add takes a question of the engine.
func (a *asks) add(d session.Decide) {
	tenant, port, uplink := askedBy(&d)
	if !uplink {
		a.count(tenant, port)
	}
	a.queue.Push(tenant, port, 1, d)
}

// count counts one more open question, and holds the port if that fills a share.
func (a *asks) count(tenant string, port portRef) {
	p, t := opened(a.ports, port), opened(a.tenants, tenant)
	p.n++
	t.n++
	if p.n >= maxAsksOfPort {
		a.hold(p, port)
	}
	if t.n >= maxAsksOfTenant {
		a.hold(t, port)
	}
}

// answered takes note that a question of add was answered.
func (a *asks) answered(d *session.Decide) {
	tenant, port, uplink := askedBy(d)
	if uplink {
		return
	}
	p, t := opened(a.ports, port), opened(a.tenants, tenant)
	p.n--
	t.n--
	if p.n <= maxAsksOfPort/2 {
		a.release(p)
	}
	if t.n <= maxAsksOfTenant/2 {
		a.release(t)
	}
	if t.n == 0 {
		delete(a.tenants, tenant)
	}
	a.forget(port)
}

// peek returns the question that a decider is to get next.
func (a *asks) peek() (session.Decide, bool) {
	if !a.ready {
		a.first, a.ready = a.queue.Pop()
	}
	return a.first, a.ready
}

// taken removes what peek returned.
func (a *asks) taken() { a.first, a.ready = session.Decide{}, false }

// hold holds a port's packets for the sake of by. That it is held already is no
// reason not to tell the inbox, which forgets holds with their switch.
func (a *asks) hold(by *openAsks, port portRef) {
	if by.holds == nil {
		by.holds = make(map[portRef]bool)
	}
	if !by.holds[port] {
		by.holds[port] = true
		opened(a.ports, port).held++
	}
	a.inbox.Hold(port.dpid, port.port)
}

// release ends what hold did for the sake of by.
func (a *asks) release(by *openAsks) {
	for port := range by.holds {
		p := a.ports[port] // which has its holds counted, so it is there
		if p.held--; p.held == 0 {
			a.inbox.Release(port.dpid, port.port)
		}
		a.forget(port)
	}
	by.holds = nil
}

// forget removes a port of which nothing is left to know.
func (a *asks) forget(port portRef) {
	if p := a.ports[port]; p != nil && p.n == 0 && p.held == 0 {
		delete(a.ports, port)
	}
}

func opened[K comparable](m map[K]*openAsks, k K) *openAsks {
	o := m[k]
	if o == nil {
		o = new(openAsks)
		m[k] = o
	}
	return o
}
