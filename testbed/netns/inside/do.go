// Package inside opens sockets inside network namespaces of this machine: TCP
// and UDP echo servers, dials with a chosen source port, ping, and raw frames
// sent and captured at a device. Tests and the demo use it to be, in one
// process, the container, its peer and the wire between them.
//
// It decodes the frames it captures by itself and not through
// reconciler/packet: a test must not believe what it tests.
package inside

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dir is where named network namespaces are mounted (ip-netns(8)).
const Dir = "/run/netns"

// Do runs f with the calling goroutine's thread in the named network namespace,
// or in the one that a path leads to (/proc/PID/ns/net).
// What f opens there (sockets, child processes) stays there; goroutines that f
// starts do not. f may end the goroutine, as testing.T.Fatal does.
func Do(namespace string, f func() error) error {
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("remember network namespace: %w", err)
	}
	defer back.Close()
	path := namespace
	if !filepath.IsAbs(path) {
		path = filepath.Join(Dir, namespace)
	}
	if err := enter(path); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", namespace, err)
	}
	defer func() {
		// A thread that cannot go back stays locked, and ends with its goroutine.
		if unix.Setns(int(back.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

func enter(path string) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	return unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
}
