package netns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Names in a run directory.
const (
	ownerFile = "owner"    // says whose run it is; locked by its owner
	stateFile = "run.json" // what Open needs
	pidsDir   = "pids"
	unborn    = ".new" // ends the directory's name until it has an owner
)

// markVar is the environment variable that carries the run directory in every
// process of a run.
const markVar = "DAOLI_TESTBED"

// run is the directory of one run, and the owner's lock on it.
type run struct {
	id   string
	dir  string
	lock *os.File // nil once detached
}

// owner is the content of ownerFile.
type owner struct {
	PID      int    `json:"pid"`
	Start    string `json:"start"` // of the process, in clock ticks after boot
	Boot     string `json:"boot"`  // id of the machine's boot
	Detached bool   `json:"detached,omitempty"`
}

// newRun sweeps dead runs below parent and makes the directory of a new one.
func newRun(ctx context.Context, parent, prefix string) (*run, error) {
	unlock, err := lockParent(parent)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := sweepLocked(ctx, parent); err != nil {
		return nil, err
	}
	r := &run{id: "dl" + prefix + randomText(5)}
	r.dir = filepath.Join(parent, r.id)
	// The longest socket name in it: h12/ovs/ovs-vswitchd.1234567.ctl.
	if len(r.dir) > 70 {
		return nil, fmt.Errorf("use run directory %s: too long for unix sockets in it; set TMPDIR to a shorter one", r.dir)
	}
	if err := r.create(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir), os.RemoveAll(r.dir+unborn))
	}
	return r, nil
}

// create makes the directory with its owner file, under another name until it
// is complete: whenever this process is killed, a sweep knows what it sees.
func (r *run) create() error {
	for _, dir := range []string{r.dir + unborn, filepath.Join(r.dir+unborn, pidsDir)} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make run directory: %w", err)
		}
	}
	file := filepath.Join(r.dir+unborn, ownerFile)
	if err := writeOwner(file, false); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("lock run directory: %w", err)
	}
	// The kernel drops the lock when this process ends, however it ends. A child
	// holds it too until it begins its program, which has the mark: so who gets the
	// lock sees all processes of the run.
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return fmt.Errorf("lock run directory %s: %w", r.dir, err)
	}
	r.lock = f
	if err := os.Rename(r.dir+unborn, r.dir); err != nil {
		f.Close()
		return fmt.Errorf("make run directory: %w", err)
	}
	return nil
}

// detach makes the run outlive this process: until Close of an Open of it, or
// the machine's next boot.
func (r *run) detach() error {
	file := filepath.Join(r.dir, ownerFile)
	if err := writeOwner(file+".new", true); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("detach run: %w", err)
	}
	r.lock.Close()
	r.lock = nil
	return nil
}

func writeOwner(file string, detached bool) error {
	start, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	text, err := json.Marshal(owner{os.Getpid(), start, bootID(), detached})
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return fmt.Errorf("write owner of run: %w", err)
	}
	return nil
}

// remove kills what is left of the run's processes and removes its namespaces
// and its directory.
func (r *run) remove(ctx context.Context) error {
	err := errors.Join(r.killAll(ctx), r.removeNamespaces(ctx))
	if err == nil {
		err = r.removeCgroups(ctx)
	}
	if err == nil {
		err = os.RemoveAll(r.dir)
	}
	if r.lock != nil {
		r.lock.Close()
	}
	if err != nil {
		return fmt.Errorf("remove run %s: %w", r.id, err)
	}
	return nil
}

func (r *run) removeNamespaces(ctx context.Context) error {
	names, err := r.namespaces()
	if err != nil {
		return err
	}
	var batch strings.Builder
	for _, n := range names {
		fmt.Fprintf(&batch, "netns delete %s\n", n)
	}
	return r.ipBatch(ctx, batch.String())
}

// namespaces returns the run's namespaces that exist.
func (r *run) namespaces() ([]string, error) {
	entries, err := os.ReadDir(inside.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), r.id+"-") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Sweep removes the runs below parent ("": the temporary directory) whose owner
// is dead, and returns their ids. Up does so by itself.
func Sweep(ctx context.Context, parent string) ([]string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	unlock, err := lockParent(parent)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return sweepLocked(ctx, parent)
}

// sweepLocked is Sweep by who holds parent's lock, without which no run is born.
func sweepLocked(ctx context.Context, parent string) ([]string, error) {
	dead, err := filepath.Glob(filepath.Join(parent, "dl*"+unborn))
	if err != nil {
		return nil, err
	}
	id := regexp.MustCompile(`^dl[a-z]{0,5}[a-z2-7]{5}$`)
	for _, dir := range dead {
		if !id.MatchString(strings.TrimSuffix(filepath.Base(dir), unborn)) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("remove run that was never born: %w", err)
		}
	}
	owners, err := filepath.Glob(filepath.Join(parent, "dl*", ownerFile))
	if err != nil {
		return nil, err
	}
	var swept []string
	for _, file := range owners {
		r, o := readRun(filepath.Dir(file))
		if r == nil || o.Detached && o.Boot == bootID() {
			continue
		}
		f, err := os.Open(file)
		if err != nil {
			continue // just closed by its owner
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
			f.Close()
			continue // its owner lives
		}
		r.lock = f
		if err := r.remove(ctx); err != nil {
			return swept, err
		}
		swept = append(swept, r.id)
	}
	return swept, nil
}

// readRun returns the run in dir, or nil where dir is not a run's directory.
func readRun(dir string) (*run, owner) {
	var o owner
	text, err := os.ReadFile(filepath.Join(dir, ownerFile))
	if err != nil || json.Unmarshal(text, &o) != nil || o.PID == 0 {
		return nil, o
	}
	return &run{id: filepath.Base(dir), dir: dir}, o
}

// Runs returns the directories of all runs below parent ("": the temporary
// directory) that were detached since the machine's boot.
func Runs(parent string) ([]string, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	owners, err := filepath.Glob(filepath.Join(parent, "dl*", ownerFile))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, file := range owners {
		if r, o := readRun(filepath.Dir(file)); r != nil && o.Detached && o.Boot == bootID() {
			dirs = append(dirs, r.dir)
		}
	}
	return dirs, nil
}

// lockParent keeps two starts from sweeping, and one from sweeping what the
// other has made but not locked yet. The lock is on the directory itself, so it
// leaves no file behind.
func lockParent(parent string) (unlock func(), err error) {
	f, err := os.Open(parent)
	if err != nil {
		return nil, fmt.Errorf("open directory of runs: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock directory of runs: %w", err)
	}
	return func() { f.Close() }, nil
}

// command returns a command with the run's mark, so that it ends with the run.
func (r *run) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), markVar+"="+r.dir)
	return cmd
}

// ipBatch runs ip(8) commands, one a line.
func (r *run) ipBatch(ctx context.Context, commands string) error {
	if commands == "" {
		return nil
	}
	cmd := r.command(ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %s: %w", bytes.TrimSpace(out), err)
	}
	return nil
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func randomText(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz234567"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

// await calls ready until it returns nil, for things of which no event tells.
// What it waits for is ready within some ten milliseconds; it looks every two.
func await(ctx context.Context, what string, ready func() error) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %w)", what, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
