// Package hostlink is the controller's end of the hosts' streams: it validates
// and bounds what hosts send, hands it on as inventory types, and carries the
// answers back.
package hostlink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// Bounds of one server.
const (
	maxStreams    = 4096             // hosts at once
	maxQueued     = 1024             // answers waiting for one host
	helloTimeout  = 10 * time.Second // from connect to Hello
	pingEvery     = 5 * time.Second  // on a silent connection
	pingTimeout   = 5 * time.Second
	minClientPing = 2 * time.Second // more often is refused
)

// Handler gets what the hosts say. For one Conn the calls come in order from its
// stream's goroutine: HostHello once and first, HostGone once and last. It must
// not block for long: the stream waits. When a host connects again, HostGone of
// its old Conn returned before HostHello of the new one is called.
type Handler interface {
	HostHello(c *Conn, r inventory.HostReport)
	HostDelta(c *Conn, d inventory.HostDelta)
	LeaseRequest(c *Conn, q LeaseRequest)
	LeaseRelease(c *Conn, q LeaseRelease)
	HostGone(c *Conn, err error)
}

// LeaseRequest asks for an address of a subnet for the endpoint Name.
type LeaseRequest struct {
	ID                        uint64 // names it in the answer
	Tenant, VPC, Subnet, Name string
	IP                        netip.Addr // invalid: any
	Hold                      bool       // Name is made up: an endpoint takes the address over soon
	Held                      string     // name, made up or not, under which the host has IP now: that ends
}

// LeaseRelease gives the address of the endpoint Name back.
type LeaseRelease struct {
	VPC  spec.VPCID
	IP   netip.Addr
	Name string
}

// Lease answers a LeaseRequest: an address, or Err says why not.
type Lease struct {
	IP  netip.Addr
	MAC packet.MAC
	Err string
}

// Network is a subnet whose endpoints a host may have.
type Network struct {
	Tenant, VPC, Subnet string // VPC: bare name within Tenant
	CIDR                netip.Prefix
}

// EndpointError says why an endpoint is not in force.
type EndpointError struct {
	Ref  inventory.EndpointRef
	Text string
}

// Welcome is what every host is told first.
type Welcome struct {
	Controllers         []string // OpenFlow targets, such as ssl:172.31.250.1:6653
	WireValue, WireMask uint16   // wire ports p have p & WireMask == WireValue
}

// Config is a Server's. All of it is required but Admit and Enrolment.
type Config struct {
	Handler Handler
	// Credentials are those of the connections that Serve accepts.
	Credentials credentials.TransportCredentials
	// Admit, unless nil, is asked before anything of a stream is read.
	Admit func(ctx context.Context) error
	// Authorize is asked at a Hello, with the context of its stream, whether that is
	// this host's, and may add to the report what the controller knows of it. When
	// it refuses, its error is what the host is told. While the stream lasts, end may
	// be called from any goroutine to close it for that reason; leave is called when
	// it has ended.
	Authorize func(ctx context.Context, r *inventory.HostReport, end func(error)) (leave func(), err error)
	Enrolment hostpb.EnrolmentServer // served on the same port; nil: none
	Logger    *slog.Logger
	Welcome   Welcome
	// Resolve answers what hosts ask about names. It is called from the streams'
	// goroutines, several at once, and must not block. Nil: no name is ours.
	Resolve func(host string, q NameQuery) NameAnswer
}

// Server is the controller's end of all hosts' streams.
type Server struct {
	hostpb.UnimplementedHostLinkServer
	cfg     Config
	lastID  atomic.Uint64
	streams atomic.Int64
	hosts   hostTable
	wg      sync.WaitGroup // stream goroutines
}

// NewServer returns a server for cfg.
func NewServer(cfg Config) *Server {
	return &Server{cfg: cfg, hosts: hostTable{conns: map[string]*Conn{}}}
}

// Serve accepts hosts on ln until ctx ends, then closes all streams and returns
// when every HostGone has. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	g := grpc.NewServer(
		grpc.Creds(s.cfg.Credentials),
		grpc.MaxRecvMsgSize(hostpb.MaxMessage),
		grpc.MaxSendMsgSize(hostpb.MaxMessage),
		grpc.MaxConcurrentStreams(1),
		grpc.ConnectionTimeout(helloTimeout),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: helloTimeout, Time: pingEvery, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientPing, PermitWithoutStream: true}),
	)
	hostpb.RegisterHostLinkServer(g, s)
	if s.cfg.Enrolment != nil {
		hostpb.RegisterEnrolmentServer(g, s.cfg.Enrolment)
	}
	stop := context.AfterFunc(ctx, g.Stop)
	defer stop()
	err := g.Serve(ln)
	g.Stop()
	s.wg.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve hosts on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Connect serves one host's stream; gRPC calls it. Returning from it is what
// ends the stream, so the receiving is done beside it.
func (s *Server) Connect(stream grpc.BidiStreamingServer[hostpb.HostMsg, hostpb.ControllerMsg]) error {
	defer s.streams.Add(-1)
	if s.streams.Add(1) > maxStreams {
		return status.Error(codes.ResourceExhausted, "too many hosts")
	}
	if s.cfg.Admit != nil {
		if err := s.cfg.Admit(stream.Context()); err != nil {
			return err // who refused it has logged why
		}
	}
	c := newConn(s.lastID.Add(1))
	received := make(chan error, 1)
	s.wg.Go(func() { received <- s.receive(c, stream) })
	s.wg.Go(func() { c.send(stream) })
	hello := time.NewTimer(helloTimeout)
	defer hello.Stop()
	for {
		select {
		case err := <-received:
			c.closeFor(err)
			return c.reason()
		case <-c.closed:
			return c.reason()
		case <-hello.C:
			if !c.greeted.Load() {
				c.closeFor(status.Error(codes.DeadlineExceeded, "no hello"))
			}
		}
	}
}

// receive reads the stream to its end and calls the handler. The error is what
// the host is told.
func (s *Server) receive(c *Conn, stream grpc.BidiStreamingServer[hostpb.HostMsg, hostpb.ControllerMsg]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	report, err := decodeHello(first.GetHello())
	if err != nil {
		s.cfg.Logger.Warn("host refused", slog.Any("err", err))
		return status.Error(codes.InvalidArgument, err.Error())
	}
	leave, err := s.cfg.Authorize(stream.Context(), &report, func(err error) {
		c.closeFor(status.Error(codes.PermissionDenied, err.Error()))
	})
	if err != nil {
		return err // who refused it has logged why
	}
	defer leave()
	c.host = report.Name
	if !s.hosts.enter(c) {
		return c.reason()
	}
	defer s.hosts.leave(c)
	c.push(welcomeMsg(s.cfg.Welcome))
	c.greeted.Store(true)
	s.cfg.Logger.Info("host connected", slog.String("host", c.host), slog.Uint64("stream", c.id))
	s.cfg.Handler.HostHello(c, report)
	err = s.receiveRest(c, stream)
	c.closeFor(err)
	s.cfg.Logger.Info("host disconnected", slog.String("host", c.host), slog.Uint64("stream", c.id), slog.Any("err", c.reason()))
	s.cfg.Handler.HostGone(c, c.reason())
	return err
}

func (s *Server) receiveRest(c *Conn, stream grpc.BidiStreamingServer[hostpb.HostMsg, hostpb.ControllerMsg]) error {
	var seq uint64
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if c.isClosed() {
			return c.reason()
		}
		if err := s.dispatch(c, m, &seq); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
	}
}

// dispatch hands one message to the handler. lastSeq is the last Delta's.
func (s *Server) dispatch(c *Conn, m *hostpb.HostMsg, lastSeq *uint64) error {
	switch m := m.GetMsg().(type) {
	case *hostpb.HostMsg_Delta:
		d, err := decodeDelta(m.Delta)
		if err != nil {
			return err
		}
		if d.Seq <= *lastSeq {
			return fmt.Errorf("delta %d after %d", d.Seq, *lastSeq)
		}
		*lastSeq = d.Seq
		s.cfg.Handler.HostDelta(c, d)
	case *hostpb.HostMsg_LeaseRequest:
		q, err := decodeLeaseRequest(m.LeaseRequest)
		if err != nil {
			return err
		}
		s.cfg.Handler.LeaseRequest(c, q)
	case *hostpb.HostMsg_LeaseRelease:
		q, err := decodeLeaseRelease(m.LeaseRelease)
		if err != nil {
			return err
		}
		s.cfg.Handler.LeaseRelease(c, q)
	case *hostpb.HostMsg_NameQuery:
		q, err := decodeNameQuery(m.NameQuery)
		if err != nil {
			return err
		}
		var a NameAnswer
		if s.cfg.Resolve != nil {
			a = s.cfg.Resolve(c.host, q)
		}
		c.push(nameAnswerMsg(q.ID, a))
	case *hostpb.HostMsg_Hello:
		return errors.New("second hello")
	default:
		return errors.New("empty message")
	}
	return nil
}

// hostTable holds the one stream of each host.
type hostTable struct {
	mu    sync.Mutex // guards conns
	conns map[string]*Conn
}

// enter makes c its host's stream and closes the one before, whose HostGone has
// returned when enter does. It reports false if c was itself replaced meanwhile.
func (t *hostTable) enter(c *Conn) bool {
	t.mu.Lock()
	old := t.conns[c.host]
	t.conns[c.host] = c
	t.mu.Unlock()
	if old != nil {
		old.closeFor(status.Error(codes.Aborted, "the host connected again"))
		<-old.gone
	}
	if c.isClosed() {
		t.leave(c)
		return false
	}
	return true
}

func (t *hostTable) leave(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns[c.host] == c {
		delete(t.conns, c.host)
	}
	close(c.gone)
}
