package enrol

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/reconciler/trust"
)

// Bounds of connections that have proved nothing yet.
const (
	handshakeTime   = 5 * time.Second
	handshakes      = 512 // at once
	handshakesEach  = 64  // of one address
	strangers       = 512 // connections without a certificate at once
	strangersEach   = 16  // of one address
	acceptPause     = 100 * time.Millisecond
	handshakesReady = 16 // that wait to be accepted
)

// ListenHosts returns a listener of TLS connections on ln for the hosts' stream
// and for joining. A host that has no certificate yet comes in too, and so does
// one whose certificate has ended: what each may do is asked with each call.
func (a *Authority) ListenHosts(ln net.Listener) net.Listener {
	return a.listen(ln, &tls.Config{
		ClientAuth: tls.RequestClientCert,
		NextProtos: []string{"h2"},
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil
			}
			_, err := a.ca.Verify(a.cfg.Now(), s.PeerCertificates)
			return err
		},
	})
}

// ListenSwitches returns a listener of TLS connections on ln for switches: none
// comes in without a certificate of a host that is valid now.
func (a *Authority) ListenSwitches(ln net.Listener) net.Listener {
	return a.listen(ln, &tls.Config{
		ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			shown, err := a.ca.Verify(a.cfg.Now(), s.PeerCertificates)
			if err == nil {
				_, err = a.current().Valid(a.cfg.Now(), shown)
			}
			return err
		},
	})
}

func (a *Authority) listen(ln net.Listener, cfg *tls.Config) net.Listener {
	cfg.MinVersion = tls.VersionTLS13
	cfg.SessionTicketsDisabled = true // each connection shows its certificate
	cfg.Time = a.cfg.Now
	cfg.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return a.server.Load(), nil }
	g := &gate{
		Listener: ln, cfg: cfg, log: &a.log, ready: make(chan net.Conn, handshakesReady), closed: make(chan struct{}),
		shaking: newCrowd(handshakes, handshakesEach), strange: newCrowd(strangers, strangersEach),
	}
	g.wg.Go(g.run)
	return g
}

// gate does the handshakes of a listener's connections, several at once, so that
// no peer keeps the others waiting.
type gate struct {
	net.Listener
	cfg    *tls.Config
	log    *refusalLog
	ready  chan net.Conn
	closed chan struct{}
	once   sync.Once
	wg     sync.WaitGroup // run and the handshakes

	shaking, strange *crowd
}

// Accept returns the next connection whose handshake is done.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.ready:
		return c, nil
	case <-g.closed:
		return nil, fmt.Errorf("accept on %s: %w", g.Addr(), net.ErrClosed)
	}
}

// Close closes the listener and the connections that nobody accepted, and waits
// until their handshakes have ended.
func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	err := g.Listener.Close()
	g.wg.Wait()
	for {
		select {
		case c := <-g.ready:
			c.Close()
		default:
			return err
		}
	}
}

func (g *gate) run() {
	for {
		conn, err := g.Listener.Accept()
		switch {
		case err == nil:
			g.admit(conn)
		case errors.Is(err, net.ErrClosed):
			g.once.Do(func() { close(g.closed) })
			return
		default: // such as: too many open files
			select {
			case <-g.closed:
			case <-time.After(acceptPause):
			}
		}
	}
}

// admit starts a connection's handshake, if there are not too many under way.
func (g *gate) admit(conn net.Conn) {
	from := host(conn.RemoteAddr().String())
	if !g.shaking.enter(from) {
		g.refused(conn, &trust.Refusal{Reason: trust.ReasonRate, Text: "too many handshakes at once"})
		return
	}
	g.wg.Go(func() {
		defer g.shaking.leave(from)
		c, err := g.shake(conn, from)
		if err != nil {
			g.refused(conn, err)
			return
		}
		select {
		case g.ready <- c:
		case <-g.closed:
			c.Close()
		}
	})
}

func (g *gate) refused(conn net.Conn, err error) {
	select {
	case <-g.closed: // the controller ends, which is no fault of the peer's
	default:
		g.log.refused("connection refused", conn.RemoteAddr().String(), "", err)
	}
	conn.Close()
}

func (g *gate) shake(conn net.Conn, from string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeTime)
	defer cancel()
	c := tls.Server(conn, g.cfg)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-g.closed:
			cancel()
		case <-stop:
		}
	}()
	if err := c.HandshakeContext(ctx); err != nil {
		if trust.ReasonOf(err) == "" {
			err = &trust.Refusal{Reason: trust.ReasonCertificate, Text: fmt.Sprintf("tls handshake: %v", err)}
		}
		return nil, err
	}
	if len(c.ConnectionState().PeerCertificates) > 0 {
		return &gateConn{Conn: c, leave: func() {}}, nil
	}
	if !g.strange.enter(from) {
		return nil, &trust.Refusal{Reason: trust.ReasonRate, Text: "too many connections without a certificate"}
	}
	return &gateConn{Conn: c, leave: sync.OnceFunc(func() { g.strange.leave(from) })}, nil
}

// gateConn is a connection that has passed the gate.
type gateConn struct {
	*tls.Conn
	leave func()
}

// Close closes the connection.
func (c *gateConn) Close() error {
	c.leave()
	return c.Conn.Close()
}

// crowd counts who is somewhere, altogether and by address.
type crowd struct {
	most, each int

	mu  sync.Mutex // guards the fields below
	all int
	by  map[string]int
}

func newCrowd(most, each int) *crowd { return &crowd{most: most, each: each, by: map[string]int{}} }

func (c *crowd) enter(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= c.most || c.by[address] >= c.each {
		return false
	}
	c.all++
	c.by[address]++
	return true
}

func (c *crowd) leave(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.by[address]--; c.by[address] == 0 {
		delete(c.by, address)
	}
}

// Credentials are gRPC's for connections of ListenHosts: they have done their
// handshake.
func Credentials() credentials.TransportCredentials { return done{} }

type done struct{}

// ServerHandshake returns what the gate's handshake has found.
func (done) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := conn.(*gateConn)
	if !ok {
		return nil, nil, errors.New("connection did not come through ListenHosts")
	}
	info := credentials.TLSInfo{State: c.ConnectionState()}
	info.SecurityLevel = credentials.PrivacyAndIntegrity
	return conn, info, nil
}

// ClientHandshake is never done by a server.
func (done) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are a server's")
}

// Info says that the connections are TLS.
func (done) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns the same.
func (d done) Clone() credentials.TransportCredentials { return d }

// OverrideServerName is a client's matter.
func (done) OverrideServerName(string) error { return nil }
