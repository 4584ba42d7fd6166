package sandbox

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/daolinet/daolinet/reconciler/confine"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// process is one child. One goroutine at a time uses it.
type process struct {
	cmd      *exec.Cmd
	in       *bufio.Writer
	requests *gob.Encoder
	out      *os.File // with read deadlines
	replies  *gob.Decoder
	loaded   map[string]bool // hashes of the modules that it has
	close    func()
}

// start starts a child.
func start(command []string) (*process, error) {
	if len(command) == 0 {
		return nil, errors.New("no command is given that runs tenants' Rego")
	}
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Env = []string{"GOMAXPROCS=2", "GOTRACEBACK=none", "GOGC=200"} // ours may hold secrets
	confine.Child(cmd)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("start the child for tenants' Rego: %w", err)
	}
	p := &process{cmd: cmd, in: bufio.NewWriter(in), out: out, loaded: map[string]bool{}}
	p.requests, p.replies = gob.NewEncoder(p.in), gob.NewDecoder(bufio.NewReader(out))
	p.close = func() {
		in.Close()
		out.Close()
	}
	return p, nil
}

// crowded reports whether the child has other modules than m.
func (p *process) crowded(m *policy.HookModule) bool {
	others := len(p.loaded)
	if p.loaded[m.Hash] {
		others--
	}
	return others > 0
}

// send writes a request; flush has it leave. Either waits for a child that doesn't read
// until that is killed.
func (p *process) send(q *request) error { return p.requests.Encode(q) }

func (p *process) flush() error { return p.in.Flush() }

// receive waits for the next reply.
func (p *process) receive(within time.Duration) (r reply, err error) {
	if err := p.out.SetReadDeadline(time.Now().Add(within)); err != nil {
		return r, err
	}
	err = p.replies.Decode(&r)
	return r, err
}

// overran reports whether a reply did not come in time, rather than that the child
// died.
func overran(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// kill ends the child.
func (p *process) kill() {
	_ = confine.Kill(p.cmd)
	p.close()
	_ = p.cmd.Wait()
}
