package netns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Process is a long-running program of a run.
type Process struct {
	Name string // unique in the run
	Log  string // file with its output

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; read after done
	told atomic.Bool   // Kill or Stop was called
	hard bool          // it is killed, not asked to end, when the testbed ends
}

// command is what to start.
type command struct {
	name      string // unique in the run
	namespace string
	argv      []string
	env       []string   // added to this process's own
	files     []*os.File // its file descriptors from 3 on
	hard      bool       // see Process
}

// start starts c in its namespace, in a session of its own so that a
// terminal's signals pass it by.
func (r *run) start(c command) (*Process, error) {
	p := &Process{Name: c.name, Log: filepath.Join(r.dir, c.name+".out"), done: make(chan struct{}), hard: c.hard}
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer out.Close()
	p.cmd = r.command(context.Background(), c.argv...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(p.cmd.Env, c.env...)
	p.cmd.ExtraFiles = c.files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := inside.Do(c.namespace, p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	// Before it is waited for: what has ended by now can still be looked up, and who
	// awaits the process learns of its end with what it said.
	err = r.writePID(c.name, p.cmd.Process.Pid)
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process as kill -9 does, and waits for its end.
func (p *Process) Kill() {
	p.told.Store(true)
	p.cmd.Process.Kill()
	<-p.done
}

// quitWait is how long a process has to say where it hangs.
const quitWait = 2 * time.Second

// Stop asks the process to end, and kills it if it has not when ctx ends; a Go
// program then says first where its goroutines are, which the error quotes.
func (p *Process) Stop(ctx context.Context) error {
	p.told.Store(true)
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		p.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-p.done:
		case <-time.After(quitWait):
		}
		p.Kill()
		return fmt.Errorf("stop %s: still there after SIGTERM: %w: %s", p.Name, context.Cause(ctx), tail(p.Log, 20_000))
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Crashed returns an error with the log's end if the process has ended though
// nobody told it to.
func (p *Process) Crashed() error {
	select {
	case <-p.done:
		if p.told.Load() {
			return nil
		}
		return fmt.Errorf("%s ended by itself (%v): %s", p.Name, p.err, tail(p.Log, 2000))
	default:
		return nil
	}
}

// await is like the function of that name, and gives up when the process ends.
func (p *Process) await(ctx context.Context, what string, ready func() error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(p.Crashed())
		case <-ctx.Done():
		}
	}()
	return await(ctx, what, ready)
}

func (r *run) writePID(name string, pid int) error {
	start, _, err := readStat(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.dir, pidsDir, name), fmt.Appendf(nil, "%d %s\n", pid, start), 0o644)
}

// killAll kills all processes of the run, also those whose start its owner did
// not live to write down, and waits until they are gone.
func (r *run) killAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return await(ctx, "end of processes of "+r.id, func() error {
		pids, err := r.living()
		if err != nil {
			return err
		}
		var left []error
		for pid, start := range pids {
			killStarted(pid, start)
			left = append(left, fmt.Errorf("process %d lives", pid))
		}
		return errors.Join(left...)
	})
}

// killStarted kills the process pid that started at start. The handle holds the
// process while that is checked, so a pid used again for another process is
// never hit.
func killStarted(pid int, start string) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return
	}
	defer p.Release()
	if now, err := startTime(pid); err == nil && now == start {
		p.Kill()
	}
}

// living returns the run's processes that live, with their start times: those
// of its pid files, those with its mark in their environment, and those of its
// containers.
func (r *run) living() (map[int]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	recorded, contained := r.recorded(), r.contained()
	mark := []byte("\x00" + markVar + "=" + r.dir + "\x00")
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		start, err := startTime(pid)
		if err != nil {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if recorded[pid] == start || slices.Contains(contained, pid) || bytes.Contains(append([]byte{0}, environ...), mark) {
			found[pid] = start
		}
	}
	return found, nil
}

// recorded returns what the pid files say, if they are of this boot.
func (r *run) recorded() map[int]string {
	starts := map[int]string{}
	if _, o := readRun(r.dir); o.Boot != bootID() {
		return starts
	}
	files, _ := filepath.Glob(filepath.Join(r.dir, pidsDir, "*"))
	for _, f := range files {
		var pid int
		var start string
		text, _ := os.ReadFile(f)
		if n, _ := fmt.Sscan(string(text), &pid, &start); n == 2 {
			starts[pid] = start
		}
	}
	return starts
}

// startTime returns when pid started, in clock ticks after boot. A process that
// has ended is an error, also if nobody has waited for it yet.
func startTime(pid int) (string, error) {
	start, ended, err := readStat(pid)
	if err == nil && ended {
		err = fmt.Errorf("read state of process %d: it has ended", pid)
	}
	return start, err
}

// readStat reads /proc/PID/stat.
func readStat(pid int) (start string, ended bool, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false, err
	}
	if start, ended, err = parseStat(string(text)); err != nil {
		err = fmt.Errorf("read state of process %d: %w", pid, err)
	}
	return start, ended, err
}

// parseStat returns when a process started, and whether it has ended, by its state,
// its number of threads and its start time: fields 3, 20 and 22 (proc(5)). The state
// is that of its first thread, which is dead while another thread of it becomes
// another program (execve(2)): a process with more threads than that one lives.
func parseStat(text string) (start string, ended bool, err error) {
	// The name in parentheses may hold anything, spaces and parentheses too.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return "", false, fmt.Errorf("%q is not understood", text)
	}
	dead := fields[0] == "Z" || fields[0] == "X"
	return fields[19], dead && (fields[17] == "0" || fields[17] == "1"), nil
}

// tail returns the last n bytes of a file.
func tail(file string, n int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-n):]))
}
