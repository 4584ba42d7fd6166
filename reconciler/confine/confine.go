// Package confine makes child processes in which hostile input does no harm but
// to them: under limits that the kernel enforces, in a process group of their own
// that dies with whoever started it.
package confine

import (
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits are what a process may take. It ends rather than take more.
type Limits struct {
	Memory uint64 // bytes of writable memory
	File   uint64 // bytes of each file that it writes
	CPU    uint64 // seconds; 0: as many as it likes
	FDs    uint64 // open files
}

// Apply puts this process under limits, for good. It leaves no core.
func (l Limits) Apply() error {
	cpu := l.CPU
	if cpu == 0 {
		cpu = unix.RLIM_INFINITY
	}
	for _, one := range []struct {
		what int
		most uint64
	}{
		{unix.RLIMIT_DATA, l.Memory}, {unix.RLIMIT_FSIZE, l.File}, {unix.RLIMIT_CPU, cpu},
		{unix.RLIMIT_NOFILE, l.FDs}, {unix.RLIMIT_CORE, 0},
	} {
		if err := unix.Setrlimit(one.what, &unix.Rlimit{Cur: one.most, Max: one.most}); err != nil {
			return fmt.Errorf("limit this process: %w", err)
		}
	}
	return nil
}

// Child prepares a command that was not started yet: it gets a process group of its
// own, ends when this process does, and Cancel ends the whole group.
func Child(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if cmd.Cancel != nil {
		cmd.Cancel = func() error { return Kill(cmd) }
	}
	cmd.WaitDelay = 5 * time.Second
}

// Kill ends a child that was started, and all that it started.
func Kill(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
