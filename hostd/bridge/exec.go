package bridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/digitalocean/go-openvswitch/ovs"
)

// commandTimeout bounds one ovs-vsctl or ovs-ofctl. One that timed out may have
// done its work all the same: who calls it again must not mind.
const commandTimeout = 5 * time.Second

// tools runs the programs of one Open vSwitch, found by its run directory.
type tools struct{ runDir string }

func (t tools) dbSocket() string { return t.runDir + "/db.sock" }

// run executes an OVS program and returns its standard output. The error holds
// what it wrote to standard error.
func (t tools) run(ctx context.Context, stdin io.Reader, cmd string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if cmd == "ovs-vsctl" {
		args = append([]string{"--db=unix:" + t.dbSocket()}, args...)
	}
	c := exec.CommandContext(ctx, cmd, args...)
	c.Env = append(os.Environ(), "OVS_RUNDIR="+t.runDir, "LC_ALL=C")
	c.Stdin = stdin
	c.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, &commandError{cmd: cmd, args: args, stderr: strings.TrimSpace(stderr.String()), err: err}
	}
	return stdout.Bytes(), nil
}

// cli returns a go-openvswitch client whose commands end with ctx. It is made
// for each use, since the library shares a slice between calls of one client.
func (t tools) cli(ctx context.Context) *ovs.Client {
	return ovs.New(
		ovs.Protocols([]string{ovs.ProtocolOpenFlow13}),
		ovs.Exec(func(cmd string, args ...string) ([]byte, error) { return t.run(ctx, nil, cmd, args...) }),
		ovs.Pipe(func(in io.Reader, cmd string, args ...string) ([]byte, error) { return t.run(ctx, in, cmd, args...) }),
	)
}

// vsctl runs one ovs-vsctl, and so one transaction.
func (t tools) vsctl(ctx context.Context, args ...string) ([]byte, error) {
	return t.run(ctx, nil, "ovs-vsctl", args...)
}

// ofctl runs one ovs-ofctl command, which speaks to the bridge's management socket.
func (t tools) ofctl(ctx context.Context, args ...string) ([]byte, error) {
	return t.run(ctx, nil, "ovs-ofctl", append([]string{"-O", ovs.ProtocolOpenFlow13}, args...)...)
}

// commandError is a failed OVS program.
type commandError struct {
	cmd    string
	args   []string
	stderr string
	err    error
}

func (e *commandError) Error() string {
	what := e.stderr
	var exit *exec.ExitError
	if what == "" || !errors.As(e.err, &exit) {
		what = strings.TrimSpace(what + " " + e.err.Error())
	}
	return fmt.Sprintf("%s %s: %s", e.cmd, strings.Join(e.args, " "), what)
}

func (e *commandError) Unwrap() error { return e.err }
