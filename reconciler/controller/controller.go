// Package controller is where the engine meets the world: it runs the engine in
// one goroutine, feeds it what sockets and files bring, and performs what it
// returns. It decides nothing itself.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

const (
	tickEvery  = 250 * time.Millisecond
	pollEvery  = 5 * time.Second // of each switch's session flows
	maxPackets = 4096            // lifted packets that wait, of all switches
	maxOfOne   = 1024            // of one switch
)

// Config is what a Controller is told when it starts.
type Config struct {
	Specs    string // directory of YAML
	Policies string // directory of Rego; "": the embedded policy
	StateDir string
	Socket   string // of the API
	OpenFlow net.Listener
	Hosts    net.Listener
	Targets  []string // OpenFlow targets that hosts are told, such as tcp:172.31.250.1:6653
	Wire     pipeline.WireRange
	Version  string
	Logger   *slog.Logger
}

// Controller is one running controller.
type Controller struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	ctx     context.Context // ends when Run does; for goroutines that events start

	calls   chan func()          // run by the loop, in order
	packets chan queued          // lifted packets
	asks    chan session.Decide  // for the deciders
	answers chan session.Decided // from them
	waiting sync.Map             // DPID -> *atomic.Int64: packets in the queue
	dropped atomic.Uint64        // packets that found it full
	wg      sync.WaitGroup       // goroutines that events started

	// Owned by the loop.
	engine   *engine.Engine
	switches map[uint64]*link
	hosts    map[uint64]*hostlink.Conn
	revision api.RevisionStatus
	saver    *leaseFile
	denials  rateLimit
}

// queued is a lifted packet that waits for the loop.
type queued struct {
	in      engine.PacketIn
	waiting *atomic.Int64
}

// Run runs a controller until ctx ends or a part of it cannot go on.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c, err := newController(ctx, cfg)
	if err != nil {
		return err
	}
	listener, err := api.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	part := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	part("switches", func(ctx context.Context) error {
		// Connections of the same generation: this process is the only primary.
		return ofswitch.NewServer(ofswitch.Config{Handler: (*switchHandler)(c), Logger: c.log, GenerationID: uint64(c.started.Unix())}).Serve(ctx, cfg.OpenFlow)
	})
	part("hosts", func(ctx context.Context) error {
		w := hostlink.Welcome{Controllers: cfg.Targets, WireValue: cfg.Wire.Value, WireMask: cfg.Wire.Mask}
		return hostlink.NewServer(hostlink.Config{Handler: (*hostHandler)(c), Logger: c.log, Welcome: w}).Serve(ctx, cfg.Hosts)
	})
	part("api", func(ctx context.Context) error { return api.Serve(ctx, listener, (*backend)(c), c.log) })
	part("source", c.watch)
	part("leases", c.saver.run)
	for range runtime.GOMAXPROCS(0) {
		part("decider", c.decider)
	}
	c.log.Info("controller started", "version", cfg.Version, "openflow", cfg.OpenFlow.Addr().String(), "hosts", cfg.Hosts.Addr().String(), "socket", cfg.Socket)
	c.loop(ctx)
	wg.Wait()
	c.wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func newController(ctx context.Context, cfg Config) (*Controller, error) {
	saver, leases, err := openLeases(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	epoch, err := nextEpoch(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	return &Controller{
		cfg: cfg, log: cfg.Logger, started: time.Now(), ctx: ctx,
		calls: make(chan func(), 1024), packets: make(chan queued, maxPackets),
		asks: make(chan session.Decide, session.MaxPending), answers: make(chan session.Decided, session.MaxPending),
		engine:   engine.New(engine.Config{Epoch: epoch, Wire: cfg.Wire, Leases: leases}),
		switches: make(map[uint64]*link), hosts: make(map[uint64]*hostlink.Conn),
		saver: saver,
	}, nil
}

// loop owns the engine: everything that happens passes here, one at a time.
func (c *Controller) loop(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.calls:
			f()
		case d := <-c.answers:
			c.step(engine.Decided{Decided: d})
		case q := <-c.packets:
			q.waiting.Add(-1)
			c.step(q.in)
		case <-tick.C:
			c.step(engine.Tick{})
		}
	}
}

// step feeds the engine and performs what it returns. A packet that makes it
// panic is lost, counted by its log line, and stops nothing else.
func (c *Controller) step(ev engine.Event) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("engine step panicked", "event", fmt.Sprintf("%T", ev), "err", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	c.perform(c.engine.Step(time.Now(), ev))
}

// do has the loop run f; false when the controller ends.
func (c *Controller) do(f func()) bool {
	select {
	case c.calls <- f:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// ask has the loop run f and waits for it.
func (c *Controller) ask(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.calls <- func() { defer close(done); f() }:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errors.New("the controller is ending")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errors.New("the controller is ending")
	}
}

// decide answers one question; one that makes the policy panic is denied.
func (c *Controller) decide(d session.Decide) (r admission.Result) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("decision panicked", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			r = admission.Result{Decision: policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonPolicyError, Revision: d.Policy.Revision()}}
		}
	}()
	return admission.Decide(d.Snapshot, d.Policy, time.Now(), d.Request)
}

// decider answers what the engine asks of the policy.
func (c *Controller) decider(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-c.asks:
			select {
			case c.answers <- session.Decided{Ask: d, Result: c.decide(d)}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
