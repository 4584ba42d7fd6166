package systemd

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func environment(vars map[string]string) Environment {
	return func(name string) (string, bool) {
		v, found := vars[name]
		return v, found
	}
}

// socket listens at path and returns a descriptor of it that the test owns.
func socket(t *testing.T, path string) int {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	f, err := ln.File()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	fd, err := unix.Dup(int(f.Fd()))
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func TestListenersServeTheSocketAgainAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd := socket(t, path)
	env := environment(map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "plugin"})
	for range 2 {
		ls, err := listeners(env, os.Getpid(), fd)
		if err != nil || len(ls) != 1 || ls[0].Name != "plugin" {
			t.Fatalf("listeners = %v, %v", ls, err)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ls[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		c.Close()
		ls[0].Close()
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket's name is gone after Close: %v", err)
	}
}

func TestListenersOfAnotherProcessAreNotTaken(t *testing.T) {
	for name, vars := range map[string]map[string]string{
		"nothing":         {},
		"another process": {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
	} {
		if ls, err := listeners(environment(vars), os.Getpid(), firstSocket); len(ls) != 0 || err != nil {
			t.Errorf("%s: listeners = %v, %v; want none", name, ls, err)
		}
	}
	own := strconv.Itoa(os.Getpid())
	for _, n := range []string{"", "x", "-1", "1000000"} {
		if ls, err := listeners(environment(map[string]string{"LISTEN_PID": own, "LISTEN_FDS": n}), os.Getpid(), firstSocket); err == nil {
			t.Errorf("LISTEN_FDS=%q: listeners = %v; want an error", n, ls)
		}
	}
}

func TestWhatIsNoSocketIsAnError(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	env := environment(map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": "1"})
	if ls, err := listeners(env, os.Getpid(), int(f.Fd())); err == nil {
		t.Errorf("listeners = %v; want an error", ls)
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := notify(environment(map[string]string{"NOTIFY_SOCKET": path}), Ready); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("systemd was told %q, %v", b[:n], err)
	}
	if err := notify(environment(nil), Ready); err != nil {
		t.Errorf("notify without systemd = %v", err)
	}
	if err := notify(environment(map[string]string{"NOTIFY_SOCKET": path + ".absent"}), Ready); err == nil {
		t.Error("notify of nobody is no error")
	}
}
