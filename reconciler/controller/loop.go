package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

// loop owns the engine: everything that happens passes here, one at a time.
func (c *Controller) loop(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !c.round(tick.C) {
			c.wait(ctx, tick.C)
		}
	}
}

// round serves what is there, a bounded number of each kind, so that none of them
// can starve another: a flood of packets delays a host's report or a switch's
// confirmation by packetsARound steps. It reports whether there was anything.
func (c *Controller) round(tick <-chan time.Time) bool {
	served := upTo(1, tick, c.tick)
	served = upTo(callsARound, c.calls, c.call) || served
	served = upTo(answersARound, c.answers, c.answered) || served
	for range packetsARound {
		l, ok := c.inbox.Next()
		if !ok {
			break
		}
		c.step(engine.PacketIn{DPID: l.DPID, In: l.In})
		served = true
	}
	c.flush()
	return served
}

// upTo serves as much of ch as is there, but not more than n of it.
func upTo[T any](n int, ch <-chan T, serve func(T)) (served bool) {
	for range n {
		select {
		case v := <-ch:
			serve(v)
			served = true
		default:
			return served
		}
	}
	return served
}

// wait waits until there is something, and serves that unless it is a packet.
func (c *Controller) wait(ctx context.Context, tick <-chan time.Time) {
	first, ok := c.asks.peek()
	work := c.work
	if !ok {
		work = nil
	}
	select {
	case <-ctx.Done():
	case <-c.inbox.Ready():
	case now := <-tick:
		c.tick(now)
	case f := <-c.calls:
		c.call(f)
	case d := <-c.answers:
		c.answered(d)
	case work <- first:
		c.asks.taken()
	}
	c.flush()
}

// tick lets time pass, and writes what the log has left to say of it.
func (c *Controller) tick(time.Time) {
	c.step(engine.Tick{})
	c.flush()
	now := time.Now()
	c.logDenials(now)
	if now.Sub(c.dropsLogged) < time.Second {
		return
	}
	c.dropsLogged = now
	if d := c.inbox.TakeDrops(); d.Packets > 0 {
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "packets dropped from full queues", slog.Uint64("count", d.Packets),
			c.switchAttr(d.DPID), slog.Uint64("port", uint64(d.LastPort)))
	}
}

// answered gives the engine what a decider found.
func (c *Controller) answered(d session.Decided) {
	c.asks.answered(&d.Ask)
	c.step(engine.Decided{Decided: d})
}

// step feeds the engine and performs what it returns. A packet that makes it
// panic is lost, counted, and stops nothing else.
func (c *Controller) step(ev engine.Event) {
	defer c.feed()
	defer c.recovered(func() string {
		if _, ok := ev.(engine.PacketIn); ok {
			c.panicked++
		}
		return fmt.Sprintf("%T", ev)
	})
	effects := c.engine.Step(time.Now(), ev)
	c.publish()
	c.perform(effects)
}

// call runs what do or ask brought.
func (c *Controller) call(f func()) {
	defer c.recovered(func() string { return "call" })
	defer c.flush() // one may be long, like an audit
	f()
}

// recovered is deferred in the loop around one event. Only of one that panicked it
// asks what it was.
func (c *Controller) recovered(what func() string) {
	r := recover()
	if r == nil {
		return
	}
	event := what()
	if missed, ok := c.panics.allow(time.Now()); ok {
		c.log.Error("engine step panicked", "event", event, "unlogged", missed, "err", fmt.Sprint(r), "stack", string(debug.Stack()))
	}
}

// feed gives the deciders as many questions as they have room for.
func (c *Controller) feed() {
	for {
		first, ok := c.asks.peek()
		if !ok {
			return
		}
		select {
		case c.work <- first:
			c.asks.taken()
		default:
			return
		}
	}
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
	done := make(chan error, 1)
	call := func() {
		err := errors.New("the controller could not answer; its log says why")
		defer func() { done <- err }()
		f()
		err = nil
	}
	select {
	case c.calls <- call:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errors.New("the controller is ending")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return errors.New("the controller is ending")
	}
}

// decide answers one question; one that makes the policy panic is denied.
func (c *Controller) decide(d session.Decide) (r admission.Result) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if missed, ok := c.undecided.allow(time.Now()); ok {
			c.log.Error("decision panicked", "unlogged", missed, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		r = admission.Result{Decision: policy.Decision{Verdict: policy.Drop, Reason: policy.ReasonPolicyError, Revision: d.Policy.Revision()}}
	}()
	return admission.Decide(d.Snapshot, d.Policy, time.Now(), d.Request)
}

// decider answers what the engine asks of the policy.
func (c *Controller) decider(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-c.work:
			if h, needed := c.needsHooks(d); needed && c.queueHooked(h) {
				continue
			} // or too many wait: it is denied
			select {
			case c.answers <- session.Decided{Ask: d, Result: c.decide(d)}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}
