// Package bridge owns a host's Open vSwitch bridge: it makes it, keeps its base
// flows and controllers, adds and deletes ports, and tells when the switch
// process came back. Rare operations go through go-openvswitch and ovs-vsctl,
// ports and watching through OVSDB.
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// Datapath types of OVS (ovs-vswitchd.conf.db(5), Bridge.datapath_type).
const (
	Userspace = "netdev"
	Kernel    = "system"
)

// Config names a bridge.
type Config struct {
	Name     string // of the bridge
	Datapath string // Userspace or Kernel
	RunDir   string // where the Open vSwitch has its sockets
	Logger   *slog.Logger
}

// Bridge is a host's bridge. Its methods may be called from any goroutine.
type Bridge struct {
	cfg   Config
	tools tools
	db    *db
	watch *watch
}

var bridgeName = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,14}$`)

// New returns the bridge that cfg names. It does nothing yet.
func New(cfg Config) (*Bridge, error) {
	if !bridgeName.MatchString(cfg.Name) {
		return nil, fmt.Errorf("bridge name %q is not allowed: use small letters, digits, . _ and -, at most 15", cfg.Name)
	}
	if cfg.Datapath != Userspace && cfg.Datapath != Kernel {
		return nil, fmt.Errorf("datapath %q is neither %s nor %s", cfg.Datapath, Userspace, Kernel)
	}
	t := tools{runDir: cfg.RunDir}
	return &Bridge{
		cfg:   cfg,
		tools: t,
		db:    newDB(t.dbSocket(), cfg.Name, cfg.Logger),
		watch: newWatch(cfg.RunDir + "/" + cfg.Name + ".mgmt"),
	}, nil
}

// Name returns the bridge's name, which is its LOCAL interface's too.
func (b *Bridge) Name() string { return b.cfg.Name }

// Userspace reports whether OVS forwards in its own process. Then the kernel
// sees a copy of each packet that comes in on a port, too.
func (b *Bridge) Userspace() bool { return b.cfg.Datapath == Userspace }

// Run keeps the connections that the ports and State need until ctx ends.
func (b *Bridge) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.watch.run(ctx)
	}()
	b.db.run(ctx, b.watch)
	<-done
}

// State is what is known of the switch now.
type State struct {
	Up          bool            // the switch process serves the bridge
	Generation  uint64          // grows each time it starts to; its tables were empty then
	Controllers map[string]bool // target -> connected
}

// State returns the state.
func (b *Bridge) State() State {
	up, gen := b.watch.state()
	return State{Up: up, Generation: gen, Controllers: b.db.controllers()}
}

// Changes yields a value after State changed; several changes may be one value.
func (b *Bridge) Changes() <-chan struct{} { return b.watch.changes }

// Setup is what a bridge is made with.
type Setup struct {
	MAC         openflow.MAC // of LOCAL, and the datapath id's lower 48 bits: the uplink's
	MTU         int          // of LOCAL, in bytes
	Controllers []string     // OpenFlow targets, at least one
	TLS         TLS          // by which it connects to them
}

// Ensure makes the bridge, or brings an existing one in line, in one
// transaction. The controllers are part of it since OVS flushes all flows when
// a bridge gets its first; a later change of targets flushes nothing.
func (b *Bridge) Ensure(ctx context.Context, s Setup) error {
	targets, err := checkTargets(s.Controllers)
	if err != nil {
		return err
	}
	have, err := b.targets(ctx)
	if err != nil {
		return err
	}
	if slices.Equal(have, targets) {
		targets = nil
	}
	args := ensureArgs(b.cfg, s, targets)
	tls, err := b.tlsArgs(ctx, s.TLS)
	if err != nil {
		return err
	}
	args = append(args, tls...)
	idle, err := b.tools.vsctl(ctx, "--if-exists", "get", "Open_vSwitch", ".", "other_config:max-idle")
	if err != nil {
		return fmt.Errorf("read max-idle of Open vSwitch: %w", err)
	}
	if strings.TrimSpace(string(idle)) == "" { // an operator's own value stays
		args = append(args, "--", "set", "Open_vSwitch", ".", fmt.Sprintf("other_config:max-idle=%d", maxIdle/time.Millisecond), maxIdleMark+"=set")
	}
	if _, err := b.tools.vsctl(ctx, args...); err != nil {
		return fmt.Errorf("make bridge %q: %w", b.cfg.Name, err)
	}
	return nil
}

// SetControllers replaces the OpenFlow targets of the bridge in one transaction,
// if they differ.
func (b *Bridge) SetControllers(ctx context.Context, controllers []string) error {
	targets, err := checkTargets(controllers)
	if err != nil {
		return err
	}
	have, err := b.targets(ctx)
	if err != nil || slices.Equal(have, targets) {
		return err
	}
	if _, err := b.tools.vsctl(ctx, controllerArgs(b.cfg.Name, targets)...); err != nil {
		return fmt.Errorf("set controllers of bridge %q: %w", b.cfg.Name, err)
	}
	return nil
}

// maxIdleMark tells in the database that max-idle is Ensure's doing.
const maxIdleMark = "external_ids:daoli-max-idle"

// Delete deletes the bridge and its ports' rows, if it exists, and what else
// Ensure has set in the database.
func (b *Bridge) Delete(ctx context.Context) error {
	if err := b.deleteTLS(ctx); err != nil {
		return err
	}
	mark, err := b.tools.vsctl(ctx, "--if-exists", "get", "Open_vSwitch", ".", maxIdleMark)
	if err != nil {
		return fmt.Errorf("read settings of Open vSwitch: %w", err)
	}
	if strings.TrimSpace(string(mark)) != "" {
		column, key, _ := strings.Cut(maxIdleMark, ":")
		if _, err := b.tools.vsctl(ctx, "remove", "Open_vSwitch", ".", "other_config", "max-idle",
			"--", "remove", "Open_vSwitch", ".", column, key); err != nil {
			return fmt.Errorf("give max-idle of Open vSwitch back: %w", err)
		}
	}
	if err := b.tools.cli(ctx).VSwitch.DeleteBridge(b.cfg.Name); err != nil {
		return fmt.Errorf("delete bridge %q: %w", b.cfg.Name, err)
	}
	return nil
}

// Exists reports whether Open vSwitch has the bridge in its database.
func (b *Bridge) Exists(ctx context.Context) (bool, error) {
	all, err := b.tools.cli(ctx).VSwitch.ListBridges()
	if err != nil {
		return false, fmt.Errorf("list bridges: %w", err)
	}
	return slices.Contains(all, b.cfg.Name), nil
}

// AddPort adds the network device dev as OpenFlow port ofport and returns when
// the switch has it. owner is kept in the database with it. Doing it again is
// no error.
func (b *Bridge) AddPort(ctx context.Context, dev string, ofport uint32, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := b.db.addPort(ctx, dev, ofport, owner); err != nil {
		return fmt.Errorf("add port %q to bridge %q: %w", dev, b.cfg.Name, err)
	}
	return nil
}

// DelPort deletes the port of dev from the bridge, if it has it.
func (b *Bridge) DelPort(ctx context.Context, dev string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if err := b.db.delPort(ctx, dev); err != nil {
		return fmt.Errorf("delete port %q of bridge %q: %w", dev, b.cfg.Name, err)
	}
	return nil
}

// HasPort reports whether the bridge is in the database and has the port dev.
// known is false while there is no connection to the database.
func (b *Bridge) HasPort(dev string) (has, known bool) { return b.db.hasPort(dev) }

// Ports returns the bridge's ports but LOCAL: device -> owner.
func (b *Bridge) Ports(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	ports, err := b.db.ports(ctx)
	if err != nil {
		return nil, fmt.Errorf("list ports of bridge %q: %w", b.cfg.Name, err)
	}
	return ports, nil
}

// targets returns the bridge's OpenFlow targets, sorted; none if it has none or
// doesn't exist.
func (b *Bridge) targets(ctx context.Context) ([]string, error) {
	exists, err := b.Exists(ctx)
	if err != nil || !exists {
		return nil, err
	}
	out, err := b.tools.cli(ctx).VSwitch.GetController(b.cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("list controllers of bridge %q: %w", b.cfg.Name, err)
	}
	targets := strings.Fields(out)
	slices.Sort(targets)
	return targets, nil
}

// checkTargets returns the targets sorted. They end up in a command line, so
// only what is known to be harmless passes.
func checkTargets(targets []string) ([]string, error) {
	if len(targets) == 0 {
		return nil, errors.New("no controllers")
	}
	for _, t := range targets {
		rest, ssl := strings.CutPrefix(t, "ssl:")
		if _, err := netip.ParseAddrPort(rest); !ssl || err != nil {
			return nil, fmt.Errorf("controller %q is not ssl:IP:PORT", t)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(targets))), nil
}

// ensureArgs returns the arguments of the ovs-vsctl that makes the bridge.
func ensureArgs(cfg Config, s Setup, targets []string) []string {
	args := []string{
		"--may-exist", "add-br", cfg.Name,
		"--", "set", "bridge", cfg.Name,
		"datapath_type=" + cfg.Datapath,
		"fail_mode=secure",
		"protocols=OpenFlow13",
		`other-config:hwaddr="` + s.MAC.String() + `"`,
		fmt.Sprintf("other-config:datapath-id=%016x", DPID(s.MAC)),
		"other-config:disable-in-band=true",
		"--", "set", "interface", cfg.Name, "mtu_request=" + strconv.Itoa(s.MTU),
	}
	if len(targets) > 0 {
		args = append(append(args, "--"), controllerArgs(cfg.Name, targets)...)
	}
	return args
}

// controllerArgs returns the arguments of the ovs-vsctl that replaces the
// bridge's controllers.
func controllerArgs(bridge string, targets []string) []string {
	var args, ids []string
	for i, t := range targets {
		id := fmt.Sprintf("@c%d", i)
		ids = append(ids, id)
		args = append(args,
			"--id="+id, "create", "controller", `target="`+t+`"`, "connection_mode=out-of-band",
			fmt.Sprintf("max_backoff=%d", maxBackoff/time.Millisecond),
			fmt.Sprintf("inactivity_probe=%d", inactivityProbe/time.Millisecond), "--")
	}
	return append(args, "set", "bridge", bridge, "controller="+strings.Join(ids, ","))
}

// DPID returns the datapath id of a bridge whose uplink has the address mac.
func DPID(mac openflow.MAC) uint64 {
	var id uint64
	for _, b := range mac {
		id = id<<8 | uint64(b)
	}
	return id
}
