package enrol

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/trust"
)

// Lives of certificates. They are renewed when a third is left.
const (
	DefaultHostLife       = 24 * time.Hour
	DefaultControllerLife = 24 * time.Hour
)

// lookEvery is how often Run looks whether a certificate has ended.
const lookEvery = time.Second

// Config is an Authority's. Dir, Name, Controllers and Logger are required.
type Config struct {
	Dir         string   // for the CA and the registry
	Name        string   // of this controller
	Addresses   []string // DNS names and IP addresses of this controller
	Controllers []string // HOST:PORT of the controllers' hosts' streams, as hosts are told
	Logger      *slog.Logger

	HostLife       time.Duration    // of a host's certificate; 0: DefaultHostLife
	ControllerLife time.Duration    // of this controller's; 0: DefaultControllerLife
	Now            func() time.Time // nil: time.Now
	// Revoked is called once a host was revoked or has left, and its connections were
	// told so.
	Revoked func(host string)
}

// Authority is the trust of a running controller. Its methods may be called from
// any goroutine.
type Authority struct {
	hostpb.UnimplementedEnrolmentServer
	cfg    Config
	ca     *trust.CA
	caPEM  []byte
	server atomic.Pointer[tls.Certificate]
	log    refusalLog
	joins  attempts // by address: those that failed
	renews attempts // by host

	mu      sync.Mutex // guards the fields below; none of what holds it does I/O
	state   *trust.State
	version uint64             // of state, grows
	held    map[*hold]struct{} // connections of hosts
	bound   chan struct{}      // closed, and replaced, when a datapath id was bound

	writing sync.Mutex // one write at a time; guards written
	written uint64     // version that is in the file
}

// Open makes the directory and the CA at the first start, and reads them later.
func Open(cfg Config) (*Authority, error) {
	if cfg.HostLife == 0 {
		cfg.HostLife = DefaultHostLife
	}
	if cfg.ControllerLife == 0 {
		cfg.ControllerLife = DefaultControllerLife
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the CA: %w", err)
	}
	ca, err := openCA(cfg.Dir, cfg.Now())
	if err != nil {
		return nil, err
	}
	state, err := readState(cfg.Dir)
	if err != nil {
		return nil, err
	}
	a := &Authority{
		cfg: cfg, ca: ca, caPEM: trust.CertificatePEM(ca.Cert), state: state,
		log: newRefusalLog(cfg.Logger), joins: newAttempts(), renews: newAttempts(),
		held: map[*hold]struct{}{}, bound: make(chan struct{}),
	}
	return a, a.renewServer()
}

// Pin is the hash of the CA by which hosts know the cluster when they join.
func (a *Authority) Pin() string { return hostpb.Pin(a.ca.Cert) }

// Cluster is the cluster's id.
func (a *Authority) Cluster() string { return a.ca.Cluster }

// Controllers returns what hosts are told of where the controllers are.
func (a *Authority) Controllers() []string { return a.cfg.Controllers }

// Run renews this controller's certificate and ends the connections of hosts
// whose last certificate has ended, until ctx ends.
func (a *Authority) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := a.Look(); err != nil {
				return err
			}
		}
	}
}

// Look does at once what Run does every second.
func (a *Authority) Look() error {
	a.endExpired()
	leaf := a.server.Load().Leaf
	if a.cfg.Now().Before(leaf.NotAfter.Add(-a.cfg.ControllerLife / 3)) {
		return nil
	}
	return a.renewServer()
}

// renewServer gives this controller a new key and certificate: both live only in
// memory, so there is nothing of them to steal or to lose.
func (a *Authority) renewServer() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the controller's key: %w", err)
	}
	cert, err := a.ca.SignController(rand.Reader, a.cfg.Name, a.cfg.Addresses, &key.PublicKey, a.cfg.Now(), a.cfg.ControllerLife)
	if err != nil {
		return err
	}
	a.server.Store(&tls.Certificate{Certificate: [][]byte{cert.Raw, a.ca.Cert.Raw}, PrivateKey: key, Leaf: cert})
	return nil
}

// change has f change the state, and returns when that is in the file: what is
// answered to anybody is never forgotten. After an error of f nothing has changed;
// after one of the disk nobody is told of what has.
func (a *Authority) change(f func(*trust.State) error) error {
	a.mu.Lock()
	before := a.state
	next := before.Clone()
	if err := f(next); err != nil {
		a.mu.Unlock()
		return err
	}
	a.state = next
	a.version++
	version := a.version
	a.mu.Unlock()
	return a.write(version)
}

// write has the state of at least that version written. One that cannot be
// written is an error for whoever waits for it; the next change writes it too.
func (a *Authority) write(version uint64) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.written >= version {
		return nil
	}
	a.mu.Lock()
	state, version := a.state, a.version // immutable once it is in place
	a.mu.Unlock()
	if err := writeState(a.cfg.Dir, state); err != nil {
		a.cfg.Logger.Error("registry of hosts was not written", slog.Any("err", err))
		return err
	}
	a.written = version
	return nil
}

// current returns the state as it is now. It is not to be changed.
func (a *Authority) current() *trust.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}

// CreateToken makes a join token and returns it with its text.
func (a *Authority) CreateToken(spec trust.TokenSpec) (t trust.Token, text string, err error) {
	err = a.change(func(s *trust.State) error {
		t, text, err = s.CreateToken(rand.Reader, a.cfg.Now(), spec)
		return err
	})
	return t, text, err
}

// Tokens returns the join tokens.
func (a *Authority) Tokens() []trust.Token { return a.current().TokenList() }

// DeleteToken deletes a join token, and reports whether there was one.
func (a *Authority) DeleteToken(id string) (found bool, err error) {
	err = a.change(func(s *trust.State) error {
		if found = s.DeleteToken(id); !found {
			return errUnchanged
		}
		return nil
	})
	return found, ignoreUnchanged(err)
}

// Hosts returns the registry.
func (a *Authority) Hosts() []trust.Host { return a.current().HostList() }

// Trusted returns a host's entry, and whether it is one that is trusted now.
func (a *Authority) Trusted(name string) (trust.Host, bool) {
	h, found := a.current().Hosts[name]
	return h, found && h.Revoked.IsZero()
}

// Revoke ends the trust in a host and its connections at once. It reports
// whether the registry has the host.
func (a *Authority) Revoke(name string) (found bool, err error) {
	err = a.change(func(s *trust.State) error {
		_, found = s.Hosts[name]
		if !s.Revoke(a.cfg.Now(), name) {
			return errUnchanged
		}
		return nil
	})
	if err != nil {
		return found, ignoreUnchanged(err)
	}
	a.cfg.Logger.Warn("host revoked", slog.String("host", name))
	a.cut(name, errRevoked)
	return true, nil
}

// cut ends the connections of a host that is trusted no more, and says so.
func (a *Authority) cut(name string, why error) {
	a.end(func(h *hold) error {
		if h.host != name {
			return nil
		}
		return why
	})
	if a.cfg.Revoked != nil {
		a.cfg.Revoked(name)
	}
}

// errUnchanged keeps change from writing what has not changed.
var errUnchanged = errors.New("unchanged")

func ignoreUnchanged(err error) error {
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// TrustDir is where a controller with this state directory keeps its CA.
func TrustDir(stateDir string) string { return filepath.Join(stateDir, "trust") }
