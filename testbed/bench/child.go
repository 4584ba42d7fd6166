package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// child is a program that is measured. It ends with this process.
type child struct {
	name string
	cmd  *exec.Cmd
	log  journal
	done chan struct{} // closed when it has ended
}

// startChild starts a program, in a network namespace or, with "", in this
// process' own.
func startChild(namespace string, argv ...string) (*child, error) {
	c := &child{name: argv[0], cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal of Pdeathsig is sent when the thread ends that started the
		// program: this one lives as long as the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := enterAndStart(namespace, c.cmd)
		started <- err
		if err != nil {
			return
		}
		if err := c.cmd.Wait(); err != nil {
			fmt.Fprintln(&c.log, err)
		}
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return c, nil
}

func enterAndStart(namespace string, cmd *exec.Cmd) error {
	if namespace == "" {
		return cmd.Start()
	}
	return inside.Do(namespace, cmd.Start)
}

// stop ends the program, by kill if it has not ended after a while.
func (c *child) stop() {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		fmt.Fprintln(&c.log, err)
	}
	select {
	case <-c.done:
	case <-time.After(3 * time.Second):
		if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			fmt.Fprintln(&c.log, err)
		}
		<-c.done
	}
}

// askEvery is how often await asks: seldom enough that it doesn't matter to who
// is asked.
const askEvery = 20 * time.Millisecond

// await asks until ready is nil, and gives up when the program or ctx ends.
func (c *child) await(ctx context.Context, what string, ready func() error) error {
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(askEvery):
		case <-c.done:
			return fmt.Errorf("wait for %s: %s ended:\n%s", what, c.name, c.log.tail(2000))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%w):\n%s", what, context.Cause(ctx), err, c.log.tail(2000))
		}
	}
}

// cpu is what the program has used so far.
func (c *child) cpu() (time.Duration, error) { return processCPU(c.cmd.Process.Pid) }

// ticks is how many of /proc's clock ticks are a second: USER_HZ, which is 100
// on all of Linux' architectures that Go has.
const ticks = 100

// processCPU returns a process' user and system time: fields 14 and 15 of
// /proc/PID/stat (proc(5)).
func processCPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("read CPU time of process %d: %w", pid, err)
	}
	// The name in parentheses may hold anything.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("read CPU time of process %d: its state has %d fields", pid, len(f))
	}
	user, err := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err, err2)
}

// residentMB returns a process' resident memory in megabytes.
func residentMB(pid int) (float64, error) {
	var kib int
	v := field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	if _, err := fmt.Sscanf(v, "%d kB", &kib); err != nil {
		return 0, fmt.Errorf("read memory of process %d: %q: %w", pid, v, err)
	}
	return float64(kib) * 1024 / 1e6, nil
}

// journal is what a program printed.
type journal struct {
	mu   sync.Mutex // guards text
	text []byte
}

// Write adds to the journal.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, b...)
	return len(b), nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return string(j.text)
}

func (j *journal) tail(n int) string {
	s := j.String()
	return strings.TrimSpace(s[max(0, len(s)-n):])
}
