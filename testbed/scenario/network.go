package scenario

import (
	"net/netip"
	"time"

	"github.com/daolinet/daolinet/reconciler/packet"
)

// Network is what a scenario runs on. Its methods return when what they asked
// for is done: a host's switch has its base flows, an endpoint's are confirmed,
// a revision is active or refused. Errors are of the testbed, and end the run;
// what the network under test refuses is a result.
type Network interface {
	AddHost(Host) error
	AddOutside(Outside) error
	// Attach returns what the host was told against it, nil when it is attached.
	Attach(Endpoint) (refused []string, err error)
	Detach(name string) error
	Move(Move) (refused []string, err error)
	Restart(host string) error
	// Listen opens a port. That of a host is in its base flows, and known to the
	// controller, when it returns.
	Listen(Listen) error
	SetMTU(MTU) error
	// Revise offers the files as the new revision. Refused lists what is wrong
	// with it, one FILE:LINE: ... a line.
	Revise(files []File) (refused []string, err error)

	// Machine tells the addresses of an endpoint, a host or an outside machine.
	Machine(name string) (Machine, error)
	// Send lets a machine send a frame as it is, past its own stack. A host's
	// goes through its LOCAL port.
	Send(from string, frame []byte) error
	// Connect opens a TCP connection by a machine's own stack.
	Connect(c Connect, to netip.Addr) (Outcome, error)
	// Wait lets time pass.
	Wait(time.Duration) error

	// Observe waits until the network is quiet and returns what happened since
	// the last call.
	Observe() (Observation, error)
}

// Machine is what frames from and to a machine carry.
type Machine struct {
	IP      netip.Addr
	MAC     packet.MAC
	Gateway packet.MAC // where it sends what it sends
}

// Observation is what happened.
type Observation struct {
	// Notes are lines that only this Network can tell.
	Notes []string
	// Arrivals are the frames that reached machines, in order. ARP between hosts
	// and their routers is none.
	Arrivals []Arrival
	// Flows are each host's flows of the session table but the table miss, in
	// canonical order, as Namer writes them; nil if the Network can't tell.
	Flows map[string][]string
}

// Arrival is a frame that reached a machine.
type Arrival struct {
	At    string
	Local bool // At is a host: its own stack got it
	Frame []byte
}
