package ofswitch_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// event is a call of the handler.
type event struct {
	kind  string // up, down, packet, done
	sw    *ofswitch.Switch
	in    of.PacketIn
	token uint64
	err   error
}

// recorder is a handler that records its calls, and runs onPacket if it is set.
type recorder struct {
	events   chan event
	onPacket func(sw *ofswitch.Switch, in of.PacketIn)
}

func newRecorder() *recorder { return &recorder{events: make(chan event, 1024)} }

func (r *recorder) SwitchUp(sw *ofswitch.Switch) { r.events <- event{kind: "up", sw: sw} }
func (r *recorder) SwitchDown(sw *ofswitch.Switch, err error) {
	r.events <- event{kind: "down", sw: sw, err: err}
}
func (r *recorder) BatchDone(sw *ofswitch.Switch, token uint64, err error) {
	r.events <- event{kind: "done", sw: sw, token: token, err: err}
}
func (r *recorder) PacketIn(sw *ofswitch.Switch, in of.PacketIn) {
	in.Frame = bytes.Clone(in.Frame)
	r.events <- event{kind: "packet", sw: sw, in: in}
	if r.onPacket != nil {
		r.onPacket(sw, in)
	}
}

// want returns the next call, which must be of this kind.
func (r *recorder) want(t *testing.T, kind string) event {
	t.Helper()
	select {
	case e := <-r.events:
		if e.kind != kind {
			t.Fatalf("handler got %s (%v); want %s", e.kind, e.err, kind)
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatalf("handler got nothing; want %s", kind)
	}
	panic("unreachable")
}

// none fails the test if the handler was called.
func (r *recorder) none(t *testing.T) {
	t.Helper()
	select {
	case e := <-r.events:
		t.Fatalf("handler got %s (%v); want nothing", e.kind, e.err)
	default:
	}
}

// pipes is a listener whose connections are in memory, without buffers.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects to the server that serves p.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours
}

// serve runs a server until the test ends, and checks that it then returns.
func serve(t *testing.T, cfg ofswitch.Config, ln net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ofswitch.NewServer(cfg).Serve(ctx, ln) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v; want nil", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// peer is a switch's end of a connection, driven by the test.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func newPeer(t testing.TB, conn net.Conn) *peer {
	t.Cleanup(func() { conn.Close() })
	return &peer{t, conn, bufio.NewReader(conn)}
}

// read returns the next message.
func (p *peer) read() (of.Header, []byte, error) {
	m := make([]byte, of.HeaderLen)
	if _, err := io.ReadFull(p.in, m); err != nil {
		return of.Header{}, nil, err
	}
	h, err := of.ParseHeader(m)
	if err != nil {
		return h, nil, err
	}
	m = append(m, make([]byte, int(h.Length)-of.HeaderLen)...)
	_, err = io.ReadFull(p.in, m[of.HeaderLen:])
	return h, m, err
}

// want returns the next message, which must have this type.
func (p *peer) want(typ of.MessageType) (of.Header, []byte) {
	p.t.Helper()
	h, m, err := p.read()
	if err != nil || h.Type != typ {
		p.t.Fatalf("switch got a message of type %d (%v); want %d", h.Type, err, typ)
	}
	return h, m
}

// ended waits until the other end has closed the connection.
func (p *peer) ended() {
	p.t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.Copy(io.Discard, p.in); err != nil && errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatal("connection was not closed")
	}
}

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("switch writes: %v", err)
	}
}

// message builds a message.
func message(typ of.MessageType, xid uint32, body ...byte) []byte {
	b := []byte{of.Version, byte(typ), 0, 0}
	b = binary.BigEndian.AppendUint32(b, xid)
	b = append(b, body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func featuresReply(xid uint32, dpid uint64) []byte {
	return message(of.TypeFeaturesReply, xid, append(binary.BigEndian.AppendUint64(nil, dpid), make([]byte, 16)...)...)
}

func roleReply(xid uint32, role of.Role) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(role))
	return message(of.TypeRoleReply, xid, append(b, make([]byte, 12)...)...)
}

func errorMessage(xid uint32, typ, code uint16) []byte {
	return message(of.TypeError, xid, byte(typ>>8), byte(typ), byte(code>>8), byte(code))
}

func packetIn(port of.PortNo, frame []byte) []byte {
	b := []byte{0xff, 0xff, 0xff, 0xff}
	b = binary.BigEndian.AppendUint16(b, uint16(len(frame)))
	b = append(b, byte(of.ReasonAction), 3, 0, 0, 0, 0, 0, 0, 0, 9)
	b = append(b, 0, 1, 0, 12, 0x80, 0, 0, 4)
	b = binary.BigEndian.AppendUint32(b, uint32(port))
	b = append(b, 0, 0, 0, 0, 0, 0)
	return message(of.TypePacketIn, 0, append(b, frame...)...)
}

// handshake answers the controller until it is up.
func (p *peer) handshake(dpid uint64) {
	p.t.Helper()
	p.want(of.TypeHello)
	p.write(of.AppendHello(nil, 1))
	h, _ := p.want(of.TypeFeaturesRequest)
	p.write(featuresReply(h.Xid, dpid))
	p.want(of.TypeSetConfig)
	p.want(of.TypeSetAsync)
	h, _ = p.want(of.TypeRoleRequest)
	p.write(roleReply(h.Xid, of.RoleMaster))
	h, _ = p.want(of.TypeBarrierRequest)
	p.write(message(of.TypeBarrierReply, h.Xid))
}

// connected serves one switch in memory that has done its handshake.
func connected(t *testing.T, cfg ofswitch.Config) (*recorder, *peer, *ofswitch.Switch) {
	t.Helper()
	r := newRecorder()
	cfg.Handler = r
	ln := newPipes()
	serve(t, cfg, ln)
	p := newPeer(t, ln.dial())
	p.handshake(7)
	return r, p, r.want(t, "up").sw
}
