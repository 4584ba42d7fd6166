// Package names is a host's resolver: it answers the host's endpoints what names
// of theirs mean, as a controller says or said, and hands every other question to
// the host's own name servers.
//
// Who asks is known by the address that it comes from, an alias that the switch
// gives each port; so nobody can ask for another, and two endpoints with one
// address are told apart. Nothing that an endpoint sends is believed, and none can
// take what another needs: questions under way, connections and what is kept are
// bounded for each.
package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what is under way at once, and of what one endpoint may have of it.
const (
	maxWork        = 512 // questions
	maxWorkEach    = 32
	maxStreams     = 512 // TCP connections
	maxStreamsEach = 8
	streamIdle     = 10 * time.Second // for the next question by TCP
	streamAsks     = 200              // questions by one connection
	answerWait     = 6 * time.Second  // for everything that one question takes
)

// Config is a Server's.
type Config struct {
	// Ask asks a controller what a name means to the endpoints of a VPC.
	Ask func(ctx context.Context, vpc, name string) (Answer, error)
	// Who returns the VPC of the endpoint that an alias stands for.
	Who func(alias netip.Addr) (vpc string, found bool)
	// Self is the server's own address, which no other server has.
	Self       netip.Addr
	ResolvConf string // file with the host's name servers
	Port       uint16 // of the host's name servers; 0: 53
}

// Stats count what became of questions.
type Stats struct {
	Ours      uint64 `json:"ours"`      // answered from what a controller said
	Forwarded uint64 `json:"forwarded"` // answered by the host's name servers
	Failed    uint64 `json:"failed"`    // nobody could answer
	Invalid   uint64 `json:"invalid"`   // no question that is answered here
	Excess    uint64 `json:"excess"`    // more than one endpoint, or all, may have under way
}

// Server is a host's resolver. Its methods may be called from any goroutine.
type Server struct {
	cfg      Config
	meanings meanings
	servers  servers
	work     gate
	streams  gate

	ours, forwarded, failed, invalid, excess atomic.Uint64
}

// New returns a server.
func New(cfg Config) *Server {
	if cfg.Port == 0 {
		cfg.Port = 53
	}
	return &Server{
		cfg: cfg, meanings: meanings{ask: cfg.Ask}, servers: servers{path: cfg.ResolvConf, self: cfg.Self},
		work: newGate(maxWork, maxWorkEach), streams: newGate(maxStreams, maxStreamsEach),
	}
}

// Stats returns the counts since the start.
func (s *Server) Stats() Stats {
	return Stats{s.ours.Load(), s.forwarded.Load(), s.failed.Load(), s.invalid.Load(), s.excess.Load()}
}

// Unsettle tells that a controller was connected just now: what it does not know
// yet may be there.
func (s *Server) Unsettle() { s.meanings.unsettle(time.Now()) }

// Keep forgets what names meant to all VPCs but these.
func (s *Server) Keep(vpcs map[string]bool) { s.meanings.cache.keep(vpcs) }

// Serve answers what comes by the sockets until ctx ends, and closes them. udp
// must be one that ListenUDP made.
func (s *Server) Serve(ctx context.Context, udp *net.UDPConn, tcp net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		udp.Close()
		tcp.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { cancel(s.serveUDP(ctx, &wg, udp)) })
	cancel(s.serveTCP(ctx, &wg, tcp))
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Server) serveUDP(ctx context.Context, wg *sync.WaitGroup, c *net.UDPConn) error {
	buf, oob := make([]byte, maxQuery+1), make([]byte, 64)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("receive questions: %w", err)
		}
		to, ok := arrivedAt(oob[:oobn])
		vpc, known := s.cfg.Who(from.Addr().Unmap())
		if n > maxQuery || !ok || !known {
			s.invalid.Add(1)
			continue
		}
		reply := func(b []byte) { sendFrom(c, b, to, from) }
		q, code, err := parse(buf[:n])
		if err != nil {
			s.invalid.Add(1)
			if !errors.Is(err, errSilent) {
				reply(q.failure(code))
			}
			continue
		}
		if b := s.atOnce(&q, vpc); b != nil {
			reply(b)
			continue
		}
		leave := s.work.enter(from.Addr())
		if leave == nil {
			s.excess.Add(1)
			continue // it asks again
		}
		wg.Go(func() {
			defer leave()
			reply(s.answer(ctx, &q, vpc, false))
		})
	}
}

func (s *Server) serveTCP(ctx context.Context, wg *sync.WaitGroup, l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("accept connections: %w", err)
		}
		from, ok := c.RemoteAddr().(*net.TCPAddr)
		if !ok {
			c.Close()
			continue
		}
		alias := from.AddrPort().Addr().Unmap()
		vpc, known := s.cfg.Who(alias)
		leave := s.streams.enter(alias)
		if !known || leave == nil {
			s.excess.Add(1)
			if leave != nil {
				leave()
			}
			c.Close()
			continue
		}
		wg.Go(func() {
			defer leave()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.serveStream(ctx, c, alias, vpc)
		})
	}
}

// serveStream answers the questions of one connection, one after the other.
func (s *Server) serveStream(ctx context.Context, c net.Conn, alias netip.Addr, vpc string) {
	for range streamAsks {
		if c.SetDeadline(time.Now().Add(streamIdle)) != nil {
			return
		}
		b, err := readFramed(c, maxQuery)
		if err != nil {
			return
		}
		q, code, err := parse(b)
		if err != nil {
			s.invalid.Add(1)
			if errors.Is(err, errSilent) || writeFramed(c, q.failure(code)) != nil {
				return
			}
			continue
		}
		out := s.atOnce(&q, vpc)
		if out == nil {
			leave := s.work.enter(alias)
			if leave == nil {
				s.excess.Add(1)
				return
			}
			out = s.answer(ctx, &q, vpc, true)
			leave()
		}
		if c.SetWriteDeadline(time.Now().Add(streamIdle)) != nil || writeFramed(c, out) != nil {
			return
		}
	}
}

// atOnce returns the answer if nobody need be asked for it, or nil.
func (s *Server) atOnce(q *query, vpc string) []byte {
	a, known := s.meanings.known(time.Now(), key{vpc, q.name()})
	if !known || !a.Ours {
		return nil
	}
	s.ours.Add(1)
	return q.ours(a)
}

// answer returns the answer, which may take asking others.
func (s *Server) answer(ctx context.Context, q *query, vpc string, tcp bool) []byte {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	a, err := s.meanings.of(ctx, key{vpc, q.name()})
	if err == nil && a.Ours {
		s.ours.Add(1)
		return q.ours(a)
	}
	if err == nil && !q.recursion {
		s.invalid.Add(1)
		return q.failure(refused)
	}
	var b []byte
	if err == nil {
		if b, err = forward(ctx, q, s.servers.get(time.Now()), s.cfg.Port, tcp); err == nil {
			s.forwarded.Add(1)
			return b
		}
	}
	s.failed.Add(1)
	return q.failure(failed)
}

// gate counts what is under way, of each endpoint and of all.
type gate struct {
	max, each int

	mu  sync.Mutex // guards the following fields
	all int
	by  map[netip.Addr]int
}

func newGate(limit, each int) gate { return gate{max: limit, each: each, by: map[netip.Addr]int{}} }

// enter counts one more and returns what counts it off again; nil if there are
// enough.
func (g *gate) enter(a netip.Addr) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= g.max || g.by[a] >= g.each {
		return nil
	}
	g.all++
	g.by[a]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.all--
		if g.by[a]--; g.by[a] == 0 {
			delete(g.by, a)
		}
	}
}
