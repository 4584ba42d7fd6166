// Package uplink is the host's end of its stream to a controller: it keeps one
// stream up, to any one of the controllers, and carries reports up and answers
// down.
package uplink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/hostpb"
)

// Timing and bounds of a stream.
const (
	firstWait   = 100 * time.Millisecond // before the second try
	lastWait    = time.Second            // as Open vSwitch: who starts a container waits for 4 s
	connectWait = 5 * time.Second        // for a stream and the welcome on it
	pingEvery   = 10 * time.Second       // of a silent connection; gRPC takes no less
	pingTimeout = 5 * time.Second
	maxQueued   = 1024 // messages that wait to be sent
)

// Config is a Client's. All of it is required but Refused.
type Config struct {
	Controllers []string // addresses HOST:PORT, at least one
	Credentials credentials.TransportCredentials
	Logger      *slog.Logger
	// Handle gets what happens, in order and from one goroutine.
	Handle func(Event)
	// Refused, unless nil, is called when a controller did not take the credentials.
	Refused func()
}

// Event is what happened to the stream: one of the types below.
type Event interface{ event() }

type (
	// Opened tells that a controller listens. Whoever handles it sends the Hello,
	// before anything else.
	Opened struct{ Session *Session }
	// Welcomed is the Welcome. From is the address that the stream goes to, unless
	// it isn't known or isn't IPv4.
	Welcomed struct {
		Welcome *hostpb.Welcome
		From    netip.Addr
	}
	// Closed tells that Session ended. No event of it follows.
	Closed struct {
		Session *Session
		Err     error
	}
	// Acked is an Ack.
	Acked struct {
		Seq      uint64
		Problems map[endpoint.Ref]string
	}
	// Leased is a Lease.
	Leased struct{ Lease *hostpb.Lease }
	// Networks is a NetworkList.
	Networks struct{ List *hostpb.NetworkList }
	// NameAnswered is a NameAnswer.
	NameAnswered struct{ Answer *hostpb.NameAnswer }
)

func (Opened) event()   {}
func (Welcomed) event() {}
func (Closed) event()   {}
func (Acked) event()    {}
func (Leased) event()   {}
func (Networks) event() {}

func (NameAnswered) event() {}

// Client keeps the stream.
type Client struct {
	cfg Config
}

// New returns a client. It connects when it runs.
func New(cfg Config) (*Client, error) {
	if len(cfg.Controllers) == 0 {
		return nil, errors.New("no controller is named: use --controller ADDR:7443")
	}
	if cfg.Credentials == nil {
		return nil, errors.New("no credentials for the controllers")
	}
	return &Client{cfg: cfg}, nil
}

// Run keeps a stream until ctx ends. It tries the controllers in turn, and waits
// longer after each round of failures, not quite as long as every other host.
func (c *Client) Run(ctx context.Context) {
	wait := firstWait
	for i := 0; ctx.Err() == nil; i++ {
		addr := c.cfg.Controllers[i%len(c.cfg.Controllers)]
		welcomed, err := c.follow(ctx, addr)
		if ctx.Err() != nil {
			return
		}
		if welcomed {
			wait = firstWait
			i-- // the same one first
		}
		c.cfg.Logger.Warn("controller connection ended", slog.String("controller", addr), slog.Any("err", err))
		if code := status.Code(err); c.cfg.Refused != nil && (code == codes.PermissionDenied || code == codes.Unauthenticated) {
			c.cfg.Refused()
		}
		if !welcomed && (i+1)%len(c.cfg.Controllers) != 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, lastWait)
	}
}

// follow holds one stream until it ends, and reports whether it was welcomed.
func (c *Client) follow(ctx context.Context, addr string) (welcomed bool, err error) {
	cc, err := grpc.NewClient("passthrough:"+addr,
		grpc.WithTransportCredentials(c.cfg.Credentials),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(hostpb.MaxMessage), grpc.MaxCallSendMsgSize(hostpb.MaxMessage)),
	)
	if err != nil {
		return false, fmt.Errorf("controller address %q: %w", addr, err)
	}
	defer cc.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(connectWait, func() { cancel(errors.New("no welcome in time")) })
	defer slow.Stop()
	stream, err := hostpb.NewHostLinkClient(cc).Connect(ctx)
	if err != nil {
		return false, orCause(ctx, err)
	}
	s := &Session{Controller: addr, out: make(chan *hostpb.HostMsg, maxQueued), cancel: cancel}
	c.cfg.Handle(Opened{s})
	var wg sync.WaitGroup
	wg.Go(func() { s.send(ctx, stream) })
	welcomed, err = c.receive(stream, slow)
	err = orCause(ctx, err)
	cancel(err)
	wg.Wait()
	c.cfg.Handle(Closed{s, err})
	return welcomed, err
}

// receive handles the controller's messages until the stream ends, and reports
// whether the first was a welcome.
func (c *Client) receive(stream grpc.BidiStreamingClient[hostpb.HostMsg, hostpb.ControllerMsg], slow *time.Timer) (welcomed bool, err error) {
	for {
		m, err := stream.Recv()
		if err != nil {
			return welcomed, err
		}
		switch {
		case m.GetWelcome() != nil:
			welcomed = true
			slow.Stop()
			c.cfg.Handle(Welcomed{m.GetWelcome(), remote(stream.Context())})
		case !welcomed:
			return false, errors.New("the controller's first message is no welcome")
		case m.GetAck() != nil:
			c.cfg.Handle(Acked{m.GetAck().GetSeq(), problems(m.GetAck())})
		case m.GetLease() != nil:
			c.cfg.Handle(Leased{m.GetLease()})
		case m.GetNetworks() != nil:
			c.cfg.Handle(Networks{m.GetNetworks()})
		case m.GetNameAnswer() != nil:
			c.cfg.Handle(NameAnswered{m.GetNameAnswer()})
		}
	}
}

// remote returns the IPv4 address that a stream goes to, or none. It is known
// once a message came.
func remote(ctx context.Context) netip.Addr {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return netip.Addr{}
	}
	tcp, ok := p.Addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	if a := tcp.AddrPort().Addr().Unmap(); a.Is4() {
		return a
	}
	return netip.Addr{}
}

func problems(a *hostpb.Ack) map[endpoint.Ref]string {
	out := map[endpoint.Ref]string{}
	for _, e := range a.GetErrors() {
		if ref, err := endpoint.MakeRef(e.GetVpc(), e.GetName()); err == nil {
			out[ref] = e.GetText()
		}
	}
	return out
}

// orCause returns why ctx was cancelled, if somebody said so, instead of err.
func orCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// Session is one stream.
type Session struct {
	Controller string // its address
	out        chan *hostpb.HostMsg
	cancel     context.CancelCauseFunc
}

// Send queues a message, in order. If the controller takes no more, the stream
// is closed: the next one begins with a full report.
func (s *Session) Send(m *hostpb.HostMsg) {
	select {
	case s.out <- m:
	default:
		s.cancel(errors.New("the controller does not read its messages"))
	}
}

func (s *Session) send(ctx context.Context, stream grpc.BidiStreamingClient[hostpb.HostMsg, hostpb.ControllerMsg]) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.out:
			if stream.Send(m) != nil {
				return // receive gets the reason
			}
		}
	}
}
