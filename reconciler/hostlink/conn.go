package hostlink

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/hostpb"
)

// errFull ends the stream of a host that doesn't read its answers.
var errFull = status.Error(codes.ResourceExhausted, "the host does not read its answers")

// Conn is one host's stream. Its methods may be called from any goroutine, and
// don't block.
type Conn struct {
	id      uint64
	host    string                     // set before the handler sees the Conn
	out     chan *hostpb.ControllerMsg // answers that wait to be sent
	gone    chan struct{}              // closed when the handler is done with it
	greeted atomic.Bool

	closed chan struct{}
	once   sync.Once
	err    error // why closed; read after closed
}

func newConn(id uint64) *Conn {
	return &Conn{
		id:     id,
		out:    make(chan *hostpb.ControllerMsg, maxQueued),
		gone:   make(chan struct{}),
		closed: make(chan struct{}),
	}
}

// Host returns the host's name.
func (c *Conn) Host() string { return c.host }

// ID returns the stream's number, unique in the server.
func (c *Conn) ID() uint64 { return c.id }

// Closed reports whether the stream is ending: what it brought before may still
// be under way to the handler.
func (c *Conn) Closed() bool { return c.isClosed() }

// Ack tells the host that its Delta seq (0: its Hello) is in force, but for the
// endpoints of errs.
func (c *Conn) Ack(seq uint64, errs []EndpointError) { c.push(ackMsg(seq, errs)) }

// Lease answers the LeaseRequest id.
func (c *Conn) Lease(id uint64, l Lease) { c.push(leaseMsg(id, l)) }

// Networks tells the host all subnets whose endpoints it may have.
func (c *Conn) Networks(ns []Network) { c.push(networksMsg(ns)) }

// Close ends the stream.
func (c *Conn) Close() {
	c.closeFor(status.Error(codes.Aborted, "closed by the controller"))
}

// push queues m, or closes the stream when the queue is full.
func (c *Conn) push(m *hostpb.ControllerMsg) {
	select {
	case c.out <- m:
	default:
		c.closeFor(errFull)
	}
}

// send writes the queue to the stream until the Conn is closed.
func (c *Conn) send(stream grpc.BidiStreamingServer[hostpb.HostMsg, hostpb.ControllerMsg]) {
	for {
		select {
		case <-c.closed:
			return
		case m := <-c.out:
			if err := stream.Send(m); err != nil {
				c.closeFor(err)
				return
			}
		}
	}
}

func (c *Conn) closeFor(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.closed)
	})
}

func (c *Conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// reason returns why the Conn was closed: nil if the host ended its stream.
func (c *Conn) reason() error {
	<-c.closed
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}
