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
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/enrol"
	"github.com/daolinet/daolinet/reconciler/gitsource"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/sandbox"
	"github.com/daolinet/daolinet/reconciler/session"
)

const (
	tickEvery = 250 * time.Millisecond
	pollEvery = 2 * time.Second // of each switch's flows: drift is mended when it is seen twice
)

// Config is what a Controller is told when it starts.
type Config struct {
	Specs    string                // directory of YAML
	Policies string                // directory of Rego; "": the embedded policy
	Git      *gitsource.GitOptions // a branch in place of both; nil: none
	// Sandbox is the command that runs sandbox.Serve under sandbox.Confine.
	Sandbox  []string
	StateDir string
	Socket   string // of the API
	OpenFlow net.Listener
	Hosts    net.Listener
	Targets  []string // OpenFlow targets that hosts are told, such as ssl:172.31.250.1:6653
	// Trust says how hosts are trusted. Run fills in what the controller itself
	// knows: Dir, Logger and Revoked.
	Trust   enrol.Config
	Wire    pipeline.WireRange
	Version string
	Logger  *slog.Logger
	// Decisions is where each admission is written; nil: nowhere. Run closes it.
	Decisions *decisionlog.Writer
}

// Controller is one running controller.
type Controller struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	ctx     context.Context // ends when Run does; for goroutines that events start

	calls   chan func()          // run by the loop, in order
	inbox   *ofswitch.Inbox      // lifted packets
	work    chan session.Decide  // for the deciders
	answers chan session.Decided // from them
	wg      sync.WaitGroup       // goroutines that events started
	history *history             // of revisions
	trust   *enrol.Authority
	sandbox *sandbox.Sandbox
	hooked  chan hookedAsk      // questions that tenants' modules must be asked about
	slowly  chan hookedAsk      // of those, that slow ones must
	taken   *gitsource.Revision // that is active; of the goroutine that watches the source

	seen atomic.Pointer[inventory.Snapshot] // as after the loop's last step

	noticed time.Time // when watch got the revision that it takes; watch's own

	// Owned by the loop.
	engine   *engine.Engine
	switches map[uint64]*link
	queued   []*link // that have batches to be flushed
	hosts    map[uint64]*hostlink.Conn
	networks map[uint64][]hostlink.Network // that each stream was told last
	revision api.RevisionStatus
	saver    *leaseFile
	asks     *asks
	panicked uint64 // packets that made the engine panic

	decisions   *decisionlog.Writer // nil: none
	denials     *denialLog
	dropsLogged time.Time   // when the log last told of packets that the inbox dropped
	panics      onceASecond // of the loop
	undecided   onceASecond // panics of the deciders
	unsent      onceASecond
	refusals    onceASecond
	claims      map[string]*onceASecond // by connected host: what it may not claim
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
		return ofswitch.NewServer(ofswitch.Config{
			Handler: (*switchHandler)(c), Logger: c.log, GenerationID: uint64(c.started.Unix()), Authorize: c.trust.AuthorizeSwitch,
		}).Serve(ctx, c.trust.ListenSwitches(cfg.OpenFlow))
	})
	part("hosts", func(ctx context.Context) error {
		w := hostlink.Welcome{Controllers: cfg.Targets, WireValue: cfg.Wire.Value, WireMask: cfg.Wire.Mask}
		return hostlink.NewServer(hostlink.Config{
			Handler: (*hostHandler)(c), Logger: c.log, Welcome: w,
			Credentials: enrol.Credentials(), Admit: c.trust.Admit, Authorize: c.authorize, Enrolment: c.trust, Resolve: c.resolve,
		}).Serve(ctx, c.trust.ListenHosts(cfg.Hosts))
	})
	part("trust", c.trust.Run)
	part("api", func(ctx context.Context) error { return api.Serve(ctx, listener, (*backend)(c), c.log) })
	part("source", c.watch)
	wg.Go(func() { c.history.run(ctx, c.log) })
	wg.Go(c.decisions.Run)
	part("leases", c.saver.run)
	wg.Go(func() { c.sandbox.Run(ctx) })
	for range hookAskers {
		part("hooks", c.askHooks)
	}
	for range slowAskers {
		part("slow hooks", c.askSlowHooks)
	}
	for range cap(c.work) / workEach {
		part("decider", c.decider)
	}
	c.log.Info("controller started", "version", cfg.Version, "openflow", cfg.OpenFlow.Addr().String(), "hosts", cfg.Hosts.Addr().String(), "socket", cfg.Socket)
	c.loop(ctx)
	c.decisions.Close() // only the loop adds
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
	past, err := openHistory(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	inbox := ofswitch.NewInbox(inboxLimits())
	c := &Controller{
		cfg: cfg, log: cfg.Logger, started: time.Now(), ctx: ctx,
		calls: make(chan func(), maxCalls), inbox: inbox, asks: newAsks(inbox),
		work: make(chan session.Decide, workEach*runtime.GOMAXPROCS(0)), answers: make(chan session.Decided, answersARound),
		engine:   engine.New(engine.Config{Epoch: epoch, Wire: cfg.Wire, Leases: leases}),
		switches: make(map[uint64]*link), hosts: make(map[uint64]*hostlink.Conn), networks: make(map[uint64][]hostlink.Network),
		claims: make(map[string]*onceASecond),
		saver:  saver, history: past, denials: newDenialLog(), decisions: cfg.Decisions,
		sandbox: sandbox.New(sandbox.Options{Child: cfg.Sandbox}), hooked: make(chan hookedAsk, maxHooked),
		slowly: make(chan hookedAsk, maxSlowHooked),
	}
	c.trust, err = c.openTrust()
	return c, err
}
