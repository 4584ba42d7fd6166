//go:build e2e

package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/internal/lab"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

var setup = bridge.Setup{MAC: openflow.MAC{2, 0, 0, 0, 1, 1}, MTU: 1450, Controllers: []string{"ssl:127.0.0.1:7001"},
	TLS: bridge.TLS{PrivateKey: "/nonexistent/key.pem", Certificate: "/nonexistent/cert.pem", CA: "/nonexistent/ca.pem"}}

func base(listeners ...pipeline.Listener) bridge.Base {
	meters, flows := pipeline.Base(pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: setup.MAC, Wire: pipeline.DefaultWireRange, Listeners: listeners,
	})
	return bridge.Base{Cookie: pipeline.BaseCookie, Meters: meters, Flows: flows}
}

func newBridge(t *testing.T) (*bridge.Bridge, *lab.OVS, *lab.Namespace) {
	t.Helper()
	l := lab.New(t)
	ns := l.Namespace("h1")
	o := l.OVS(ns)
	b, err := bridge.New(bridge.Config{Name: "br-daoli", Datapath: bridge.Userspace, RunDir: o.Dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	if err := b.Ensure(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
	return b, o, ns
}

func TestEnsureMakesTheBridgeAsDesigned(t *testing.T) {
	b, o, ns := newBridge(t)
	want := "[OpenFlow13] netdev secure {datapath-id=\"0000020000000101\", disable-in-band=\"true\", hwaddr=\"02:00:00:00:01:01\"}"
	got := strings.Join(strings.Fields(o.Vsctl("get", "bridge", "br-daoli", "protocols", "datapath_type", "fail_mode", "other_config")), " ")
	if got != want {
		t.Errorf("bridge is\n%s; want\n%s", got, want)
	}
	if got := o.Vsctl("get", "bridge", "br-daoli", "datapath_id"); got != `"0000020000000101"` {
		t.Errorf("datapath id is %s", got)
	}
	lab.Eventually(t, "LOCAL has the MTU", func() string {
		out := ns.Run("ip", "-o", "link", "show", "br-daoli")
		if strings.Contains(out, "mtu 1450") && strings.Contains(out, "02:00:00:00:01:01") {
			return ""
		}
		return out
	})
	if got := o.Vsctl("get", "Open_vSwitch", ".", "other_config:max-idle"); got != `"1000"` {
		t.Errorf("max-idle is %s; want 1000", got)
	}
	o.Vsctl("set", "Open_vSwitch", ".", "other_config:max-idle=7000")
	if err := b.Ensure(t.Context(), setup); err != nil {
		t.Errorf("Ensure again = %v", err)
	}
	if got := o.Vsctl("get", "Open_vSwitch", ".", "other_config:max-idle"); got != `"7000"` {
		t.Errorf("max-idle after Ensure again is %s; want the operator's 7000", got)
	}
	if err := b.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	if ok, err := b.Exists(t.Context()); ok || err != nil {
		t.Errorf("Exists after Delete = %v, %v", ok, err)
	}
}

func TestBaseFlowsAreReplacedAndOthersStay(t *testing.T) {
	b, o, _ := newBridge(t)
	if flows := o.Flows("br-daoli"); len(flows) != 0 {
		t.Fatalf("a new secure bridge has flows: %v", flows)
	}
	install := func(base bridge.Base) {
		t.Helper()
		if err := b.InstallBase(t.Context(), base); err != nil {
			t.Fatal(err)
		}
		if n, err := b.CountFlows(t.Context(), base.Cookie); err != nil || n != len(base.Flows) {
			t.Errorf("CountFlows = %d, %v; want %d", n, err, len(base.Flows))
		}
	}
	install(base())
	plain := o.Flows("br-daoli")
	o.Ofctl("add-flow", "br-daoli", "cookie=0x0300000000000001,priority=200,table=2,in_port=16,actions=drop")
	install(base(pipeline.Listener{Proto: openflow.ProtoTCP, Port: 20000}))
	if n := len(o.Flows("br-daoli")); n != len(plain)+3 {
		t.Errorf("%d flows with a listener and a session flow; want %d", n, len(plain)+3)
	}
	install(base())
	want := append(slices.Clone(plain), "cookie=0x300000000000001, table=2, priority=200,in_port=16 actions=drop")
	if diff := cmp.Diff(sorted(want), sorted(o.Flows("br-daoli"))); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
	if got := o.Ofctl("get-frags", "br-daoli"); !strings.Contains(got, "nx-match") {
		t.Errorf("fragments: %s", got)
	}
	if got := o.Ofctl("dump-meters", "br-daoli"); !strings.Contains(got, "meter=3 ") {
		t.Errorf("meters: %s", got)
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestChangeOfControllersKeepsFlows(t *testing.T) {
	b, o, _ := newBridge(t)
	if err := b.InstallBase(t.Context(), base()); err != nil {
		t.Fatal(err)
	}
	before := o.Flows("br-daoli")
	for _, targets := range [][]string{{"ssl:127.0.0.1:7002", "ssl:127.0.0.1:7003"}, {"ssl:127.0.0.1:7004"}} {
		if err := b.SetControllers(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
		if got := strings.Fields(o.Vsctl("get-controller", "br-daoli")); !slices.Equal(sorted(got), targets) {
			t.Errorf("controllers are %v; want %v", got, targets)
		}
		lab.Eventually(t, "State has the controllers", func() string {
			s := b.State()
			if len(s.Controllers) == len(targets) {
				return ""
			}
			return fmt.Sprint(s.Controllers)
		})
	}
	if diff := cmp.Diff(sorted(before), sorted(o.Flows("br-daoli"))); diff != "" {
		t.Errorf("flows changed with the controllers (-before +after):\n%s", diff)
	}
	for _, bad := range [][]string{nil, {"ssl:host:6653"}, {"ptcp:6653"}, {"tcp:1.2.3.4:6653"}, {"ssl:1.2.3.4:6653 -- del-br br-daoli"}} {
		if err := b.SetControllers(t.Context(), bad); err == nil {
			t.Errorf("SetControllers(%q) = nil; want an error", bad)
		}
	}
}

func TestPorts(t *testing.T) {
	b, o, ns := newBridge(t)
	for _, dev := range []string{"dl16", "dl17", "dl18"} {
		ns.Run("ip", "link", "add", dev, "type", "veth", "peer", "name", "c"+dev)
	}
	add := func(dev string, port uint32, owner string) {
		t.Helper()
		if err := b.AddPort(t.Context(), dev, port, owner); err != nil {
			t.Fatal(err)
		}
		if got := o.Vsctl("get", "interface", dev, "ofport"); got != fmt.Sprint(port) {
			t.Errorf("ofport of %s is %s; want %d", dev, got, port)
		}
	}
	add("dl16", 16, "acme/prod/a")
	add("dl17", 17, "acme/prod/b")
	add("dl17", 17, "acme/prod/b")
	add("dl17", 19, "acme/prod/c")
	want := map[string]string{"dl16": "acme/prod/a", "dl17": "acme/prod/c"}
	lab.Eventually(t, "Ports", func() string {
		got, err := b.Ports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return cmp.Diff(want, got)
	})
	if err := b.AddPort(t.Context(), "absent", 20, "x"); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("AddPort of a device that doesn't exist = %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := b.AddPort(ctx, "dl18", 16, "x"); err == nil || !strings.Contains(err.Error(), "instead of 16") {
		t.Errorf("AddPort with a number in use = %v; want an error", err)
	}
	for _, dev := range []string{"dl16", "dl16", "absent"} {
		if err := b.DelPort(t.Context(), dev); err != nil {
			t.Errorf("DelPort(%s) = %v", dev, err)
		}
	}
	if got := o.Vsctl("list-ports", "br-daoli"); strings.Contains(got, "dl16") {
		t.Errorf("ports are %q", got)
	}
}

func TestFlowsThatNameAPortAreDeleted(t *testing.T) {
	b, o, _ := newBridge(t)
	for _, f := range []string{
		"table=0,priority=1,in_port=16,actions=drop",
		"table=2,priority=1,in_port=17,actions=output:16",
		"table=2,priority=2,in_port=17,actions=output:1",
	} {
		o.Ofctl("add-flow", "br-daoli", f)
	}
	for _, m := range []string{"meter=16,pktps,band=type=drop,rate=1000", "meter=17,pktps,band=type=drop,rate=1000"} {
		o.Ofctl("add-meter", "br-daoli", m)
	}
	for range 2 { // what is gone already is no error
		if err := b.DelPortFlows(t.Context(), 16); err != nil {
			t.Fatal(err)
		}
	}
	if out := o.Ofctl("dump-meters", "br-daoli"); strings.Contains(out, "meter=16 ") || !strings.Contains(out, "meter=17 ") {
		t.Errorf("meters = %s; want 17 and not 16", out)
	}
	if diff := cmp.Diff([]string{"table=2, priority=2,in_port=17 actions=output:1"}, o.Flows("br-daoli")); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
}

func TestStateFollowsSwitchAndDatabase(t *testing.T) {
	b, o, ns := newBridge(t)
	await := func(what string, ok func(bridge.State) bool) bridge.State {
		t.Helper()
		end := time.After(lab.Patience)
		for {
			if s := b.State(); ok(s) {
				return s
			}
			select {
			case <-b.Changes():
			case <-end:
				t.Fatalf("%s: state is %+v", what, b.State())
			}
		}
	}
	first := await("switch up", func(s bridge.State) bool { return s.Up })
	o.KillSwitch()
	await("switch down", func(s bridge.State) bool { return !s.Up })
	o.StartSwitch()
	await("switch up again", func(s bridge.State) bool { return s.Up && s.Generation > first.Generation })

	o.KillDB()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := b.Ports(ctx); err == nil {
		t.Log("Ports answered from the last copy")
	}
	o.StartDB()
	ns.Run("ip", "link", "add", "dl16", "type", "veth", "peer", "name", "cdl16")
	if err := b.AddPort(t.Context(), "dl16", 16, "x"); err != nil {
		t.Errorf("AddPort after the database came back = %v", err)
	}
}
