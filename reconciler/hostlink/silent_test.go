package hostlink

import "github.com/daolinet/daolinet/reconciler/inventory"

// silent is a handler that does nothing.
type silent struct{}

func (silent) HostHello(*Conn, inventory.HostReport) {}
func (silent) HostDelta(*Conn, inventory.HostDelta)  {}
func (silent) LeaseRequest(*Conn, LeaseRequest)      {}
func (silent) LeaseRelease(*Conn, LeaseRelease)      {}
func (silent) HostGone(*Conn, error)                 {}
