//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/flood"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

const (
	portRate, portBurst = 1000, 200 // of an endpoint's meter
	floodFrames         = 2 * flood.Rate
	victimEvery         = 50 * time.Millisecond // a victim's new session
)

// A container floods, in each way in turn, while others on its host and
// elsewhere open sessions to the very machines that it floods. None of their
// SYNs is lost, and no more of its packets are lifted than its port's meter says.
func TestFloodOfOneContainerHarmsNobodyElse(t *testing.T) {
	a := newArena(t)
	for _, k := range flood.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			t.Run("guarded", func(t *testing.T) {
				a := a.with(t)
				if seen := a.attack(k, a.victims[0].server.Addr, floodFrames); seen != "" {
					t.Error(seen)
				}
			})
			t.Run("unguarded", func(t *testing.T) {
				a := a.with(t)
				a.takeGuardOut(k)
				seen := a.attack(k, a.unguarded(k), floodFrames)
				if seen == "" {
					t.Error("did not see the harm though nothing guards against it: the test is blind")
				}
				t.Log(seen)
			})
		})
	}
}

func TestScanOf64kPortsHarmsNobodyElse(t *testing.T) {
	a := newArena(t)
	if seen := a.attack(flood.Scan, a.victims[0].server.Addr, 1<<16-1); seen != "" {
		t.Error(seen)
	}
}

// Wire packets from outside the hosts' own ranges end in the switch, whatever
// port of the wire range they go to.
func TestScanOfTheWireRangeFromOutsideCostsTheControllerNothing(t *testing.T) {
	f := start(t, 2)
	for _, guarded := range []bool{true, false} {
		t.Run(map[bool]string{true: "guarded", false: "unguarded"}[guarded], func(t *testing.T) {
			f := f.with(t)
			last := f.flow("h1", "table=3", func(fl netns.Flow) bool {
				return fromPort(fl, uplinkPort) && fl.Actions == "drop"
			})
			if !guarded {
				f.replace("h1", last, "CONTROLLER:65535")
			}
			before := f.status().PacketIns
			sent := f.scanWireRange("h1")
			f.eventually("the switch to have looked at all of them", func() error {
				now := f.flow("h1", "table=3", func(fl netns.Flow) bool { return fl.Match == last.Match && fl.Priority == last.Priority })
				// The switch's device loses some if the machine is busy.
				if n := int(now.Packets - last.Packets); n < sent*3/4 {
					return fmt.Errorf("%d of %d met the flow that takes them", n, sent)
				}
				return nil
			})
			if guarded {
				f.quiet()
				if now := f.status().PacketIns; now.Total != before.Total || now.QueueDrops != before.QueueDrops {
					t.Errorf("PacketIns = %+v after the scan, %+v before; want no more", now, before)
				}
				return
			}
			f.eventually("PacketIns of a scan that nothing stops", func() error {
				if f.status().PacketIns.FromWire == before.FromWire {
					return errors.New("none: the test is blind")
				}
				return nil
			})
		})
	}
}

// quiet returns when the controller has got no PacketIn for some time: it has
// worked off what the switches had lifted before.
func (f *fabric) quiet() {
	f.t.Helper()
	last, same := f.status().PacketIns.Total, 0
	f.eventually("PacketIns to end", func() error {
		now := f.status().PacketIns.Total
		if same++; now != last {
			last, same = now, 0
		}
		if same < 10 {
			return fmt.Errorf("%d until now", now)
		}
		return nil
	})
}

// scanWireRange sends a SYN and a datagram from the internet to each port of a
// host's wire range, and one from each, and returns how many that were.
func (f *fabric) scanWireRange(host string) (sent int) {
	f.t.Helper()
	hosts, err := f.Controller.API().Hosts(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	d, err := inside.OpenDevice(f.Namespace("rt"), host)
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Close()
	fr := inside.Frame{EthSrc: d.MAC, EthType: inside.EtherIPv4, Src: f.Internet().Addr(), Dst: f.Host(host).Addr.Addr(), Flags: inside.SYN}
	for _, h := range hosts {
		if h.Name == host {
			fr.EthDst = mac(h.MAC)
		}
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for port := uint16(16384); port < 24576; port++ {
		if port%2 == 0 {
			<-tick.C // 8,000 frames a second
		}
		for _, proto := range []byte{inside.TCP, inside.UDP} {
			for _, ports := range [][2]uint16{{40000, port}, {port, 50000}} {
				fr.Proto, fr.SrcPort, fr.DstPort = proto, ports[0], ports[1]
				for err = d.Send(fr.Bytes()); errors.Is(err, syscall.ENOBUFS); err = d.Send(fr.Bytes()) {
					<-tick.C
				}
				if err != nil {
					f.t.Fatal(err)
				}
				sent++
			}
		}
	}
	return sent
}

func (f *fabric) status() api.Status {
	f.t.Helper()
	s, err := f.Controller.API().Status(f.ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

// arena is a flooder on h1, and two victims: one beside it, and one on h2.
type arena struct {
	*fabric
	flooder *netns.Endpoint
	victims [2]victim
	next    *int // port of the victims' next sessions
}

// victim opens sessions to a server on the other host.
type victim struct{ client, server *netns.Endpoint }

func newArena(t *testing.T) *arena {
	f := start(t, 2)
	return &arena{
		fabric: f, flooder: f.attach("h1:acme/wide/one/flooder"), next: new(int),
		victims: [2]victim{
			{f.attach("h1:acme/wide/one/near"), f.attach("h2:acme/wide/two/server2")},
			{f.attach("h2:acme/wide/one/far"), f.attach("h1:acme/wide/two/server1")},
		},
	}
}

func (a *arena) with(t *testing.T) *arena {
	b := *a
	b.fabric = a.fabric.with(t)
	return &b
}

// unguarded returns a target at which only the meter guards against a kind of flood:
// new sessions with one server are bounded once more, but not what is sent to an
// address that nobody has.
func (a *arena) unguarded(k flood.Kind) netip.Addr {
	switch k.Name {
	case flood.Scan.Name, "new UDP sessions", "fragments":
		return netip.MustParseAddr("10.2.1.250")
	}
	return a.victims[0].server.Addr
}

// attack floods a target while the victims open sessions to the near victim's server
// and to another, and returns what harm that did, or "".
func (a *arena) attack(k flood.Kind, target netip.Addr, frames int) string {
	a.t.Helper()
	dev := a.device(a.flooder)
	s := flood.Sender{MAC: dev.MAC, Gateway: mac(gatewayMAC), Addr: a.flooder.Addr, Target: target}
	seen := a.watch()
	a.quiet()
	begin, before := time.Now(), a.lifted()
	packetIns := a.status().PacketIns.FromEndpoints
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { a.openUntil(ctx) })
	sent, err := flood.Send(ctx, dev, k, s, flood.Rate, frames)
	if err != nil || sent < frames {
		a.t.Errorf("%d of %d frames sent: %v", sent, frames, err)
	}
	packetIns = a.status().PacketIns.FromEndpoints - packetIns
	own, all := a.passedSince(before)
	took := time.Since(begin)
	cancel()
	wg.Wait()
	lost, opened := lostSYNs(seen)
	bound := uint64(math.Ceil(took.Seconds()*portRate)) + portBurst
	a.t.Logf("%d frames in %s: the meter let %d pass, it may %d; %d PacketIns of all endpoints; %d of %d SYNs of victims lost",
		sent, took.Round(time.Millisecond), own, bound, packetIns, lost, opened)
	switch {
	case lost > 0:
		return fmt.Sprintf("%d of %d SYNs of the victims are lost", lost, opened)
	case own > bound:
		return fmt.Sprintf("the flooder's port lifted %d packets in %s; it may %d", own, took, bound)
	case packetIns > all:
		return fmt.Sprintf("endpoints lifted %d packets, and %d of them passed a meter", packetIns, all)
	}
	return ""
}

// watch captures each victim's SYNs, where they leave and where they arrive.
func (a *arena) watch() (seen [2][2]*inside.Capture) {
	a.t.Helper()
	for i, v := range a.victims {
		for j, ns := range []string{v.client.Namespace, v.server.Namespace} {
			c, err := inside.StartCapture(ns, "eth0", func(c *inside.Captured) bool {
				return c.Src == v.client.Addr && c.Proto == inside.TCP && c.Flags&(inside.SYN|inside.ACK) == inside.SYN
			})
			if err != nil {
				a.t.Fatal(err)
			}
			seen[i][j] = c
		}
	}
	return seen
}

// openUntil has both victims open one session after the other until ctx ends.
func (a *arena) openUntil(ctx context.Context) {
	tick := time.NewTicker(victimEvery)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for ; ctx.Err() == nil; <-tick.C {
		*a.next++
		for _, v := range a.victims {
			port := uint16(9999 + *a.next)
			s, err := inside.ServeTCP(v.server.Namespace, netip.AddrPortFrom(netip.IPv4Unspecified(), port), "")
			if err != nil {
				a.t.Error(err)
				continue
			}
			wg.Go(func() {
				defer s.Close()
				dial, cancel := context.WithTimeout(a.ctx, 20*time.Second)
				defer cancel()
				c, err := inside.Dial(dial, v.client.Namespace, "tcp4", 0, v.server.AddrPort(port))
				if err != nil {
					a.t.Errorf("%s opens %s: %v", v.client.Name, v.server.AddrPort(port), err)
					return
				}
				c.Close()
			})
		}
	}
}

// lostSYNs ends captures, and returns how many SYNs did not arrive of how many
// that were sent. One that is late, and sent again, arrives twice.
func lostSYNs(seen [2][2]*inside.Capture) (lost, sent int) {
	for _, c := range seen {
		arrived := synsOf(c[1].Stop())
		for conn, n := range synsOf(c[0].Stop()) {
			sent += n
			lost += max(0, n-arrived[conn])
		}
	}
	return lost, sent
}

// synsOf counts the SYNs of each connection, by its ends.
func synsOf(frames []inside.Captured) map[[2]netip.AddrPort]int {
	n := map[[2]netip.AddrPort]int{}
	for _, c := range frames {
		n[[2]netip.AddrPort{netip.AddrPortFrom(c.Src, c.SrcPort), netip.AddrPortFrom(c.Dst, c.DstPort)}]++
	}
	return n
}

// meterOf names an endpoint's meter.
type meterOf struct {
	host string
	port uint32
}

// lifted is how many packets each endpoint's meter has let pass.
func (a *arena) lifted() map[meterOf]uint64 {
	a.t.Helper()
	passed := map[meterOf]uint64{}
	for _, h := range a.Hosts {
		out, err := h.OFCtl(a.ctx, "meter-stats")
		if err != nil {
			a.t.Fatal(err)
		}
		for id, n := range readMeters(a.t, out) {
			if id >= 16 {
				passed[meterOf{h.Name, id}] = n
			}
		}
	}
	return passed
}

// passedSince is how many packets the flooder's meter has let pass since before,
// and how many all endpoints' have.
func (a *arena) passedSince(before map[meterOf]uint64) (own, all uint64) {
	a.t.Helper()
	for at, n := range a.lifted() {
		if n < before[at] {
			a.t.Errorf("meter %d of %s counts from 0 again: somebody has set it anew", at.port, at.host)
			return 0, 0
		}
		n -= before[at]
		all += n
		if at == (meterOf{a.flooder.Host, a.flooder.Port}) {
			own = n
		}
	}
	return own, all
}

var (
	meterLine = regexp.MustCompile(`meter:(\d+) .*packet_in_count:(\d+)`)
	bandLine  = regexp.MustCompile(`^\d+: packet_count:(\d+)`)
)

// readMeters returns what each meter of ovs-ofctl meter-stats let pass.
func readMeters(t *testing.T, out string) map[uint32]uint64 {
	t.Helper()
	number := func(s string) uint64 {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	passed, id := map[uint32]uint64{}, uint32(0)
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if m := meterLine.FindStringSubmatch(line); m != nil {
			id = uint32(number(m[1]))
			passed[id] = number(m[2])
		} else if m := bandLine.FindStringSubmatch(line); m != nil {
			passed[id] -= number(m[1])
		}
	}
	if len(passed) == 0 {
		t.Fatalf("no meters in %q", out)
	}
	return passed
}

// takeGuardOut makes what holds a kind of flood back hold it back no more, until
// the test ends. The audits of hostd and controller put back what it does to
// flows, but not before the flood is over.
func (a *arena) takeGuardOut(k flood.Kind) {
	a.t.Helper()
	a.setMeter(a.flooder, 1_000_000, 1_000_000)
	a.t.Cleanup(func() { a.setMeter(a.flooder, portRate, portBurst) })
	lift := fmt.Sprintf("meter:%d,CONTROLLER:65535", a.flooder.Port)
	switch k.Name {
	case "ARP requests": // answered in the switch
		a.add("h1", netns.Flow{Table: 1, Priority: 201, Match: "arp,arp_op=1", Actions: lift})
	case "random bytes": // which aren't its own, and end where they come in
		a.add("h1", netns.Flow{Priority: 101, Match: fmt.Sprintf("in_port=%d", a.flooder.Port), Actions: lift})
	}
}

func (a *arena) setMeter(e *netns.Endpoint, rate, burst int) {
	a.t.Helper()
	meter := fmt.Sprintf("meter=%d,pktps,burst,stats,band=type=drop,rate=%d,burst_size=%d", e.Port, rate, burst)
	if _, err := a.Host(e.Host).OFCtl(context.WithoutCancel(a.ctx), "mod-meter", meter); err != nil {
		a.t.Error(err)
	}
}
