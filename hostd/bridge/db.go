package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/cache"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"
	"github.com/ovn-kubernetes/libovsdb/ovsdb"
)

// Timing of OVSDB and of the OpenFlow connections it configures.
const (
	dbRedial        = 200 * time.Millisecond
	dbTimeout       = 5 * time.Second
	maxBackoff      = time.Second
	inactivityProbe = 5 * time.Second
	// backoffDelay is how long after a start of the switch its controllers'
	// rows are true again: OVS refreshes them every 5 s.
	backoffDelay = 10 * time.Second
	// maxIdle is how long the datapath caches a flow that nobody uses (max-idle of
	// ovs-vswitchd.conf.db(5), there 10 s). Each new session makes the switch look
	// at all cached flows again. At 200 new sessions per second through three
	// switches on two cores, 1 s instead of 10 took the 99th percentile of first
	// packets from 140-500 ms to 20 ms; a packet that finds its flow no longer
	// cached costs one upcall, some 0.1 ms.
	maxIdle = time.Second
)

// ownerKey is where an interface's external ids name who it belongs to.
const ownerKey = "daoli-owner"

// Rows of the Open_vSwitch database (ovs-vswitchd.conf.db(5)), as far as used.
type (
	bridgeRow struct {
		UUID       string   `ovsdb:"_uuid"`
		Name       string   `ovsdb:"name"`
		Ports      []string `ovsdb:"ports"`
		Controller []string `ovsdb:"controller"`
	}
	portRow struct {
		UUID       string   `ovsdb:"_uuid"`
		Name       string   `ovsdb:"name"`
		Interfaces []string `ovsdb:"interfaces"`
	}
	interfaceRow struct {
		UUID          string            `ovsdb:"_uuid"`
		Name          string            `ovsdb:"name"`
		Ofport        *int              `ovsdb:"ofport"`
		OfportRequest *int              `ovsdb:"ofport_request"`
		Error         *string           `ovsdb:"error"`
		ExternalIDs   map[string]string `ovsdb:"external_ids"`
	}
	controllerRow struct {
		UUID        string `ovsdb:"_uuid"`
		Target      string `ovsdb:"target"`
		IsConnected bool   `ovsdb:"is_connected"`
		MaxBackoff  *int   `ovsdb:"max_backoff"`
	}
)

var errNoBridge = errors.New("the bridge is not in the database")

// db keeps a connection to the database server and a copy of what matters. The
// library's own reconnecting is not used: a new client for each connection
// leaves no doubt about what its cache holds.
type db struct {
	socket, bridge string
	log            *slog.Logger

	mu      sync.Mutex // guards the following fields
	client  client.Client
	changed chan struct{} // closed, and replaced, when client or its cache changes
}

func newDB(socket, bridge string, log *slog.Logger) *db {
	return &db{socket: socket, bridge: bridge, log: log, changed: make(chan struct{})}
}

// run keeps the connection until ctx ends.
func (d *db) run(ctx context.Context, w *watch) {
	for ctx.Err() == nil {
		if err := d.follow(ctx, w); err != nil && ctx.Err() == nil {
			d.log.Debug("database connection ended", slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(dbRedial):
		}
	}
}

// follow connects once and stays until the connection ends.
func (d *db) follow(ctx context.Context, w *watch) error {
	c, err := d.dial()
	if err != nil {
		return err
	}
	dctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	if err := c.Connect(dctx); err != nil {
		return fmt.Errorf("connect to %s: %w", d.socket, err)
	}
	defer c.Close()
	connected := make(chan struct{}, 1)
	c.Cache().AddEventHandler(&cache.EventHandlerFuncs{
		AddFunc: func(_ string, m model.Model) { d.onRow(w, connected, nil, m) },
		UpdateFunc: func(_ string, old, m model.Model) {
			d.onRow(w, connected, old, m)
		},
		DeleteFunc: func(string, model.Model) { d.set(nil); w.notify() },
	})
	lost := c.DisconnectNotify()
	if err := d.monitor(dctx, c); err != nil {
		return fmt.Errorf("monitor %s: %w", d.socket, err)
	}
	d.set(&c)
	defer func() {
		var none client.Client
		d.set(&none)
	}()
	return d.serve(ctx, c, w, connected, lost)
}

// serve re-touches the controllers' back-off until the connection is lost.
func (d *db) serve(ctx context.Context, c client.Client, w *watch, connected, lost <-chan struct{}) error {
	var seen uint64
	retouch := time.NewTicker(backoffDelay)
	defer retouch.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-lost:
			return errors.New("connection lost")
		case <-connected:
		case <-retouch.C:
			_, gen := w.state()
			if gen == seen {
				continue
			}
			seen = gen
		}
		if err := d.touchBackoff(ctx, c); err != nil {
			d.log.Debug("controller back-off was not set", slog.Any("err", err))
		}
	}
}

func (d *db) dial() (client.Client, error) {
	m, err := model.NewClientDBModel("Open_vSwitch", map[string]model.Model{
		"Bridge": &bridgeRow{}, "Port": &portRow{}, "Interface": &interfaceRow{}, "Controller": &controllerRow{},
	})
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	quiet := logr.Discard()
	return client.NewOVSDBClient(m, client.WithEndpoint("unix:"+d.socket), client.WithLogger(&quiet))
}

// monitor fills c's cache. The fields are named since the library drops updates
// of a table whose other columns it has no model for.
func (d *db) monitor(ctx context.Context, c client.Client) error {
	b, p, i, ct := &bridgeRow{}, &portRow{}, &interfaceRow{}, &controllerRow{}
	_, err := c.Monitor(ctx, c.NewMonitor(
		client.WithTable(b, &b.Name, &b.Ports, &b.Controller),
		client.WithTable(p, &p.Name, &p.Interfaces),
		client.WithTable(i, &i.Name, &i.Ofport, &i.OfportRequest, &i.Error, &i.ExternalIDs),
		client.WithTable(ct, &ct.Target, &ct.IsConnected, &ct.MaxBackoff),
	))
	return err
}

// onRow runs for each new or changed row.
func (d *db) onRow(w *watch, connected chan<- struct{}, old, m model.Model) {
	d.set(nil)
	row, ok := m.(*controllerRow)
	if !ok {
		return
	}
	was, _ := old.(*controllerRow)
	if was != nil && was.IsConnected == row.IsConnected {
		return
	}
	w.notify()
	if row.IsConnected {
		select {
		case connected <- struct{}{}:
		default:
		}
	}
}

// set tells the waiters that something changed, and first sets the client if c
// is not nil.
func (d *db) set(c *client.Client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c != nil {
		d.client = *c
	}
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *db) get() (client.Client, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.client, d.changed
}

// until waits until cond says true or fails, asking it after each change.
func (d *db) until(ctx context.Context, cond func(client.Client) (bool, error)) error {
	for {
		c, changed := d.get()
		if c != nil {
			if done, err := cond(c); done || err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			if c == nil {
				return fmt.Errorf("no connection to %s: %w", d.socket, ctx.Err())
			}
			return ctx.Err()
		case <-changed:
		}
	}
}

// connection waits for a connection whose cache has the bridge.
func (d *db) connection(ctx context.Context) (client.Client, *bridgeRow, error) {
	br := &bridgeRow{Name: d.bridge}
	var conn client.Client
	err := d.until(ctx, func(c client.Client) (bool, error) {
		conn = c
		err := c.Get(ctx, br)
		if errors.Is(err, client.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
	if errors.Is(err, context.DeadlineExceeded) && conn != nil {
		err = errNoBridge
	}
	return conn, br, err
}

// controllers returns the bridge's targets and whether each is connected.
func (d *db) controllers() map[string]bool {
	out := map[string]bool{}
	c, _ := d.get()
	if c == nil {
		return out
	}
	for _, row := range d.controllerRows(context.Background(), c) {
		out[row.Target] = row.IsConnected
	}
	return out
}

func (d *db) controllerRows(ctx context.Context, c client.Client) []*controllerRow {
	br := &bridgeRow{Name: d.bridge}
	if err := c.Get(ctx, br); err != nil {
		return nil
	}
	var rows []*controllerRow
	for _, id := range br.Controller {
		row := &controllerRow{UUID: id}
		if c.Get(ctx, row) == nil {
			rows = append(rows, row)
		}
	}
	return rows
}

// touchBackoff sets max_backoff of the connected controllers to another value
// that means the same: OVS before 3.3 starts each connection with a fixed 8 s
// and only looks at the column when it changes while connected.
func (d *db) touchBackoff(ctx context.Context, c client.Client) error {
	var ops []ovsdb.Operation
	for _, row := range d.controllerRows(ctx, c) {
		if !row.IsConnected {
			continue
		}
		ms := int(maxBackoff / time.Millisecond)
		if row.MaxBackoff != nil && *row.MaxBackoff == ms {
			ms++
		}
		row.MaxBackoff = &ms
		op, err := c.Where(row).Update(row, &row.MaxBackoff)
		if err != nil {
			return err
		}
		ops = append(ops, op...)
	}
	if len(ops) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	return d.transact(ctx, c, ops)
}
