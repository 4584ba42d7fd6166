package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

const patience = 10 * time.Second

func TestNewRefusesNamesThatAreNoBridge(t *testing.T) {
	for _, tt := range []struct {
		name, datapath string
		ok             bool
	}{
		{"br-daoli", Userspace, true},
		{"br-daoli", Kernel, true},
		{"br-daoli", "dpdk", false},
		{"", Kernel, false}, {"-x", Kernel, false}, {"a b", Kernel, false}, {"a/b", Kernel, false}, {"a234567890123456", Kernel, false},
	} {
		_, err := New(Config{Name: tt.name, Datapath: tt.datapath, Logger: slog.New(slog.DiscardHandler)})
		if (err == nil) != tt.ok {
			t.Errorf("New(%q, %q) = %v; want ok = %v", tt.name, tt.datapath, err, tt.ok)
		}
	}
}

func TestBridgeIsMadeWithItsControllersInOneTransaction(t *testing.T) {
	cfg := Config{Name: "br-daoli", Datapath: Userspace}
	s := Setup{MAC: openflow.MAC{2, 0, 0, 0, 1, 1}, MTU: 1500}
	const made = `--may-exist add-br br-daoli -- set bridge br-daoli datapath_type=netdev fail_mode=secure protocols=OpenFlow13 ` +
		`other-config:hwaddr="02:00:00:00:01:01" other-config:datapath-id=0000020000000101 other-config:disable-in-band=true ` +
		`-- set interface br-daoli mtu_request=1500`
	const controlled = ` -- --id=@c0 create controller target="ssl:1.2.3.4:6653" connection_mode=out-of-band max_backoff=1000 inactivity_probe=5000 ` +
		`-- --id=@c1 create controller target="ssl:1.2.3.5:6653" connection_mode=out-of-band max_backoff=1000 inactivity_probe=5000 ` +
		`-- set bridge br-daoli controller=@c0,@c1`
	if diff := cmp.Diff(made, strings.Join(ensureArgs(cfg, s, nil), " ")); diff != "" {
		t.Errorf("controllers in place (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(made+controlled, strings.Join(ensureArgs(cfg, s, []string{"ssl:1.2.3.4:6653", "ssl:1.2.3.5:6653"}), " ")); diff != "" {
		t.Errorf("new controllers (-want +got):\n%s", diff)
	}
}

func TestCheckTargets(t *testing.T) {
	got, err := checkTargets([]string{"ssl:2.2.2.2:6653", "ssl:1.1.1.1:6653", "ssl:2.2.2.2:6653"})
	if diff := cmp.Diff([]string{"ssl:1.1.1.1:6653", "ssl:2.2.2.2:6653"}, got); diff != "" || err != nil {
		t.Errorf("checkTargets: %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", "1.1.1.1:6653", "ptcp:6653", "tcp:1.1.1.1:6653", "ssl:host:6653", "ssl:1.1.1.1", `tcp:1.1.1.1:6653" x`} {
		if _, err := checkTargets([]string{bad}); err == nil {
			t.Errorf("checkTargets(%q) = nil; want an error", bad)
		}
	}
}

func TestBaseFlowsKeepTheirTextThroughTheLibrary(t *testing.T) {
	_, flows := pipeline.Base(pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: openflow.MAC{2, 0, 0, 0, 1, 1}, Wire: pipeline.DefaultWireRange,
	})
	for _, f := range flows {
		b, err := cliFlow(&f).MarshalText()
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		match, actions, _ := strings.Cut(f.String(), " actions=")
		_, libActions, _ := strings.Cut(string(b), ",actions=")
		if libActions != actions {
			t.Errorf("actions are %q; want %q", libActions, actions)
		}
		if m := f.Match.String(); m != "" && !strings.Contains(string(b), m) {
			t.Errorf("%s lacks the match %q", b, m)
		}
		if f.HardTimeout != 0 {
			t.Errorf("%s has a hard timeout, which the library loses", match)
		}
	}
}

func TestCommandErrorSaysWhatTheProgramSaid(t *testing.T) {
	tl := tools{runDir: t.TempDir()}
	_, err := tl.run(t.Context(), nil, "sh", "-c", "echo out; echo wrong >&2; exit 3")
	if err == nil || !strings.HasSuffix(err.Error(), ": wrong") {
		t.Errorf("run = %v; want what was written to standard error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tl.run(ctx, nil, "sh", "-c", "exit 0"); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("run with an ended context = %v", err)
	}
	out, err := tl.run(t.Context(), strings.NewReader("in"), "sh", "-c", "cat; echo $OVS_RUNDIR; echo ignored >&2")
	if err != nil || string(out) != "in"+tl.runDir+"\n" {
		t.Errorf("run = %q, %v", out, err)
	}
}

// fakeSwitch serves a management socket.
func fakeSwitch(t *testing.T, socket string) (net.Listener, <-chan net.Conn) {
	t.Helper()
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	return ln, conns
}

func TestWatchFollowsTheManagementSocket(t *testing.T) {
	socket := t.TempDir() + "/s"
	w := newWatch(socket)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.run(ctx) }()
	defer func() { cancel(); <-done }()
	await := func(up bool, gen uint64) {
		t.Helper()
		end := time.After(patience)
		for {
			if u, g := w.state(); u == up && g == gen {
				return
			}
			select {
			case <-w.changes:
			case <-end:
				u, g := w.state()
				t.Fatalf("state is %v, %d; want %v, %d", u, g, up, gen)
			}
		}
	}
	for gen := range uint64(3) {
		ln, conns := fakeSwitch(t, socket)
		c := <-conns
		hello := make([]byte, 8)
		if _, err := io.ReadFull(c, hello); err != nil || !bytes.Equal(hello, []byte{4, 0, 0, 8, 0, 0, 0, 0}) {
			t.Fatalf("first message is %x, %v; want a hello", hello, err)
		}
		if up, _ := w.state(); up {
			t.Error("up before the switch said hello")
		}
		if _, err := c.Write([]byte{4, 0, 0, 8, 0, 0, 0, 1, 4, 2, 0, 12, 0, 0, 0, 2, 'p', 'i', 'n', 'g'}); err != nil {
			t.Fatal(err)
		}
		await(true, gen+1)
		reply := make([]byte, 12)
		if _, err := io.ReadFull(c, reply); err != nil || string(reply[8:]) != "ping" || reply[1] != 3 || binary.BigEndian.Uint32(reply[4:]) != 2 {
			t.Errorf("echo reply is %x, %v", reply, err)
		}
		c.Close()
		ln.Close()
		await(false, gen+1)
	}
}

func TestWatchGivesUpOnNonsense(t *testing.T) {
	for _, b := range [][]byte{{4, 0, 0, 7, 0, 0, 0, 0}, {4, 0, 0, 0, 0, 0, 0, 0}, {4, 0}} {
		if typ, err := answer(bytes.NewReader(b), io.Discard); err == nil {
			t.Errorf("answer(%x) = %d, nil; want an error", b, typ)
		}
	}
}
