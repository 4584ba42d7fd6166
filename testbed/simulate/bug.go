package simulate

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// Bug is a mistake that is planted in what goes between the parts, so that a
// test sees that a run finds it.
type Bug uint8

// Bugs.
const (
	BugNone Bug = iota
	// BugLostBarrier: a batch is confirmed before the switch has done it.
	BugLostBarrier
	// BugStaleDecision: what the policy said of a world that is over is taken for
	// an answer about the present one.
	BugStaleDecision
	// BugEarlyRelease: a session's labels are given to others at once, before its
	// flows are gone and packets in queues are.
	BugEarlyRelease
	// BugCookieOnly: a restarted controller takes flows for a session's that only
	// have such a cookie.
	BugCookieOnly
	// BugReplyOpens: reply flows take packets that open.
	BugReplyOpens
)

// spoil plants the bugs that are about what a switch is told.
func (k *controller) spoil(l *ofConn, b openflow.Batch) openflow.Batch {
	token := b.Token
	switch {
	case k.opt.Bug == BugReplyOpens:
		return withoutOpenerCheck(b)
	case k.opt.Bug == BugLostBarrier && token != 0:
		b.Token = 0
		k.later(k.delay(), func() { k.batchDone(l, token, "") })
	case k.opt.Bug == BugEarlyRelease && token != 0 && removes(&b):
		b.Token = 0
		k.later(10*micro, func() { // long ago, so that the label has rested
			if k.links[b.DPID] == l {
				k.doAt(k.now.Add(-2*time.Minute), engine.BatchDone{DPID: b.DPID, Token: token})
			}
		})
	}
	return b
}

// removes reports whether a batch ends a session.
func removes(b *openflow.Batch) bool {
	for i := range b.Flows {
		m := &b.Flows[i]
		if m.Command == openflow.FlowDelete && pipeline.ParseCookie(m.Flow.Cookie).Category == pipeline.CategorySession {
			return true
		}
	}
	return false
}

// decideStale answers long after, for a question that is still open.
func (k *controller) decideStale(a session.Decide) {
	r := admission.Decide(a.Snapshot, a.Policy, k.now, a.Request)
	k.later(k.delay(), func() {
		a.Policy, a.Snapshot = k.engine.Policy(), k.engine.Snapshot()
		k.do(engine.Decided{Decided: session.Decided{Ask: a, Result: r}})
	})
}

// openReply is a reply flow without the match on what table 1 says of openers.
func openReply(f openflow.Flow) openflow.Flow {
	if f.Table == pipeline.TableSession && f.Priority == pipeline.PrioReply {
		f.Match.Metadata = openflow.Masked(0, f.Match.Metadata.Mask&^pipeline.MetaOpener)
	}
	return f
}

func withoutOpenerCheck(b openflow.Batch) openflow.Batch {
	mods := make([]openflow.FlowMod, len(b.Flows))
	for i, m := range b.Flows {
		m.Flow = openReply(m.Flow)
		mods[i] = m
	}
	b.Flows = mods
	return b
}

// tamper has two flows of sessions of an earlier life do each other's work,
// after the switch listed its flows: so the engine believes of them what their
// cookies promise.
func (h *host) tamper() {
	var first *openflow.Flow
	var b openflow.Batch
	for f := range h.sw.All() {
		c := pipeline.ParseCookie(f.Cookie)
		if c.Category != pipeline.CategorySession || c.Epoch >= h.ctl.epoch || f.Priority != pipeline.PrioForward || f.Match.InPort != uplinkPort {
			continue
		}
		if first == nil || first.Match.IPProto != f.Match.IPProto || first.Cookie == f.Cookie {
			first = f
			continue
		}
		one, other := *first, *f
		one.Actions, other.Actions = other.Actions, one.Actions
		b.Flows = append(b.Flows, openflow.Add(one), openflow.Add(other))
		first = nil
	}
	h.sw.Apply(h.now, b)
}
