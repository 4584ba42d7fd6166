//go:build e2e

package netns_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// ownerVar makes the test program an owner of a testbed that waits to be killed.
const ownerVar = "DAOLI_TEST_OWNER"

// ownerDockerVar gives that testbed's host a dockerd with a container.
const ownerDockerVar = "DAOLI_TEST_OWNER_DOCKER"

func TestMain(m *testing.M) {
	if parent := os.Getenv(ownerVar); parent != "" {
		ownUntilKilled(parent)
	}
	os.Exit(m.Run())
}

func ownUntilKilled(parent string) {
	docker := os.Getenv(ownerDockerVar) != ""
	tb, err := netns.Up(context.Background(), netns.Options{Hosts: 2, UnderlayOnly: true, Docker: docker, Parent: parent})
	if err == nil && docker {
		_, err = tb.Hosts[0].Docker.Run(context.Background(), "one", "", netns.Image, "sleep", "1000")
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("up", tb.Dir)
	select {}
}

// shortDir is a directory for runs; t.TempDir is too long for unix sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func up(t *testing.T, opt netns.Options) *netns.Testbed {
	t.Helper()
	opt.UnderlayOnly = true
	tb, err := netns.Up(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tb.Close(); err != nil {
			t.Error(err)
		}
	})
	return tb
}

// leftovers lists what there is of the runs below parent: their directories,
// their namespaces, and processes with their mark.
func leftovers(t *testing.T, parent string, ids ...string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil {
		t.Fatal(err)
	}
	spaces, err := os.ReadDir(inside.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, s := range spaces {
		for _, id := range ids {
			if strings.HasPrefix(s.Name(), id+"-") {
				left = append(left, "namespace "+s.Name())
			}
		}
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		if text, _ := os.ReadFile(file); bytes.Contains(text, []byte("DAOLI_TESTBED="+parent+"/")) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			left = append(left, fmt.Sprintf("process %s %q", file, cmdline))
		}
	}
	return left
}

func TestHostsReachEachOtherAndTheInternetThroughTheRouter(t *testing.T) {
	tb := up(t, netns.Options{Hosts: 3})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	internet := netip.MustParseAddr("203.0.113.9")
	for _, to := range []netip.Addr{tb.Hosts[1].Addr.Addr(), tb.Hosts[2].Addr.Addr(), internet, netip.MustParseAddr("172.31.250.1")} {
		if _, err := inside.Ping(ctx, tb.Hosts[0].Namespace, to, 1400); err != nil {
			t.Errorf("from h1: %v", err)
		}
	}
	s, err := inside.ServeTCP(tb.Namespace("in"), netip.AddrPortFrom(internet, 0), "hello ")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := inside.Dial(ctx, tb.Hosts[2].Namespace, "tcp4", 40001, s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "world")
	got := make([]byte, len("hello world"))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello world" {
		t.Errorf("echo from the internet = %q, %v; want hello world", got, err)
	}
	want := netip.AddrPortFrom(tb.Hosts[2].Addr.Addr(), 40001)
	if peers := s.Peers(); len(peers) != 1 || peers[0] != want {
		t.Errorf("server's peers = %v; want only %s", peers, want)
	}
}

func TestEveryHostHasItsOwnOpenVSwitch(t *testing.T) {
	tb := up(t, netns.Options{Hosts: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, h := range tb.Hosts {
		vsctl(ctx, t, h, "--timeout=10", "add-br", netns.Bridge, "--", "set", "bridge", netns.Bridge, "datapath_type=netdev", "protocols=OpenFlow13")
	}
	flow := netns.Flow{Table: 2, Priority: 7, Cookie: 0x42, Match: "udp,in_port=9", Actions: "output:1"}
	if err := tb.Hosts[0].AddFlow(ctx, flow); err != nil {
		t.Fatal(err)
	}
	if err := tb.Hosts[0].SetActions(ctx, flow, "drop"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0} {
		flows, err := tb.Hosts[i].Flows(ctx, "table=2")
		if err != nil {
			t.Fatal(err)
		}
		if len(flows) != want || want == 1 && (flows[0].Actions != "drop" || flows[0].Cookie != 0x42) {
			t.Errorf("flows on %s = %v; want %d with cookie 0x42 and action drop", tb.Hosts[i].Name, flows, want)
		}
	}

	// kill -9 empties the table, and a second start finds its bridge again.
	h := tb.Hosts[0]
	h.Switch().Kill()
	if err := h.StartSwitch(ctx); err != nil {
		t.Fatal(err)
	}
	vsctl(ctx, t, h, "--timeout=10", "set", "bridge", netns.Bridge, "other-config:disable-in-band=true")
	if flows, err := h.Flows(ctx, "table=2"); err != nil || len(flows) != 0 {
		t.Errorf("flows after a restart of the switch = %v, %v; want none", flows, err)
	}
}

func vsctl(ctx context.Context, t *testing.T, h *netns.Host, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "ovs-vsctl", append([]string{"--db=unix:" + h.OVSDir + "/db.sock"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ovs-vsctl %v: %v: %s", args, err, out)
	}
}

func TestCaptureSeesInjectedFramesWithTheirTagsAndTimes(t *testing.T) {
	tb := up(t, netns.Options{Hosts: 1})
	h := tb.Hosts[0]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	sent, err := inside.StartCapture(h.Namespace, netns.Uplink, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sent.Stop()
	arrived, err := inside.StartCapture(tb.Namespace("rt"), h.Name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer arrived.Stop()
	dev, err := inside.OpenDevice(h.Namespace, netns.Uplink)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	frame := inside.Frame{
		EthSrc: dev.MAC, EthDst: dev.MAC, EthType: inside.EtherIPv4, VLAN: 100, Proto: inside.UDP,
		Src: netip.MustParseAddr("10.9.9.9"), Dst: h.Router, SrcPort: 1, DstPort: 2, Payload: []byte("marked"),
	}
	start := time.Now()
	if err := dev.Send(frame.Bytes()); err != nil {
		t.Fatal(err)
	}
	for end, capture := range map[string]*inside.Capture{"sent": sent, "arrived": arrived} {
		got, err := capture.Await(ctx, func(c *inside.Captured) bool { return c.Proto == inside.UDP && c.DstPort == 2 })
		if err != nil {
			t.Fatalf("%s: %v", end, err)
		}
		if got.VLAN != 100 || string(got.Payload) != "marked" || got.Outgoing != (end == "sent") || got.Time.Sub(start).Abs() > time.Second {
			t.Errorf("%s: %s, outgoing %t, at %s", end, &got.Frame, got.Outgoing, got.Time)
		}
	}
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	parent := shortDir(t)
	tb, err := netns.Up(t.Context(), netns.Options{Hosts: 2, UnderlayOnly: true, Parent: parent})
	if err != nil {
		t.Fatal(err)
	}
	if err := tb.Close(); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, parent, tb.ID); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestUpThatFailsLeavesNothingBehind(t *testing.T) {
	parent := shortDir(t)
	_, err := netns.Up(t.Context(), netns.Options{Hosts: 2, Specs: parent, Binaries: "/nonexistent", Parent: parent})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/daoli-") {
		t.Errorf("Up without programs = %v; want an error that names them", err)
	}
	if left := leftovers(t, parent); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestSweepRemovesWhatAKilledOwnerLeft(t *testing.T) {
	parent := shortDir(t)
	lives := up(t, netns.Options{Hosts: 1, Parent: parent})
	dead, dir := startOwner(t, ownerCommand(parent))
	id := filepath.Base(dir)
	if swept, err := netns.Sweep(t.Context(), parent); err != nil || len(swept) != 0 {
		t.Fatalf("Sweep while both owners live = %v, %v; want none", swept, err)
	}
	before := strings.Join(leftovers(t, parent, id), "\n")
	for _, want := range []string{"namespace " + id + "-h1", "ovs-vswitchd"} {
		if !strings.Contains(before, want) {
			t.Errorf("no %q in what there is before: %s", want, before)
		}
	}
	dead.Process.Kill()
	dead.Wait()
	if swept, err := netns.Sweep(t.Context(), parent); err != nil || len(swept) != 1 || swept[0] != id {
		t.Errorf("Sweep after kill -9 of an owner = %v, %v; want %s", swept, err, id)
	}
	for _, left := range leftovers(t, parent, id) {
		if strings.Contains(left, id) {
			t.Errorf("left behind: %s", left)
		}
	}
	if _, err := inside.Ping(t.Context(), lives.Hosts[0].Namespace, lives.Hosts[0].Router, 0); err != nil {
		t.Errorf("the run beside it: %v", err)
	}
}

// Whenever the owner dies, the next start removes all of what it had begun.
func TestSweepRemovesABringUpKilledHalfway(t *testing.T) {
	parent := shortDir(t)
	for _, after := range []time.Duration{5, 8, 10, 12, 14, 16, 18, 20, 22, 25, 28, 30, 35, 40, 50, 60, 80, 100} {
		owner := ownerCommand(parent)
		if err := owner.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(after*time.Millisecond, func() { owner.Process.Kill() })
		owner.Wait()
		kill.Stop()
		t.Logf("killed after %d ms", after)
		sweepAll(t, parent)
	}
}

// sweepAll sweeps until nothing is left below parent, for at most 20 s. A child
// that the dead owner had forked but that has not begun its program yet still
// holds the run's lock, so the first sweep may pass it by.
func sweepAll(t *testing.T, parent string) {
	t.Helper()
	var ids []string
	for deadline := time.Now().Add(20 * time.Second); ; {
		swept, err := netns.Sweep(t.Context(), parent)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, swept...)
		left := leftovers(t, parent, ids...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", left)
		}
	}
}

func TestDetachedTestbedLivesUntilItIsOpenedAndClosed(t *testing.T) {
	parent := shortDir(t)
	tb, err := netns.Up(t.Context(), netns.Options{Hosts: 1, UnderlayOnly: true, Parent: parent})
	if err != nil {
		t.Fatal(err)
	}
	if err := tb.Detach(); err != nil {
		t.Fatal(err)
	}
	if swept, err := netns.Sweep(t.Context(), parent); err != nil || len(swept) != 0 {
		t.Errorf("Sweep = %v, %v; want none", swept, err)
	}
	runs, err := netns.Runs(parent)
	if err != nil || len(runs) != 1 || runs[0] != tb.Dir {
		t.Fatalf("Runs = %v, %v; want %s", runs, err, tb.Dir)
	}
	again, err := netns.Open(runs[0])
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Hosts) != 1 || again.Hosts[0].Namespace != tb.Hosts[0].Namespace {
		t.Errorf("hosts of the opened testbed = %+v; want %+v", again.Hosts, tb.Hosts)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if left := leftovers(t, parent, tb.ID); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func startOwner(t *testing.T, cmd *exec.Cmd) (*exec.Cmd, string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dir, found := strings.CutPrefix(strings.TrimSpace(line), "up ")
	if err != nil || !found {
		cmd.Process.Kill()
		t.Fatalf("owner said %q, %v", line, err)
	}
	return cmd, dir
}

func ownerCommand(parent string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerVar+"="+parent)
	return cmd
}
