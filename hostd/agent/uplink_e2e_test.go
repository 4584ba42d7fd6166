//go:build e2e

package agent_test

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/hostd/internal/lab"
)

// modes are the two places where the wire's address may live.
var modes = []struct {
	name   string
	args   []string
	uplink string
}{
	{"the host's address moved", nil, "eth0"},
	{"an address of its own", []string{"--wire-address", "172.31.1.7/24"}, "daoli-wire"},
}

// picture is all of the host that joining might change, as people see it.
func (b *bed) picture() string {
	var s strings.Builder
	for _, c := range [][]string{
		{"ip", "-o", "addr", "show"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"ip", "rule", "show"}, {"ip", "-o", "link", "show"}, {"iptables-save"}, {"nft", "list", "ruleset"},
		{"sysctl", "-a", "--pattern", `^net\.ipv[46]\.(conf|ip_forward)`},
	} {
		s.WriteString("# " + strings.Join(c, " ") + "\n" + b.h1.Run(c...))
	}
	fmt.Fprintf(&s, "# Open vSwitch\n%s\n", b.ovs.Vsctl("--columns=bridges,manager_options,ssl,other_config,external_ids", "list", "Open_vSwitch"))
	return regexp.MustCompile(`valid_lft \d+sec|(?m)^# (Generated|Completed).*$|#.*on .*20\d\d`).ReplaceAllString(s.String(), "")
}

// settled waits until IPv6 has settled, and the host has talked.
func (b *bed) settled() {
	b.t.Helper()
	lab.Eventually(b.t, "IPv6 is settled", func() string { return b.h1.Run("ip", "addr", "show", "tentative") })
	b.ct.Run("ping", "-c", "1", "-W", "2", "172.31.1.1")
}

func (b *bed) leave() {
	b.t.Helper()
	c := b.h1.Command(b.binary, "leave", "--force", "--state-dir", b.stateDir(), "--ovs-rundir", b.ovs.Dir, "--socket", b.socket())
	if out, err := c.CombinedOutput(); err != nil {
		b.t.Errorf("leave: %v: %s", err, out)
	}
	b.hostd.Wait()
}

func TestJoinAddsTheBridgeAloneAndLeaveGivesTheHostBack(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := newBed(t)
			b.settled()
			before := b.picture()
			own := b.h1.Run("ip", "-4", "-o", "addr", "show", "dev", "eth0") + b.h1.Run("ip", "route")
			b.start(mode.args...)
			b.attach("web1", b.lab.Namespace("c1"))
			added := map[string]bool{}
			for line := range strings.Lines(b.h1.Run("ip", "-o", "link")) {
				name, _, _ := strings.Cut(strings.TrimSpace(strings.SplitN(line, ":", 3)[1]), "@")
				if !strings.Contains(before, ": "+name+":") && !strings.Contains(before, ": "+name+"@") {
					added[name] = true
				}
			}
			want := map[string]bool{"br-daoli": true, "daoli-dns": true, "dl16": true, "ovs-netdev": true}
			if mode.uplink != "eth0" {
				want[mode.uplink] = true
				if now := b.h1.Run("ip", "-4", "-o", "addr", "show", "dev", "eth0") + b.h1.Run("ip", "route"); now != own {
					t.Errorf("the host's own interface or routes have changed:\n%s", cmp.Diff(own, now))
				}
			}
			if diff := cmp.Diff(want, added); diff != "" {
				t.Errorf("devices added (-want +got):\n%s", diff)
			}
			if tables := b.h1.Run("nft", "list", "tables"); tables != "table netdev daoli\n" {
				t.Errorf("tables of nft are %q; want netdev daoli alone", tables)
			}
			b.leave()
			lab.Eventually(t, "the host is as it was", func() string { return cmp.Diff(before, b.picture()) })
			b.ct.Run("ping", "-c", "1", "-W", "2", "172.31.1.1")
		})
	}
}

func TestHostsConnectionsSurviveJoinAndLeave(t *testing.T) {
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			b := newBed(t)
			b.settled()
			bulk, typed := b.transfer(), b.typing()
			b.start(mode.args...)
			before := typed.count.Load()
			lab.Eventually(t, "typing goes on while joined", func() string {
				if n := typed.count.Load() - before; n < 20 {
					return fmt.Sprintf("%d answers", n)
				}
				return ""
			})
			b.leave()
			close(typed.stop)
			close(bulk.stop)
			if err := <-bulk.done; err != nil {
				t.Errorf("the transfer: %v", err)
			}
			if err := <-typed.done; err != nil {
				t.Errorf("the typing: %v", err)
			}
			t.Logf("%d MB came over; longest wait for an answer of %d: %s", bulk.count.Load()>>20, typed.count.Load(), time.Duration(typed.longest.Load()))
			// A segment lost while the address moves comes again after 200 ms, and once
			// more after 400: people don't see that, and busy machines add to it. Who
			// waits for a second has lost the way for longer than the move of an address.
			if gap := time.Duration(typed.longest.Load()); gap > time.Second {
				t.Errorf("an answer took %s", gap)
			}
		})
	}
}

// talk is a connection of the host's own.
type talk struct {
	stop           chan struct{}
	done           chan error
	count, longest atomic.Int64
}

// dial connects h1 with ct.
func (b *bed) dial() (client, server net.Conn) {
	b.t.Helper()
	var ln net.Listener
	var err error
	b.ct.Do(func() { ln, err = net.Listen("tcp4", "172.31.250.1:0") })
	if err != nil {
		b.t.Fatal(err)
	}
	defer ln.Close()
	b.h1.Do(func() { client, err = net.DialTimeout("tcp4", ln.Addr().String(), lab.Patience) })
	if err != nil {
		b.t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// transfer sends at some 25 MB/s, until it is stopped and 100 MB have gone.
func (b *bed) transfer() *talk {
	client, server := b.dial()
	x := &talk{stop: make(chan struct{}), done: make(chan error, 1)}
	sent := make(chan int64, 1)
	go func() {
		chunk, total := make([]byte, 256<<10), int64(0)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		defer client.Close()
		for stopped := false; !stopped || total < 100<<20; {
			select {
			case <-x.stop:
				stopped = true
			default:
			}
			<-tick.C
			n, err := client.Write(chunk)
			total += int64(n)
			if err != nil {
				break
			}
		}
		sent <- total
	}()
	go func() {
		got, err := io.Copy(io.Discard, server)
		x.count.Store(got)
		if want := <-sent; err == nil && got != want {
			err = fmt.Errorf("%d of %d bytes came over", got, want)
		}
		x.done <- err
	}()
	return x
}

// typing sends a byte and waits for its echo, again and again.
func (b *bed) typing() *talk {
	client, server := b.dial()
	x := &talk{stop: make(chan struct{}), done: make(chan error, 1)}
	go func() { _, _ = io.Copy(server, server) }()
	go func() {
		key := []byte{'x'}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-x.stop:
				x.done <- nil
				return
			case <-tick.C:
			}
			begin := time.Now()
			_ = client.SetDeadline(begin.Add(lab.Patience))
			_, err := client.Write(key)
			if err == nil {
				_, err = io.ReadFull(client, key)
			}
			if err != nil {
				x.done <- err
				return
			}
			x.count.Add(1)
			x.longest.Store(max(x.longest.Load(), int64(time.Since(begin))))
		}
	}()
	return x
}

func TestWireAddressOfItsOwn(t *testing.T) {
	b := newBed(t)
	b.start("--wire-address", "172.31.1.7/24")
	s, err := b.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Uplink.Device != "daoli-wire" || s.Uplink.Addr.String() != "172.31.1.7/24" || s.Uplink.NextHop.String() != "172.31.1.254" || s.Listeners != 0 {
		t.Errorf("status = %+v", s)
	}
	if n := b.baseFlows(); n != 18 {
		t.Errorf("%d base flows; want 18", n)
	}
	// Nobody has the address but the switch, which answers ARP for it and nothing else.
	c := b.rt.Command("ping", "-c", "1", "-W", "1", "172.31.1.7")
	if out, err := c.CombinedOutput(); err == nil {
		t.Errorf("the wire's address answered a ping: %s", out)
	}
	if out := b.rt.Run("ip", "neigh", "show", "172.31.1.7"); !strings.Contains(out, "lladdr "+s.Uplink.MAC.String()) {
		t.Errorf("the router's neighbour is %q; want %s", out, s.Uplink.MAC)
	}
	b.rt.Run("ip", "link", "set", "r1", "address", "02:00:00:00:99:99")
	lab.Eventually(t, "the next hop's new MAC is heard", func() string {
		b.rt.Run("ip", "neigh", "flush", "dev", "r1")
		_ = b.rt.Command("ping", "-c", "1", "-W", "1", "172.31.1.7").Run() // makes the router ask
		s, err := b.client.Status(t.Context())
		if err != nil || s.Uplink.NextHopMAC.String() != "02:00:00:00:99:99" {
			return fmt.Sprintf("%+v, %v", s.Uplink, err)
		}
		return ""
	})
	b.h1.Run("ip", "link", "del", "daoli-wire")
	lab.Eventually(t, "the device is made again, with its address", func() string {
		now, err := b.client.Status(t.Context())
		if err != nil || !now.Ready || now.Uplink.NextHopMAC.IsZero() || now.DPID != s.DPID {
			return fmt.Sprintf("%+v, %v", now, err)
		}
		if b.ovs.Vsctl("get", "interface", "daoli-wire", "ofport") != "1" {
			return "it is no port"
		}
		if out, err := b.h1.Command("ip", "link", "show", "daoli-wire").CombinedOutput(); err != nil {
			return string(out)
		}
		return ""
	})
}

func TestAddressesThatAreInUseAreRefused(t *testing.T) {
	b := newBed(t)
	b.join()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--wire-address", "172.31.1.254/24", "--wire-gateway", "172.31.1.253"}, "in use by"},
		{[]string{"--wire-address", "172.31.1.1/24"}, "this host's own"},
		{[]string{"--wire-address", "172.31.9.7/24"}, "--wire-gateway"},
	} {
		out, err := b.h1.Command(append([]string{b.binary, "run", "--state-dir", b.stateDir()}, tt.args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("run %v: %v, %s; want %q", tt.args, err, out, tt.want)
		}
	}
	if out := b.ovs.Vsctl("list-br"); out != "" {
		t.Errorf("bridges: %s", out)
	}
}

func TestJoinRefusesWhatWouldCutTheHostOff(t *testing.T) {
	b := newBed(t)
	b.join()
	b.h1.Run("iptables", "-A", "INPUT", "-i", "eth0", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
	b.h1.Run("ip", "rule", "add", "iif", "eth0", "table", "77", "priority", "100")
	b.settled()
	before := b.picture()
	out, err := b.h1.Command(b.binary, "run", "--state-dir", b.stateDir()).CombinedOutput()
	for _, want := range []string{"the firewall names eth0", "routing rule 100", "--accept firewall", "--wire-address"} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("run: %v, %s; want %q", err, out, want)
		}
	}
	if diff := cmp.Diff(before, b.picture()); diff != "" {
		t.Errorf("a refused join changed the host:\n%s", diff)
	}
	b.start("--accept", "firewall,rules")
	b.leave()
}

func TestHostJoinsAgainByItself(t *testing.T) {
	b := newBed(t)
	b.h1.Run("ip", "route", "add", "10.98.0.0/16", "via", "172.31.1.254", "table", "77", "metric", "5")
	b.settled()
	before := b.picture()
	b.start()
	b.attach("web1", b.lab.Namespace("c1"))
	flows := b.baseFlows()
	back := func(what string) {
		t.Helper()
		begin := time.Now()
		lab.Eventually(t, what, func() string {
			s, err := b.client.Status(t.Context())
			if err != nil || !s.Ready || !s.Switch || s.Endpoints != 1 || s.Uplink.Addr.String() != "172.31.1.1/24" {
				return fmt.Sprintf("%+v, %v", s, err)
			}
			if out, err := b.ct.Command("ping", "-c", "1", "-W", "1", "172.31.1.1").CombinedOutput(); err != nil {
				return string(out)
			}
			if diff := cmp.Diff([]string{"daoli-dns", "dl16", "eth0"}, strings.Fields(b.ovs.Vsctl("list-ports", "br-daoli"))); diff != "" {
				return diff
			}
			if n := b.baseFlows(); n != flows {
				return fmt.Sprintf("%d of %d base flows", n, flows)
			}
			if out := b.h1.Run("ip", "route", "show", "table", "77"); !strings.Contains(out, "10.98.0.0/16 via 172.31.1.254 dev br-daoli metric 5") {
				return out
			}
			return ""
		})
		t.Logf("%s after %s", what, time.Since(begin))
	}
	b.ovs.Vsctl("del-br", "br-daoli")
	back("the bridge is back")
	b.ovs.Vsctl("del-port", "br-daoli", "dl16")
	back("an endpoint's port is back")
	b.h1.Run("ip", "addr", "flush", "dev", "br-daoli")
	back("the address is back")

	b.rt.Run("ip", "link", "set", "r1", "down")
	lab.Eventually(t, "the loss of the carrier is told", func() string { return without(b.hostd.Output(), "carrier=false") })
	b.rt.Run("ip", "link", "set", "r1", "up")
	back("the carrier is back")

	mac := strings.TrimSpace(b.h1.Run("cat", "/sys/class/net/eth0/address"))
	router := strings.TrimSpace(b.rt.Run("cat", "/sys/class/net/r1/address"))
	b.h1.Run("ip", "link", "del", "eth0")
	lab.Eventually(t, "the uplink's end is told", func() string { return without(b.hostd.Output(), "uplink vanished") })
	lab.Cable(b.h1, "eth0", b.rt, "r1")
	b.h1.Run("ip", "link", "set", "eth0", "address", mac)
	b.rt.Run("ip", "link", "set", "r1", "address", router)
	b.rt.Run("ip", "addr", "add", "172.31.1.254/24", "dev", "r1")
	back("the uplink is back")

	b.hostd.Signal(syscall.SIGTERM)
	b.ovs.Vsctl("del-br", "br-daoli")
	b.leave()
	if out := b.h1.Run("ip", "-4", "addr", "show", "dev", "eth0") + b.h1.Run("ip", "route"); !strings.Contains(out, "172.31.1.1/24") || !strings.Contains(out, "default via 172.31.1.254 dev eth0") {
		t.Errorf("after leave without a bridge:\n%s\nbefore joining:\n%s", out, before)
	}
}

func without(s, part string) string {
	if strings.Contains(s, part) {
		return ""
	}
	return "no " + part
}

func TestSystemdIsToldWhenTheHostIsReady(t *testing.T) {
	b := newBed(t)
	path := filepath.Join(b.lab.Dir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	b.start()
	word := make([]byte, 64)
	_ = c.SetReadDeadline(time.Now().Add(lab.Patience))
	if n, err := c.Read(word); err != nil || string(word[:n]) != "READY=1" {
		t.Errorf("systemd was told %q, %v", word[:n], err)
	}
}
