// Command daoli-demo shows DaoliNet at work on one machine, with real packets:
// a controller and three hosts in different underlay subnets that join it by a
// token, containers of plain docker run, two tenants with the same addresses,
// connections on one host and across hosts, the wire as
// tcpdump sees it, the decision with its file and line, an attempt that is
// denied, and an edit of a YAML file that takes effect while traffic flows.
//
// It checks each thing it says, ends with 1 if one did not happen, and leaves
// nothing behind. Run it as root, from within the module: it builds the programs.
package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

//go:embed specs
var specs embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "daoli-demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("the demo took more than 5 minutes"))
	defer cancel()
	if _, err := exec.LookPath("tcpdump"); err != nil {
		return fmt.Errorf("%w: install tcpdump (make deps)", err)
	}
	tree, err := fs.Sub(specs, "specs")
	if err != nil {
		return err
	}
	n := newNarrator(os.Stdout)
	n.title("DaoliNet: nothing exists until somebody talks")
	n.say("Building the programs and bringing up a controller and three hosts, each a network namespace")
	n.say("with its own Open vSwitch and dockerd, in three subnets behind one router ...")
	tb, err := netns.Up(ctx, netns.Options{Hosts: 3, SpecsFS: tree, Docker: true, Unjoined: true})
	if err != nil {
		return err
	}
	s := &story{narrator: n, Testbed: tb, ctx: ctx, began: time.Now()}
	if err = s.tell(); err != nil {
		err = fmt.Errorf("this did not happen as told: %w", err)
	}
	s.close()
	if err = errors.Join(err, tb.Close()); err != nil {
		return err
	}
	return s.leftNothing()
}
