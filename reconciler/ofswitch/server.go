// Package ofswitch talks to switches: one TCP (or any other stream) connection
// each, OpenFlow 1.3, one goroutine that reads and one that writes.
//
//	Send ──► queue of bytes ──► writer ──► switch
//	Handler ◄── reader ◄────────────────── switch
//	   └──► Inbox ──► whoever answers packets, fairly over switches and ports
//
// It decides nothing. The controller gives it batches and hears of packets, of
// finished batches and of switches that come and go; see Handler for the order.
// What a switch sends is not trusted: messages are bounded, one that can't be
// decoded is counted and dropped, and a connection on which the next message
// can't be found is closed.
package ofswitch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Handler gets what switches say. For each connection the methods are called one
// after the other from its reader goroutine, so they must not block long: as long
// as one runs, nothing more is read from that switch. They must not call
// FlowStats, whose answer that reader would have to read.
//
// SwitchUp comes first and SwitchDown last. Of two connections with the same
// datapath id the newer wins: the older one's SwitchDown returns before the
// newer one's SwitchUp is called.
type Handler interface {
	// SwitchUp tells that the handshake is done: HELLO, FEATURES, SET_CONFIG,
	// SET_ASYNC, and the role MASTER with Config.GenerationID.
	SwitchUp(sw *Switch)
	// SwitchDown tells that the connection ended, and why. Batches without a
	// BatchDone by now get none: whether they were done is unknown.
	SwitchDown(sw *Switch, err error)
	// PacketIn brings a lifted packet. Its Frame is valid only during the call.
	PacketIn(sw *Switch, in openflow.PacketIn)
	// BatchDone tells that the switch has processed the batch with this token. err
	// joins what it refused: the messages' texts and *openflow.ErrorMessage.
	BatchDone(sw *Switch, token uint64, err error)
}

// Config says how a Server treats its switches. Only Handler is required.
type Config struct {
	Handler Handler
	Logger  *slog.Logger // nil: no logs

	// GenerationID fences the role MASTER: a switch refuses it when it has seen a
	// newer one, and that connection then never comes up.
	GenerationID uint64

	// Authorize, unless nil, is asked whether the switch at the other end of conn may
	// have the datapath id, before anybody else hears of it. It may block until ctx
	// ends. While it is connected, end may be called from any goroutine to close the
	// connection with that cause; leave is called when it is closed.
	Authorize func(ctx context.Context, conn net.Conn, dpid uint64, end func(error)) (leave func(), err error)

	// EchoInterval is how long a switch may be silent before it is sent an echo
	// request; after three times as long it is taken for dead. 0: 5 s.
	EchoInterval time.Duration
	// HandshakeTimeout bounds the time from connecting to SwitchUp. 0: 10 s.
	HandshakeTimeout time.Duration
	// WriteTimeout bounds how long the switch may take to accept 64 KiB. 0: 10 s.
	WriteTimeout time.Duration
	// MaxQueued bounds the bytes that wait for a switch. 0: 64 MiB, about 300,000
	// flows.
	MaxQueued int
	// MaxPending bounds the batches with a token that are not yet done. 0: 65536.
	MaxPending int
	// MaxConnections bounds the connections at a time. 0: 8192.
	MaxConnections int
}

// deadIntervals is after how many echo intervals of silence a switch is dead.
const deadIntervals = 3

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.EchoInterval == 0 {
		c.EchoInterval = 5 * time.Second
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 10 * time.Second
	}
	if c.MaxQueued == 0 {
		c.MaxQueued = 64 << 20
	}
	if c.MaxPending == 0 {
		c.MaxPending = 65536
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 8192
	}
}

// Reasons for which a connection ends, as SwitchDown and Send wrap them.
var (
	ErrClosed   = errors.New("connection closed")
	ErrReplaced = errors.New("switch connected again")
	ErrSilent   = errors.New("switch is silent")
	ErrOverflow = errors.New("switch is too slow")
)

// Server accepts switches.
type Server struct {
	cfg Config

	mu       sync.Mutex         // guards the fields below
	switches map[uint64]*Switch // newest connection by datapath id
	conns    int
	refused  limiter
}

// NewServer returns a server that does nothing until Serve.
func NewServer(cfg Config) *Server {
	cfg.setDefaults()
	return &Server{cfg: cfg, switches: make(map[uint64]*Switch)}
}

// acceptPause is how long Serve waits after an error like "too many open files".
const acceptPause = 100 * time.Millisecond

// Serve accepts switches from ln until ctx ends, then closes ln and all its
// connections and waits for them. It returns nil when ctx ended, or why ln can't
// be used any more.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			if !s.admit() {
				s.logRefused(conn.RemoteAddr().String(), errors.New("too many connections"))
				conn.Close()
				continue
			}
			wg.Go(func() {
				defer s.leave()
				s.serve(ctx, conn)
			})
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept switches on %s: %w", ln.Addr(), err)
		default:
			s.cfg.Logger.Warn("accepting a switch failed", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
		}
	}
}

func (s *Server) admit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns >= s.cfg.MaxConnections {
		return false
	}
	s.conns++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
}

// logRefused logs one connection a second: anybody may connect.
func (s *Server) logRefused(name string, err error) {
	s.mu.Lock()
	missed, ok := s.refused.allow(time.Now())
	s.mu.Unlock()
	if ok {
		s.cfg.Logger.Warn("connection refused", "switch", name, "err", err, "unlogged", missed)
	}
}

// serve is the whole life of one connection, in its reader goroutine.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	sw := newSwitch(&s.cfg, conn)
	defer context.AfterFunc(ctx, sw.Close)()
	var others sync.WaitGroup
	others.Go(sw.write)
	others.Go(func() {
		<-sw.closing
		conn.Close()
	})
	defer others.Wait()
	defer close(sw.done)
	defer sw.Close()

	if err := s.handshake(sw); err != nil {
		sw.fail(err)
		s.logRefused(sw.name(), sw.cause())
		return
	}
	if s.cfg.Authorize != nil {
		leave, err := s.cfg.Authorize(ctx, conn, sw.dpid, sw.fail)
		if err != nil {
			sw.fail(err)
			return // who refused it has logged why
		}
		defer leave()
	}
	s.register(sw)
	defer s.unregister(sw)
	if sw.cause() != nil {
		return // closed while the older connection ended
	}
	s.guard(sw, func() { s.cfg.Handler.SwitchUp(sw) })
	sw.fail(sw.read())
	s.guard(sw, func() { s.cfg.Handler.SwitchDown(sw, sw.cause()) })
}

// handshake is the connection's, and its error if it panics.
func (s *Server) handshake(sw *Switch) (err error) {
	err = errors.New("handshake panicked")
	s.guard(sw, func() { err = sw.handshake() })
	return err
}

// guard keeps a panic of the handler, or of what a switch sent, from ending the
// process.
func (s *Server) guard(sw *Switch, f func()) {
	defer sw.recovered()
	f()
}

// register makes sw the connection of its datapath id, and waits until the one
// before, if any, has ended.
func (s *Server) register(sw *Switch) {
	s.mu.Lock()
	old := s.switches[sw.dpid]
	s.switches[sw.dpid] = sw
	s.mu.Unlock()
	if old != nil {
		old.fail(ErrReplaced)
		<-old.done
	}
}

func (s *Server) unregister(sw *Switch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.switches[sw.dpid] == sw {
		delete(s.switches, sw.dpid)
	}
}
