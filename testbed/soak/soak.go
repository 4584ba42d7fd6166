package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing/fstest"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/organisation"
)

// Options says what to live with.
type Options struct {
	Seed     uint64
	For      time.Duration // no spell begins later
	Hosts    int
	Binaries string // see netns.Options
	Log      func(format string, args ...any)

	Patience time.Duration // with each settling; 0: a minute
	// Spoil, if set, makes something wrong before each settling, which then must
	// not succeed.
	Spoil func(ctx context.Context, tb *netns.Testbed) error
}

// Report is what a soak did.
type Report struct {
	Rounds    int
	Done      map[string]int // actions by kind
	Pairs     map[string]int // verdicts that packets met, all of them right
	Exchanges int            // of the traffic, answered
	Again     int            // settlings that were measured once more
}

// soak is one run. One goroutine owns it, but for the traffic.
type soak struct {
	opt     Options
	tb      *netns.Testbed
	rng     *rand.Rand
	gen     organisation.Generator // of specs and endpoints
	here    [organisation.Endpoints]*container
	traffic *traffic
	report  Report
	spell   []string // what was done in it
	first   *footprint
}

// container is an attached endpoint.
type container struct {
	organisation.Endpoint
	on      *netns.Endpoint
	servers servers
}

// Run lives with a testbed of its own until its time is over or something is
// wrong, which it returns with what was done in the spell before.
func Run(ctx context.Context, opt Options) (r Report, err error) {
	if opt.Patience == 0 {
		opt.Patience = time.Minute
	}
	s := &soak{opt: opt, rng: rand.New(rand.NewPCG(opt.Seed, 1)), gen: organisation.New(opt.Seed)}
	s.report = Report{Done: map[string]int{}, Pairs: map[string]int{}}
	specs := fstest.MapFS{}
	for name, text := range s.gen.Specs() {
		specs[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	s.tb, err = netns.Up(ctx, netns.Options{Hosts: opt.Hosts, SpecsFS: specs, Binaries: opt.Binaries, Prefix: "soak"})
	if err != nil {
		return s.report, err
	}
	defer func() {
		s.closeServers()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.tb.Logs(3000))
		}
		err = errors.Join(err, s.tb.Close())
	}()
	s.traffic = startTraffic()
	defer func() { s.report.Exchanges = s.traffic.stop(); r = s.report }()
	for begin := time.Now(); s.report.Rounds == 0 || time.Since(begin) < opt.For; s.report.Rounds++ {
		if err := s.round(ctx); err != nil {
			return s.report, fmt.Errorf("round %d, after %v: %w", s.report.Rounds, s.spell, err)
		}
	}
	return s.report, nil
}

const (
	actionsOfSpell = 12              // things that happen before the testbed may settle
	slow           = 2 * time.Second // what takes longer is worth a word
)

func (s *soak) round(ctx context.Context) error {
	s.spell = nil
	begin := time.Now()
	for range actionsOfSpell {
		started := time.Now()
		if err := s.act(ctx); err != nil {
			return err
		}
		if d := time.Since(started); d > slow {
			s.spell = append(s.spell, fmt.Sprintf("(which took %s)", d.Round(time.Millisecond)))
		}
	}
	wild := time.Since(begin)
	if err := s.settle(ctx); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	s.opt.Log("round %d: %s of %v, settled after %s more", s.report.Rounds, wild.Round(time.Millisecond), s.spell,
		(time.Since(begin) - wild).Round(time.Millisecond))
	return nil
}

// did notes an action.
func (s *soak) did(kind, format string, args ...any) {
	s.report.Done[kind]++
	s.spell = append(s.spell, kind+" "+fmt.Sprintf(format, args...))
}

func (s *soak) closeServers() {
	for _, c := range s.here {
		if c != nil {
			c.servers.close()
		}
	}
}

// attached returns the places of the containers that are there.
func (s *soak) attached() (places []int) {
	for i, c := range s.here {
		if c != nil {
			places = append(places, i)
		}
	}
	return places
}

func (r Report) String() string {
	text := fmt.Sprintf("%d rounds, %d measured again, %d exchanges; did", r.Rounds, r.Again, r.Exchanges)
	for _, counts := range []map[string]int{r.Done, r.Pairs} {
		for _, k := range slices.Sorted(maps.Keys(counts)) {
			text += fmt.Sprintf(" %s %d,", k, counts[k])
		}
	}
	return text[:len(text)-1]
}
