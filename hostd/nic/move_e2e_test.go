//go:build e2e

package nic_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/internal/lab"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// site is a host behind a router, with a peer on the router's other side:
//
//	h1 172.31.1.1/24 eth0 --- .254 rt .254 --- eth0 172.31.2.1/24 far
type site struct {
	h1, rt, far *lab.Namespace
	ovs         *lab.OVS
	bridge      *bridge.Bridge
}

func newSite(t *testing.T) *site {
	t.Helper()
	l := lab.New(t)
	s := &site{h1: l.Namespace("h1"), rt: l.Namespace("rt"), far: l.Namespace("far")}
	lab.Cable(s.h1, "eth0", s.rt, "r1")
	lab.Cable(s.far, "eth0", s.rt, "r2")
	s.rt.Run("sysctl", "-qw", "net.ipv4.ip_forward=1")
	s.rt.Run("ip", "addr", "add", "172.31.1.254/24", "dev", "r1")
	s.rt.Run("ip", "addr", "add", "172.31.2.254/24", "dev", "r2")
	s.far.Run("ip", "addr", "add", "172.31.2.1/24", "dev", "eth0")
	s.far.Run("ip", "route", "add", "default", "via", "172.31.2.254")
	s.h1.Run("ip", "addr", "add", "172.31.1.1/24", "brd", "+", "dev", "eth0")
	s.h1.Run("ip", "addr", "add", "172.31.1.2/24", "dev", "eth0")
	s.h1.Run("ip", "addr", "add", "192.168.7.1/24", "dev", "eth0", "noprefixroute")
	s.h1.Run("ip", "route", "add", "default", "via", "172.31.1.254", "metric", "100")
	s.h1.Run("ip", "route", "add", "10.99.0.0/16", "via", "172.31.1.254", "mtu", "1400")
	s.h1.Run("ip", "route", "add", "10.98.0.0/16", "via", "172.31.1.254", "table", "77")
	s.ovs = l.OVS(s.h1)
	b, err := bridge.New(bridge.Config{Name: "br-daoli", Datapath: bridge.Userspace, RunDir: s.ovs.Dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.bridge = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s
}

func (s *site) move() *nic.Move {
	return &nic.Move{
		Uplink: "eth0", Local: "br-daoli", Drop: &nic.Dropper{},
		Connect:    func(ctx context.Context) error { return s.bridge.AddPort(ctx, "eth0", 1, "uplink") },
		Disconnect: func(ctx context.Context) error { return s.bridge.DelPort(ctx, "eth0") },
	}
}

// build makes the bridge with its base flows.
func (s *site) build(t *testing.T) {
	t.Helper()
	var up nic.Link
	var err error
	s.h1.Do(func() { up, err = nic.Find("eth0") })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bridge.Ensure(t.Context(), bridge.Setup{MAC: openflow.MAC(up.MAC), MTU: up.MTU, Controllers: []string{"ssl:127.0.0.1:7001"},
		TLS: bridge.TLS{PrivateKey: "/nonexistent/key.pem", Certificate: "/nonexistent/cert.pem", CA: "/nonexistent/ca.pem"}}); err != nil {
		t.Fatal(err)
	}
	meters, flows := pipeline.Base(pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: openflow.MAC(up.MAC), Wire: pipeline.DefaultWireRange,
	})
	if err := s.bridge.InstallBase(t.Context(), bridge.Base{Cookie: pipeline.BaseCookie, Meters: meters, Flows: flows}); err != nil {
		t.Fatal(err)
	}
}

// picture is all that a move may change, as people see it.
func (s *site) picture() string {
	var b strings.Builder
	for _, c := range [][]string{
		{"ip", "-o", "addr", "show"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"ip", "-o", "link", "show"}, {"nft", "list", "ruleset"}, {"ip", "rule", "show"},
	} {
		b.WriteString("# " + strings.Join(c, " ") + "\n" + s.h1.Run(c...))
	}
	return b.String()
}

func TestJoinAndLeaveLoseNothing(t *testing.T) {
	s := newSite(t)
	lab.Eventually(t, "IPv6 is settled", func() string {
		if out := s.h1.Run("ip", "addr", "show", "tentative"); out != "" {
			return out
		}
		return ""
	})
	s.far.Run("ping", "-c", "1", "-W", "2", "172.31.1.1")
	before := s.picture()
	stream := startStream(t, s)
	pings := s.far.Command("ping", "-i", "0.002", "-c", "2000", "-q", "172.31.1.1")
	var report bytes.Buffer
	pings.Stdout = &report
	if err := pings.Start(); err != nil {
		t.Fatal(err)
	}
	var original nic.Original
	for range 2 {
		s.build(t)
		s.h1.Do(func() {
			var err error
			if original, err = s.move().Inspect(); err != nil {
				t.Errorf("Inspect = %v", err)
			}
			if err := s.move().Join(t.Context()); err != nil {
				t.Errorf("Join = %v", err)
			}
		})
		checkJoined(t, s)
		s.h1.Do(func() {
			if err := s.move().Leave(t.Context(), original); err != nil {
				t.Errorf("Leave = %v", err)
			}
			if err := s.move().Drop.Remove(t.Context()); err != nil {
				t.Errorf("Remove = %v", err)
			}
		})
		if err := s.bridge.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		lab.Eventually(t, "everything is as before", func() string { return cmp.Diff(before, s.picture()) })
	}
	if err := pings.Wait(); err != nil {
		t.Errorf("ping: %v", err)
	}
	if !regexp.MustCompile(`2000 packets transmitted, 2000 received, .*0% packet loss`).Match(report.Bytes()) {
		t.Errorf("pings were lost:\n%s", report.String())
	}
	t.Logf("%s", report.String())
	stream.finish(t)
}

func checkJoined(t *testing.T, s *site) {
	t.Helper()
	if out := s.h1.Run("ip", "-o", "addr", "show", "dev", "eth0"); out != "" {
		t.Errorf("the uplink has addresses after Join:\n%s", out)
	}
	if out := s.h1.Run("ip", "route", "show", "table", "all", "dev", "eth0"); strings.Contains(out, "via") {
		t.Errorf("the uplink has routes after Join:\n%s", out)
	}
	for _, want := range []string{
		"default via 172.31.1.254 dev br-daoli metric 100", "10.99.0.0/16 via 172.31.1.254 dev br-daoli mtu 1400",
		"10.98.0.0/16 via 172.31.1.254 dev br-daoli table 77", "172.31.1.0/24 dev br-daoli proto kernel scope link src 172.31.1.1",
	} {
		if out := s.h1.Run("ip", "route", "show", "table", "all"); !strings.Contains(out, want) {
			t.Errorf("no route %q after Join:\n%s", want, out)
		}
	}
	s.h1.Run("ping", "-c", "1", "-W", "2", "172.31.2.1")
	s.far.Run("ping", "-c", "1", "-W", "2", "172.31.1.2")
	var hop nic.NextHop
	var err error
	s.h1.Do(func() { hop, err = nic.FindNextHop("br-daoli") })
	if err != nil || hop.IP.String() != "172.31.1.254" || hop.MAC == (endpoint.MAC{}) {
		t.Errorf("FindNextHop = %+v, %v", hop, err)
	}
}

// stream is a TCP connection from h1 to far that carries numbered bytes.
type stream struct {
	client net.Conn
	stop   chan struct{}
	sent   chan int
	got    chan int
	gap    chan time.Duration
}

func startStream(t *testing.T, s *site) *stream {
	t.Helper()
	st := &stream{stop: make(chan struct{}), sent: make(chan int, 1), got: make(chan int, 1), gap: make(chan time.Duration, 1)}
	var ln net.Listener
	var err error
	s.far.Do(func() { ln, err = net.Listen("tcp4", "172.31.2.1:0") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	s.h1.Do(func() { st.client, err = net.DialTimeout("tcp4", ln.Addr().String(), 5*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go st.read(server)
	go st.write()
	return st
}

func (st *stream) read(c net.Conn) {
	defer c.Close()
	total, last, longest := 0, time.Now(), time.Duration(0)
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		total += n
		longest, last = max(longest, time.Since(last)), time.Now()
		if err != nil {
			st.got <- total
			st.gap <- longest
			return
		}
	}
}

func (st *stream) write() {
	total := 0
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-st.stop:
			st.client.Close()
			st.sent <- total
			return
		case <-tick.C:
			n, err := io.WriteString(st.client, "0123456789")
			total += n
			if err != nil {
				st.sent <- -1
				return
			}
		}
	}
}

func (st *stream) finish(t *testing.T) {
	t.Helper()
	close(st.stop)
	sent, got, gap := <-st.sent, <-st.got, <-st.gap
	if sent != got {
		t.Errorf("the stream carried %d of %d bytes", got, sent)
	}
	// A segment lost while the address moves comes again after 200 ms, and once more
	// after 400; a busy machine adds to it.
	if gap > time.Second {
		t.Errorf("the stream was silent for %s", gap)
	}
	t.Logf("%d bytes, longest silence %s", got, gap)
}
