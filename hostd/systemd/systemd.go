// Package systemd is what a service needs of systemd, and works the same where
// there is none: sockets that it opened before, and a word to it when the
// service is ready (sd_listen_fds(3), sd_notify(3)).
package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// firstSocket is the file descriptor of the first socket that is handed over
// (SD_LISTEN_FDS_START).
const firstSocket = 3

// Words for Notify.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Listener is a socket that was opened for this process.
type Listener struct {
	net.Listener
	Name string // FileDescriptorName= of the unit, by default the socket unit's name; empty where none is told
}

// Environment looks a variable up, as os.LookupEnv does.
type Environment func(string) (string, bool)

// Listeners returns the sockets that were opened for this process, none where
// there are none. Each call returns listeners of its own on the same sockets:
// closing them closes no socket of systemd's, and unlinks nothing.
func Listeners() ([]Listener, error) {
	return listeners(os.LookupEnv, os.Getpid(), firstSocket)
}

// listeners is Listeners for the process pid, whose sockets begin at first.
func listeners(env Environment, pid, first int) ([]Listener, error) {
	if v, _ := env("LISTEN_PID"); v != strconv.Itoa(pid) {
		return nil, nil // they are another's, or nobody's
	}
	v, _ := env("LISTEN_FDS")
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("LISTEN_FDS=%q is no number of sockets", v)
	}
	var names []string
	if v, found := env("LISTEN_FDNAMES"); found {
		names = strings.Split(v, ":")
	}
	out := make([]Listener, 0, n)
	for i := range n {
		ln, err := listener(first + i)
		if err != nil {
			for _, l := range out {
				l.Close()
			}
			return nil, fmt.Errorf("take socket %d of systemd: %w", first+i, err)
		}
		l := Listener{Listener: ln}
		if i < len(names) {
			l.Name = names[i]
		}
		out = append(out, l)
	}
	return out, nil
}

// maxSockets bounds what LISTEN_FDS may say.
const maxSockets = 64

// listener returns a listener on a copy of fd. fd itself stays open, for the
// next one who asks, but not in programs that this one starts.
func listener(fd int) (net.Listener, error) {
	unix.CloseOnExec(fd)
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(dup), "socket")
	defer f.Close() // FileListener makes one more copy
	return net.FileListener(f)
}

// Notify tells systemd a state, such as Ready. Without systemd, or where the
// unit's type is not notify, it does nothing.
func Notify(state string) error { return notify(os.LookupEnv, state) }

func notify(env Environment, state string) error {
	path, _ := env("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	// A leading @ means the abstract namespace, which package net does too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
