package soak

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/organisation"
	"github.com/daolinet/daolinet/testbed/probe"
)

const (
	probeTimeout = 2500 * time.Millisecond
	// quietTime is how long no switch may drift: the controller mends what it saw
	// in two audits, of which it has one every two seconds.
	quietTime = 6 * time.Second
	// attempts is how often a settling is measured: a machine that is busy with
	// something else may lose a probe's packets, and drift is mended when it was
	// seen twice.
	attempts = 3
)

// settle waits until the testbed is as the spell left it, and looks.
func (s *soak) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opt.Patience, fmt.Errorf("not settled within %s", s.opt.Patience))
	defer cancel()
	if err := s.edit(); err != nil { // a good one, whatever the last was
		return err
	}
	for { // a probe needs two, and more say more
		if len(s.attached()) >= 4 {
			break
		}
		if err := s.attach(ctx); err != nil {
			return err
		}
	}
	if s.opt.Spoil != nil {
		if err := s.opt.Spoil(ctx, s.tb); err != nil {
			return fmt.Errorf("spoil: %w", err)
		}
	}
	if err := s.tb.Controller.AwaitHosts(ctx, len(s.tb.Hosts)); err != nil {
		return err
	}
	if err := eventually(ctx, "the endpoints that are attached", func() error { return s.compareEndpoints(ctx) }); err != nil {
		return err
	}
	want, err := s.matrix(ctx)
	if err != nil {
		return err
	}
	if err := eventually(ctx, "the last revision", func() error { return s.compareRevision(ctx, want.Revision) }); err != nil {
		return err
	}
	for _, look := range []func() error{func() error { return s.measure(ctx, want) }, s.growth} {
		if err := eventually(ctx, "all that should be there and nothing else", func() error { return s.leftovers(ctx) }); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
	}
	return nil
}

// compareEndpoints compares what the controller knows with what is attached.
func (s *soak) compareEndpoints(ctx context.Context) error {
	known, err := s.tb.Controller.API().Endpoints(ctx)
	if err != nil {
		return err
	}
	var got, want []string
	for _, e := range known {
		got = append(got, fmt.Sprintf("%s/%s/%s %s on %s port %d", e.Tenant, e.VPC, e.Name, e.IP, e.Host, e.Port))
	}
	for _, i := range s.attached() {
		e := s.here[i].on
		want = append(want, fmt.Sprintf("%s %s on %s port %d", e.Path(), e.Addr, e.Host, e.Port))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("the controller knows %q; attached are %q", got, want)
	}
	return nil
}

func (s *soak) compareRevision(ctx context.Context, want string) error {
	st, err := s.tb.Controller.API().Status(ctx)
	if err == nil && (st.Revision.ID != want || st.Revision.Refused != nil) {
		err = fmt.Errorf("revision %s is active, %+v refused; want %s", st.Revision.ID, st.Revision.Refused, want)
	}
	return err
}

// meaning is what the specs mean, and the revision that they are.
type meaning struct {
	Revision string
	probe.Matrix
}

// matrix asks as a user would.
func (s *soak) matrix(ctx context.Context) (m meaning, err error) {
	file := filepath.Join(s.tb.Dir, "soak.yaml")
	if err := os.WriteFile(file, s.sample(), 0o644); err != nil {
		return m, err
	}
	cmd := s.tb.Command(ctx, s.tb.Binary("daoli-reconcile"), "matrix", s.tb.Specs(), "--endpoints", file, "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return m, fmt.Errorf("daoli-reconcile matrix: %w: %s", err, &stderr)
	}
	return m, json.Unmarshal(out, &m)
}

// sample is the endpoints file of who is there.
func (s *soak) sample() []byte {
	var b strings.Builder
	b.WriteString("endpoints:\n")
	for _, i := range s.attached() {
		b.WriteString(s.here[i].String())
	}
	b.WriteString(organisation.Ports)
	return []byte(b.String())
}

// measure compares what the specs mean with what packets meet, while no switch
// drifts.
func (s *soak) measure(ctx context.Context, want meaning) error {
	var wrong error
	for n := range attempts {
		before, err := s.drift(ctx)
		if err != nil {
			return err
		}
		begin := time.Now()
		got, err := s.probe(ctx)
		if err != nil {
			return err
		}
		if err := pause(ctx, quietTime-time.Since(begin)); err != nil {
			return err
		}
		after, err := s.drift(ctx)
		if err != nil {
			return err
		}
		var found []error
		for _, d := range probe.Compare(want.Matrix, got) {
			found = append(found, fmt.Errorf("matrix against probe: %s", d))
		}
		if !maps.Equal(before, after) {
			found = append(found, fmt.Errorf("switches drift: %v, then %v", before, after))
		}
		if wrong = errors.Join(found...); wrong == nil {
			for _, p := range got.Pairs {
				s.report.Pairs[p.Verdict]++
			}
			return nil
		}
		s.report.Again++
		s.opt.Log("measured %d times, not settled yet: %v", n+1, wrong)
	}
	return wrong
}

func (s *soak) drift(ctx context.Context) (api.Drift, error) {
	st, err := s.tb.Controller.API().Status(ctx)
	return st.Drift, err
}

// probe is what packets meet.
func (s *soak) probe(ctx context.Context) (m probe.Matrix, err error) {
	net, problems := spec.Load(os.DirFS(s.tb.Specs()))
	sample, more := spec.LoadSample("soak.yaml", s.sample(), net)
	for _, p := range append(problems, more...) {
		if !p.Warning {
			return m, errors.New(p.String())
		}
	}
	plan, _, err := probe.NewPlan(net, sample, func(name string) (string, error) {
		for _, c := range s.here {
			if c != nil && c.Name == name {
				return c.on.Namespace, nil
			}
		}
		return "", fmt.Errorf("%s is not attached", name)
	})
	if err != nil {
		return m, err
	}
	m, notes, err := plan.Measure(ctx, probe.Options{Timeout: probeTimeout})
	for _, n := range notes {
		s.opt.Log("probe: %s", n)
	}
	return m, err
}

// eventually calls ready until it returns nil, for states of which no event
// tells.
func eventually(ctx context.Context, what string, ready func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := ready()
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil || last == nil: // else it may be ctx's own end
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %w)", what, context.Cause(ctx), last)
		}
	}
}
