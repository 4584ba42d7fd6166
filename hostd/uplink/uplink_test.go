package uplink_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
)

const patience = 15 * time.Second

// controller is a hostlink server that keeps what it is told.
type controller struct {
	addr   string
	hellos chan inventory.HostReport
	deltas chan inventory.HostDelta
	conns  chan *hostlink.Conn
	asked  chan hostlink.LeaseRequest
	back   chan hostlink.LeaseRelease
	gone   chan error
}

func (c *controller) HostHello(conn *hostlink.Conn, r inventory.HostReport) {
	c.hellos <- r
	c.conns <- conn
}
func (c *controller) HostDelta(_ *hostlink.Conn, d inventory.HostDelta)      { c.deltas <- d }
func (c *controller) LeaseRequest(_ *hostlink.Conn, q hostlink.LeaseRequest) { c.asked <- q }
func (c *controller) LeaseRelease(_ *hostlink.Conn, q hostlink.LeaseRelease) { c.back <- q }
func (c *controller) HostGone(_ *hostlink.Conn, err error)                   { c.gone <- err }

// startController serves on a port of its own until the test or stop ends.
func startController(t *testing.T, addr string) (*controller, context.CancelFunc) {
	t.Helper()
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{
		addr: ln.Addr().String(), hellos: make(chan inventory.HostReport, 8), deltas: make(chan inventory.HostDelta, 8), conns: make(chan *hostlink.Conn, 8),
		asked: make(chan hostlink.LeaseRequest, 8), back: make(chan hostlink.LeaseRelease, 8), gone: make(chan error, 8),
	}
	srv := hostlink.NewServer(hostlink.Config{
		Handler: c, Logger: slog.New(slog.DiscardHandler), Credentials: insecure.NewCredentials(),
		Authorize: func(context.Context, *inventory.HostReport, func(error)) (func(), error) { return func() {}, nil },
		Welcome:   hostlink.Welcome{Controllers: []string{"tcp:172.31.250.1:6653"}, WireValue: 0x4000, WireMask: 0xe000},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ctx, ln); err != nil {
			t.Errorf("Serve = %v", err)
		}
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return c, stop
}

// client is a running uplink whose events the test reads.
type client struct{ events chan uplink.Event }

func startClient(t *testing.T, controllers ...string) *client {
	t.Helper()
	c := &client{events: make(chan uplink.Event, 1024)}
	u, err := uplink.New(uplink.Config{Controllers: controllers, Credentials: insecure.NewCredentials(), Logger: slog.New(slog.DiscardHandler), Handle: func(e uplink.Event) { c.events <- e }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); u.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
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

// next returns the next event, which must be an E.
func next[E uplink.Event](t *testing.T, c *client) E {
	t.Helper()
	ev := await(t, "event", c.events)
	e, ok := ev.(E)
	if !ok {
		t.Fatalf("event is %#v; want a %T", ev, e)
	}
	return e
}

func host() uplink.Host {
	return uplink.Host{
		Name: "h1", BootID: "boot", DPID: 0x020000000101,
		Link: uplink.Link{
			Port: 1, MAC: endpoint.MAC{2, 0, 0, 0, 1, 1}, Addr: netip.MustParsePrefix("172.31.1.1/24"),
			NextHop: netip.MustParseAddr("172.31.1.254"), NextHopMAC: endpoint.MAC{2, 0, 0, 0, 1, 0xfe}, MTU: 1500,
		},
		Listeners: []uplink.Listener{{Proto: 6, Port: 22222}},
		Addresses: uplink.Addresses{
			Own: []netip.Addr{netip.MustParseAddr("172.17.0.1"), netip.MustParseAddr("192.0.2.1")}, Controllers: []netip.Addr{netip.MustParseAddr("172.31.250.1")},
		},
	}
}

func web1() endpoint.Endpoint {
	return endpoint.Endpoint{
		Request: endpoint.Request{
			Ref: endpoint.Ref{Tenant: "acme", VPC: "prod", Name: "web1"}, Subnet: "web", Groups: []string{"web"},
			Labels: map[string]string{"role": "web"}, IP: netip.MustParseAddr("10.1.0.2"), MAC: endpoint.MAC{2, 1, 2, 3, 4, 5},
		},
		Port: 16,
	}
}

func TestMessagesArriveAsMeant(t *testing.T) {
	ctl, _ := startController(t, "127.0.0.1:0")
	c := startClient(t, ctl.addr)
	s := next[uplink.Opened](t, c).Session
	s.Send(uplink.HelloMsg(host(), []endpoint.Endpoint{web1()}))
	welcomed := next[uplink.Welcomed](t, c)
	w := welcomed.Welcome
	if from := netip.MustParseAddr("127.0.0.1"); welcomed.From != from {
		t.Errorf("welcome from %s; want %s", welcomed.From, from)
	}
	if !slices.Equal(w.GetControllers(), []string{"tcp:172.31.250.1:6653"}) || w.GetWireValue() != 0x4000 || w.GetWireMask() != 0xe000 {
		t.Errorf("welcome = %v", w)
	}
	link := inventory.Uplink{
		Port: 1, MAC: packet.MAC{2, 0, 0, 0, 1, 1}, Addr: netip.MustParsePrefix("172.31.1.1/24"),
		NextHop: netip.MustParseAddr("172.31.1.254"), NextHopMAC: packet.MAC{2, 0, 0, 0, 1, 0xfe}, MTU: 1500,
	}
	report := inventory.EndpointReport{
		Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", Claims: []string{"web"}, Labels: map[string]string{"role": "web"},
		IP: netip.MustParseAddr("10.1.0.2"), MAC: packet.MAC{2, 1, 2, 3, 4, 5}, Port: 16,
	}
	compare := cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})
	if diff := cmp.Diff(inventory.HostReport{
		Name: "h1", BootID: "boot", DPID: 0x020000000101, Uplink: link,
		Listeners: []inventory.Listener{{Proto: packet.TCP, Port: 22222}}, Endpoints: []inventory.EndpointReport{report},
		AddressLists: inventory.AddressLists{Addresses: host().Own, Controllers: host().Controllers},
	}, await(t, "hello", ctl.hellos), compare); diff != "" {
		t.Errorf("hello (-want +got):\n%s", diff)
	}

	s.Send(uplink.EndpointsMsg(1, []endpoint.Endpoint{web1()}, []endpoint.Ref{{Tenant: "acme", VPC: "prod", Name: "web2"}}))
	if diff := cmp.Diff(inventory.HostDelta{
		Seq: 1, Up: []inventory.EndpointReport{report}, Down: []inventory.EndpointRef{{VPC: "acme/prod", Name: "web2"}},
	}, await(t, "delta", ctl.deltas), compare); diff != "" {
		t.Errorf("delta (-want +got):\n%s", diff)
	}
	s.Send(uplink.LinkMsg(2, host().Link))
	if d := await(t, "delta", ctl.deltas); d.Uplink == nil || *d.Uplink != link || d.Listeners != nil || d.Addresses != nil {
		t.Errorf("delta about the uplink = %+v", d)
	}
	s.Send(uplink.ListenersMsg(3, nil))
	if d := await(t, "delta", ctl.deltas); d.Listeners == nil || len(*d.Listeners) != 0 || d.Uplink != nil {
		t.Errorf("delta about the listeners = %+v", d)
	}
	s.Send(uplink.AddressesMsg(4, uplink.Addresses{Own: host().Own[:1]}))
	if diff := cmp.Diff(inventory.HostDelta{Seq: 4, Addresses: &inventory.AddressLists{Addresses: host().Own[:1]}}, await(t, "delta", ctl.deltas), compare, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("delta about the addresses (-want +got):\n%s", diff)
	}
}

func TestHostWithoutNextHopIsTaken(t *testing.T) {
	ctl, _ := startController(t, "127.0.0.1:0")
	c := startClient(t, ctl.addr)
	h := host()
	h.Link.NextHop, h.Link.NextHopMAC = netip.Addr{}, endpoint.MAC{}
	next[uplink.Opened](t, c).Session.Send(uplink.HelloMsg(h, nil))
	if r := await(t, "hello", ctl.hellos); r.Uplink.NextHop.IsValid() || r.Uplink.NextHopMAC != (packet.MAC{}) {
		t.Errorf("next hop = %+v", r.Uplink)
	}
}

func TestAnswersArrive(t *testing.T) {
	ctl, _ := startController(t, "127.0.0.1:0")
	c := startClient(t, ctl.addr)
	s := next[uplink.Opened](t, c).Session
	s.Send(uplink.HelloMsg(host(), nil))
	next[uplink.Welcomed](t, c)
	conn := await(t, "connection", ctl.conns)
	ref := endpoint.Ref{Tenant: "acme", VPC: "prod", Name: "web1"}

	conn.Ack(0, nil)
	conn.Ack(4, []hostlink.EndpointError{{Ref: inventory.EndpointRef{VPC: "acme/prod", Name: "web1"}, Text: "no"}})
	if a := next[uplink.Acked](t, c); a.Seq != 0 || len(a.Problems) != 0 {
		t.Errorf("ack = %+v", a)
	}
	if a := next[uplink.Acked](t, c); a.Seq != 4 || a.Problems[ref] != "no" {
		t.Errorf("ack = %+v", a)
	}

	s.Send(uplink.LeaseRequestMsg(endpoint.AskLease{ID: 7, Ref: ref, Subnet: "web", IP: netip.MustParseAddr("10.1.0.9")}))
	s.Send(uplink.LeaseRequestMsg(endpoint.AskLease{ID: 8, Ref: ref, Subnet: "web"}))
	want := hostlink.LeaseRequest{ID: 7, Tenant: "acme", VPC: "prod", Subnet: "web", Name: "web1", IP: netip.MustParseAddr("10.1.0.9")}
	if q := await(t, "request", ctl.asked); q != want {
		t.Errorf("request = %+v; want %+v", q, want)
	}
	if q := await(t, "request", ctl.asked); q.ID != 8 || q.IP.IsValid() {
		t.Errorf("request = %+v; want any address", q)
	}
	conn.Lease(7, hostlink.Lease{IP: netip.MustParseAddr("10.1.0.9"), MAC: packet.MAC{2, 0, 0, 0, 0, 9}})
	conn.Lease(8, hostlink.Lease{Err: "full"})
	if l, err := uplink.ParseLease(next[uplink.Leased](t, c).Lease); err != nil || l != (endpoint.Leased{ID: 7, IP: netip.MustParseAddr("10.1.0.9"), MAC: endpoint.MAC{2, 0, 0, 0, 0, 9}}) {
		t.Errorf("lease = %+v, %v", l, err)
	}
	if l, err := uplink.ParseLease(next[uplink.Leased](t, c).Lease); err != nil || l.ID != 8 || l.Err != "full" {
		t.Errorf("lease = %+v, %v", l, err)
	}
	conn.Lease(9, hostlink.Lease{})
	if l, err := uplink.ParseLease(next[uplink.Leased](t, c).Lease); err == nil {
		t.Errorf("a lease without address = %+v; want an error", l)
	}

	s.Send(uplink.LeaseReleaseMsg(endpoint.SendRelease{Ref: ref, IP: netip.MustParseAddr("10.1.0.9")}))
	if r := await(t, "release", ctl.back); r.VPC != "acme/prod" || r.Name != "web1" || r.IP.String() != "10.1.0.9" {
		t.Errorf("release = %+v", r)
	}
}

func TestLostStreamComesBackAndRefusalIsTold(t *testing.T) {
	ctl, stop := startController(t, "127.0.0.1:0")
	c := startClient(t, ctl.addr)
	first := next[uplink.Opened](t, c).Session
	first.Send(uplink.HelloMsg(host(), nil))
	next[uplink.Welcomed](t, c)
	stop()
	if e := next[uplink.Closed](t, c); e.Session != first {
		t.Error("another session was closed")
	}
	again, _ := startController(t, ctl.addr)
	second := next[uplink.Opened](t, c).Session
	bad := host()
	bad.Name = "H1"
	second.Send(uplink.HelloMsg(bad, nil))
	if e := next[uplink.Closed](t, c); e.Err == nil || !strings.Contains(e.Err.Error(), `host name "H1"`) {
		t.Errorf("closed with %v; want the refusal's text", e.Err)
	}
	next[uplink.Opened](t, c).Session.Send(uplink.HelloMsg(host(), nil))
	next[uplink.Welcomed](t, c)
	await(t, "hello", again.hellos)
}

func TestAnotherControllerIsTried(t *testing.T) {
	dead, stop := startController(t, "127.0.0.1:0")
	stop()
	ctl, _ := startController(t, "127.0.0.1:0")
	c := startClient(t, dead.addr, ctl.addr)
	s := next[uplink.Opened](t, c).Session
	if s.Controller != ctl.addr {
		t.Errorf("controller is %s; want %s", s.Controller, ctl.addr)
	}
}

func TestSendNeverBlocks(t *testing.T) {
	ctl, _ := startController(t, "127.0.0.1:0")
	c := startClient(t, ctl.addr)
	s := next[uplink.Opened](t, c).Session
	// No hello: the controller refuses the first delta, and the queue fills up.
	for i := range uint64(5000) {
		s.Send(uplink.ListenersMsg(i+1, nil))
	}
	if e := next[uplink.Closed](t, c); e.Err == nil {
		t.Error("the stream ended without a reason")
	}
}

func TestNoControllerIsAnError(t *testing.T) {
	if _, err := uplink.New(uplink.Config{}); err == nil {
		t.Error("New without controllers = nil; want an error")
	}
}
