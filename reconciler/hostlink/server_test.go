package hostlink_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// patience bounds every wait of a test.
const patience = 10 * time.Second

// call is one call of the handler.
type call struct {
	kind    string
	conn    *hostlink.Conn
	hello   inventory.HostReport
	delta   inventory.HostDelta
	request hostlink.LeaseRequest
	release hostlink.LeaseRelease
	err     error
}

// recorder hands each call to the test, which so decides how long it lasts.
type recorder chan call

func (r recorder) HostHello(c *hostlink.Conn, h inventory.HostReport) {
	r <- call{kind: "hello", conn: c, hello: h}
}

func (r recorder) HostDelta(c *hostlink.Conn, d inventory.HostDelta) {
	r <- call{kind: "delta", conn: c, delta: d}
}

func (r recorder) LeaseRequest(c *hostlink.Conn, q hostlink.LeaseRequest) {
	r <- call{kind: "request", conn: c, request: q}
}

func (r recorder) LeaseRelease(c *hostlink.Conn, q hostlink.LeaseRelease) {
	r <- call{kind: "release", conn: c, release: q}
}

func (r recorder) HostGone(c *hostlink.Conn, err error) {
	r <- call{kind: "gone", conn: c, err: err}
}

// next returns the next call, which must be of the given kind.
func (r recorder) next(t *testing.T, kind string) call {
	t.Helper()
	select {
	case c := <-r:
		if c.kind != kind {
			t.Fatalf("handler was called with %s (%v); want %s", c.kind, c.err, kind)
		}
		return c
	case <-time.After(patience):
		t.Fatalf("handler was not called with %s", kind)
	}
	return call{}
}

// bed is a running server and a way to connect to it.
type bed struct {
	calls recorder
	ln    *bufconn.Listener
	stop  context.CancelFunc
	done  chan error
}

func newBed(t *testing.T) *bed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &bed{calls: make(recorder), ln: bufconn.Listen(1 << 16), stop: cancel, done: make(chan error, 1)}
	srv := hostlink.NewServer(hostlink.Config{
		Handler: b.calls,
		Logger:  slog.New(slog.DiscardHandler),

		Credentials: insecure.NewCredentials(),
		Authorize:   func(context.Context, *inventory.HostReport, func(error)) (func(), error) { return func() {}, nil },
		Welcome:     hostlink.Welcome{Controllers: []string{"tcp:172.31.250.1:6653"}, WireValue: 0x4000, WireMask: 0xe000},
	})
	go func() { b.done <- srv.Serve(ctx, b.ln) }()
	t.Cleanup(func() { b.shutdown(t) })
	return b
}

// shutdown ends the server and swallows what the handler is told meanwhile.
func (b *bed) shutdown(t *testing.T) {
	b.stop()
	for {
		select {
		case <-b.calls:
		case err := <-b.done:
			if err != nil {
				t.Errorf("Serve = %v; want nil after its context ended", err)
			}
			b.done <- nil
			return
		case <-time.After(patience):
			t.Error("Serve did not return")
			return
		}
	}
}

type stream = grpc.BidiStreamingClient[hostpb.HostMsg, hostpb.ControllerMsg]

func (b *bed) dial(t *testing.T) stream {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:bed",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return b.ln.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	s, err := hostpb.NewHostLinkClient(cc).Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func send(t *testing.T, s stream, m *hostpb.HostMsg) {
	t.Helper()
	if err := s.Send(m); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func recv(t *testing.T, s stream) *hostpb.ControllerMsg {
	t.Helper()
	m, err := s.Recv()
	if err != nil {
		t.Fatalf("recv: %v", err)
	}
	return m
}

// join connects host and reads its welcome.
func (b *bed) join(t *testing.T, host string) (stream, *hostlink.Conn) {
	t.Helper()
	s := b.dial(t)
	h := goodHello()
	h.Host = host
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: h}})
	c := b.calls.next(t, "hello")
	if recv(t, s).GetWelcome() == nil {
		t.Fatal("the first answer is no welcome")
	}
	return s, c.conn
}

func goodEndpoint() *hostpb.Endpoint {
	return &hostpb.Endpoint{
		Name: "web1", Tenant: "acme", Vpc: "prod", Subnet: "web", Claims: []string{"web"}, Labels: map[string]string{"role": "web"},
		Ip: []byte{10, 1, 0, 2}, Mac: []byte{2, 1, 2, 3, 4, 5}, Ofport: 16,
	}
}

func goodUplink() *hostpb.Uplink {
	return &hostpb.Uplink{
		Ofport: 1, Mac: []byte{2, 0, 0, 0, 1, 1}, Ip: []byte{172, 31, 1, 1}, PrefixLen: 24,
		NextHopIp: []byte{172, 31, 1, 254}, NextHopMac: []byte{2, 0, 0, 0, 1, 0xfe}, Mtu: 1500,
	}
}

func goodHello() *hostpb.Hello {
	return &hostpb.Hello{
		Host: "h1", BootId: "boot", Dpid: 0x020000000101, Uplink: goodUplink(),
		Listeners: []*hostpb.Listener{{Proto: 6, Port: 22222}},
		Endpoints: []*hostpb.Endpoint{goodEndpoint()},
	}
}

func TestReportsArriveAsInventory(t *testing.T) {
	b := newBed(t)
	s := b.dial(t)
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: goodHello()}})
	hello := b.calls.next(t, "hello")
	uplink := inventory.Uplink{
		Port: 1, MAC: packet.MAC{2, 0, 0, 0, 1, 1}, Addr: netip.MustParsePrefix("172.31.1.1/24"),
		NextHop: netip.MustParseAddr("172.31.1.254"), NextHopMAC: packet.MAC{2, 0, 0, 0, 1, 0xfe}, MTU: 1500,
	}
	web1 := inventory.EndpointReport{
		Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", Claims: []string{"web"}, Labels: map[string]string{"role": "web"},
		IP: netip.MustParseAddr("10.1.0.2"), MAC: packet.MAC{2, 1, 2, 3, 4, 5}, Port: 16,
	}
	want := inventory.HostReport{
		Name: "h1", BootID: "boot", DPID: 0x020000000101, Uplink: uplink,
		Listeners: []inventory.Listener{{Proto: packet.TCP, Port: 22222}}, Endpoints: []inventory.EndpointReport{web1},
	}
	if diff := cmp.Diff(want, hello.hello, compare...); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{
		Seq: 1, Up: []*hostpb.Endpoint{goodEndpoint()}, Down: []*hostpb.EndpointRef{{Vpc: "acme/prod", Name: "web2"}},
		Uplink: goodUplink(), Listeners: &hostpb.ListenerList{},
	}}})
	delta := b.calls.next(t, "delta")
	wantDelta := inventory.HostDelta{
		Seq: 1, Up: []inventory.EndpointReport{web1}, Down: []inventory.EndpointRef{{VPC: "acme/prod", Name: "web2"}},
		Uplink: &uplink, Listeners: &[]inventory.Listener{},
	}
	if diff := cmp.Diff(wantDelta, delta.delta, compare...); diff != "" {
		t.Errorf("delta (-want +got):\n%s", diff)
	}
}

var compare = []cmp.Option{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.EquateEmpty()}

func TestAbsentPartsOfDeltaAreUnchanged(t *testing.T) {
	b := newBed(t)
	s, _ := b.join(t, "h1")
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: 1}}})
	if d := b.calls.next(t, "delta").delta; d.Uplink != nil || d.Listeners != nil {
		t.Errorf("delta = %+v; want no uplink and no listeners", d)
	}
}

func TestAnswersReachTheHost(t *testing.T) {
	b := newBed(t)
	s := b.dial(t)
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: goodHello()}})
	c := b.calls.next(t, "hello").conn
	if c.Host() != "h1" || c.ID() == 0 {
		t.Errorf("conn is %q, %d; want h1 and a number", c.Host(), c.ID())
	}
	w := recv(t, s).GetWelcome()
	if w.GetWireValue() != 0x4000 || w.GetWireMask() != 0xe000 || len(w.GetControllers()) != 1 || w.GetControllers()[0] != "tcp:172.31.250.1:6653" {
		t.Errorf("welcome = %v", w)
	}
	c.Ack(0, []hostlink.EndpointError{{Ref: inventory.EndpointRef{VPC: "acme/prod", Name: "web1"}, Text: strings.Repeat("ä", 1000)}})
	a := recv(t, s).GetAck()
	if a.GetSeq() != 0 || len(a.GetErrors()) != 1 || a.GetErrors()[0].GetVpc() != "acme/prod" || len(a.GetErrors()[0].GetText()) != hostpb.MaxErrorText {
		t.Errorf("ack = %v", a)
	}

	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRequest{LeaseRequest: &hostpb.LeaseRequest{
		Id: 7, Tenant: "acme", Vpc: "prod", Subnet: "web", Name: "web2", Ip: []byte{10, 1, 0, 9}, Held: "hold-1",
	}}})
	q := b.calls.next(t, "request").request
	if want := (hostlink.LeaseRequest{ID: 7, Tenant: "acme", VPC: "prod", Subnet: "web", Name: "web2", IP: netip.MustParseAddr("10.1.0.9"), Held: "hold-1"}); q != want {
		t.Errorf("request = %+v; want %+v", q, want)
	}
	c.Lease(7, hostlink.Lease{IP: q.IP, MAC: packet.MAC{2, 0, 0, 0, 0, 9}})
	if l := recv(t, s).GetLease(); l.GetId() != 7 || string(l.GetIp()) != "\x0a\x01\x00\x09" || len(l.GetMac()) != 6 || l.GetError() != "" {
		t.Errorf("lease = %v", l)
	}
	c.Lease(8, hostlink.Lease{Err: "no"})
	if l := recv(t, s).GetLease(); l.GetId() != 8 || l.GetError() != "no" || l.GetIp() != nil {
		t.Errorf("lease = %v", l)
	}
	c.Networks([]hostlink.Network{{Tenant: "acme", VPC: "prod", Subnet: "web", CIDR: netip.MustParsePrefix("10.1.0.0/24")}})
	if n := recv(t, s).GetNetworks().GetNetworks(); len(n) != 1 || n[0].GetSubnet() != "web" || string(n[0].GetIp()) != "\x0a\x01\x00\x00" || n[0].GetPrefixLen() != 24 {
		t.Errorf("networks = %v", n)
	}
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_LeaseRelease{LeaseRelease: &hostpb.LeaseRelease{Vpc: "acme/prod", Name: "web2", Ip: []byte{10, 1, 0, 9}}}})
	r := b.calls.next(t, "release").release
	if want := (hostlink.LeaseRelease{VPC: "acme/prod", Name: "web2", IP: netip.MustParseAddr("10.1.0.9")}); r != want {
		t.Errorf("release = %+v; want %+v", r, want)
	}
}

func TestGoneSaysWhy(t *testing.T) {
	b := newBed(t)
	s, c := b.join(t, "h1")
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if g := b.calls.next(t, "gone"); g.conn != c || g.err != nil {
		t.Errorf("gone with %v; want the same conn and no error, since the host ended its stream", g.err)
	}
	_, c = b.join(t, "h1")
	c.Close()
	if g := b.calls.next(t, "gone"); status.Code(g.err) != codes.Aborted {
		t.Errorf("gone with %v; want Aborted", g.err)
	}
}

func TestNewerStreamOfHostWins(t *testing.T) {
	b := newBed(t)
	old, oldConn := b.join(t, "h1")
	other, _ := b.join(t, "h2")
	s := b.dial(t)
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: goodHello()}})
	if g := b.calls.next(t, "gone"); g.conn != oldConn {
		t.Errorf("%q %d is gone; want the old stream", g.conn.Host(), g.conn.ID())
	}
	if h := b.calls.next(t, "hello"); h.conn.ID() <= oldConn.ID() {
		t.Errorf("new conn %d after %d", h.conn.ID(), oldConn.ID())
	}
	if _, err := old.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("old stream ended with %v; want Aborted", err)
	}
	send(t, other, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: 1}}})
	b.calls.next(t, "delta")
}

func TestHostThatReadsNothingIsCutAndDoesNotBlock(t *testing.T) {
	b := newBed(t)
	_, c := b.join(t, "h1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		text := []hostlink.EndpointError{{Text: strings.Repeat("x", hostpb.MaxErrorText)}}
		for i := range uint64(4096) {
			c.Ack(i, text)
		}
	}()
	if g := b.calls.next(t, "gone"); status.Code(g.err) != codes.ResourceExhausted {
		t.Errorf("gone with %v; want ResourceExhausted", g.err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("Ack blocked")
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	b := newBed(t)
	s, c := b.join(t, "h1")
	b.stop()
	if g := b.calls.next(t, "gone"); g.conn != c {
		t.Error("another conn is gone")
	}
	select {
	case err := <-b.done:
		if err != nil {
			t.Errorf("Serve = %v", err)
		}
		b.done <- nil
	case <-time.After(patience):
		t.Fatal("Serve did not return")
	}
	if _, err := s.Recv(); err == nil {
		t.Error("the stream goes on")
	}
}

func TestWrongOrderEndsTheStream(t *testing.T) {
	delta := func(seq uint64) *hostpb.HostMsg {
		return &hostpb.HostMsg{Msg: &hostpb.HostMsg_Delta{Delta: &hostpb.Delta{Seq: seq}}}
	}
	tests := []struct {
		name string
		msgs []*hostpb.HostMsg
	}{
		{"second hello", []*hostpb.HostMsg{{Msg: &hostpb.HostMsg_Hello{Hello: goodHello()}}}},
		{"empty message", []*hostpb.HostMsg{{}}},
		{"delta without number", []*hostpb.HostMsg{delta(0)}},
		{"delta twice", []*hostpb.HostMsg{delta(5), delta(5)}},
		{"delta out of order", []*hostpb.HostMsg{delta(5), delta(4)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBed(t)
			s, _ := b.join(t, "h1")
			for i, m := range tt.msgs {
				send(t, s, m)
				if i < len(tt.msgs)-1 {
					b.calls.next(t, "delta")
				}
			}
			if g := b.calls.next(t, "gone"); status.Code(g.err) != codes.InvalidArgument {
				t.Errorf("gone with %v; want InvalidArgument", g.err)
			}
			if _, err := s.Recv(); status.Code(err) != codes.InvalidArgument {
				t.Errorf("host is told %v; want InvalidArgument", err)
			}
		})
	}
	t.Run("delta before hello", func(t *testing.T) {
		b := newBed(t)
		s := b.dial(t)
		send(t, s, delta(1))
		if _, err := s.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("host is told %v; want InvalidArgument", err)
		}
	})
}

func TestTooLargeMessageIsRefused(t *testing.T) {
	b := newBed(t)
	s := b.dial(t)
	h := goodHello()
	h.BootId = strings.Repeat("x", hostpb.MaxMessage)
	send(t, s, &hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: h}})
	if _, err := s.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("host is told %v; want ResourceExhausted", err)
	}
}

func TestManyHostsAtOnce(t *testing.T) {
	b := newBed(t)
	for i := range 20 {
		b.join(t, fmt.Sprintf("h%d", i))
	}
}
