//go:build e2e

package e2e_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// resolver is where an endpoint asks for names.
var resolver = netip.MustParseAddrPort("169.254.1.1:53")

// lookup is a question and what to do with it.
type lookup struct {
	name    string
	typ     dnsmessage.Type // zero: A
	network string          // empty: udp4
	source  uint16          // port; 0: any
	server  netip.AddrPort  // zero: resolver
}

// answer is what came back.
type answer struct {
	code  dnsmessage.RCode
	addrs []netip.Addr
	ptr   string
}

// ask asks once and waits 1 s.
func (f *fabric) ask(e *netns.Endpoint, l lookup) (answer, error) {
	if l.typ == 0 {
		l.typ = dnsmessage.TypeA
	}
	if l.network == "" {
		l.network = "udp4"
	}
	if !l.server.IsValid() {
		l.server = resolver
	}
	ctx, cancel := context.WithTimeout(f.ctx, time.Second)
	defer cancel()
	c, err := inside.Dial(ctx, e.Namespace, l.network, l.source, l.server)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	return askBy(c, l, uint16(time.Now().UnixNano()))
}

// askBy asks by a connection.
func askBy(c net.Conn, l lookup, id uint16) (answer, error) {
	b, err := question(l.name, l.typ, id)
	if err != nil {
		return answer{}, err
	}
	c.SetDeadline(time.Now().Add(time.Second))
	if l.network == "tcp4" {
		b, err = framed(c, b)
	} else {
		if _, err := c.Write(b); err != nil {
			return answer{}, err
		}
		b = make([]byte, 4096)
		var n int
		n, err = c.Read(b)
		b = b[:n]
	}
	if err != nil {
		return answer{}, err
	}
	return readAnswer(b, id)
}

// framed sends a message by TCP and returns the answer.
func framed(c net.Conn, b []byte) ([]byte, error) {
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
		return nil, err
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, err
	}
	b = make([]byte, binary.BigEndian.Uint16(head))
	_, err := io.ReadFull(c, b)
	return b, err
}

func readAnswer(b []byte, id uint16) (answer, error) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return answer{}, err
	}
	if m.ID != id || !m.Response {
		return answer{}, fmt.Errorf("answer has id %d, response %v; want %d, true", m.ID, m.Response, id)
	}
	a := answer{code: m.RCode}
	for _, r := range m.Answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			a.addrs = append(a.addrs, netip.AddrFrom4(body.A))
		case *dnsmessage.PTRResource:
			a.ptr = body.PTR.String()
		}
	}
	return a, nil
}

// finds expects one address, or with none that there is no such name. Names take
// a moment to be gone, and to be there on other hosts.
func (f *fabric) finds(e *netns.Endpoint, l lookup, want ...netip.Addr) {
	f.t.Helper()
	f.eventually(fmt.Sprintf("%s of %s", l.name, e.Path()), func() error {
		a, err := f.ask(e, l)
		if err != nil {
			return err
		}
		code := dnsmessage.RCodeSuccess
		if len(want) == 0 {
			code = dnsmessage.RCodeNameError
		}
		if a.code != code || !slices.Equal(a.addrs, want) {
			return fmt.Errorf("%s %v; want %v", a.code, a.addrs, want)
		}
		return nil
	})
}

// nameServer serves names on the internet at netns.NameServer until the test ends:
// any of an organisation example.org stands for 192.0.2.1, and no other exists.
func (f *fabric) nameServer() {
	f.t.Helper()
	at := netip.AddrPortFrom(netns.NameServer(), 53)
	internet := f.Namespace("in")
	var c net.PacketConn
	err := inside.Do(internet, func() (err error) {
		if out, err := exec.CommandContext(f.ctx, "ip", "addr", "add", at.Addr().String()+"/32", "dev", "lo").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		if out, err := exec.CommandContext(f.ctx, "ip", "addr", "add", at.Addr().String()+"/24", "dev", "eth0").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		c, err = net.ListenPacket("udp4", at.String())
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(exampleOrg(buf[:n]), from)
		}
	}()
	f.t.Cleanup(func() {
		c.Close()
		<-done
	})
}

func exampleOrg(b []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || len(m.Questions) != 1 {
		return nil
	}
	m.Response, m.Additionals = true, nil
	q := m.Questions[0]
	if !strings.HasSuffix(strings.ToLower(q.Name.String()), ".example.org.") {
		m.RCode = dnsmessage.RCodeNameError
	} else if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
		}}
	}
	out, _ := m.Pack()
	return out
}

// peerings joins acme/wide with another tenant's VPC and with one of its own.
const peerings = `
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: tools, tenant: globex}
spec: {subnets: [{name: ci, cidr: 10.9.0.0/24}], default: same-vpc}
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: tools, tenant: acme}
spec: {vpcs: [acme/wide, globex/tools]}
---
apiVersion: daoli.net/v1
kind: Peering
metadata: {name: tools, tenant: globex}
spec: {vpcs: [globex/tools, acme/wide]}
`

// Names are those of the asker's VPC, across hosts; two containers with one address
// on one host, which ask from one port, are told apart; nobody hears of another
// tenant's; and nothing of it is lifted or goes over the wire.
func TestNamesOfAVPC(t *testing.T) {
	f := start(t, 2)
	f.nameServer()
	web, db := f.attach("h1:acme/prod/web/web1"), f.attach("h2:acme/prod/db/db1")
	other := f.attachAt("h1:globex/prod/web/web1", web.Addr.String())
	hidden := f.attach("h2:globex/prod/db/hidden")
	for _, l := range []lookup{
		{name: "db1"}, {name: "DB1"}, {name: "db1.db.prod"}, {name: "db1.db.prod.acme"}, {name: "db1", network: "tcp4"},
	} {
		f.finds(web, l, db.Addr)
	}
	f.finds(other, lookup{name: "hidden"}, hidden.Addr)
	for _, name := range []string{"hidden", "db1.web.prod", "hidden.db.prod", "hidden.db.prod.globex", "nobody.db.prod.globex"} {
		f.finds(web, lookup{name: name})
	}
	f.finds(other, lookup{name: "db1"})
	if a, err := f.ask(web, lookup{name: "db1", typ: dnsmessage.TypeAAAA}); err != nil || a.code != dnsmessage.RCodeSuccess || len(a.addrs) > 0 {
		t.Errorf("AAAA of db1 = %+v, %v; want nothing, without an error", a, err)
	}
	if a, err := f.ask(web, lookup{name: "2.0.1.10.in-addr.arpa", typ: dnsmessage.TypePTR}); err != nil || a.ptr != "web1.web.prod." {
		t.Errorf("name of %s = %+v, %v", web.Addr, a, err)
	}
	lifted, wire := f.status().PacketIns.Total, f.wire("h1")
	for _, network := range []string{"udp4", "tcp4"} {
		f.together(network, 40123, map[*netns.Endpoint]netip.Addr{web: web.Addr, other: other.Addr},
			map[*netns.Endpoint]string{web: "web1", other: "web1"})
		f.together(network, 40124, map[*netns.Endpoint]netip.Addr{web: db.Addr, other: hidden.Addr},
			map[*netns.Endpoint]string{web: "db1", other: "hidden"})
	}
	if got := f.status().PacketIns.Total; got != lifted {
		t.Errorf("%d packets were lifted", got-lifted)
	}
	for _, c := range wire.Stop() {
		if c.EthType == inside.EtherIPv4 && (c.Dst.IsLinkLocalUnicast() || c.Src.IsLinkLocalUnicast() || c.SrcPort == 53 || c.DstPort == 53) {
			t.Errorf("on the wire: %s", c.String())
		}
	}
}

// together has several ask at once, from the same port, again and again.
func (f *fabric) together(network string, source uint16, want map[*netns.Endpoint]netip.Addr, names map[*netns.Endpoint]string) {
	f.t.Helper()
	const rounds = 100
	var wg sync.WaitGroup
	for e := range want {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second)
			defer cancel()
			c, err := inside.Dial(ctx, e.Namespace, network, source, resolver)
			if err != nil {
				f.t.Error(err)
				return
			}
			defer c.Close()
			for i := range uint16(rounds) {
				a, err := askBy(c, lookup{name: names[e], typ: dnsmessage.TypeA, network: network}, i)
				if err != nil || !slices.Equal(a.addrs, []netip.Addr{want[e]}) {
					f.t.Errorf("%s of %s by %s = %+v, %v; want %s", names[e], e.Path(), network, a, err, want[e])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNamesOfPeers(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	f.nameServer()
	mine, theirs := f.attach("h1:acme/wide/one/mine"), netip.MustParseAddr("10.9.0.2")
	f.finds(mine, lookup{name: "runner.ci.tools"})
	before := f.revision()
	f.write("peerings.yaml", peerings)
	if _, err := f.Controller.AwaitRevision(f.ctx, before); err != nil {
		t.Fatal(err)
	}
	runner := f.attachAt("h2:globex/tools/ci/runner", theirs.String())
	f.finds(mine, lookup{name: "runner.ci.tools"}, theirs)
	f.finds(mine, lookup{name: "runner.ci.tools.globex"}, theirs)
	f.finds(runner, lookup{name: "mine.one.wide"}, mine.Addr)
	f.finds(mine, lookup{name: "runner"})
	f.write("peerings.yaml", strings.Replace(peerings, "[globex/tools, acme/wide]", "[globex/tools, acme/prod]", 1))
	f.finds(mine, lookup{name: "runner.ci.tools"})
	f.finds(runner, lookup{name: "mine.one.wide"})
}

// Every other name is asked of the host's own name servers; and who asks those
// itself, as Docker's resolver does within a container, hears from ours, from the
// address that it asked. Without the flows that take these questions they meet what
// any other address outside meets.
func TestTheHostsNameServersAreAskedForTheRest(t *testing.T) {
	f := start(t, 1)
	f.nameServer()
	web, db := f.attach("h1:acme/prod/web/web1"), f.attach("h1:acme/prod/db/db1")
	outside := netip.MustParseAddr("192.0.2.1")
	f.finds(web, lookup{name: "www.example.org"}, outside)
	f.finds(web, lookup{name: "nobody.example.net"})
	server := netip.AddrPortFrom(netns.NameServer(), 53)
	f.finds(web, lookup{name: "db1", server: server}, db.Addr)
	f.finds(web, lookup{name: "www.example.org", server: server}, outside)
	f.finds(db, lookup{name: "web1", server: server, source: 40124}, web.Addr)
	if _, err := f.tryDial(web, "tcp4", 0, netip.AddrPortFrom(server.Addr(), 54), time.Second); err == nil {
		t.Error("another port of the name server was reached")
	}
	fl := f.flow("h1", "table=1", func(fl netns.Flow) bool {
		return strings.Contains(fl.Match, fmt.Sprintf("in_port=%d", web.Port)) && strings.Contains(fl.Match, server.Addr().String()) && strings.HasPrefix(fl.Match, "udp")
	})
	f.replace("h1", fl, "goto_table:2")
	if a, err := f.ask(web, lookup{name: "db1", server: server}); err == nil {
		t.Errorf("without the flow the answer is %+v", a)
	}
}

// The controller ends; what it said goes on. What nobody asked before can't be
// told, and is no lie that it is not there. Names outside need no controller.
func TestNamesWithoutAController(t *testing.T) {
	t.Parallel()
	f := start(t, 2)
	f.nameServer()
	web, db := f.attach("h1:acme/prod/web/web1"), f.attach("h2:acme/prod/db/db1")
	f.finds(web, lookup{name: "db1"}, db.Addr)
	f.Controller.Process().Kill()
	for range 3 {
		if a, err := f.ask(web, lookup{name: "db1"}); err != nil || !slices.Equal(a.addrs, []netip.Addr{db.Addr}) {
			t.Errorf("db1 without a controller = %+v, %v", a, err)
		}
		f.afterFresh()
	}
	if a, err := f.ask(web, lookup{name: "unasked"}); err != nil || a.code != dnsmessage.RCodeServerFailure {
		t.Errorf("unasked name without a controller = %+v, %v; want a failure", a, err)
	}
	f.finds(web, lookup{name: "www.example.org"}, netip.MustParseAddr("192.0.2.1"))
	if err := f.Controller.Start(f.ctx); err != nil {
		t.Fatal(err)
	}
	often := time.NewTicker(20 * time.Millisecond)
	defer often.Stop()
	for range 150 {
		<-often.C
		if a, err := f.ask(web, lookup{name: "db1"}); err != nil || !slices.Equal(a.addrs, []netip.Addr{db.Addr}) {
			t.Fatalf("db1 while the controller comes = %+v, %v", a, err)
		}
	}
	f.finds(web, lookup{name: "unasked"})
}

// afterFresh returns when what hostd keeps of names is no longer fresh.
func (f *fabric) afterFresh() {
	select {
	case <-time.After(2100 * time.Millisecond):
	case <-f.ctx.Done():
	}
}

// hostd and the switch end and come back, each alone and both; names too. The port
// that hostd lost costs the switch nothing meanwhile.
func TestNamesAfterRestarts(t *testing.T) {
	t.Parallel()
	f := start(t, 1)
	web, db := f.attach("h1:acme/prod/web/web1"), f.attach("h1:acme/prod/db/db1")
	h := f.Host("h1")
	hostd, sw := netns.Part{Program: netns.ProgramHostd, Host: "h1"}, netns.Part{Program: netns.ProgramSwitch, Host: "h1"}
	for _, kills := range [][]netns.Part{{hostd}, {sw}, {hostd, sw}, {sw, hostd}, {hostd}} {
		for _, p := range kills {
			if err := f.Kill(p); err != nil {
				t.Fatal(err)
			}
		}
		if len(kills) == 1 && kills[0] == hostd {
			before := cpuTime(t, h.Switch().PID())
			f.afterFresh()
			if used := cpuTime(t, h.Switch().PID()) - before; used > 500*time.Millisecond {
				t.Errorf("the switch used %s of processor while hostd was away", used)
			}
		}
		if err := f.Start(f.ctx, kills...); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		f.finds(web, lookup{name: "db1"}, db.Addr)
		t.Logf("after %v: answered within %s", kills, time.Since(began).Round(time.Millisecond))
	}
}

// cpuTime returns how much processor a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	var ticks int64
	for _, w := range words[11:13] { // utime, stime (proc(5))
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// A container floods its resolver with questions for ever new names. No more of
// them reach it than the container's meter says, and others on its host, in another
// VPC, are answered as before. Without the meter all reach it.
func TestQuestionsOfOneContainerHarmNobodyElse(t *testing.T) {
	f := start(t, 1)
	flooder, victim, db := f.attach("h1:acme/wide/one/flooder"), f.attach("h1:acme/prod/web/web1"), f.attach("h1:acme/prod/db/db1")
	f.finds(victim, lookup{name: "db1"}, db.Addr)
	const frames, rate = 16000, 8000
	for _, guarded := range []bool{true, false} {
		if !guarded {
			f.withoutMeter(flooder)
		}
		before, began := f.sentTo("h1", "daoli-dns"), time.Now()
		ctx, cancel := context.WithCancel(f.ctx)
		type result struct {
			took []time.Duration
			lost int
		}
		done := make(chan result, 1)
		go func() {
			var r result
			r.took, r.lost = f.askOften(ctx, victim, "db1", db.Addr)
			done <- r
		}()
		f.floodQuestions(flooder, frames, rate)
		cancel()
		r, took := <-done, time.Since(began)
		reached := f.sentTo("h1", "daoli-dns") - before - uint64(len(r.took))
		bound := uint64(took.Seconds()*questionRate) + questionBurst + 50
		t.Logf("guarded %v: %d questions in %s, %d reached the resolver; the other's: %d answered, %d lost, p50 %s, p99 %s",
			guarded, frames, took.Round(time.Millisecond), reached, len(r.took), r.lost, quantile(r.took, 0.5), quantile(r.took, 0.99))
		if guarded && (reached > bound || r.lost > 0 || len(r.took) < 20) {
			t.Errorf("%d questions reached the resolver, it may %d; of another's %d are lost", reached, bound, r.lost)
		}
		if !guarded && reached <= bound {
			t.Errorf("only %d questions reached the resolver though nothing guards it: the test is blind", reached)
		}
	}
}

// The meter of an endpoint's questions.
const questionRate, questionBurst = 1000, 500

// withoutMeter takes the meter out of the flow of an endpoint's questions.
func (f *fabric) withoutMeter(e *netns.Endpoint) {
	f.t.Helper()
	fl := f.questions(e)
	_, actions, _ := strings.Cut(fl.Actions, ",") // meter:N,...
	f.replace(e.Host, fl, actions)
}

// questions is the flow of an endpoint's questions by UDP.
func (f *fabric) questions(e *netns.Endpoint) netns.Flow {
	f.t.Helper()
	return f.flow(e.Host, "table=1", func(fl netns.Flow) bool {
		return strings.HasPrefix(fl.Match, "udp") && strings.Contains(fl.Match, fmt.Sprintf("in_port=%d,", e.Port)) && strings.Contains(fl.Match, resolver.Addr().String())
	})
}

// floodQuestions sends questions for ever new names, so many per second.
func (f *fabric) floodQuestions(e *netns.Endpoint, frames, rate int) {
	f.t.Helper()
	dev := f.device(e)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; n < frames; <-tick.C {
		for range rate / 200 {
			b, err := question(fmt.Sprintf("n%d", n), dnsmessage.TypeA, uint16(n))
			if err != nil {
				f.t.Fatal(err)
			}
			fr := inside.Frame{
				EthSrc: mac(e.HWAddr), EthDst: mac(gatewayMAC), EthType: inside.EtherIPv4, Proto: inside.UDP, TTL: 64,
				Src: e.Addr, Dst: resolver.Addr(), SrcPort: uint16(20000 + n%10000), DstPort: 53, Payload: b,
			}
			if err := dev.Send(fr.Bytes()); err != nil {
				f.t.Fatal(err)
			}
			n++
		}
	}
}

// question returns a question in bytes.
func question(name string, typ dnsmessage.Type, id uint16) ([]byte, error) {
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: typ, Class: dnsmessage.ClassINET}},
	}
	return m.Pack()
}

// askOften asks every 20 ms until ctx ends.
func (f *fabric) askOften(ctx context.Context, e *netns.Endpoint, name string, want netip.Addr) (took []time.Duration, lost int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; ctx.Err() == nil; <-tick.C {
		began := time.Now()
		a, err := f.ask(e, lookup{name: name})
		if err != nil || !slices.Equal(a.addrs, []netip.Addr{want}) {
			lost++
			continue
		}
		took = append(took, time.Since(began))
	}
	return took, lost
}

func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(all))
	return s[min(len(s)-1, int(q*float64(len(s))))].Round(10 * time.Microsecond)
}

// sentTo returns how many packets a host's device has sent.
func (f *fabric) sentTo(host, device string) uint64 {
	f.t.Helper()
	var out []byte
	err := inside.Do(f.Host(host).Namespace, func() (err error) {
		out, err = exec.CommandContext(f.ctx, "ip", "-s", "-j", "link", "show", device).Output()
		return err
	})
	var links []struct {
		Stats struct {
			TX struct{ Packets uint64 } `json:"tx"`
		} `json:"stats64"`
	}
	if err == nil {
		err = json.Unmarshal(out, &links)
	}
	if err != nil || len(links) != 1 {
		f.t.Fatalf("statistics of %s: %v: %s", device, err, out)
	}
	return links[0].Stats.TX.Packets
}

// A question from another's alias, or from another's address, is nobody's. With the
// port's own guard out the resolver still knows by the port who asks; only without
// that too is it the other who asked, and gets the answer.
func TestForgedAskers(t *testing.T) {
	t.Parallel()
	f := start(t, 1)
	forger, victim := f.attach("h1:acme/wide/one/forger"), f.attach("h1:acme/prod/web/web1")
	f.finds(victim, lookup{name: "web1"}, victim.Addr)
	f.finds(forger, lookup{name: "forger"}, forger.Addr)
	alias := netip.AddrFrom4([4]byte{169, 254, 64 + byte(victim.Port>>8), byte(victim.Port)})
	got := f.capture(victim.Namespace, "eth0")
	// forged reports whether the victim gets the answer to the forger's question.
	forged := func(src netip.Addr, id uint16) bool {
		b, err := question("web1", dnsmessage.TypeA, id)
		if err != nil {
			t.Fatal(err)
		}
		fr := inside.Frame{
			EthSrc: mac(forger.HWAddr), EthDst: mac(gatewayMAC), EthType: inside.EtherIPv4, Proto: inside.UDP, TTL: 64,
			Src: src, Dst: resolver.Addr(), SrcPort: id, DstPort: 53, Payload: b,
		}
		if err := f.device(forger).Send(fr.Bytes()); err != nil {
			t.Fatal(err)
		}
		f.finds(forger, lookup{name: "forger"}, forger.Addr) // behind it, by the same way
		f.finds(victim, lookup{name: "web1", source: id + 1}, victim.Addr)
		answered := func(port uint16) func(*inside.Captured) bool {
			return func(c *inside.Captured) bool { return c.SrcPort == 53 && c.DstPort == port }
		}
		f.await(got, "the honest answer", answered(id+1))
		return slices.ContainsFunc(got.Frames(), func(c inside.Captured) bool { return answered(id)(&c) })
	}
	if forged(alias, 30001) || forged(victim.Addr, 30003) {
		t.Error("a forged question was answered to the victim")
	}
	guard := f.flow("h1", "table=0", func(fl netns.Flow) bool {
		return fl.Priority == 100 && fl.Match == fmt.Sprintf("in_port=%d", forger.Port)
	})
	f.replace("h1", guard, "goto_table:1")
	if forged(alias, 30005) || forged(victim.Addr, 30007) {
		t.Error("without the port's guard, a forged question was answered to the victim")
	}
	fl := f.questions(forger)
	own := fmt.Sprintf("169.254.%d.%d", 64+forger.Port>>8, forger.Port&0xff)
	f.replace("h1", fl, strings.Replace(fl.Actions, own, alias.String(), 1))
	if !forged(alias, 30009) {
		t.Error("without any guard the victim got no answer: the test is blind")
	}
}
