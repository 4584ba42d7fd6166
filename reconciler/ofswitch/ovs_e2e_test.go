//go:build e2e

package ofswitch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// bridge is a real bridge "br" with an ovsdb-server and an ovs-vswitchd of its
// own. Its datapath is the userspace one with dummy devices, so that the machine
// gets no device; ports "p16" and "p17" have the numbers 16 and 17.
type bridge struct {
	t   *testing.T
	dir string // run directory: sockets, pid files, database
}

const ovsDPID = 0x0000aabbccddeeff

func newBridge(t *testing.T) *bridge {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlof") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bridge{t, dir}
	db := filepath.Join(dir, "conf.db")
	b.run("ovsdb-tool", "create", db)
	b.daemon("ovsdb-server", db, "--remote=punix:"+b.socket())
	b.vsctl("--no-wait", "init")
	b.daemon("ovs-vswitchd", "unix:"+b.socket(), "--disable-system", "--enable-dummy")
	b.vsctl("add-br", "br", "--", "set", "bridge", "br", "datapath_type=dummy", "fail_mode=secure", "protocols=OpenFlow13",
		fmt.Sprintf("other_config:datapath-id=%016x", ovsDPID),
		"--", "add-port", "br", "p16", "--", "set", "interface", "p16", "type=dummy", "ofport_request=16",
		"--", "add-port", "br", "p17", "--", "set", "interface", "p17", "type=dummy", "ofport_request=17")
	return b
}

func (b *bridge) socket() string { return filepath.Join(b.dir, "db.sock") }

func (b *bridge) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "OVS_RUNDIR="+b.dir, "OVS_LOGDIR="+b.dir, "OVS_DBDIR="+b.dir)
	return cmd
}

func (b *bridge) run(name string, args ...string) string {
	b.t.Helper()
	out, err := b.command(name, args...).CombinedOutput()
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (b *bridge) vsctl(args ...string) string {
	b.t.Helper()
	return b.run("ovs-vsctl", append([]string{"--db=unix:" + b.socket(), "--retry", "--timeout=20"}, args...)...)
}

func (b *bridge) ofctl(args ...string) string {
	b.t.Helper()
	return b.run("ovs-ofctl", append([]string{"-O", "OpenFlow13", "--timeout=20"}, args...)...)
}

// daemon starts a daemon that ends with the test, also when the test crashes.
func (b *bridge) daemon(name string, args ...string) {
	b.t.Helper()
	cmd := b.command(name, append(args, "--pidfile="+filepath.Join(b.dir, name+".pid"),
		"--unixctl="+filepath.Join(b.dir, name+".ctl"), "--log-file="+filepath.Join(b.dir, name+".log"), "-vconsole:off")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.t.Fatalf("start %s: %v", name, err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// connect makes the bridge connect to a server, and returns the handler and the
// connected switch.
func (b *bridge) connect(cfg ofswitch.Config) (*recorder, *ofswitch.Switch) {
	b.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	r := newRecorder()
	cfg.Handler = r
	serve(b.t, cfg, ln)
	b.vsctl("set-controller", "br", "tcp:"+ln.Addr().String())
	return r, r.want(b.t, "up").sw
}

// sent sends a batch and returns what became of it.
func sent(t *testing.T, r *recorder, sw *ofswitch.Switch, b of.Batch) error {
	t.Helper()
	b.DPID, b.Token = sw.DPID(), 99
	if err := sw.Send(b); err != nil {
		t.Fatal(err)
	}
	return r.want(t, "done").err
}

// lifting are flows that lift what comes in at port 16, like an endpoint's.
var lifting = []of.Flow{
	{Table: 0, Priority: 150, Cookie: 0x0200000000000010, Match: of.Match{InPort: 16},
		WriteMetadata: of.Masked[uint64](1, 1), Goto: 3},
	{Table: 3, Priority: 100, Cookie: 0x0200000000000011, Match: of.Match{InPort: 16},
		Meter: 16, Actions: of.ActionList(of.ToController())},
}

var (
	portMeter = of.MeterMod{ID: 16, Rate: 1000, Burst: 200}
	hopGroup  = of.GroupMod{ID: 7, Actions: of.ActionList(of.SetMAC(of.FieldEthDst, of.MAC{2, 0, 0, 0, 0, 9}),
		of.Load(0, of.FieldInPort, 0, 16), of.Output(17))}
	sessionFlow = of.Flow{Table: 2, Priority: 201, Cookie: 0x0310000a00000007,
		Match: of.Match{InPort: 16, EthType: of.EthTypeIPv4, NoVLAN: true, IPProto: of.Exact(of.ProtoTCP),
			IPSrc: of.Exact[uint32](0x0a010005), IPDst: of.Masked[uint32](0x0a010100, 0xffffff00),
			L4Src: of.Masked[uint16](0x8000, 0x8000), L4Dst: of.Exact[uint16](5432),
			IPTTL: of.Exact[uint8](64), TCPFlags: of.Masked(of.TCPSyn, of.TCPSyn|of.TCPAck), Metadata: of.Masked[uint64](0, 2)},
		Actions: of.ActionList(of.DecTTL(), of.Set(of.FieldTCPDst, 16384), of.Group(7))}
)

func adds(flows ...of.Flow) (mods []of.FlowMod) {
	for _, f := range flows {
		mods = append(mods, of.Add(f))
	}
	return mods
}

func flowStats(t *testing.T, sw *ofswitch.Switch, filter ofswitch.StatsFilter) []of.FlowStats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	flows, err := sw.FlowStats(ctx, filter)
	if err != nil {
		t.Fatal(err)
	}
	return flows
}

var everything = ofswitch.StatsFilter{Table: of.AllTables}

func TestOVSTakesBatchesAndReportsTheirFlows(t *testing.T) {
	b := newBridge(t)
	r, sw := b.connect(ofswitch.Config{})
	if sw.DPID() != ovsDPID {
		t.Errorf("DPID %#x; want %#x", sw.DPID(), uint64(ovsDPID))
	}
	if frags := b.ofctl("get-frags", "br"); !strings.Contains(frags, "nx-match") {
		t.Errorf("fragments are handled as %q; want nx-match", frags)
	}
	flows := append([]of.Flow{sessionFlow}, lifting...)
	batch := of.Batch{Meters: []of.MeterMod{portMeter}, Groups: []of.GroupMod{hopGroup}, Flows: adds(flows...)}
	for range 2 { // the second time changes nothing and is no error
		if err := sent(t, r, sw, batch); err != nil {
			t.Fatalf("BatchDone: %v", err)
		}
		wantFlows(t, sw, flows)
	}
	// A meter and a group are replaced without the flows that use them.
	faster, moved := portMeter, hopGroup
	faster.Rate = 2000
	moved.Actions = of.ActionList(of.Output(17))
	if err := sent(t, r, sw, of.Batch{Meters: []of.MeterMod{faster}, Groups: []of.GroupMod{moved}}); err != nil {
		t.Fatalf("BatchDone: %v", err)
	}
	wantFlows(t, sw, flows)
	if meter := b.ofctl("dump-meters", "br"); !strings.Contains(meter, "rate=2000 burst_size=200") {
		t.Errorf("meter is %q; want rate 2000, burst 200", meter)
	}
	if group := b.ofctl("dump-groups", "br"); !strings.Contains(group, "actions=output:17") || strings.Contains(group, "eth_dst") {
		t.Errorf("group is %q; want actions=output:17 alone", group)
	}
	// Deleted, they take those flows with them.
	gone := of.Batch{Meters: []of.MeterMod{{ID: 16, Delete: true}}, Groups: []of.GroupMod{{ID: 7, Delete: true}}}
	if err := sent(t, r, sw, gone); err != nil {
		t.Fatalf("BatchDone: %v", err)
	}
	wantFlows(t, sw, lifting[:1])
	if err := sent(t, r, sw, of.Batch{Flows: []of.FlowMod{of.DeleteStrict(lifting[0])}}); err != nil {
		t.Fatalf("BatchDone: %v", err)
	}
	wantFlows(t, sw, nil)
}

// wantFlows compares the switch's flow entries with flows.
func wantFlows(t *testing.T, sw *ofswitch.Switch, flows []of.Flow) {
	t.Helper()
	var want []of.FlowStats
	for _, f := range flows {
		want = append(want, of.FlowStats{Flow: f, Known: true, Whole: true})
	}
	got := flowStats(t, sw, everything)
	byCookie := cmpopts.SortSlices(func(a, b of.FlowStats) bool { return a.Cookie < b.Cookie })
	counters := cmpopts.IgnoreFields(of.FlowStats{}, "DurationSec", "Packets", "Bytes")
	if diff := cmp.Diff(want, got, byCookie, counters, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("flows (-want +got):\n%s", diff)
	}
}

func TestOVSRefusesABadFlowByItsText(t *testing.T) {
	b := newBridge(t)
	r, sw := b.connect(ofswitch.Config{})
	bad := sessionFlow // its group is missing
	good := lifting[0]
	orphan := of.Flow{Table: 3, Match: of.Match{L4Dst: of.Exact[uint16](53)}} // without its protocol
	err := sent(t, r, sw, of.Batch{Flows: adds(good, bad, orphan)})
	for _, want := range []string{
		"flow " + bad.String() + ": OFPBAC_BAD_OUT_GROUP",
		"flow " + orphan.String() + ": OFPBMC_BAD_PREREQ",
	} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("BatchDone: %v; want %s", err, want)
		}
	}
	if strings.Contains(fmt.Sprint(err), good.String()) {
		t.Errorf("BatchDone blames the good flow: %v", err)
	}
	wantFlows(t, sw, []of.Flow{good})
}

func TestOVSLiftsPacketsWithWhatTheControllerNeeds(t *testing.T) {
	b := newBridge(t)
	r, sw := b.connect(ofswitch.Config{})
	if err := sent(t, r, sw, of.Batch{Meters: []of.MeterMod{portMeter}, Flows: adds(lifting...)}); err != nil {
		t.Fatal(err)
	}
	eth := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0x0b}
	frames := [][]byte{
		append(bytes.Clone(eth), append([]byte{8, 0, 0x40, 0, 0, 20, 0, 0, 0, 0, 64, 6, 0, 0}, make([]byte, 8)...)...), // IHL 0
		append(bytes.Clone(eth), 0x81, 0, 0, 1), // ends in a VLAN tag
		append(bytes.Clone(eth), 8, 0, 0x45),
		append(append(bytes.Clone(eth), 8, 0), make([]byte, 1500)...),
	}
	for i, frame := range frames {
		err := sw.Send(of.Batch{DPID: sw.DPID(), Packets: []of.PacketOut{
			{InPort: 16, Actions: of.ActionList(of.Output(of.PortTable)), Frame: frame}}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.want(t, "packet").in
		want := of.PacketIn{InPort: 16, Table: 3, Cookie: lifting[1].Cookie, Reason: of.ReasonAction, Metadata: 1, Frame: frame}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("frame %d: packet-in (-want +got):\n%s", i, diff)
		}
	}
	flows := flowStats(t, sw, ofswitch.StatsFilter{Table: 3, Cookie: lifting[1].Cookie, CookieMask: ^uint64(0)})
	if len(flows) != 1 || flows[0].Packets != uint64(len(frames)) {
		t.Errorf("flows %+v; want the one of table 3 with %d packets", flows, len(frames))
	}
}

func TestOVSReportsTensOfThousandsOfFlows(t *testing.T) {
	b := newBridge(t)
	r, sw := b.connect(ofswitch.Config{})
	const n = 20_000
	batch := of.Batch{}
	for i := range uint32(n) {
		f := sessionFlow
		f.Match.IPSrc, f.Actions = of.Exact(i), of.ActionList(of.Output(17))
		batch.Flows = append(batch.Flows, of.Add(f))
	}
	if err := sent(t, r, sw, batch); err != nil {
		t.Fatal(err)
	}
	seen := map[of.Match]bool{}
	for _, f := range flowStats(t, sw, everything) {
		if !f.Known {
			t.Fatalf("flow %+v is not known", f)
		}
		seen[f.Match] = true
	}
	if len(seen) != n {
		t.Errorf("switch reports %d flows; want %d", len(seen), n)
	}
	if err := sent(t, r, sw, of.Batch{Flows: []of.FlowMod{of.DeleteByCookie(sessionFlow.Cookie, ^uint64(0))}}); err != nil {
		t.Fatal(err)
	}
	wantFlows(t, sw, nil)
}

// A controller with a newer generation takes over; the older one is told so by
// its next batch, and one with an older generation never comes up.
func TestOVSFencesTheOlderController(t *testing.T) {
	b := newBridge(t)
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return ln
	}
	refusals := make(lines, 100)
	start := func(generation uint64) (*recorder, net.Listener) {
		r, ln := newRecorder(), listen()
		logger := slog.New(slog.NewTextHandler(refusals, nil))
		serve(t, ofswitch.Config{Handler: r, GenerationID: generation, Logger: logger}, ln)
		return r, ln
	}
	older, olderLn := start(10)
	b.vsctl("set-controller", "br", "tcp:"+olderLn.Addr().String())
	olderSw := older.want(t, "up").sw
	newer, newerLn := start(11)
	b.vsctl("set-controller", "br", "tcp:"+olderLn.Addr().String(), "tcp:"+newerLn.Addr().String())
	newerSw := newer.want(t, "up").sw

	var refused *of.ErrorMessage
	err := sent(t, older, olderSw, of.Batch{Flows: adds(lifting[0])})
	if !errors.As(err, &refused) || refused.Error() != "OFPBRC_IS_SLAVE" {
		t.Errorf("batch of the older controller: %v; want OFPBRC_IS_SLAVE", err)
	}
	if err := sent(t, newer, newerSw, of.Batch{Flows: adds(lifting[0])}); err != nil {
		t.Errorf("batch of the newer controller: %v", err)
	}
	stale, staleLn := start(9)
	b.vsctl("set-controller", "br", "tcp:"+staleLn.Addr().String(), "tcp:"+newerLn.Addr().String())
	older.want(t, "down")
	select {
	case got := <-refusals:
		if !strings.Contains(got, "OFPRRFC_STALE") {
			t.Errorf("log %q; want OFPRRFC_STALE", got)
		}
	case <-time.After(30 * time.Second):
		t.Error("stale controller was not refused")
	}
	stale.none(t)
	newer.none(t)
}

// lines gets what is logged.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}
