package plugin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// firstFD is where systemd hands sockets over (sd_listen_fds(3)).
const firstFD = 3

// Listen returns the plugin's socket: the one that systemd holds open for us
// (getenv says so), or else a new one at path, which takes the place of one that
// was left behind. Only its owner may open it, from the first moment on.
func Listen(path string, getenv func(string) string) (net.Listener, error) {
	if Inherited(getenv) {
		f := os.NewFile(firstFD, "plugin socket")
		defer f.Close()
		ln, err := net.FileListener(f)
		if err != nil {
			return nil, fmt.Errorf("take the plugin's socket from systemd: %w", err)
		}
		return ln, nil
	}
	ln, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("listen for docker on %s: %w", path, err)
	}
	return ln, nil
}

// Inherited reports whether systemd holds the socket open for us: it answers Docker
// from before this process was there.
func Inherited(getenv func(string) string) bool { return inherited(getenv, os.Getpid()) }

// inherited reports whether systemd handed a socket to the process pid.
func inherited(getenv func(string) string, pid int) bool {
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	return err == nil && n >= 1 && getenv("LISTEN_PID") == strconv.Itoa(pid)
}

// bind makes the socket in a directory that nobody else may enter, and moves it to
// its place: Docker never finds one that does not answer, nor may anybody else
// open it for a moment.
func bind(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	private, err := os.MkdirTemp(dir, ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	hidden := filepath.Join(private, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // it would unlink the hidden name
	if err = os.Chmod(hidden, 0o600); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
