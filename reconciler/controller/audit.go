package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/ofswitch"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/session"
)

// A switch with few flows lists all of them each time. One with many is asked
// cookie by cookie, which Open vSwitch has an index for: any other question has it
// look at all its flows on its main thread (4 to 7 ms for 40,000), while packets
// wait. Only what nothing explains is not found so, and looked for now and then.
const (
	fewCookies     = 128     // up to which all flows are listed,
	fewFlows       = 512     // if they were so few last time: a cookie may have many
	flowsOfCookie  = 4       // about so many has one
	cookiesOfPart  = 48      // about so many are asked for between two pauses
	cookiesOfWrite = 8       // at once: 0.1 ms of the switch's main thread
	mostOfPart     = 1 << 20 // flows of them; Open vSwitch' tables end there, and one that lists more lies
	flowsOfLook    = 2048    // about so many flows are listed by one look for strays

	// lookShare is the part of its time that a switch may spend on looks: one in
	// so many, but all of it is looked at within lookWithin, however slow it is.
	lookShare  = 200
	lookWithin = time.Minute
)

// audit has the flows of a switch that holds some already counted and audited, again
// and again, until ctx ends.
func (c *Controller) audit(ctx context.Context, l *link, held int) {
	tick := time.NewTimer(pollEvery)
	defer tick.Stop()
	strays := lookout{held: held}
	for {
		var cookies int
		if c.ask(ctx, func() { cookies = c.engine.CookieCount(l.sw.DPID()) }) != nil {
			return
		}
		few := cookies <= fewCookies && strays.held <= fewFlows
		parts, every := auditPace(cookies, strays.held)
		tick.Reset(every)
		for i := range parts {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				tick.Reset(every)
			}
			// An error says that the connection is ending, and SwitchDown says why.
			if few {
				if strays.lookAtAll(ctx, c, l) != nil {
					return
				}
				continue
			}
			if c.count(ctx, l, engine.Part{Index: i, Of: parts}) != nil || strays.look(ctx, c, l, cookies) != nil {
				return
			}
		}
	}
}

// auditPace says in how many parts a switch with so many cookies is audited, and
// how long after one another: all of it every 2 s, or of very many flows every
// 10 s, and never many at once, since the engine answers nothing else meanwhile. A
// cookie may have many flows: held is how many all had when last looked at.
func auditPace(cookies, held int) (parts uint32, every time.Duration) {
	n := max(cookies, held/flowsOfCookie)
	if n <= fewCookies {
		return 1, pollEvery
	}
	parts = powerOfTwo(n / cookiesOfPart)
	all := min(max(pollEvery, time.Duration(n)*time.Millisecond), 5*pollEvery)
	return parts, all / time.Duration(parts)
}

// powerOfTwo is the lowest one that is n at least, of those that a Part has.
func powerOfTwo(n int) uint32 {
	p := uint32(1)
	for p < maxParts && int(p) < n {
		p *= 2
	}
	return p
}

// maxParts is how many parts there are at most.
const maxParts = session.Shares

// list has a part of all flows listed and audited, whatever their cookies, and says
// how many they are.
func (c *Controller) list(ctx context.Context, l *link, part engine.Part) (held int, err error) {
	flows, err := l.sw.FlowStats(ctx, ofswitch.StatsFilter{Table: openflow.AllTables, Cookie: uint64(part.Index), CookieMask: part.Mask()})
	if err != nil {
		return 0, err
	}
	return len(flows), c.counted(ctx, l, engine.FlowsCounted{DPID: l.sw.DPID(), Flows: flows, Part: part})
}

// count has the flows of those cookies of a part listed and audited that the
// switch should hold.
func (c *Controller) count(ctx context.Context, l *link, part engine.Part) error {
	ev := engine.FlowsCounted{DPID: l.sw.DPID(), Part: part, Known: true}
	var cookies []uint64
	if err := c.ask(ctx, func() { cookies = c.engine.Cookies(l.sw.DPID(), part) }); err != nil {
		return err
	}
	var err error
	if ev.Flows, err = listCookies(ctx, l.sw, cookies, mostOfPart); errors.Is(err, errTooMany) {
		c.log.LogAttrs(ctx, slog.LevelWarn, "switch lists what it can't hold", c.switchAttr(l.sw.DPID()), slog.Any("err", err))
		l.sw.Close()
	}
	if err != nil {
		return err
	}
	return c.counted(ctx, l, ev)
}

// lister is a switch that lists its flows.
type lister interface {
	FlowStats(ctx context.Context, filters ...ofswitch.StatsFilter) ([]openflow.FlowStats, error)
}

var errTooMany = errors.New("too many flows")

// listCookies has the flows of some cookies listed, a few of them at once; more than
// most are errTooMany.
func listCookies(ctx context.Context, sw lister, cookies []uint64, most int) (all []openflow.FlowStats, err error) {
	for some := range slices.Chunk(cookies, cookiesOfWrite) {
		var ask [cookiesOfWrite]ofswitch.StatsFilter
		for i, cookie := range some {
			ask[i] = ofswitch.StatsFilter{Table: openflow.AllTables, Cookie: cookie, CookieMask: ^uint64(0)}
		}
		flows, err := sw.FlowStats(ctx, ask[:len(some)]...)
		if err != nil {
			return nil, err
		}
		if all = append(all, flows...); len(all) > most {
			return nil, fmt.Errorf("list %d cookies: %w: more than %d", len(cookies), errTooMany, most)
		}
	}
	return all, nil
}

// counted has the engine look at an answer. The next question is asked after that:
// then what the answer still lacks was sent before the question, and is no drift.
func (c *Controller) counted(ctx context.Context, l *link, ev engine.FlowsCounted) error {
	return c.ask(ctx, func() { c.stepOn(l, ev) })
}

// lookout looks for flows that nothing explains, a part at a time, so rarely that
// the switch hardly notices.
type lookout struct {
	next  time.Time
	part  engine.Part
	again bool // it was looked at twice
	seen  int  // flows, in the parts before it
	held  int  // flows that the switch held when it was looked at whole
}

// lookAtAll looks at all of a switch with few flows.
func (o *lookout) lookAtAll(ctx context.Context, c *Controller, l *link) error {
	held, err := c.list(ctx, l, engine.Part{Of: 1})
	*o = lookout{held: held}
	return err
}

// look looks at the next part, if it is time, of a switch with so many cookies. One
// where something was wrong is next itself, since it is mended when it is seen twice.
func (o *lookout) look(ctx context.Context, c *Controller, l *link, cookies int) error {
	began := time.Now()
	if began.Before(o.next) {
		return nil
	}
	if o.part.Of == 0 {
		o.part = engine.Part{Of: lookParts(cookies, o.held)}
	}
	held, err := c.list(ctx, l, o.part)
	if err != nil {
		return err
	}
	o.next = time.Now().Add(lookPause(time.Since(began), o.part.Of))
	suspected := false
	if err := c.ask(ctx, func() { suspected = c.engine.Suspected(l.sw.DPID(), o.part) }); err != nil {
		return err
	}
	o.looked(held, suspected)
	return nil
}

// looked takes the outcome of a look, and names the next part.
func (o *lookout) looked(held int, suspected bool) {
	if suspected && !o.again {
		o.again = true
		return
	}
	o.again = false
	o.seen += held
	if o.part.Index++; o.part.Index == o.part.Of {
		o.part, o.held, o.seen = engine.Part{}, o.seen, 0
	}
}

// lookPause is how long after a look that took so long the next one of so many is.
func lookPause(took time.Duration, parts uint32) time.Duration {
	return min(lookShare*took, lookWithin/time.Duration(parts))
}

// lookParts is in how many looks a switch with so many cookies is looked at, which
// held so many flows last time: drops are among them, and strays.
func lookParts(cookies, held int) uint32 {
	return powerOfTwo(max(cookies*flowsOfCookie, held) / flowsOfLook)
}
