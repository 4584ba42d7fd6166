package controller

import (
	"context"
	"log/slog"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
)

// link is one connected switch. It is the loop's.
type link struct {
	sw     *ofswitch.Switch
	cancel context.CancelFunc // ends its poller
	queued bool               // it is in Controller.queued
}

// allFlows selects every flow of a switch.
var allFlows = ofswitch.StatsFilter{Table: openflow.AllTables}

// switchHandler brings what switches say to the loop.
type switchHandler Controller

// SwitchUp reads what the switch holds, then hands it to the engine; from then
// on its flows are counted and audited at intervals.
func (h *switchHandler) SwitchUp(sw *ofswitch.Switch) {
	c := (*Controller)(h)
	ctx, cancel := context.WithCancel(c.ctx)
	l := &link{sw: sw, cancel: cancel}
	if !c.do(func() { c.switches[sw.DPID()] = l }) {
		cancel()
		return
	}
	c.wg.Go(func() { c.follow(ctx, l) })
}

// SwitchDown forgets the switch, unless a newer connection is in its place.
func (h *switchHandler) SwitchDown(sw *ofswitch.Switch, err error) {
	c := (*Controller)(h)
	c.inbox.Forget(sw.DPID()) // before a newer connection of it comes up
	c.do(func() {
		l := c.switches[sw.DPID()]
		if l == nil || l.sw != sw {
			return
		}
		l.cancel()
		delete(c.switches, sw.DPID())
		c.step(engine.SwitchDown{DPID: sw.DPID()})
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "switch disconnected", c.switchAttr(sw.DPID()), slog.Any("err", err))
	})
}

// PacketIn leaves a lifted packet for the loop, and never waits for it: what a
// switch confirms comes by the same connection.
func (h *switchHandler) PacketIn(sw *ofswitch.Switch, in openflow.PacketIn) {
	(*Controller)(h).inbox.Add(sw.DPID(), in)
}

// BatchDone tells the engine that a switch did what it was told.
func (h *switchHandler) BatchDone(sw *ofswitch.Switch, token uint64, err error) {
	c := (*Controller)(h)
	ev := engine.BatchDone{DPID: sw.DPID(), Token: token}
	if err != nil {
		ev.Err = err.Error()
	}
	c.do(func() {
		if l := c.switches[sw.DPID()]; l != nil && l.sw == sw {
			c.step(ev)
		}
	})
}

// follow announces a switch with the flows it holds, then counts and
// audits them until ctx ends.
func (c *Controller) follow(ctx context.Context, l *link) {
	flows, err := l.sw.FlowStats(ctx, allFlows)
	if err != nil {
		if ctx.Err() == nil {
			c.log.LogAttrs(ctx, slog.LevelWarn, "switch did not list its flows", c.switchAttr(l.sw.DPID()), slog.Any("err", err))
			l.sw.Close()
		}
		return
	}
	c.onLink(l, engine.SwitchUp{DPID: l.sw.DPID(), Flows: flows})
	c.log.LogAttrs(ctx, slog.LevelInfo, "switch connected", c.switchAttr(l.sw.DPID()), slog.Int("flows", len(flows)))
	c.audit(ctx, l, len(flows))
}

// onLink feeds the engine an event of a switch, unless its connection was
// replaced meanwhile.
func (c *Controller) onLink(l *link, ev engine.Event) {
	c.do(func() { c.stepOn(l, ev) })
}

func (c *Controller) stepOn(l *link, ev engine.Event) {
	if c.switches[l.sw.DPID()] == l {
		c.step(ev)
	}
}

// hostHandler brings what hosts say to the loop.
type hostHandler Controller

// HostHello takes a host's full report.
func (h *hostHandler) HostHello(conn *hostlink.Conn, r inventory.HostReport) {
	c := (*Controller)(h)
	c.do(func() {
		if conn.Closed() { // it may be revoked
			return
		}
		c.hosts[conn.ID()] = conn
		c.step(engine.HostUp{Conn: conn.ID(), Report: r})
		c.log.LogAttrs(c.ctx, slog.LevelInfo, "host connected", slog.String("host", r.Name), slog.Int("endpoints", len(r.Endpoints)))
	})
}

// HostDelta takes what changed on a host.
func (h *hostHandler) HostDelta(conn *hostlink.Conn, d inventory.HostDelta) {
	c := (*Controller)(h)
	c.do(func() { c.step(engine.HostChanged{Conn: conn.ID(), Host: conn.Host(), Delta: d}) })
}

// LeaseRequest gives an endpoint an address.
func (h *hostHandler) LeaseRequest(conn *hostlink.Conn, q hostlink.LeaseRequest) {
	c := (*Controller)(h)
	c.do(func() {
		c.step(engine.LeaseAsked{
			Conn: conn.ID(), ID: q.ID, Host: conn.Host(),
			Tenant: q.Tenant, VPC: q.VPC, Subnet: q.Subnet, Name: q.Name, IP: q.IP, Hold: q.Hold, Held: q.Held,
		})
	})
}

// LeaseRelease takes an address back.
func (h *hostHandler) LeaseRelease(conn *hostlink.Conn, q hostlink.LeaseRelease) {
	c := (*Controller)(h)
	c.do(func() { c.step(engine.LeaseReleased{Host: conn.Host(), VPC: q.VPC, IP: q.IP, Name: q.Name}) })
}

// HostGone notes that a host's stream ended; its endpoints stay.
func (h *hostHandler) HostGone(conn *hostlink.Conn, err error) {
	c := (*Controller)(h)
	c.do(func() {
		delete(c.hosts, conn.ID())
		delete(c.networks, conn.ID())
		delete(c.claims, conn.Host())
		c.step(engine.HostDown{Conn: conn.ID(), Host: conn.Host()})
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "host disconnected", slog.String("host", conn.Host()), slog.Any("err", err))
	})
}
