package enrol_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/trust"
)

const patience = 15 * time.Second

// clock is the time of a test, for both ends.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time           { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(by time.Duration) { c.ahead.Add(int64(by)) }

// journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// lineWith returns the first line that holds all parts, or "".
func (j *journal) lineWith(parts ...string) string {
	for line := range strings.Lines(j.String()) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			return line
		}
	}
	return ""
}

// bed is a controller's two ports with trust before them.
type bed struct {
	t          *testing.T
	dir        string
	clock      *clock
	log        *journal
	authority  *enrol.Authority
	hosts, ofs string // addresses
	hellos     chan inventory.HostReport
	gone       chan error
	up         chan uint64
	down       chan error
	joins      atomic.Int64 // that came as far as the service
	revoked    chan string
	stop       func()

	// open takes away the guards of who says what, and undemanding that switches
	// need a certificate, to see what they guard from.
	open, undemanding bool
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{
		t: t, dir: filepath.Join(t.TempDir(), "trust"), clock: &clock{}, log: &journal{}, revoked: make(chan string, 8),
		hellos: make(chan inventory.HostReport, 8), gone: make(chan error, 8), up: make(chan uint64, 8), down: make(chan error, 8),
	}
	b.start()
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Log(b.log.String())
		}
	})
	return b
}

// start starts a controller on what is in the directory.
func (b *bed) start() {
	b.t.Helper()
	hosts, ofs := listen(b.t), listen(b.t)
	b.hosts, b.ofs = hosts.Addr().String(), ofs.Addr().String()
	log := slog.New(slog.NewTextHandler(b.log, nil))
	a, err := enrol.Open(enrol.Config{
		Dir: b.dir, Name: "c1", Addresses: []string{"127.0.0.1"}, Controllers: []string{b.hosts}, Logger: log,
		Now: b.clock.now, Revoked: func(host string) { b.revoked <- host },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.authority = a
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	admit := a.Admit
	if b.open {
		admit = nil
	}
	wg.Go(func() {
		err := hostlink.NewServer(hostlink.Config{
			Handler: (*hostHandler)(b), Logger: log, Credentials: enrol.Credentials(), Enrolment: counting{a, &b.joins},
			Admit: admit, Authorize: b.authorize, Welcome: hostlink.Welcome{WireValue: 0x4000, WireMask: 0xe000},
		}).Serve(ctx, a.ListenHosts(hosts))
		if err != nil {
			b.t.Errorf("serve hosts: %v", err)
		}
	})
	wg.Go(func() {
		cfg := ofswitch.Config{Handler: (*switchHandler)(b), Logger: log, Authorize: a.AuthorizeSwitch}
		listen := a.ListenSwitches
		if b.open {
			cfg.Authorize = nil
		}
		if b.undemanding {
			listen = a.ListenSwitchesOpen
		}
		if err := ofswitch.NewServer(cfg).Serve(ctx, listen(ofs)); err != nil {
			b.t.Errorf("serve switches: %v", err)
		}
	})
	b.stop = func() { cancel(); wg.Wait() }
}

func (b *bed) authorize(ctx context.Context, r *inventory.HostReport, end func(error)) (func(), error) {
	if b.open {
		return func() {}, nil
	}
	state, from := enrol.Peer(ctx)
	h, leave, err := b.authority.AuthorizeStream(state, from, r.Name, r.DPID, end)
	if err != nil {
		return nil, enrol.Status(err)
	}
	r.Tenants = h.Tenants
	return leave, nil
}

// counting counts the attempts to join.
type counting struct {
	hostpb.EnrolmentServer
	joins *atomic.Int64
}

func (c counting) Join(ctx context.Context, q *hostpb.JoinRequest) (*hostpb.Certificate, error) {
	c.joins.Add(1)
	return c.EnrolmentServer.Join(ctx, q)
}

type hostHandler bed

func (h *hostHandler) HostHello(_ *hostlink.Conn, r inventory.HostReport) { h.hellos <- r }
func (h *hostHandler) HostGone(_ *hostlink.Conn, err error)               { h.gone <- err }

func (*hostHandler) HostDelta(*hostlink.Conn, inventory.HostDelta)      {}
func (*hostHandler) LeaseRequest(*hostlink.Conn, hostlink.LeaseRequest) {}
func (*hostHandler) LeaseRelease(*hostlink.Conn, hostlink.LeaseRelease) {}

type switchHandler bed

func (h *switchHandler) SwitchUp(sw *ofswitch.Switch)             { h.up <- sw.DPID() }
func (h *switchHandler) SwitchDown(_ *ofswitch.Switch, err error) { h.down <- err }

func (*switchHandler) PacketIn(*ofswitch.Switch, openflow.PacketIn) {}
func (*switchHandler) BatchDone(*ofswitch.Switch, uint64, error)    {}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// token makes a join token.
func (b *bed) token(spec trust.TokenSpec) string {
	b.t.Helper()
	_, text, err := b.authority.CreateToken(spec)
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// tryJoin joins as host.
func (b *bed) tryJoin(host, token string) (*identity.Identity, error) {
	return b.tryJoinBy(identity.JoinConfig{Host: host, Token: token})
}

func (b *bed) tryJoinBy(cfg identity.JoinConfig) (*identity.Identity, error) {
	cfg.Controller, cfg.Now = b.hosts, b.clock.now
	if cfg.CAHash == "" {
		cfg.CAHash = b.authority.Pin()
	}
	if cfg.Dir == "" {
		cfg.Dir = b.t.TempDir()
	}
	return identity.Join(b.t.Context(), cfg)
}

// join joins as host, with a token of its own.
func (b *bed) join(host string) *identity.Identity {
	b.t.Helper()
	id, err := b.tryJoin(host, b.token(trust.TokenSpec{}))
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// hello says hello, and returns the answer's error; nil: it is welcome, until
// the test ends.
func (b *bed) hello(tc *tls.Config, host string, dpid uint64) error {
	b.t.Helper()
	cc, err := grpc.NewClient("passthrough:"+b.hosts, grpc.WithTransportCredentials(credentials.NewTLS(tc)))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { cc.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	stream, err := hostpb.NewHostLinkClient(cc).Connect(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: helloOf(host, dpid)}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.Recv()
	return err
}

func helloOf(host string, dpid uint64) *hostpb.Hello {
	return &hostpb.Hello{Host: host, BootId: "boot", Dpid: dpid, Uplink: &hostpb.Uplink{
		Ofport: 1, Mac: []byte{2, 0, 0, 0, 1, 1}, Ip: []byte{172, 31, 1, 1}, PrefixLen: 24, Mtu: 1500,
	}}
}

// connect connects as a switch with that datapath id, until the test ends, and
// returns why that failed.
func (b *bed) connect(tc *tls.Config, dpid uint64) error {
	b.t.Helper()
	tc = tc.Clone()
	tc.NextProtos = nil
	raw, err := net.Dial("tcp4", b.ofs)
	if err != nil {
		b.t.Fatal(err)
	}
	c := tls.Client(raw, tc)
	b.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		b.t.Fatal(err)
	}
	return talk(c, dpid)
}

// talk is a switch's part until its configuration holds.
func talk(c net.Conn, dpid uint64) error {
	message := func(typ openflow.MessageType, xid uint32, body []byte) []byte {
		b := binary.BigEndian.AppendUint16([]byte{openflow.Version, byte(typ)}, uint16(openflow.HeaderLen+len(body)))
		return append(binary.BigEndian.AppendUint32(b, xid), body...)
	}
	if _, err := c.Write(openflow.AppendHello(nil, 1)); err != nil {
		return err
	}
	for {
		var head [openflow.HeaderLen]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return err
		}
		h, err := openflow.ParseHeader(head[:])
		if err != nil {
			return err
		}
		body := make([]byte, int(h.Length)-openflow.HeaderLen)
		if _, err := io.ReadFull(c, body); err != nil {
			return err
		}
		var answer []byte
		switch h.Type {
		case openflow.TypeFeaturesRequest:
			answer = message(openflow.TypeFeaturesReply, h.Xid, append(binary.BigEndian.AppendUint64(nil, dpid), make([]byte, 16)...))
		case openflow.TypeRoleRequest:
			answer = message(openflow.TypeRoleReply, h.Xid, body)
		case openflow.TypeBarrierRequest:
			_, err := c.Write(message(openflow.TypeBarrierReply, h.Xid, nil))
			return err
		}
		if _, err := c.Write(answer); err != nil {
			return err
		}
	}
}

// await returns the next value of c.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

// none fails if there is a value in c.
func none[T any](t *testing.T, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: %v; want none", what, v)
	default:
	}
}

// logged waits for a line of the log that holds all parts.
func (b *bed) logged(parts ...string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); b.log.lineWith(parts...) == ""; {
		if time.Now().After(deadline) {
			b.t.Errorf("no line with %q in the log", parts)
			return
		}
	}
}

// certificate is one that ca signs for a host, with a key of its own.
func certificate(t *testing.T, ca *trust.CA, host string, now time.Time, life time.Duration) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.SignHost(rand.Reader, host, &key.PublicKey, now, life)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key}
}

// showing is a client that shows a certificate, or none, and asks nobody's.
func showing(c *tls.Certificate) *tls.Config {
	tc := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"}}
	if c != nil {
		tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	}
	return tc
}
