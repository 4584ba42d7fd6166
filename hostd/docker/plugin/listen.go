package plugin

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Listen returns the plugin's socket at path, which takes the place of one that was
// left behind. Only its owner may open it, from the first moment on.
func Listen(path string) (net.Listener, error) {
	ln, err := bind(path)
	if err != nil {
		return nil, fmt.Errorf("listen for docker on %s: %w", path, err)
	}
	return ln, nil
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
