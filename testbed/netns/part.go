package netns

import (
	"context"
	"fmt"
)

// Program is one of the programs that DaoliNet is made of.
type Program string

// The programs of a testbed.
const (
	ProgramHostd      Program = "hostd"
	ProgramSwitch     Program = "vswitchd"
	ProgramDatabase   Program = "ovsdb"
	ProgramController Program = "controller"
	ProgramDocker     Program = "dockerd" // with Options.Docker
)

// Programs returns those that every testbed has.
func Programs() []Program {
	return []Program{ProgramHostd, ProgramSwitch, ProgramDatabase, ProgramController}
}

// Part is a program where it runs.
type Part struct {
	Program Program
	Host    string // "" with ProgramController
}

func (p Part) String() string {
	if p.Host == "" {
		return string(p.Program)
	}
	return string(p.Program) + " of " + p.Host
}

// launch starts a program without waiting for anything; what it returns waits
// until it serves.
type launch func() (await func(context.Context) error, err error)

func startAndAwait(ctx context.Context, l launch) error {
	await, err := l()
	if err != nil {
		return err
	}
	return await(ctx)
}

// Kill ends a part as kill -9 does, and waits for its end.
func (t *Testbed) Kill(p Part) error {
	process, _, err := t.part(p)
	if err != nil {
		return err
	}
	if process == nil {
		return fmt.Errorf("kill %s: this process did not start it", p)
	}
	process.Kill()
	return nil
}

// Start starts parts again that ended, in that order, as their supervisors
// would: none waits for the one before it, some of them can't serve before
// another does, and when Start returns all do.
func (t *Testbed) Start(ctx context.Context, parts ...Part) error {
	var awaits []func(context.Context) error
	for _, p := range parts {
		_, l, err := t.part(p)
		if err != nil {
			return err
		}
		await, err := l()
		if err != nil {
			return err
		}
		awaits = append(awaits, await)
	}
	for _, await := range awaits {
		if err := await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// part returns a part's process and how to start it.
func (t *Testbed) part(p Part) (*Process, launch, error) {
	if p.Program == ProgramController && p.Host == "" && t.Controller != nil {
		return t.Controller.process, t.Controller.launch, nil
	}
	h := t.Host(p.Host)
	if h == nil {
		return nil, nil, fmt.Errorf("the testbed has no %s", p)
	}
	switch p.Program {
	case ProgramHostd:
		return h.hostd, h.launchHostd, nil
	case ProgramSwitch:
		return h.sw, h.launchSwitch, nil
	case ProgramDatabase:
		return h.db, h.launchDatabase, nil
	case ProgramDocker:
		if h.Docker != nil {
			return h.Docker.daemon, h.Docker.launch, nil
		}
	}
	return nil, nil, fmt.Errorf("the testbed has no %s", p)
}

// launchSwitch waits for nothing, as StartSwitch doesn't.
func (h *Host) launchSwitch() (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, h.StartSwitch(context.Background())
}
