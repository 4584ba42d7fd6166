package nic

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netns"
)

// NamespacePath returns the file of a network namespace that is given as an
// absolute path, or as a name that `ip netns` knows.
func NamespacePath(s string) (string, error) {
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	if s == "" || s == "." || s == ".." || strings.Contains(s, "/") {
		return "", fmt.Errorf("network namespace %q is neither an absolute path nor a name", s)
	}
	return "/run/netns/" + s, nil
}

// inNamespace runs fn on a thread that is in the network namespace ns. The
// thread is never used again if it can't be brought back.
func inNamespace(ns netns.NsHandle, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		own, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		defer own.Close()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		err = fn()
		if netns.Set(own) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
