package session

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// client is what an address has open; there is none of who has nothing.
type client struct {
	sessions map[service]*Session
	lanes    int
}

// service is a server, protocol and port in one number, which is cheap to look up.
// All snapshots of a table number addresses alike.
type service uint64

func serviceOf(server *inventory.Endpoint, proto packet.Proto, port uint16) service {
	return service(server.AddrID)<<32 | service(proto)<<16 | service(port)
}

func (s *Session) service() service { return serviceOf(s.Server, s.Proto, s.Port) }

// between returns the live session of two endpoints, or nil.
func (t *Table) between(from, to *inventory.Endpoint, proto packet.Proto, port uint16) *Session {
	if int(from.AddrID) >= len(t.clients) || t.clients[from.AddrID] == nil {
		return nil
	}
	return t.clients[from.AddrID].sessions[serviceOf(to, proto, port)]
}

// lanesOf is how many lanes an endpoint has open as client.
func (t *Table) lanesOf(ep *inventory.Endpoint) int {
	if int(ep.AddrID) >= len(t.clients) || t.clients[ep.AddrID] == nil {
		return 0
	}
	return t.clients[ep.AddrID].lanes
}

// clientOf returns what an endpoint has open, to be written to.
func (t *Table) clientOf(ep *inventory.Endpoint) *client {
	for int(ep.AddrID) >= len(t.clients) {
		t.clients = append(t.clients, nil)
	}
	c := t.clients[ep.AddrID]
	if c == nil {
		c = &client{sessions: make(map[service]*Session)}
		t.clients[ep.AddrID] = c
	}
	return c
}

// dropIdle forgets a client that has nothing open.
func (t *Table) dropIdle(id inventory.AddrID) {
	if c := t.clients[id]; c.lanes == 0 && len(c.sessions) == 0 {
		t.clients[id] = nil
	}
}

// tenant is what all clients of a tenant have open, and opened lately.
type tenant struct {
	sessions int
	second   time.Time // of the last new session
	opened   int       // in that second
}

func (t *Table) tenantOf(ep *inventory.Endpoint) *tenant {
	for int(ep.TenantID) >= len(t.tenants) {
		t.tenants = append(t.tenants, tenant{})
	}
	return &t.tenants[ep.TenantID]
}

// overQuota reports whether a client's tenant may open no session now, and counts
// the one that it may.
func (t *Table) overQuota(now time.Time, ep *inventory.Endpoint) bool {
	q, use := &t.snap.TenantOf(ep).Quota, t.tenantOf(ep)
	if q.Sessions > 0 && use.sessions >= q.Sessions {
		return true
	}
	if q.NewSessionsPerSecond == 0 {
		return false
	}
	if second := now.Truncate(time.Second); !use.second.Equal(second) {
		use.second, use.opened = second, 0
	}
	use.opened++
	return use.opened > q.NewSessionsPerSecond
}
