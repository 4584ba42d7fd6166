package controller

import (
	"time"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/engine"
)

// logDecision queues what an effect tells of an admission for the decision log.
func (c *Controller) logDecision(ef engine.Effect) {
	if c.decisions == nil {
		return
	}
	switch ef := ef.(type) {
	case engine.SessionOpened:
		s := ef.Session
		c.decisions.Add(decisionlog.Entry{
			Time: time.Now(), Client: s.Client, Server: s.Server, Proto: s.Proto, Port: s.Port,
			Decision: *s.Decision, Session: s.ID,
		})
	case engine.PacketDenied:
		r := &ef.Result
		src, dst := ef.Head.Src, ef.Head.Dst
		if r.Reverse {
			src, dst = dst, src
		}
		c.decisions.Add(decisionlog.Entry{
			Time: time.Now(), DPID: ef.DPID, InPort: ef.InPort, Client: r.Client, Server: r.Server, Src: src, Dst: dst,
			Proto: r.Proto, Port: r.Port, Decision: r.Decision,
		})
	}
}
