package controller

import (
	"github.com/daolinet/daolinet/reconciler/hostlink"
	"github.com/daolinet/daolinet/reconciler/names"
)

// publish shows what the engine sees to those who ask for names. It comes before
// what the step's effects say: an endpoint that is acknowledged has its name.
func (c *Controller) publish() {
	if now := c.engine.Snapshot(); now != c.seen.Load() {
		c.seen.Store(now)
	}
}

// resolve answers a host that asks for a name, beside the loop: it only reads.
func (c *Controller) resolve(host string, q hostlink.NameQuery) hostlink.NameAnswer {
	now := c.seen.Load()
	if now == nil || now.MayAsk(host, q.VPC) != nil {
		return hostlink.NameAnswer{}
	}
	return hostlink.NameAnswer(names.Resolve(now, q.VPC, q.Name))
}
