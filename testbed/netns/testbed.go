package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// upTimeout and downTimeout bound bring-up and Close; both take a few seconds.
const (
	upTimeout   = 60 * time.Second
	downTimeout = 20 * time.Second
)

// Options says what to bring up.
type Options struct {
	Hosts    int    // number of hosts, 1 to 199
	Specs    string // directory that the controller watches
	SpecsFS  fs.FS  `json:"-"` // in place of Specs: copied into the run directory, and watched there
	Policies string // directory of Rego; "": the controller's default
	Binaries string // directory with daoli-reconcile, daoli-hostd and daolictl, see Build; "": build them
	Prefix   string // what run ids begin with after "dl", at most 5 lower-case letters
	Parent   string // where run directories are; "": the temporary directory

	// UnderlayOnly leaves controller and hostd away: hosts run Open vSwitch
	// without a bridge.
	UnderlayOnly bool
	// Docker gives each host a dockerd of its own, with Image, and DockerArgs at the
	// end of its command line.
	Docker     bool
	DockerArgs []string
	// OwnSocket has daoli-hostd make the socket that Docker calls it by itself. Else
	// that is held open for it, as systemd does: Docker waits while it is away.
	OwnSocket bool
	// Unjoined leaves daoli-hostd away until a host joins, by Join or StartHostd.
	Unjoined bool
	// WireAddresses gives the wire of each host an address of its own, WireAddr, in
	// place of the host's.
	WireAddresses bool
	// ControllerArgs are added to the controller's command line.
	ControllerArgs []string
}

// Testbed is a running topology.
type Testbed struct {
	ID         string // prefix of all its namespaces' names, with a dash behind it
	Dir        string // its run directory
	Hosts      []*Host
	Controller *Controller // nil with UnderlayOnly

	run *run
	opt Options

	mu        sync.Mutex // guards the fields below
	endpoints []*Endpoint
	outside   []*Outside
	processes []*Process
}

// state is what Open needs to know of a testbed, kept in stateFile.
type state struct {
	Options   Options
	Endpoints []*Endpoint
	Outside   []*Outside
}

// Up removes what dead runs left behind and brings a testbed up. When it
// returns, all hosts are connected to the controller. After an error nothing is
// left of it.
func Up(ctx context.Context, opt Options) (*Testbed, error) {
	if err := check(opt); err != nil {
		return nil, err
	}
	if opt.Parent == "" {
		opt.Parent = os.TempDir()
	}
	for _, dir := range []*string{&opt.Specs, &opt.Policies, &opt.Binaries} {
		if err := makeAbsolute(dir); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, upTimeout, fmt.Errorf("not up within %s", upTimeout))
	defer cancel()
	r, err := newRun(ctx, opt.Parent, opt.Prefix)
	if err != nil {
		return nil, fmt.Errorf("bring testbed up: %w", err)
	}
	t := &Testbed{ID: r.id, Dir: r.dir, run: r, opt: opt}
	if err := t.up(ctx); err != nil {
		down, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("bring testbed up: %w", err), r.remove(down))
	}
	return t, nil
}

// check refuses what cannot work, with the way out.
func check(opt Options) error {
	if opt.Hosts < 1 || opt.Hosts > 199 {
		return fmt.Errorf("bring testbed up: %d hosts: must be 1 to 199", opt.Hosts)
	}
	if len(opt.Prefix) > 5 {
		return fmt.Errorf("bring testbed up: prefix %q: must have at most 5 letters", opt.Prefix)
	}
	if os.Getuid() != 0 {
		return errors.New("bring testbed up: network namespaces need root: run this as root")
	}
	needed := []string{"ip", "ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-ofctl"}
	if opt.Docker {
		needed = append(needed, "dockerd", "docker")
	}
	for _, p := range needed {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("bring testbed up: %w: install what `make deps` does", err)
		}
	}
	return nil
}

// makeAbsolute makes a path independent of the working directory, which another
// process that opens the testbed does not share. "" stays.
func makeAbsolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

func (t *Testbed) up(ctx context.Context) error {
	t.describe()
	machines := []machine{{internetName, internetAddr}, {controllerName, controllerAddr}}
	for _, h := range t.Hosts {
		machines = append(machines, machine{h.Name, h.Addr})
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return t.run.buildUnderlay(gctx, machines) })
	g.Go(func() error { return t.prepare(gctx) })
	if err := g.Wait(); err != nil {
		return err
	}

	g, gctx = errgroup.WithContext(ctx)
	started := make(chan struct{})
	for _, h := range t.Hosts {
		g.Go(func() error { return h.up(gctx, started) })
	}
	if t.Controller != nil {
		g.Go(func() error {
			defer close(started)
			return t.Controller.Start(gctx)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if t.Controller != nil && !t.opt.Unjoined {
		if err := t.Controller.AwaitHosts(ctx, len(t.Hosts)); err != nil {
			return err
		}
	}
	return t.save()
}

// describe fills in what follows from the options.
func (t *Testbed) describe() {
	for i := range t.opt.Hosts {
		t.Hosts = append(t.Hosts, newHost(t, i+1))
	}
	if !t.opt.UnderlayOnly {
		t.Controller = newController(t)
	}
}

// prepare makes files that all hosts start from, and the programs if they are
// not given.
func (t *Testbed) prepare(ctx context.Context) error {
	if err := t.run.createDatabase(ctx); err != nil {
		return err
	}
	if t.opt.Docker {
		if err := writeImage(t.run.imageFile()); err != nil {
			return err
		}
	}
	if t.opt.SpecsFS != nil {
		t.opt.Specs = filepath.Join(t.Dir, "specs")
		if err := os.CopyFS(t.opt.Specs, t.opt.SpecsFS); err != nil {
			return fmt.Errorf("copy specs: %w", err)
		}
	}
	if t.Controller == nil || t.opt.Binaries != "" {
		return nil
	}
	t.opt.Binaries = filepath.Join(t.Dir, "bin")
	return build(t.run.command(ctx, buildCommand(t.opt.Binaries)...), t.opt.Binaries)
}

// Close ends the testbed and removes all of it. It reports a program that had
// ended by itself before, or did not end when asked to.
func (t *Testbed) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), downTimeout)
	defer cancel()
	stop, cancelStop := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("5 seconds passed"))
	defer cancelStop()
	t.mu.Lock()
	processes := append([]*Process(nil), t.processes...)
	t.mu.Unlock()
	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() {
			if errs[i] = p.Crashed(); errs[i] != nil {
				return
			}
			if p.hard {
				p.Kill()
				return
			}
			errs[i] = p.Stop(stop)
		})
	}
	wg.Wait()
	return errors.Join(append(errs, t.run.remove(ctx))...)
}

// Detach leaves the testbed running when this process ends. Open it again to
// close it.
func (t *Testbed) Detach() error {
	if err := t.save(); err != nil {
		return err
	}
	return t.run.detach()
}

// Open returns the detached testbed in run directory dir.
func Open(dir string) (*Testbed, error) {
	r, o := readRun(dir)
	if r == nil || !o.Detached {
		return nil, fmt.Errorf("open testbed: %s is no detached testbed's run directory", dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, fmt.Errorf("open testbed: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("open testbed: read %s: %w", stateFile, err)
	}
	t := &Testbed{ID: r.id, Dir: r.dir, run: r, opt: s.Options, endpoints: s.Endpoints, outside: s.Outside}
	t.describe()
	for _, e := range t.endpoints {
		e.testbed = t
	}
	return t, nil
}

// save writes what Open reads.
func (t *Testbed) save() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := json.MarshalIndent(state{t.opt, t.endpoints, t.outside}, "", "  ")
	if err != nil {
		return err
	}
	file := filepath.Join(t.Dir, stateFile)
	if err := os.WriteFile(file+".new", text, 0o644); err != nil {
		return fmt.Errorf("save testbed: %w", err)
	}
	return os.Rename(file+".new", file)
}

// Namespace returns the full name of the namespace of a host, of "rt", the
// underlay router, of "ct", the controller's machine, or of "in", a machine on
// the internet.
func (t *Testbed) Namespace(name string) string { return t.run.namespace(name) }

// Host returns the host of that name, or nil.
func (t *Testbed) Host(name string) *Host {
	for _, h := range t.Hosts {
		if h.Name == name {
			return h
		}
	}
	return nil
}

// SetRouteMTU makes the underlay router carry packets of at most n bytes to a
// host: what may not be fragmented is answered (RFC 1191).
func (t *Testbed) SetRouteMTU(host string, n int) error { return t.run.setRouteMTU(host, n) }

// Internet returns the address of the machine on the internet.
func (t *Testbed) Internet() netip.Prefix { return internetAddr }

// Specs is the directory that the controller watches.
func (t *Testbed) Specs() string { return t.opt.Specs }

// Binary returns the path of one of the programs that Build makes.
func (t *Testbed) Binary(name string) string { return filepath.Join(t.opt.Binaries, name) }

// Logs returns the end of each program's log, at most n bytes of each.
func (t *Testbed) Logs(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := ""
	for _, p := range t.processes {
		text += fmt.Sprintf("--- %s\n%s\n", p.Name, tail(p.Log, n))
	}
	return text
}

// start starts a program of the testbed, in the place of the one of the same
// name that ended.
func (t *Testbed) start(c command) (*Process, error) {
	p, err := t.run.start(c)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, old := range t.processes {
		if old.Name == p.Name {
			t.processes[i] = p
			return p, nil
		}
	}
	t.processes = append(t.processes, p)
	return p, nil
}

// Build builds the programs of a testbed into dir, from the module that the
// working directory is in.
func Build(ctx context.Context, dir string) error {
	argv := buildCommand(dir)
	return build(exec.CommandContext(ctx, argv[0], argv[1:]...), dir)
}

func buildCommand(dir string) []string {
	const module = "github.com/daolinet/daolinet/"
	return []string{"go", "build", "-o", dir,
		module + "reconciler/cmd/daoli-reconcile", module + "reconciler/cmd/daolictl", module + "hostd/cmd/daoli-hostd"}
}

func build(cmd *exec.Cmd, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("build programs: %w", err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build programs: %w\n%s", err, out)
	}
	return nil
}
