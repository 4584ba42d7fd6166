// Package private makes files and sockets that nobody but their owner may open, and
// that nobody sees half made: each is made beside its place and moved there.
// Controller and hosts keep their state and serve their commands by it.
package private

import (
	"net"
	"os"
	"path/filepath"
)

// WriteFile replaces a file whole, or leaves it as it was, also if the machine loses
// its power (fsync(2)). Only its owner may read it.
func WriteFile(path string, b []byte) error { return replace(path, b, (*os.File).Sync) }

// WriteFileUnsynced is WriteFile for what is checked when it is read: after a loss of
// power the file may be there without its content.
func WriteFileUnsynced(path string, b []byte) error {
	return replace(path, b, func(*os.File) error { return nil })
}

func replace(path string, b []byte, settle func(*os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(b); err == nil {
		err = settle(tmp)
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	return err
}

// Listen makes a unix socket at path, in place of what is there. It is bound in a
// directory that nobody else may enter, closed to others, and only then moved to its
// place: nobody else can connect in between, whatever the umask. Closing the listener
// leaves it there.
func Listen(path string) (*net.UnixListener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // it would unlink the hidden name
	if err = os.Chmod(hidden, 0o600); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
