// Package agent is a host: one loop owns its endpoints, fed by the local API,
// the controller's stream, and what happens to the host's devices.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/preflight"
	"github.com/daolinet/daolinet/hostd/systemd"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// Defaults.
const (
	DefaultBridge        = "br-daoli"
	DefaultOVSRunDir     = "/var/run/openvswitch"
	DefaultSocket        = "/run/daoli/hostd.sock"
	DefaultStateDir      = "/var/lib/daoli/hostd"
	DefaultAttachTimeout = 10 * time.Second
)

// Timing of the agent.
const (
	firstJoinRetry = 500 * time.Millisecond
	lastJoinRetry  = 5 * time.Second
	headerTimeout  = 5 * time.Second // of a request to the local API
	shutdownWait   = 3 * time.Second // for answers under way
	leaveTimeout   = 30 * time.Second
	firstHopWait   = time.Second
)

// Config is an Agent's.
type Config struct {
	Identity      *identity.Identity
	Controllers   []string // HOST:PORT of their hosts' streams; none: those that the identity knows
	Uplink        string   // device; empty: the default route's
	Bridge        string
	Datapath      string // bridge.Userspace or bridge.Kernel
	OVSRunDir     string
	Socket        string // of the local API
	StateDir      string
	AttachTimeout time.Duration
	Docker        string // socket of dockerd, used from when it is there; docker.None: left alone
	PluginSocket  string // where dockerd finds us
	ResolvConf    string // with the host's name servers; empty: the system's
	Logger        *slog.Logger
	Wire          WireConfig
	Accept        []string // obstacles (package preflight) to join in spite of
}

// CheckIdle reports an error if a daoli-hostd runs with the state directory, which
// it makes if it isn't there.
func CheckIdle(stateDir string) error {
	s, err := openStore(stateDir)
	if err != nil {
		return err
	}
	s.close()
	return nil
}

// IdentityDir is where the host's identity is in the state directory.
func IdentityDir(stateDir string) string { return filepath.Join(stateDir, "identity") }

// Validate reports the first thing wrong with c, but for a missing Identity.
func (c *Config) Validate() error {
	switch {
	case c.Datapath != bridge.Userspace && c.Datapath != bridge.Kernel:
		return fmt.Errorf("datapath %q is neither %s nor %s", c.Datapath, bridge.Userspace, bridge.Kernel)
	case c.AttachTimeout <= 0:
		return fmt.Errorf("attach timeout %s is not positive", c.AttachTimeout)
	}
	if err := c.Wire.validate(); err != nil {
		return err
	}
	return preflight.CheckAccepted(c.Accept)
}

// What ends an agent's parts but its context: the host has left, or it has to
// join once more, since somebody took away what it had.
var (
	errLeft   = errors.New("the host leaves")
	errRejoin = errors.New("the host joins again")
)

// Run is a host's life: it joins, serves until ctx ends, and goes, leaving
// bridge and endpoints as they are, or after a leave as they were before.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if cfg.Identity == nil {
		return identity.ErrNone
	}
	if len(cfg.Controllers) == 0 {
		cfg.Controllers = cfg.Identity.Controllers()
	}
	s, err := openStore(cfg.StateDir)
	if err != nil {
		return err
	}
	defer s.close()
	state, err := s.host()
	if err != nil {
		return err
	}
	p, err := newPlug(cfg, s, state)
	if err != nil {
		return err
	}
	stop := serveBridge(p.bridge)
	defer stop()
	for {
		if err := live(ctx, cfg, p); !errors.Is(err, errRejoin) {
			return err
		}
	}
}

// live joins and serves, until ctx ends, the host leaves, or it has to join again.
func live(ctx context.Context, cfg Config, p *plug) error {
	saved, err := p.store.endpoints()
	if err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	link, err := joinRetrying(ctx, cfg, p)
	if err != nil {
		return err
	}
	if err := p.restore(ctx, saved); err != nil {
		return err
	}
	host := uplink.Host{Name: cfg.Identity.Host(), BootID: boot, DPID: bridge.DPID([6]byte(link.MAC)), Link: link}
	if host.Listeners, err = p.listeners(); err != nil {
		return err
	}
	hop, err := p.firstHop(ctx)
	if err != nil {
		return err
	}
	host.Link.NextHop, host.Link.NextHopMAC = hop.IP, hop.MAC
	res := newResolver(cfg, p, host.Link.MTU)
	for _, e := range saved {
		res.saved(e)
	}
	return serve(ctx, cfg, p, host, endpoint.New(limits(), saved, p.state.NextPort), res)
}

// serveBridge keeps the bridge's connections until the returned function is
// called.
func serveBridge(b *bridge.Bridge) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// joinRetrying joins, again and again: after a reboot Open vSwitch or the uplink
// may come later than hostd.
func joinRetrying(ctx context.Context, cfg Config, p *plug) (uplink.Link, error) {
	for wait := firstJoinRetry; ; wait = min(2*wait, lastJoinRetry) {
		link, err := p.join(ctx, cfg)
		if err == nil {
			return link, nil
		}
		if ctx.Err() != nil {
			return link, ctx.Err()
		}
		var (
			refused *preflight.Refusal
			wrong   *wrongWire
		)
		if errors.As(err, &refused) || errors.As(err, &wrong) {
			return link, err
		}
		cfg.Logger.Error("uplink was not joined", slog.Any("err", err))
		select {
		case <-ctx.Done():
			return link, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// firstHop returns the next hop, with its MAC if that is known soon.
func (p *plug) firstHop(ctx context.Context) (nic.NextHop, error) {
	end := time.Now().Add(firstHopWait)
	if o := p.state.Own; o != nil {
		mac, err := nic.Resolve(o.Device, o.Address.Addr(), o.Gateway, end)
		return nic.NextHop{IP: o.Gateway, MAC: mac}, err
	}
	for {
		hop, err := nic.FindNextHop(p.bridge.Name())
		if err != nil || !hop.IP.IsValid() || !hop.MAC.IsZero() || time.Now().After(end) {
			return hop, err
		}
		select {
		case <-ctx.Done():
			return hop, ctx.Err()
		case <-time.After(nextHopPause):
		}
	}
}

// serve runs all parts of the joined host until ctx ends or it leaves.
func serve(ctx context.Context, cfg Config, p *plug, host uplink.Host, m *endpoint.Machine, res *resolver) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := newLoop(cfg, p, host, m)
	l.resolver = res
	if err := l.know(ctx); err != nil {
		return err
	}
	client, err := uplink.New(uplink.Config{
		Controllers: cfg.Controllers, Credentials: credentials.NewTLS(cfg.Identity.TLS()), Logger: cfg.Logger, Refused: cfg.Identity.Doubt,
		Handle: func(e uplink.Event) {
			if !res.handle(e) {
				l.post(ctx, e)
			}
		},
	})
	if err != nil {
		return err
	}
	api := newAPI(l, cancel)
	if l.docker, err = newDocker(cfg, l); err != nil {
		return err
	}
	srv, err := listen(ctx, cfg.Socket, api)
	if err != nil {
		return err
	}
	defer srv.close()
	var parts sync.WaitGroup
	if l.docker != nil {
		parts.Go(func() { l.serveDocker(ctx) })
	}
	parts.Go(func() { l.keeper.run(ctx) })
	parts.Go(func() { l.senses.run(ctx, l) })
	parts.Go(func() { newHealer(l).run(ctx, cancel) })
	known := m.Endpoints()
	parts.Go(func() {
		l.awaitAdoption(ctx, known)
		client.Run(ctx)
	})
	parts.Go(func() { cfg.Identity.Run(ctx, cfg.Logger) })
	parts.Go(func() { res.run(ctx) })
	if err := systemd.Notify(systemd.Ready); err != nil {
		cfg.Logger.Warn("systemd was not told", slog.Any("err", err))
	}
	l.run(ctx)
	parts.Wait()
	if errors.Is(context.Cause(ctx), errRejoin) {
		return errRejoin
	}
	if !errors.Is(context.Cause(ctx), errLeft) {
		return nil
	}
	lctx, stop := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer stop()
	answer, err := p.leave(lctx, cfg.Identity)
	api.left <- leftAs{answer, err}
	return err
}
