package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/netns"
)

// sampleFile is the copy of the endpoints file in a run directory.
const sampleFile = "endpoints.yaml"

// attachAtOnce bounds how many endpoints are attached at a time.
const attachAtOnce = 8

// sample is an endpoints file, read for one specs directory.
type sample struct {
	*spec.Sample
	net    *spec.Network
	text   []byte
	places []netns.EndpointSpec // of each endpoint, see place
}

// readSample reads an endpoints file and the specs that it is about. All that is
// wrong with them goes to errors, and warnings to warnings.
func readSample(errors, warnings io.Writer, file, specs string) (*sample, error) {
	revision, err := gitsource.ReadDir(specs, "")
	if err != nil {
		return nil, err
	}
	net, problems := spec.Load(revision.Specs)
	if report(errors, warnings, problems) || net == nil {
		return nil, fmt.Errorf("specs %s are refused", specs)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError{fmt.Errorf("read endpoints file: %w", err)}
	}
	s, problems := spec.LoadSample(file, text, net)
	if report(errors, warnings, problems) || s == nil {
		return nil, fmt.Errorf("endpoints file %s is refused", file)
	}
	return &sample{Sample: s, net: net, text: text}, nil
}

// report prints problems and reports whether one of them is an error.
func report(errors, warnings io.Writer, problems []spec.Problem) (refused bool) {
	for _, p := range problems {
		w := errors
		if p.Warning {
			w = warnings
		}
		fmt.Fprintln(w, p)
		refused = refused || !p.Warning
	}
	return refused
}

// place gives each endpoint a host: the file's, or the next in turn.
func (s *sample) place(hosts int) error {
	var errs []error
	turn := 0
	for _, e := range s.Endpoints {
		host := e.Host
		if host == 0 {
			host = turn%hosts + 1
			turn++
		}
		if host > hosts {
			errs = append(errs, fmt.Errorf("%s: endpoint %s: no host %d in a testbed of %d; raise --hosts or leave it out", e.At, e.Name, host, hosts))
		}
		s.places = append(s.places, netns.EndpointSpec{
			Name: e.Name, Host: fmt.Sprintf("h%d", host), VPC: e.Tenant + "/" + e.VPC, Subnet: e.Subnet,
			IP: e.IP.String(), Groups: e.Groups, Labels: e.Labels,
		})
	}
	return errors.Join(errs...)
}

// attach brings the file's machines up in a testbed, and keeps a copy of the
// file for probe.
func (s *sample) attach(ctx context.Context, w io.Writer, t *netns.Testbed) error {
	for _, o := range s.Outside {
		if _, err := t.AddOutside(ctx, o.Name, o.IP); err != nil {
			return fmt.Errorf("%s: %w", o.At, err)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(attachAtOnce)
	var mu sync.Mutex // guards up, and one line after the other on w
	up := 0
	for i, p := range s.places {
		g.Go(func() error {
			e, err := t.Attach(gctx, p)
			if err == nil && len(s.Outside) > 0 {
				err = t.RouteOutside(e)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.Endpoints[i].At, err)
			}
			mu.Lock()
			defer mu.Unlock()
			up++
			fmt.Fprintf(w, "%d/%d %s is %s on %s\n", up, len(s.places), e.Path(), e.Addr, e.Host)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Dir, sampleFile), s.text, 0o644)
}
