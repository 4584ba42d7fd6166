package netns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/daolinet/daolinet/reconciler/api"
)

// Ports of the controller.
const (
	OpenFlowPort = 6653
	HostsPort    = 7443
)

// Controller is the testbed's daoli-reconcile.
type Controller struct {
	Namespace string
	Socket    string // of its API

	testbed *Testbed
	process *Process
}

func newController(t *Testbed) *Controller {
	return &Controller{Namespace: t.Namespace(controllerName), Socket: filepath.Join(t.Dir, "reconcile.sock"), testbed: t}
}

// Start starts the controller and waits until its API answers.
func (c *Controller) Start(ctx context.Context) error { return startAndAwait(ctx, c.launch) }

func (c *Controller) launch() (await func(context.Context) error, err error) {
	t, addr := c.testbed, controllerAddr.Addr()
	argv := []string{t.Binary("daoli-reconcile"), "--watch", t.opt.Specs,
		"--openflow", fmt.Sprintf("%s:%d", addr, OpenFlowPort),
		"--hosts-listen", fmt.Sprintf("%s:%d", addr, HostsPort), "--advertise", addr.String(),
		"--socket", c.Socket, "--state-dir", c.StateDir()}
	if t.opt.Policies != "" {
		argv = append(argv, "--policies", t.opt.Policies)
	}
	c.process, err = t.start(command{name: "reconcile", namespace: c.Namespace, argv: append(argv, t.opt.ControllerArgs...)})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		return c.process.await(ctx, "API of the controller", func() error {
			_, err := c.API().Status(ctx)
			return err
		})
	}, nil
}

// StateDir is where the controller keeps what outlives it.
func (c *Controller) StateDir() string { return filepath.Join(c.testbed.Dir, "reconcile") }

// Process is the running controller.
func (c *Controller) Process() *Process { return c.process }

// Addr is the controller's address on the underlay.
func (c *Controller) Addr() netip.Prefix { return controllerAddr }

// API returns a client of the controller.
func (c *Controller) API() *api.Client { return api.NewClient(c.Socket) }

// AwaitHosts waits until n hosts report and their switches are connected.
func (c *Controller) AwaitHosts(ctx context.Context, n int) error {
	return c.await(ctx, fmt.Sprintf("%d hosts to connect", n), func() error {
		hosts, err := c.API().Hosts(ctx)
		if err != nil {
			return err
		}
		up := 0
		for _, h := range hosts {
			if h.Connected && h.Reporting {
				up++
			}
		}
		if up < n {
			return fmt.Errorf("%d are connected: %+v", up, hosts)
		}
		return nil
	})
}

// AwaitRevision waits until the active revision is another than old, and
// returns its id.
func (c *Controller) AwaitRevision(ctx context.Context, old string) (id string, err error) {
	err = c.await(ctx, "new revision", func() error {
		s, err := c.API().Status(ctx)
		if err != nil {
			return err
		}
		if s.Revision.ID == old {
			return fmt.Errorf("still at %s, refused: %+v", old, s.Revision.Refused)
		}
		id = s.Revision.ID
		return nil
	})
	return id, err
}

func (c *Controller) await(ctx context.Context, what string, ready func() error) error {
	if c.process == nil { // of an opened testbed
		return await(ctx, what, ready)
	}
	return c.process.await(ctx, what, ready)
}

// Log returns the controller's output so far.
func (c *Controller) Log() (string, error) {
	b, err := os.ReadFile(filepath.Join(c.testbed.Dir, "reconcile.out"))
	return string(b), err
}
