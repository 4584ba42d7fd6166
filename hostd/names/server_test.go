package names

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var ip = netip.MustParseAddr

// fakeController answers by a table, or with an error while it is away.
type fakeController struct {
	mu    sync.Mutex
	names map[key]Answer
	away  bool
	asked map[key]int
	hold  chan struct{} // not nil: answers wait for it
}

func (c *fakeController) ask(_ context.Context, vpc, name string) (Answer, error) {
	c.mu.Lock()
	hold := c.hold
	c.asked[key{vpc, name}]++
	c.mu.Unlock()
	if hold != nil {
		<-hold
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return Answer{}, errors.New("away")
	}
	return c.names[key{vpc, name}], nil
}

func (c *fakeController) set(k key, a Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[k] = a
}

// holdBack keeps back all answers until release.
func (c *fakeController) holdBack() (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hold := make(chan struct{})
	c.hold = hold
	return func() { close(hold) }
}

func (c *fakeController) leave(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
}

// rig is a server on loopback, its controller, and the host's name server.
type rig struct {
	*Server
	t          *testing.T
	controller *fakeController
	udp        netip.AddrPort
	tcp        string
	upstream   *upstream
	conf       string
}

// The askers are known by their loopback addresses.
var vpcs = map[netip.Addr]string{ip("127.0.0.1"): "acme/prod", ip("127.0.0.2"): "globex/prod"}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, controller: &fakeController{names: map[key]Answer{}, asked: map[key]int{}}, conf: filepath.Join(t.TempDir(), "resolv.conf")}
	r.upstream = newUpstream(t)
	r.write("nameserver 127.0.0.1\n")
	r.Server = New(Config{
		Ask: r.controller.ask, ResolvConf: r.conf, Port: r.upstream.port, Self: ip("169.254.1.1"),
		Who: func(a netip.Addr) (string, bool) { v, found := vpcs[a]; return v, found },
	})
	udp, err := ListenUDP(0)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := ListenTCP(0)
	if err != nil {
		t.Fatal(err)
	}
	r.udp = netip.AddrPortFrom(ip("127.0.0.1"), uint16(udp.LocalAddr().(*net.UDPAddr).Port))
	r.tcp = fmt.Sprintf("127.0.0.1:%d", tcp.Addr().(*net.TCPAddr).Port)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, udp, tcp) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return r
}

func (r *rig) write(conf string) {
	r.t.Helper()
	if err := os.WriteFile(r.conf, []byte(conf), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// dial opens a socket of the asker to the server.
func (r *rig) dial(from string, to netip.AddrPort) *net.UDPConn {
	r.t.Helper()
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// exchange asks by UDP and returns the answer.
func (r *rig) exchange(from string, b []byte) dnsmessage.Message {
	r.t.Helper()
	c := r.dial(from, r.udp)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(b); err != nil {
		r.t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		r.t.Fatalf("wait for the answer: %v", err)
	}
	return unpack(r.t, buf[:n])
}

func (r *rig) a(from, name string) (dnsmessage.RCode, []netip.Addr) {
	r.t.Helper()
	return addresses(r.exchange(from, ask(r.t, name, dnsmessage.TypeA, nil)))
}

func addresses(m dnsmessage.Message) (dnsmessage.RCode, []netip.Addr) {
	var out []netip.Addr
	for _, rec := range m.Answers {
		if a, ok := rec.Body.(*dnsmessage.AResource); ok {
			out = append(out, netip.AddrFrom4(a.A))
		}
	}
	return m.RCode, out
}

func (r *rig) want(from, name string, code dnsmessage.RCode, addrs ...netip.Addr) {
	r.t.Helper()
	if gotCode, got := r.a(from, name); gotCode != code || !slices.Equal(got, addrs) {
		r.t.Errorf("%s of %s = %v %v; want %v %v", name, from, gotCode, got, code, addrs)
	}
}

// upstream is a name server: it knows every name, by the address 192.0.2.1.
type upstream struct {
	port  uint16
	asked atomic.Int64
	forge atomic.Bool // sends wrong answers first
	long  atomic.Bool // by UDP its answers are longer than anybody takes
	ports sync.Map    // of questions
	ids   sync.Map
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{port: uint16(l.Addr().(*net.TCPAddr).Port)}
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(u.port)})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { u.serveUDP(c) })
	wg.Go(func() { u.serveTCP(l) })
	t.Cleanup(func() {
		c.Close()
		l.Close()
		wg.Wait()
	})
	return u
}

func (u *upstream) serveUDP(c *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		u.ports.Store(from.Port(), true)
		if u.forge.Load() {
			for _, edit := range []func(*dnsmessage.Message){
				func(m *dnsmessage.Message) { m.ID++ },
				func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("other.example.") },
			} {
				_, _ = c.WriteToUDPAddrPort(u.answer(buf[:n], func(m *dnsmessage.Message) {
					edit(m)
					m.Answers[0].Body = &dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}}
				}), from)
			}
		}
		_, _ = c.WriteToUDPAddrPort(u.answer(buf[:n], func(m *dnsmessage.Message) {
			for u.long.Load() && len(m.Answers) < 150 {
				m.Answers = append(m.Answers, m.Answers[0])
			}
		}), from)
	}
}

func (u *upstream) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if b, err := readFramed(c, maxMessage); err == nil {
			_ = writeFramed(c, u.answer(b, func(m *dnsmessage.Message) {
				for u.long.Load() && len(m.Answers) < 150 {
					m.Answers = append(m.Answers, m.Answers[0])
				}
			}))
		}
		c.Close()
	}
}

func (u *upstream) answer(b []byte, edit func(*dnsmessage.Message)) []byte {
	u.asked.Add(1)
	var m dnsmessage.Message
	if m.Unpack(b) != nil {
		return nil
	}
	u.ids.Store(m.ID, true)
	m.Response = true
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 60},
		Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
	}}
	edit(&m)
	out, _ := m.Pack()
	return out
}

func TestNamesAreThoseOfTheAskersVPC(t *testing.T) {
	r := newRig(t)
	r.controller.set(key{"acme/prod", "db1"}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	r.controller.set(key{"globex/prod", "db1"}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.9")}})
	r.controller.set(key{"acme/prod", "nobody"}, Answer{Ours: true})
	r.want("127.0.0.1", "db1.", noError, ip("10.1.1.2"))
	r.want("127.0.0.2", "DB1.", noError, ip("10.1.1.9"))
	r.want("127.0.0.1", "nobody.", noName)
	if n := r.upstream.asked.Load(); n != 0 {
		t.Errorf("%d questions were handed on; want none", n)
	}
}

func TestOtherNamesAreHandedOn(t *testing.T) {
	r := newRig(t)
	r.want("127.0.0.1", "www.example.org.", noError, ip("192.0.2.1"))
	r.want("127.0.0.1", "_sip._tcp.example.org.", noError, ip("192.0.2.1"))
	m := r.exchange("127.0.0.1", ask(t, "www.example.org.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.RecursionDesired = false }))
	if m.RCode != refused {
		t.Errorf("without the wish for recursion = %v; want refused", m.RCode)
	}
	if got := r.controller.asked[key{"acme/prod", "_sip._tcp.example.org"}]; got != 0 {
		t.Errorf("the controller was asked %d times for a name that can't be ours", got)
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	r := newRig(t)
	r.upstream.forge.Store(true)
	r.want("127.0.0.1", "www.example.org.", noError, ip("192.0.2.1"))
}

func TestEachQuestionHasAnIDAndAPortOfItsOwn(t *testing.T) {
	r := newRig(t)
	const n = 50
	for i := range n {
		r.want("127.0.0.1", fmt.Sprintf("w%d.example.org.", i), noError, ip("192.0.2.1"))
	}
	count := func(m *sync.Map) (n int) {
		m.Range(func(any, any) bool { n++; return true })
		return n
	}
	if ports, ids := count(&r.upstream.ports), count(&r.upstream.ids); ports < n/2 || ids < n-2 {
		t.Errorf("%d questions from %d ports with %d ids", n, ports, ids)
	}
}

func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	r := newRig(t)
	r.controller.set(key{"acme/prod", "db1"}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	c := r.dial("127.0.0.1", netip.AddrPortFrom(ip("127.0.0.77"), r.udp.Port())) // takes answers from there alone
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(ask(t, "db1.", dnsmessage.TypeA, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 512)); err != nil {
		t.Errorf("answer: %v", err)
	}
}

// dialTCP opens a connection of the asker.
func (r *rig) dialTCP(from string) net.Conn {
	r.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(r.t.Context(), "tcp4", r.tcp)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestLongAnswersComeByTCP(t *testing.T) {
	r := newRig(t)
	r.upstream.long.Store(true)
	question := ask(t, "www.example.org.", dnsmessage.TypeA, nil)
	if m := r.exchange("127.0.0.1", question); !m.Truncated || len(m.Answers) > 0 {
		t.Errorf("by UDP = %+v with %d records; want truncated", m.Header, len(m.Answers))
	}
	c := r.dialTCP("127.0.0.1")
	for range 3 {
		if err := writeFramed(c, question); err != nil {
			t.Fatal(err)
		}
		b, err := readFramed(c, maxMessage)
		if err != nil {
			t.Fatal(err)
		}
		if m := unpack(t, b); m.Truncated || len(m.Answers) != 150 {
			t.Errorf("by TCP = %+v with %d records; want 150", m.Header, len(m.Answers))
		}
	}
}

func TestHostileStreamsEnd(t *testing.T) {
	r := newRig(t)
	for name, b := range map[string][]byte{
		"too long a question": {0xff, 0xff, 0, 7}, "no question": {0, 3, 1, 2, 3}, "an answer": append([]byte{0, 12}, 0, 7, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0),
	} {
		c := r.dialTCP("127.0.0.1")
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, c); n != 0 {
			t.Errorf("%s: %d bytes came back, %v; want the end", name, n, err)
		}
	}
}

func TestStrangersAreNotAnswered(t *testing.T) {
	r := newRig(t)
	c := r.dialTCP("127.0.0.9")
	if n, _ := io.Copy(io.Discard, c); n != 0 {
		t.Errorf("%d bytes for a stranger", n)
	}
	s := r.dial("127.0.0.9", r.udp)
	if _, err := s.Write(ask(t, "db1.", dnsmessage.TypeA, nil)); err != nil {
		t.Fatal(err)
	}
	r.want("127.0.0.1", "www.example.org.", noError, ip("192.0.2.1")) // behind it
	if got := r.controller.asked[key{"", "db1"}]; got != 0 {
		t.Error("the controller was asked for a stranger")
	}
}

func TestOldAnswersGoOnWhileNoControllerAnswers(t *testing.T) {
	r := newRig(t)
	k := key{"acme/prod", "db1.db.dev"}
	r.controller.set(k, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	r.want("127.0.0.1", "db1.db.dev.", noError, ip("10.1.1.2"))
	r.controller.leave(true)
	r.age(freshFor + time.Second)
	r.want("127.0.0.1", "db1.db.dev.", noError, ip("10.1.1.2"))
	r.want("127.0.0.1", "unasked.", failed)
	r.want("127.0.0.1", "unasked.db.prod.", failed)
	r.want("127.0.0.1", "unasked.db.dev.", failed) // a public suffix, but where ours is
	r.want("127.0.0.1", "1.1.1.10.in-addr.arpa.", failed)
	r.want("127.0.0.1", "www.example.org.", noError, ip("192.0.2.1"))
	r.age(staleFor)
	r.want("127.0.0.1", "db1.db.dev.", failed)
}

// age makes all that is kept older.
func (r *rig) age(by time.Duration) {
	c := &r.meanings.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.vpcs {
		for _, l := range []*lru{&s.present, &s.absent} {
			for el := l.order.Front(); el != nil; el = el.Next() {
				el.Value.(*entry).at = el.Value.(*entry).at.Add(-by)
			}
		}
	}
}

// TestAControllerThatJustCameEndsNoName: other hosts may not have reported to it.
func TestAControllerThatJustCameEndsNoName(t *testing.T) {
	for _, came := range []bool{true, false} {
		r := newRig(t)
		k := key{"acme/prod", "db1"}
		r.controller.set(k, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
		r.want("127.0.0.1", "db1.", noError, ip("10.1.1.2"))
		r.controller.set(k, Answer{Ours: true})
		r.age(freshFor + time.Second)
		if came {
			r.Unsettle()
			r.want("127.0.0.1", "db1.", noError, ip("10.1.1.2"))
		} else {
			r.want("127.0.0.1", "db1.", noName)
		}
	}
}

func TestOneNameIsAskedOnceAtATime(t *testing.T) {
	r := newRig(t)
	k := key{"acme/prod", "db1"}
	r.controller.set(k, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	release := r.controller.holdBack()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if a, err := r.meanings.of(context.Background(), k); err != nil || len(a.Addresses) != 1 {
				t.Errorf("answer = %v, %v", a, err)
			}
		})
	}
	release()
	wg.Wait()
	if n := r.controller.asked[k]; n != 1 {
		t.Errorf("asked %d times; want once, also for who looked just before the answer came", n)
	}
}

// TestWaitingQuestionsOfOneEndpointKeepNobodyWaiting: one has as many under way as
// it may, and its own further ones are dropped. Without the bound they are not.
func TestWaitingQuestionsOfOneEndpointKeepNobodyWaiting(t *testing.T) {
	r := newRig(t)
	r.controller.set(key{"globex/prod", "db1"}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.9")}})
	r.want("127.0.0.2", "db1.", noError, ip("10.1.1.9"))
	defer r.controller.holdBack()()
	c := r.dial("127.0.0.1", r.udp)
	for i := range maxWorkEach + 20 {
		if _, err := c.Write(ask(t, fmt.Sprintf("n%d.", i), dnsmessage.TypeA, nil)); err != nil {
			t.Fatal(err)
		}
	}
	r.want("127.0.0.2", "db1.", noError, ip("10.1.1.9")) // behind them
	if got := r.Stats().Excess; got != 20 {
		t.Errorf("%d questions were too many; want 20", got)
	}
	for range maxStreamsEach {
		r.dialTCP("127.0.0.1")
	}
	if n, _ := io.Copy(io.Discard, r.dialTCP("127.0.0.1")); n != 0 {
		t.Errorf("%d bytes by a connection too many", n)
	}
	other := r.dialTCP("127.0.0.2")
	if err := writeFramed(other, ask(t, "db1.", dnsmessage.TypeA, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := readFramed(other, maxMessage); err != nil {
		t.Errorf("another endpoint's connection: %v", err)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	var c cache
	now := time.Now()
	c.put(now, key{"v", "kept"}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	for i := range 3 * maxAbsent {
		c.put(now, key{"v", fmt.Sprintf("n%d.z%d", i, i)}, Answer{Ours: true})
		c.put(now, key{"w", fmt.Sprintf("n%d", i)}, Answer{Ours: true, Addresses: []netip.Addr{ip("10.1.1.2")}})
	}
	if _, _, found := c.get(now, key{"v", "kept"}); !found {
		t.Error("names that don't exist, or another VPC's, took the place of one that does")
	}
	for v, s := range c.vpcs {
		if len(s.present.by) > maxPresent || len(s.absent.by) > maxAbsent || len(s.zones) > maxZones ||
			s.present.order.Len() != len(s.present.by) || s.absent.order.Len() != len(s.absent.by) {
			t.Errorf("%s keeps %d, %d and %d zones", v, len(s.present.by), len(s.absent.by), len(s.zones))
		}
	}
	c.keep(map[string]bool{"w": true})
	if len(c.vpcs) != 1 {
		t.Errorf("%d VPCs are kept; want 1", len(c.vpcs))
	}
}

func TestTheHostsNameServersAreReadAgain(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	s := servers{path: conf, self: ip("169.254.1.1")}
	now := time.Now()
	write := func(text string, at time.Time) {
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(conf, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("search example.org\nnameserver 192.0.2.1 # first\nnameserver 169.254.1.1\nnameserver nonsense\n", now)
	if got := s.get(now); !slices.Equal(got, []netip.Addr{ip("192.0.2.1")}) {
		t.Errorf("servers = %v; want 192.0.2.1 and never ourselves", got)
	}
	write("nameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\nnameserver 192.0.2.5\n", now.Add(time.Second))
	if got := s.get(now.Add(confEvery)); len(got) != maxServers || got[0] != ip("192.0.2.2") {
		t.Errorf("servers after a change = %v", got)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	if got := s.get(now.Add(3 * confEvery)); len(got) != maxServers {
		t.Errorf("servers while there is no file = %v; want those of before", got)
	}
}

func TestGivenAreTheServersThatContainersCanReach(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	for text, want := range map[string][]netip.Addr{
		"nameserver 192.0.2.1\nnameserver 127.0.0.1\nnameserver 2001:db8::1\n": {ip("192.0.2.1")},
		"nameserver 127.0.0.1\n": nil,
		"":                       nil,
	} {
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Given(conf); !slices.Equal(got, want) {
			t.Errorf("Given(%q) = %v; want %v", text, got, want)
		}
	}
	if got := Given(filepath.Join(t.TempDir(), "none")); len(got) != 0 {
		t.Errorf("Given(no file) = %v", got)
	}
}
