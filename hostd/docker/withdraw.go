package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/private"
)

// withdrawWait bounds Withdraw.
const withdrawWait = 10 * time.Second

// Withdrawal says how Withdraw does it.
type Withdrawal struct {
	Disconnect bool // take the networks from containers that have them
}

// Withdraw removes the networks that hostd made, since the host leaves: a dockerd
// that starts asks for each of them, and waits for an answer. No network is made
// any more. One that a container keeps stays, and the error says so. Run must be
// running, for Docker asks about each.
func (d *Docker) Withdraw(ctx context.Context, how Withdrawal) error {
	d.driver.mu.Lock()
	d.driver.withdrawn, d.driver.known = true, nil
	d.driver.mu.Unlock()
	if _, err := os.Stat(d.cfg.Socket); err != nil {
		if n := d.driver.book.size(); n > 0 {
			return fmt.Errorf("docker does not run, and has %d networks", n)
		}
		return nil // there is no Docker
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawWait)
	defer cancel()
	for again := false; ; again = true {
		left, err := d.removeOwn(ctx, how)
		if err == nil || !left || again {
			return err
		}
	}
}

// removeOwn removes the networks that hostd made, and reports whether there were
// any. What else looks at Docker may remove one at the same time, which is an
// error here, but not the next time.
func (d *Docker) removeOwn(ctx context.Context, how Withdrawal) (any bool, err error) {
	ours, names, err := d.driver.api.networks(ctx)
	if err != nil {
		return false, fmt.Errorf("withdraw: %w", err)
	}
	ours = slices.DeleteFunc(ours, func(n Network) bool { return !n.Own })
	var errs []error
	if how.Disconnect {
		for _, n := range ours {
			errs = append(errs, d.driver.api.disconnect(ctx, n))
		}
	}
	errs = append(errs, d.applyNetworks(ctx, nil, ours, names))
	return len(ours) > 0, errors.Join(errs...)
}

// WithdrawAlone is Withdraw where no daoli-hostd runs: it answers Docker meanwhile.
// Of cfg, Host does not count.
func WithdrawAlone(ctx context.Context, cfg Config, how Withdrawal) error {
	cfg.Host = nobody{}
	d, err := New(cfg)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.Socket); err != nil {
		return d.Withdraw(ctx, how)
	}
	back, err := setAside(cfg.PluginSocket)
	if err != nil {
		return err
	}
	ln, err := private.Listen(cfg.PluginSocket)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for docker on %s: %w", cfg.PluginSocket, err), back())
	}
	srv := d.server()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(ln) // it ends by Close
	}()
	err = d.Withdraw(ctx, how)
	srv.Close()
	<-served
	return errors.Join(err, back())
}

// setAside takes a socket that somebody else holds, systemd for instance, out of
// Docker's sight. What it returns puts it back in its place, or removes what is
// there if nobody holds it.
func setAside(path string) (back func() error, err error) {
	aside := path + ".aside"
	err = os.Rename(path, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return remove(path) }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("set docker's way to daoli-hostd aside: %w", err)
	}
	return func() error {
		if left(aside) {
			return errors.Join(remove(aside), remove(path))
		}
		return os.Rename(aside, path)
	}, nil
}

// left reports whether nobody holds a socket any more. Where systemd might hold it,
// nobody knocks: it would start daoli-hostd.
func left(socket string) bool {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		return false
	}
	c, err := net.Dial("unix", socket)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// nobody is the Host of one that leaves.
type nobody struct{}

var errLeaves = errors.New("this host leaves DaoliNet")

func (nobody) Hold(context.Context, HoldRequest) (Held, error) { return Held{}, errLeaves }
func (nobody) Unhold(context.Context, Held)                    {}
func (nobody) Attach(context.Context, endpoint.Request) (endpoint.Endpoint, error) {
	return endpoint.Endpoint{}, errLeaves
}
func (nobody) Identify(context.Context, endpoint.Ref, endpoint.Request) (endpoint.Endpoint, error) {
	return endpoint.Endpoint{}, errLeaves
}
func (nobody) Adopt(context.Context, endpoint.Request, []string, string) (endpoint.Endpoint, error) {
	return endpoint.Endpoint{}, errLeaves
}
func (nobody) Route(context.Context, string, endpoint.MAC, netip.Addr, []netip.Prefix) error {
	return errLeaves
}
func (nobody) Detach(context.Context, endpoint.Ref) error             { return nil }
func (nobody) Endpoints(context.Context) ([]endpoint.Endpoint, error) { return nil, nil }
