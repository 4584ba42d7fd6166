package controller

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/session"
)

// perform does what the engine returned. It runs in the loop and never blocks:
// what leaves by a socket goes into a bounded queue.
func (c *Controller) perform(effects []engine.Effect) {
	for _, ef := range effects {
		switch ef := ef.(type) {
		case engine.Send:
			c.send(ef.Batch)
		case engine.Decide:
			c.asks.add(ef.Ask)
		case engine.Ack:
			c.ack(ef)
		case engine.LeaseGiven:
			if conn := c.hosts[ef.Conn]; conn != nil {
				conn.Lease(ef.ID, hostlink.Lease{IP: ef.IP, MAC: ef.MAC, Err: ef.Err})
			}
		case engine.SaveLeases:
			c.saver.save(ef.Leases)
		default:
			c.record(ef)
		}
	}
}

// send queues a batch for its switch, if that is there, until flush.
func (c *Controller) send(b *openflow.Batch) {
	l := c.switches[b.DPID]
	if l == nil {
		return
	}
	if err := l.sw.Queue(*b); err != nil {
		c.logUnsent(b.DPID, err)
	} else if !l.queued {
		l.queued = true
		c.queued = append(c.queued, l)
	}
	c.engine.Recycle(b) // Queue has encoded it
}

// flush sends what was queued for all switches: what several events have for one
// of them leaves in one piece.
func (c *Controller) flush() {
	for i, l := range c.queued {
		l.sw.Flush()
		l.queued, c.queued[i] = false, nil
	}
	c.queued = c.queued[:0]
}

func (c *Controller) ack(a engine.Ack) {
	conn := c.hosts[a.Conn]
	if conn == nil {
		return
	}
	errs := make([]hostlink.EndpointError, 0, len(a.Refused))
	for _, r := range a.Refused {
		errs = append(errs, hostlink.EndpointError{Ref: r.Ref, Text: r.Text})
	}
	conn.Ack(a.Seq, errs)
	if _, told := c.networks[a.Conn]; !told {
		c.tellNetworks(conn)
	}
}

// logUnsent notes a batch that a switch could not be sent. Its connection is
// ending, which packets must not tell one by one.
func (c *Controller) logUnsent(dpid uint64, err error) {
	if missed, ok := c.unsent.allow(time.Now()); ok {
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "batch not sent", c.switchAttr(dpid), slog.Uint64("unlogged", missed), slog.Any("err", err))
	}
}

// record writes what happened to the log. What a packet can cause is written at
// a bounded rate, or where a rule asks for it with log: true, in which case the
// decision cache and the switch bound it.
func (c *Controller) record(ef engine.Effect) {
	c.logDecision(ef)
	switch ef := ef.(type) {
	case engine.SessionOpened:
		level := slog.LevelDebug
		if ef.Session.Decision.Log {
			level = slog.LevelInfo
		}
		if c.log.Enabled(c.ctx, level) {
			c.log.LogAttrs(c.ctx, level, "session admitted", sessionAttrs(ef.Session)...)
		}
	case engine.SessionAdopted:
		if c.log.Enabled(c.ctx, slog.LevelDebug) {
			c.log.LogAttrs(c.ctx, slog.LevelDebug, "session adopted", sessionAttrs(ef.Session)...)
		}
	case engine.Drift: // at most one of each kind for each audit
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "drift mended", c.switchAttr(ef.DPID), slog.String("kind", string(ef.Kind)),
			slog.Int("flows", ef.Count), slog.String("first", ef.First))
	case engine.ReceiptDone:
		c.logReceipt(&ef.Receipt)
	case engine.SessionEnded:
		level := slog.LevelDebug
		if ef.Why == session.EndPolicy {
			level = slog.LevelInfo
		}
		if c.log.Enabled(c.ctx, level) {
			c.log.LogAttrs(c.ctx, level, "session ended", append(sessionAttrs(ef.Session), slog.String("why", string(ef.Why)))...)
		}
	case engine.PacketDenied:
		if c.denials.denied(ef) {
			c.log.LogAttrs(c.ctx, slog.LevelInfo, "packet denied", deniedAttrs(ef)...)
		}
	case engine.EndpointRefused:
		c.logRefused(ef)
	case engine.BatchRefused:
		if missed, ok := c.refusals.allow(time.Now()); ok {
			c.log.LogAttrs(c.ctx, slog.LevelError, "switch refused part of a batch", c.switchAttr(ef.DPID),
				slog.Uint64("unlogged", missed), slog.String("err", ef.Err))
		}
	}
}

// logRefused notes what a host may not claim: a line a second of each host, so that
// none hides what another tries.
func (c *Controller) logRefused(ef engine.EndpointRefused) {
	host := ef.First.Host
	if c.claims[host] == nil {
		c.claims[host] = new(onceASecond)
	}
	if missed, ok := c.claims[host].allow(time.Now()); ok {
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "endpoint refused", slog.String("host", host),
			slog.String("endpoint", string(ef.First.Ref.VPC)+"/"+ef.First.Ref.Name), slog.Int("count", ef.Count),
			slog.Uint64("unlogged", missed), slog.String("err", ef.First.Text))
	}
}

func sessionAttrs(s *session.Session) []slog.Attr {
	return []slog.Attr{
		slog.String("session", fmt.Sprintf("%#x", s.ID)),
		slog.String("from", endpointName(s.Client)), slog.String("to", endpointName(s.Server)),
		slog.String("port", portName(s.Proto, s.Port)),
		slog.String("verdict", s.Decision.Verdict.String()), slog.String("reason", string(s.Decision.Reason)),
		slog.String("rule", s.Decision.Rule), slog.String("at", s.Decision.At.String()),
		slog.String("revision", s.Decision.Revision),
	}
}

func deniedAttrs(d engine.PacketDenied) []slog.Attr {
	from := fmt.Sprintf("port %d of %016x", d.InPort, d.DPID)
	if d.Result.Client != nil {
		from = endpointName(d.Result.Client)
	}
	to := "-"
	if d.Head.Dst.IsValid() {
		to = d.Head.Dst.String()
	}
	dec := d.Result.Decision
	return []slog.Attr{
		slog.String("from", from), slog.String("to", to), slog.String("port", portName(d.Result.Proto, d.Result.Port)),
		slog.String("verdict", dec.Verdict.String()), slog.String("reason", string(dec.Reason)),
		slog.String("rule", dec.Rule), slog.String("at", dec.At.String()), slog.String("revision", dec.Revision),
	}
}

func (c *Controller) switchAttr(dpid uint64) slog.Attr {
	return slog.String("switch", fmt.Sprintf("%016x", dpid))
}
