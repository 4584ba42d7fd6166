package netns

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Host is one emulated server.
type Host struct {
	Name      string
	Namespace string
	Addr      netip.Prefix // on the underlay
	Router    netip.Addr   // its next hop
	Socket    string       // of its daoli-hostd
	OVSDir    string       // OVS_RUNDIR of its Open vSwitch
	Docker    *Docker      // nil without Options.Docker

	testbed       *Testbed
	db, sw, hostd *Process
}

func newHost(t *Testbed, i int) *Host {
	name := fmt.Sprintf("h%d", i)
	addr := hostAddr(i)
	h := &Host{
		Name: name, Namespace: t.Namespace(name), Addr: addr, Router: routerAddr(addr),
		Socket: filepath.Join(t.Dir, name, "hostd.sock"), OVSDir: filepath.Join(t.Dir, name, "ovs"),
		testbed: t,
	}
	if t.opt.Docker {
		h.Docker = newDocker(h)
	}
	return h
}

// up starts the host's programs, in no order between Docker and the rest, and
// daoli-hostd when controller is closed.
func (h *Host) up(ctx context.Context, controller <-chan struct{}) error {
	if h.Docker != nil {
		if err := h.Docker.prepare(); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.upNetwork(ctx, controller) })
	if h.Docker != nil {
		g.Go(func() error { return h.Docker.up(ctx) })
	}
	return g.Wait()
}

func (h *Host) upNetwork(ctx context.Context, controller <-chan struct{}) error {
	if err := os.MkdirAll(h.OVSDir, 0o755); err != nil {
		return err
	}
	if err := h.StartDatabase(ctx); err != nil {
		return err
	}
	if err := h.StartSwitch(ctx); err != nil {
		return err
	}
	if h.testbed.Controller == nil || h.testbed.opt.Unjoined {
		return nil
	}
	if err := os.WriteFile(h.ResolvConf(), []byte("nameserver "+NameServer().String()+"\n"), 0o644); err != nil {
		return err
	}
	select {
	case <-controller: // it makes the token
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return h.StartHostd(ctx)
}

// createDatabase makes the OVS database that every host begins with. The row
// in it is what ovs-vsctl init adds; vswitchd does nothing without it.
func (r *run) createDatabase(ctx context.Context) error {
	file := r.emptyDatabase()
	commands := [][]string{
		{"ovsdb-tool", "create", file, "/usr/share/openvswitch/vswitch.ovsschema"},
		{"ovsdb-tool", "transact", file, `["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}]`},
	}
	for _, argv := range commands {
		if out, err := r.command(ctx, argv...).CombinedOutput(); err != nil {
			return fmt.Errorf("create OVS database: %w: %s", err, out)
		}
	}
	return nil
}

func (r *run) emptyDatabase() string { return filepath.Join(r.dir, "empty.db") }

// StartDatabase starts the host's ovsdb-server and waits until it takes
// connections.
func (h *Host) StartDatabase(ctx context.Context) error { return startAndAwait(ctx, h.launchDatabase) }

func (h *Host) launchDatabase() (await func(context.Context) error, err error) {
	file := filepath.Join(h.OVSDir, "conf.db")
	if _, err := os.Stat(file); err != nil {
		empty, err := os.ReadFile(h.testbed.run.emptyDatabase())
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, empty, 0o644); err != nil {
			return nil, err
		}
	}
	socket := filepath.Join(h.OVSDir, "db.sock")
	h.db, err = h.testbed.start(h.command("ovsdb", "ovsdb-server", file, "--remote=punix:"+socket, "--pidfile", "-vsyslog:off"))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return h.db.await(ctx, "OVS database of "+h.Name, func() error { return dialUnix(ctx, socket) })
	}, nil
}

// StartSwitch starts the host's ovs-vswitchd. It does not wait for anything:
// whoever configures it is told when it has.
func (h *Host) StartSwitch(context.Context) (err error) {
	h.sw, err = h.testbed.start(h.command("vswitchd", "ovs-vswitchd", "unix:"+filepath.Join(h.OVSDir, "db.sock"),
		"--pidfile", "--disable-system", "-vsyslog:off"))
	return err
}

// StartHostd starts the host's daoli-hostd and waits until it takes attach
// requests. The first time the host joins, by a token that the controller, which
// must run then, makes for it.
func (h *Host) StartHostd(ctx context.Context) error {
	if h.Joined() {
		return startAndAwait(ctx, h.launchHostd)
	}
	t, err := h.testbed.Controller.API().CreateJoinToken(ctx, api.JoinTokenRequest{Hosts: []string{h.Name}})
	if err != nil {
		return fmt.Errorf("make a join token for %s: %w", h.Name, err)
	}
	return h.Join(ctx, t.Controllers[0], t.Token, t.CAHash)
}

// Join runs the one command by which a host becomes one of the cluster, and waits
// until its daoli-hostd takes attach requests.
func (h *Host) Join(ctx context.Context, controller, token, caHash string) error {
	c := h.command("hostd", h.testbed.Binary("daoli-hostd"), "join", controller, "--ca-hash", caHash,
		"--name", h.Name, "--uplink", Uplink, "--datapath", "netdev", "--ovs-rundir", h.OVSDir,
		"--socket", h.Socket, "--state-dir", h.StateDir(), "--resolv-conf", h.ResolvConf())
	c.argv = append(c.argv, h.Docker.flags()...)
	if h.testbed.opt.WireAddresses {
		c.argv = append(c.argv, "--wire-address", h.WireAddr().String())
	}
	c.env = append(c.env, "DAOLI_TOKEN="+token)
	return startAndAwait(ctx, func() (func(context.Context) error, error) { return h.launchAs(c) })
}

// launchHostd starts the daoli-hostd of a host that has joined.
func (h *Host) launchHostd() (await func(context.Context) error, err error) {
	return h.launchAs(h.command("hostd", h.testbed.Binary("daoli-hostd"), "run", "--state-dir", h.StateDir()))
}

func (h *Host) launchAs(c command) (await func(context.Context) error, err error) {
	h.Docker.hold(&c)
	if h.hostd, err = h.testbed.start(c); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return h.hostd.await(ctx, "daoli-hostd of "+h.Name, func() error { return dialUnix(ctx, h.Socket) })
	}, nil
}

// Joined reports whether the host has an identity in the cluster.
func (h *Host) Joined() bool {
	_, err := os.Stat(filepath.Join(h.IdentityDir(), "host.json"))
	return err == nil
}

// IdentityDir is where the host's key and certificate are.
func (h *Host) IdentityDir() string { return filepath.Join(h.StateDir(), "identity") }

// WireAddr is the address that the wire of the host has with WireAddresses.
func (h *Host) WireAddr() netip.Prefix {
	a := h.Addr.Addr().As4()
	a[3] += 100
	return netip.PrefixFrom(netip.AddrFrom4(a), h.Addr.Bits())
}

// StateDir is where the host's daoli-hostd keeps what outlives it.
func (h *Host) StateDir() string { return filepath.Join(h.testbed.Dir, h.Name, "state") }

// ResolvConf is the file with the host's name servers. It names NameServer.
func (h *Host) ResolvConf() string { return filepath.Join(h.testbed.Dir, h.Name, "resolv.conf") }

// NameServer is an address on the internet that nobody has, until a test serves
// names there.
func NameServer() netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, 153}) }

// Database is the host's ovsdb-server.
func (h *Host) Database() *Process { return h.db }

// Switch is the host's ovs-vswitchd.
func (h *Host) Switch() *Process { return h.sw }

// Hostd is the host's daoli-hostd.
func (h *Host) Hostd() *Process { return h.hostd }

// command is a program of the host: in its namespace and with its Open vSwitch.
func (h *Host) command(name string, argv ...string) command {
	return command{name: h.Name + "-" + name, namespace: h.Namespace, argv: argv, env: h.environ()}
}

func (h *Host) environ() []string {
	return []string{"OVS_RUNDIR=" + h.OVSDir, "OVS_LOGDIR=" + h.OVSDir, "OVS_DBDIR=" + h.OVSDir}
}

func dialUnix(ctx context.Context, socket string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return c.Close()
}

// Exec runs a command in the host's namespace and returns what it printed.
func (h *Host) Exec(ctx context.Context, argv ...string) (string, error) {
	cmd := h.testbed.Command(ctx, argv...)
	var out []byte
	err := inside.Do(h.Namespace, func() (err error) {
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		return string(out), fmt.Errorf("run %s on %s: %w: %s", argv[0], h.Name, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}
