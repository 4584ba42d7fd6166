package soak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/organisation"
)

// actTimeout bounds one action; an attach waits for a controller that is away.
const actTimeout = 30 * time.Second

// act does one thing at random.
func (s *soak) act(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, actTimeout, fmt.Errorf("not done within %s", actTimeout))
	defer cancel()
	switch n := s.rng.IntN(100); {
	case n < 25:
		return s.attach(ctx)
	case n < 35:
		return s.detach(ctx)
	case n < 47:
		return s.move(ctx)
	case n < 62:
		return s.edit()
	case n < 68:
		return s.misedit()
	case n < 83:
		return s.kill(ctx)
	}
	return s.pause(ctx)
}

// attach attaches a container that is not there, as a new one.
func (s *soak) attach(ctx context.Context) error {
	var free []int
	for i, c := range s.here {
		if c == nil {
			free = append(free, i)
		}
	}
	if len(free) == 0 {
		return nil
	}
	i := free[s.rng.IntN(len(free))]
	e := s.gen.Endpoint(i)
	e.Host = 1 + s.rng.IntN(s.opt.Hosts)
	s.did("attach", "%s to h%d", e.Name, e.Host)
	return s.placeSoon(ctx, i, e)
}

// placeSoon attaches e as soon as the controller lets it: one that has just
// started refuses until it has read its specs, and one that hears of a move from
// two hosts, in an order of its own, until it knows that the address is free.
func (s *soak) placeSoon(ctx context.Context, i int, e organisation.Endpoint) error {
	return eventually(ctx, e.Name+" on its host", func() error { return s.place(ctx, i, e) })
}

// place attaches e and starts its servers.
func (s *soak) place(ctx context.Context, i int, e organisation.Endpoint) error {
	ep, err := s.tb.Attach(ctx, netns.EndpointSpec{
		Name: e.Name, Host: s.tb.Hosts[e.Host-1].Name, VPC: e.Tenant + "/" + e.VPC, Subnet: e.Subnet, IP: e.IP.String(),
		Groups: e.Groups, Labels: e.Labels,
	})
	if err != nil {
		return err
	}
	c := &container{Endpoint: e, on: ep}
	if c.servers, err = serve(ep); err != nil {
		return err
	}
	s.here[i] = c
	s.traffic.set(s.here[:])
	return nil
}

// detach takes one container away.
func (s *soak) detach(ctx context.Context) error {
	places := s.attached()
	if len(places) == 0 {
		return nil
	}
	i := places[s.rng.IntN(len(places))]
	s.did("detach", "%s", s.here[i].Name)
	return s.remove(ctx, i)
}

func (s *soak) remove(ctx context.Context, i int) error {
	c := s.here[i]
	s.here[i] = nil
	s.traffic.set(s.here[:])
	c.servers.close()
	return c.on.Detach(ctx)
}

// move takes one container away and starts it on another host, with its address.
func (s *soak) move(ctx context.Context) error {
	places := s.attached()
	if len(places) == 0 || s.opt.Hosts < 2 {
		return nil
	}
	i := places[s.rng.IntN(len(places))]
	e := s.here[i].Endpoint
	e.Host = 1 + (e.Host-1+1+s.rng.IntN(s.opt.Hosts-1))%s.opt.Hosts
	s.did("move", "%s to h%d", e.Name, e.Host)
	if err := s.remove(ctx, i); err != nil {
		return err
	}
	return s.placeSoon(ctx, i, e)
}

// edit rewrites all specs.
func (s *soak) edit() error {
	s.did("edit", "")
	for name, text := range s.gen.Specs() {
		if err := s.write(name, text); err != nil {
			return err
		}
	}
	return nil
}

// misedit breaks a file of the specs, which the next edit rewrites.
func (s *soak) misedit() error {
	s.did("misedit", "")
	return s.write("random.yaml", "apiVersion: daoli.net/v1\nkind: Tenant\nmetadata: {name: ran")
}

// write replaces a file whole, as an editor does.
func (s *soak) write(name, text string) error {
	path := filepath.Join(s.tb.Specs(), name)
	hidden := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	return errors.Join(os.WriteFile(hidden, []byte(text), 0o644), os.Rename(hidden, path))
}

// kill ends one program or two as kill -9 does, lets something else happen in
// the meantime or not, and starts them again. What is tried while they are away
// may fail; the settling sees what became of it.
func (s *soak) kill(ctx context.Context) error {
	parts := []netns.Part{s.part()}
	if s.rng.IntN(3) == 0 {
		if other := s.part(); other != parts[0] {
			parts = append(parts, other)
		}
	}
	s.did("kill", "%v", parts)
	for _, p := range parts {
		if err := s.tb.Kill(p); err != nil {
			return err
		}
	}
	what, away := s.rng.IntN(4), time.Duration(s.rng.IntN(400))*time.Millisecond
	var meanwhile sync.WaitGroup
	meanwhile.Go(func() { // the owner of s until it has ended
		switch what {
		case 0:
			s.attach(ctx)
		case 1:
			s.detach(ctx)
		case 2:
			s.edit()
		}
	})
	err := pause(ctx, away)
	if err == nil {
		err = s.tb.Start(ctx, parts...)
	}
	meanwhile.Wait()
	if err != nil || !slices.Contains(parts, netns.Part{Program: netns.ProgramController}) {
		return err
	}
	return eventually(ctx, "the restarted controller's revision", func() error { return s.hasRevision(ctx) })
}

func (s *soak) hasRevision(ctx context.Context) error {
	st, err := s.tb.Controller.API().Status(ctx)
	if err == nil && st.Revision.ID == "" {
		err = fmt.Errorf("none; refused: %+v", st.Revision.Refused)
	}
	return err
}

// part is one program of the testbed.
func (s *soak) part() netns.Part {
	programs := netns.Programs()
	p := netns.Part{Program: programs[s.rng.IntN(len(programs))]}
	if p.Program != netns.ProgramController {
		p.Host = s.tb.Hosts[s.rng.IntN(len(s.tb.Hosts))].Name
	}
	return p
}

func (s *soak) pause(ctx context.Context) error {
	d := time.Duration(s.rng.IntN(500)) * time.Millisecond
	s.did("pause", "%s", d)
	return pause(ctx, d)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
