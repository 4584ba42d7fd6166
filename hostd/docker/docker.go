package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/docker/plugin"
	"github.com/daolinet/daolinet/hostd/systemd"
	"github.com/daolinet/daolinet/hostd/uplink"
	"github.com/daolinet/daolinet/reconciler/private"
)

// Defaults.
const (
	DefaultSocket       = "/var/run/docker.sock"
	DefaultPluginSocket = "/run/docker/plugins/daoli.sock"
	None                = "none" // as Socket: Docker is left alone
)

// Timing.
const (
	lookEvery     = 200 * time.Millisecond // for a Docker that is not there yet
	headerTimeout = 5 * time.Second        // of a plugin call
	shutdownWait  = 3 * time.Second        // for calls under way
)

// Config is a Docker's.
type Config struct {
	Socket       string // of dockerd
	PluginSocket string // ours
	Host         Host
	Networks     map[string]uplink.Network             // as last saved, by Docker's ID
	Save         func(map[string]uplink.Network) error // keeps them over a restart
	Logger       *slog.Logger
}

// Docker is the host's Docker.
type Docker struct {
	cfg    Config
	driver *Driver
	kick   chan struct{} // capacity 1: look at everything again
	looked chan struct{} // closed when Docker was looked at

	mu    sync.Mutex // guards what follows
	state State

	// Only keep's goroutine touches what follows.
	adopted bool
	routed  map[string][]netip.Prefix // by Docker's endpoint: what it leads to
}

// New returns the host's Docker. It does nothing before Run.
func New(cfg Config) (*Docker, error) {
	api, err := newDaemon(cfg.Socket)
	if err != nil {
		return nil, err
	}
	return &Docker{
		cfg: cfg, kick: make(chan struct{}, 1), looked: make(chan struct{}),
		driver: &Driver{host: cfg.Host, api: api, book: newBook(cfg.Networks, cfg.Save), log: cfg.Logger},
	}, nil
}

// SetNetworks says in which subnets the host may have endpoints from now on.
func (d *Docker) SetNetworks(ns []uplink.Network) {
	sortNetworks(ns)
	d.driver.mu.Lock()
	if !d.driver.withdrawn {
		d.driver.known, d.driver.told = ns, true
	}
	d.driver.mu.Unlock()
	d.look()
}

// State is how Docker is.
type State struct {
	Answers  bool
	Networks int    // of hostd's driver
	Problem  string // what could not be brought in line with it; empty: nothing
}

// State returns how Docker was when it was looked at last.
func (d *Docker) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

// found keeps how Docker is.
func (d *Docker) found(answers bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state = State{Answers: answers, Networks: d.driver.book.size()}
	if err != nil {
		d.state.Problem = err.Error()
	}
}

// Looked is closed when Docker was looked at for the first time, and the endpoints
// of its containers are known.
func (d *Docker) Looked() <-chan struct{} { return d.looked }

// look has everything looked at soon.
func (d *Docker) look() {
	select {
	case d.kick <- struct{}{}:
	default:
	}
}

// Run serves Docker until ctx ends, from when it is there.
func (d *Docker) Run(ctx context.Context) error {
	ln, held, err := d.listen(ctx)
	if err != nil || ln == nil {
		return err
	}
	if !held {
		defer os.Remove(d.cfg.PluginSocket)
	}
	srv := d.server()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	d.keep(ctx)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	if srv.Shutdown(end) != nil {
		srv.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve docker: %w", err)
	}
	return nil
}

// server answers Docker.
func (d *Docker) server() *http.Server {
	return &http.Server{
		Handler: plugin.Handler(d.driver, d.cfg.Logger), ReadHeaderTimeout: headerTimeout,
		ErrorLog: slog.NewLogLogger(d.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// listen returns the plugin's socket when there is a Docker to use it; nil if ctx
// ended before. One that systemd holds open for us is served at once: it answered
// Docker from before this process was there.
func (d *Docker) listen(ctx context.Context) (ln net.Listener, held bool, err error) {
	of, err := systemd.Listeners()
	if err != nil {
		return nil, false, err
	}
	if len(of) > 0 {
		return of[0], true, nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if _, err := os.Stat(d.cfg.Socket); err == nil {
			ln, err := private.Listen(d.cfg.PluginSocket)
			if err != nil {
				return nil, false, fmt.Errorf("listen for docker on %s: %w", d.cfg.PluginSocket, err)
			}
			return ln, false, nil
		}
		select {
		case <-ctx.Done():
			return nil, false, nil
		case <-tick.C:
		}
	}
}
