//go:build e2e

// Package lab gives hostd's end-to-end tests network namespaces and Open
// vSwitches of their own, and takes them away again.
package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
)

// Patience bounds each wait of a test.
const Patience = 30 * time.Second

// Lab is one test's own corner of the machine.
type Lab struct {
	t      *testing.T
	prefix string
	dir    string // for sockets: short, since their paths are limited
}

// New returns a lab. It fails the test where root or Open vSwitch is missing.
func New(t *testing.T) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("end-to-end tests need root")
	}
	for _, tool := range []string{"ip", "nft", "ovs-vsctl", "ovs-ofctl", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("end-to-end tests need %s: %v", tool, err)
		}
	}
	dir, err := os.MkdirTemp("", "dlh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return &Lab{t: t, prefix: "dlh" + filepath.Base(dir)[3:], dir: dir}
}

// Dir returns a directory for sockets and state.
func (l *Lab) Dir() string { return l.dir }

// Namespace is a network namespace.
type Namespace struct {
	t    *testing.T
	Name string
}

// Namespace makes a namespace and brings its loopback up.
func (l *Lab) Namespace(name string) *Namespace {
	l.t.Helper()
	n := &Namespace{t: l.t, Name: l.prefix + "-" + name}
	Run(l.t, "ip", "netns", "add", n.Name)
	l.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", n.Name).Run() })
	n.Run("ip", "link", "set", "lo", "up")
	return n
}

// Path returns the namespace's file.
func (n *Namespace) Path() string { return "/run/netns/" + n.Name }

// Command returns a command that runs in the namespace.
func (n *Namespace) Command(args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.Name}, args...)...)
}

// Run runs a command in the namespace and returns its output.
func (n *Namespace) Run(args ...string) string {
	n.t.Helper()
	return Run(n.t, "ip", append([]string{"netns", "exec", n.Name}, args...)...)
}

// Do runs fn on a thread that is in the namespace; goroutines that fn starts are
// not.
func (n *Namespace) Do(fn func()) {
	n.t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		ns, err := netns.GetFromPath(n.Path())
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			fn()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		n.t.Fatalf("enter namespace %s: %v", n.Name, err)
	}
}

// Cable joins two namespaces by a pair of devices without checksum offload,
// which a userspace datapath cannot complete.
func Cable(a *Namespace, aDev string, b *Namespace, bDev string) {
	a.t.Helper()
	Run(a.t, "ip", "link", "add", aDev, "netns", a.Name, "type", "veth", "peer", "name", bDev, "netns", b.Name)
	for _, e := range []struct {
		n   *Namespace
		dev string
	}{{a, aDev}, {b, bDev}} {
		e.n.Run("ethtool", "-K", e.dev, "tx", "off")
		e.n.Run("ip", "link", "set", e.dev, "up")
	}
}

// Run runs a command and returns its output; a failure fails the test.
func Run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Eventually waits until ok returns an empty string; what it returned last is why the
// test fails.
func Eventually(t *testing.T, what string, ok func() string) {
	t.Helper()
	end := time.Now().Add(Patience)
	for {
		why := ok()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %s", what, why)
		}
		time.Sleep(5 * time.Millisecond) // the end of other processes' work has no event
	}
}

// Process is a program of the test's in a namespace.
type Process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
	log  *lockedBuffer
}

// Start starts a program in the namespace. It is killed with the test, and what
// it wrote is shown if that failed.
func (n *Namespace) Start(args ...string) *Process {
	n.t.Helper()
	p := &Process{t: n.t, cmd: n.Command(args...), done: make(chan struct{}), log: &lockedBuffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		n.t.Fatalf("start %s: %v", args[0], err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	n.t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		if n.t.Failed() {
			n.t.Logf("%s in %s:\n%s", filepath.Base(args[0]), n.Name, p.log)
		}
	})
	return p
}

// Signal sends a signal that ends the process, and waits for that.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	_ = p.cmd.Process.Signal(s) // it may have ended
	p.Wait()
}

// Wait waits for the end of the process.
func (p *Process) Wait() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Errorf("%s does not end", p.cmd)
	}
}

// ExitCode returns the exit code of a process that has ended.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Output returns what the process wrote.
func (p *Process) Output() string { return p.log.String() }

// lockedBuffer is a buffer that one goroutine writes and another reads.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// OVS is an Open vSwitch of its own.
type OVS struct {
	t   *testing.T
	ns  *Namespace
	Dir string // its run directory
}

// OVS starts an Open vSwitch in the namespace.
func (l *Lab) OVS(n *Namespace) *OVS {
	l.t.Helper()
	o := &OVS{t: l.t, ns: n, Dir: filepath.Join(l.dir, n.Name)}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	o.run("ovsdb-tool", "create", o.Dir+"/conf.db", "/usr/share/openvswitch/vswitch.ovsschema")
	o.run("ovsdb-server", "--detach", "--no-chdir", "--pidfile="+o.Dir+"/ovsdb-server.pid", "--log-file="+o.Dir+"/ovsdb-server.log",
		"--remote=punix:"+o.Dir+"/db.sock", "--unixctl="+o.Dir+"/ovsdb-server.ctl", o.Dir+"/conf.db")
	l.t.Cleanup(func() { o.kill("ovsdb-server") })
	o.Vsctl("--no-wait", "init")
	o.StartSwitch()
	l.t.Cleanup(func() { o.kill("ovs-vswitchd") })
	l.t.Cleanup(func() {
		if l.t.Failed() {
			log, _ := os.ReadFile(o.Dir + "/ovs-vswitchd.log")
			l.t.Logf("ovs-vswitchd of %s:\n%s", n.Name, complaints(log))
		}
	})
	return o
}

// StartSwitch starts the switch process.
func (o *OVS) StartSwitch() {
	o.t.Helper()
	o.run("ovs-vswitchd", "--detach", "--no-chdir", "--pidfile="+o.Dir+"/ovs-vswitchd.pid", "--log-file="+o.Dir+"/ovs-vswitchd.log",
		"--unixctl="+o.Dir+"/ovs-vswitchd.ctl", "unix:"+o.Dir+"/db.sock")
}

// KillSwitch kills the switch process and waits for its end.
func (o *OVS) KillSwitch() {
	o.t.Helper()
	if !o.kill("ovs-vswitchd") {
		o.t.Fatal("ovs-vswitchd did not run")
	}
}

// KillDB kills the database server; StartDB starts it again.
func (o *OVS) KillDB() {
	o.t.Helper()
	if !o.kill("ovsdb-server") {
		o.t.Fatal("ovsdb-server did not run")
	}
}

// StartDB starts a killed database server again.
func (o *OVS) StartDB() {
	o.t.Helper()
	o.run("ovsdb-server", "--detach", "--no-chdir", "--pidfile="+o.Dir+"/ovsdb-server.pid", "--log-file="+o.Dir+"/ovsdb-server.log",
		"--remote=punix:"+o.Dir+"/db.sock", "--unixctl="+o.Dir+"/ovsdb-server.ctl", o.Dir+"/conf.db")
}

// Vsctl runs ovs-vsctl.
func (o *OVS) Vsctl(args ...string) string {
	o.t.Helper()
	return strings.TrimSpace(o.run("ovs-vsctl", append([]string{"--timeout=10", "--db=unix:" + o.Dir + "/db.sock"}, args...)...))
}

// Ofctl runs ovs-ofctl.
func (o *OVS) Ofctl(args ...string) string {
	o.t.Helper()
	return strings.TrimSpace(o.run("ovs-ofctl", append([]string{"-O", "OpenFlow13"}, args...)...))
}

// Flows returns the flows of a bridge without their counters.
func (o *OVS) Flows(bridge string) []string {
	o.t.Helper()
	var flows []string
	for line := range strings.Lines(o.Ofctl("--no-stats", "dump-flows", bridge)) {
		flows = append(flows, strings.TrimSpace(line))
	}
	return flows
}

func (o *OVS) run(name string, args ...string) string {
	o.t.Helper()
	c := o.ns.Command(append([]string{name}, args...)...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+o.Dir)
	out, err := c.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kill kills one of this Open vSwitch's daemons, by its pid file, and reports
// whether it ran. A daemon is known by its arguments, since pids are used again.
func (o *OVS) kill(daemon string) bool {
	o.t.Helper()
	b, err := os.ReadFile(o.Dir + "/" + daemon + ".pid")
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		o.t.Fatalf("pid file of %s: %v", daemon, err)
	}
	ours := func() bool {
		cmd, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err == nil && bytes.Contains(cmd, []byte(o.Dir))
	}
	if !ours() {
		return false
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	Eventually(o.t, daemon+" ends", func() string {
		if ours() {
			return "it runs"
		}
		return ""
	})
	return true
}

// complaints returns the lines of an OVS log that say that something is wrong.
func complaints(log []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "|WARN|") || strings.Contains(line, "|ERR|") || strings.Contains(line, "|EMER|") {
			out.WriteString(line)
		}
	}
	return out.String()
}
