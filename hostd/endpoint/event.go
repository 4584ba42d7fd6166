package endpoint

import (
	"net/netip"
	"time"
)

// Event is something that happened: one of the types below.
type Event interface{ event() }

type (
	// Attach asks for an endpoint. Token names the asker in the Answer.
	Attach struct {
		Request  Request
		Token    uint64
		Deadline time.Time
	}
	// Detach asks for an endpoint's end.
	Detach struct {
		Ref   Ref
		Token uint64
	}
	// Hold asks for an address before it is known for whom, under a name made up for
	// it. The Answer's Endpoint has nothing but Ref, Subnet, IP and MAC.
	Hold struct {
		Ref      Ref
		Subnet   string
		IP       netip.Addr // invalid: any
		Token    uint64
		Deadline time.Time
	}
	// Unhold gives the address of a Hold back. If an endpoint took it over, that
	// changes nothing.
	Unhold struct {
		Ref Ref
		IP  netip.Addr
	}
	// Identify gives an endpoint that is up another name: a hidden one its container's,
	// or that of a container that was renamed. Of To, Name, Groups, Labels and Docker
	// count. Where the controller refuses it, nothing changes.
	Identify struct {
		Ref   Ref
		To    Request
		Token uint64
	}
	// Adopt takes in an endpoint that stands already, with its port, its address and
	// its devices, and of which nothing was kept.
	Adopt struct {
		Endpoint Endpoint
		Token    uint64
	}
	// Leased answers AskLease: an address, or Err says why not.
	Leased struct {
		ID  uint64
		IP  netip.Addr
		MAC MAC
		Err string
	}
	// Plumbed tells how Plumb went.
	Plumbed struct {
		Ref Ref
		Err error
	}
	// Unplumbed tells how Unplumb went.
	Unplumbed struct {
		Ref Ref
		Err error
	}
	// Acked tells that SendDelta Seq, or SendHello with Seq 0, and all that was sent
	// before it on this stream is in force but for the endpoints of Problems.
	Acked struct {
		Seq      uint64
		Problems map[Ref]string
	}
	// StreamUp tells that a controller listens. It knows nothing yet.
	StreamUp struct{}
	// StreamDown tells that it no longer does.
	StreamDown struct{}
	// DeviceGone tells that a device of the host's no longer exists.
	DeviceGone struct{ Device string }
	// Tick lets time pass.
	Tick struct{}
)

func (Attach) event()     {}
func (Detach) event()     {}
func (Hold) event()       {}
func (Unhold) event()     {}
func (Identify) event()   {}
func (Adopt) event()      {}
func (Leased) event()     {}
func (Plumbed) event()    {}
func (Unplumbed) event()  {}
func (Acked) event()      {}
func (StreamUp) event()   {}
func (StreamDown) event() {}
func (DeviceGone) event() {}
func (Tick) event()       {}

// Effect is something to do: one of the types below. Effects are done in order;
// Plumb and Unplumb may take their time, and never overlap for one endpoint.
type Effect interface{ effect() }

type (
	// AskLease asks the controller for an address.
	AskLease struct {
		ID     uint64
		Ref    Ref
		Subnet string
		IP     netip.Addr // invalid: any
		Held   string     // the name under which the host has IP now; empty: it hasn't
	}
	// SendRelease gives an address back to the controller.
	SendRelease struct {
		Ref Ref
		IP  netip.Addr
	}
	// SendHello reports everything to the controller.
	SendHello struct{ Endpoints []Endpoint }
	// SendDelta reports a change to the controller.
	SendDelta struct {
		Seq  uint64
		Up   []Endpoint
		Down []Ref
	}
	// Plumb makes the endpoint's devices and port; Plumbed tells how it went.
	Plumb struct{ Endpoint Endpoint }
	// Unplumb deletes what is there of them and the flows that name the port;
	// Unplumbed tells how it went.
	Unplumb struct{ Endpoint Endpoint }
	// Save keeps the endpoint and the machine's NextPort over a restart.
	Save struct{ Endpoint Endpoint }
	// Forget ends that.
	Forget struct{ Ref Ref }
	// Answer tells an asker the end. Err is nil or an *Error.
	Answer struct {
		Token    uint64
		Endpoint Endpoint
		Err      error
	}
)

func (AskLease) effect()    {}
func (SendRelease) effect() {}
func (SendHello) effect()   {}
func (SendDelta) effect()   {}
func (Plumb) effect()       {}
func (Unplumb) effect()     {}
func (Save) effect()        {}
func (Forget) effect()      {}
func (Answer) effect()      {}

// Kind says what kind of failure an Error is.
type Kind uint8

// Kinds.
const (
	_        Kind = iota
	Conflict      // there is such an endpoint already, or no room
	NotFound      // there is no such endpoint
	Refused       // the controller said no
	Timeout       // nobody answered in time
	Failed        // the host could not do it
)

// Error is why a request failed.
type Error struct {
	Kind Kind
	Text string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }
