//go:build e2e

package simnet_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// ovs is a real ovs-vswitchd with its dummy datapath: its userspace datapath and
// all of its OpenFlow, but ports that are files, and a clock that stands still
// until it is moved. It touches nothing of the machine but its own directory.
type ovs struct {
	t       *testing.T
	dir     string
	ctl     net.Conn // to the daemon's command socket
	replies *json.Decoder
	conn    net.Conn // OpenFlow
	r       *bufio.Reader
	xid     uint32
	ports   []of.PortNo
	read    map[of.PortNo]int64 // of each port's capture

	packetIns []of.PacketIn
	errs      []*of.ErrorMessage
	stats     []of.FlowStats
}

// portName is the name of a port's device.
func portName(p of.PortNo) string {
	if p == of.PortLocal {
		return "br0"
	}
	return fmt.Sprintf("p%d", p)
}

// startOVS starts a switch with the given ports and LOCAL.
func startOVS(t *testing.T, ports ...of.PortNo) *ovs {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlsim-") // t.TempDir's names are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &ovs{t: t, dir: dir, ports: append(ports, of.PortLocal), read: map[of.PortNo]int64{}}
	for _, p := range o.ports {
		o.read[p] = pcapHeaderLen
	}
	o.run("ovsdb-tool", "create", o.path("conf.db"), "/usr/share/openvswitch/vswitch.ovsschema")
	o.daemon("ovsdb-server", o.path("conf.db"), "--remote=punix:"+o.path("db.sock"))
	o.daemon("ovs-vswitchd", "unix:"+o.path("db.sock"), "--enable-dummy=override")
	args := []string{"--db=unix:" + o.path("db.sock"), "--timeout=20", "add-br", "br0",
		"--", "set", "bridge", "br0", "datapath-type=dummy", "fail-mode=secure", "protocols=OpenFlow13",
		"--", "set", "interface", "br0", "options:tx_pcap=" + o.path("br0.pcap")}
	for _, p := range ports {
		args = append(args, "--", "add-port", "br0", portName(p),
			"--", "set", "interface", portName(p), "type=dummy", fmt.Sprintf("ofport_request=%d", p), "options:tx_pcap="+o.path(portName(p)+".pcap"))
	}
	o.run("ovs-vsctl", args...)
	o.ctl = o.dial("ovs-vswitchd.ctl")
	o.replies = json.NewDecoder(o.ctl)
	o.appctl("time/stop")
	o.connect()
	return o
}

func (o *ovs) path(name string) string { return filepath.Join(o.dir, name) }

func (o *ovs) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+o.dir, "OVS_LOGDIR="+o.dir, "OVS_DBDIR="+o.dir)
	return c
}

func (o *ovs) run(name string, args ...string) string {
	o.t.Helper()
	out, err := o.command(name, args...).CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// daemon starts a daemon, and ends it with the test.
func (o *ovs) daemon(name string, args ...string) {
	o.t.Helper()
	pidfile := o.path(name + ".pid")
	o.run(name, append(args, "--unixctl="+o.path(name+".ctl"), "--pidfile="+pidfile, "--log-file="+o.path(name+".log"), "--detach", "--no-chdir")...)
	o.t.Cleanup(func() {
		b, err := os.ReadFile(pidfile)
		if err != nil {
			o.t.Errorf("find pid of %s: %v", name, err)
			return
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			o.t.Errorf("kill %s: %v", name, err)
		}
	})
}

// appctl runs a command of ovs-vswitchd as ovs-appctl does, over its socket.
func (o *ovs) appctl(command string, args ...string) {
	o.t.Helper()
	if args == nil {
		args = []string{}
	}
	o.deadline(o.ctl)
	if err := json.NewEncoder(o.ctl).Encode(map[string]any{"id": 0, "method": command, "params": args}); err != nil {
		o.t.Fatal(err)
	}
	var reply struct{ Error any }
	if err := o.replies.Decode(&reply); err != nil || reply.Error != nil {
		o.t.Fatalf("%s %s: %v, %v", command, strings.Join(args, " "), reply.Error, err)
	}
}

// dial connects to one of the daemons' sockets for as long as the test runs.
func (o *ovs) dial(socket string) net.Conn {
	o.t.Helper()
	c, err := net.Dial("unix", o.path(socket))
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { c.Close() })
	return c
}

func (o *ovs) deadline(c net.Conn) {
	o.t.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		o.t.Fatal(err)
	}
}

// connect opens an OpenFlow connection to the bridge's management socket, on
// which PacketIns come once the configuration is set.
func (o *ovs) connect() {
	o.t.Helper()
	o.conn = o.dial("br0.mgmt")
	o.r = bufio.NewReaderSize(o.conn, 1<<17)
	o.write(of.AppendHello(nil, 1))
	o.write(of.AppendSetConfig(nil, 2))
	o.barrier()
}

func (o *ovs) write(b []byte) {
	o.t.Helper()
	if _, err := o.conn.Write(b); err != nil {
		o.t.Fatal(err)
	}
}

// barrier reads all that the switch says until it has done what it was told.
func (o *ovs) barrier() {
	o.t.Helper()
	o.xid += 1 << 16
	o.write(of.AppendBarrierRequest(nil, o.xid))
	o.until(of.TypeBarrierReply)
}

// until reads messages up to the last of the given type.
func (o *ovs) until(last of.MessageType) {
	o.t.Helper()
	o.deadline(o.conn)
	for {
		head, err := o.r.Peek(of.HeaderLen)
		if err != nil {
			o.t.Fatalf("read from the switch: %v", err)
		}
		b := make([]byte, binary.BigEndian.Uint16(head[2:]))
		if _, err := io.ReadFull(o.r, b); err != nil {
			o.t.Fatal(err)
		}
		if o.take(of.MessageType(b[1]), b) == last {
			return
		}
	}
}

// take keeps what a message says, and returns its type, or that of an echo
// request for a part of a reply of which more follows.
func (o *ovs) take(t of.MessageType, b []byte) of.MessageType {
	o.t.Helper()
	var err error
	switch t {
	case of.TypePacketIn:
		var in of.PacketIn
		if in, err = of.DecodePacketIn(b); err == nil {
			o.packetIns = append(o.packetIns, in)
		}
	case of.TypeError:
		var e *of.ErrorMessage
		if e, err = of.DecodeError(b); err == nil && !e.Expected() {
			o.errs = append(o.errs, e)
		}
	case of.TypeMultipartReply:
		var more bool
		if _, more, err = of.DecodeMultipart(b); err == nil {
			o.stats, err = of.AppendFlowStats(o.stats, b)
		}
		if more {
			return of.TypeEchoRequest
		}
	case of.TypeEchoRequest:
		o.write(of.AppendEchoReply(nil, binary.BigEndian.Uint32(b[4:]), b[of.HeaderLen:]))
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return t
}

// apply gives the switch a batch and returns what it refused.
func (o *ovs) apply(b of.Batch) []*of.ErrorMessage {
	o.t.Helper()
	o.errs = nil
	o.xid += 1 << 16
	o.write(of.AppendBatch(nil, o.xid, &b))
	o.barrier()
	o.appctl("revalidator/purge") // the datapath's cache knows the old flows
	return o.errs
}

// receive lets a frame come in at a port.
func (o *ovs) receive(in of.PortNo, frame []byte) {
	o.t.Helper()
	o.appctl("netdev-dummy/receive", portName(in), hex.EncodeToString(frame))
}

// quiet waits until the datapath has done all that it was given, and what it
// lifted was sent: the daemon's main loop runs the datapath, then OpenFlow, then
// commands.
func (o *ovs) quiet() {
	o.t.Helper()
	o.appctl("version")
	o.barrier()
}

// outputs returns the frames that left by ports since the last call.
func (o *ovs) outputs() map[of.PortNo][]string {
	o.t.Helper()
	out := map[of.PortNo][]string{}
	for _, p := range o.ports {
		b, err := os.ReadFile(o.path(portName(p) + ".pcap"))
		if err != nil {
			o.t.Fatal(err)
		}
		frames, n, err := pcapFrames(b[o.read[p]:])
		if err != nil {
			o.t.Fatalf("capture of port %v: %v", p, err)
		}
		o.read[p] += n
		if frames != nil {
			out[p] = frames
		}
	}
	return out
}

const (
	pcapHeaderLen = 24
	pcapRecordLen = 16
)

// pcapFrames reads the records of a pcap file, written in this machine's order.
func pcapFrames(b []byte) (frames []string, n int64, err error) {
	for len(b) > 0 {
		if len(b) < pcapRecordLen {
			return nil, 0, errors.New("record header cut")
		}
		size := int(binary.NativeEndian.Uint32(b[8:])) + pcapRecordLen
		if len(b) < size {
			return nil, 0, errors.New("record cut")
		}
		frames = append(frames, hex.EncodeToString(b[pcapRecordLen:size]))
		b, n = b[size:], n+int64(size)
	}
	return frames, n, nil
}

// dump returns the switch's flows with their counters up to date.
func (o *ovs) dump() []of.FlowStats {
	o.t.Helper()
	o.appctl("revalidator/wait")
	o.stats = nil
	o.xid += 1 << 16
	o.write(of.AppendFlowStatsRequest(nil, o.xid, of.StatsFilter{Table: of.AllTables}))
	o.until(of.TypeMultipartReply)
	return o.stats
}

// warp moves the switch's clock.
func (o *ovs) warp(d time.Duration) {
	o.t.Helper()
	o.appctl("time/warp", strconv.FormatInt(d.Milliseconds(), 10))
}
