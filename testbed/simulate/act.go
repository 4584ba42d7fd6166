package simulate

import (
	"fmt"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// action is something that may be done to a cluster at any time.
type action struct {
	weight int
	run    func(*cluster)
}

// actions are what act chooses from. A bug that needs restarts of the controller
// gets more of them.
func actions(planted Bug) []action {
	restarts := 8
	if planted == BugCookieOnly {
		restarts = 60
	}
	return []action{
		{8000, (*cluster).talkOn},
		{350, (*cluster).attach},
		{120, (*cluster).detach},
		{40, (*cluster).move},
		{60, (*cluster).edit},
		{200, (*cluster).forge},
		{200, (*cluster).hostTalks},
		{100, (*cluster).strangerTalks},
		{20, (*cluster).routerChanges},
		{20, (*cluster).listen},
		{15, (*cluster).tinker},
		{20, (*cluster).resetSwitch},
		{20, (*cluster).resetStream},
		{restarts, func(c *cluster) {
			if c.ctl.up {
				c.ctl.kill()
			}
		}},
		{8, func(c *cluster) {
			if h := pick(c.rng, c.hosts); h.hostdUp {
				h.killHostd()
			}
		}},
		{8, func(c *cluster) {
			if h := pick(c.rng, c.hosts); h.swUp {
				h.killSwitch()
			}
		}},
		{25, (*cluster).letTimePass},
	}
}

// act does something, and something else soon.
func (c *cluster) act() {
	if c.calm {
		return // rest goes on with it
	}
	if c.lull > 0 {
		c.beat(100*milli, c.act)
		if c.due.work == 0 {
			c.jump(c.lull)
			c.lull = 0
		}
		return
	}
	c.beat(c.rng.Int64N(4*milli), c.act)
	all := c.opt.actions
	n := c.rng.IntN(c.opt.weights)
	for i := range all {
		if n -= all[i].weight; n < 0 {
			all[i].run(c)
			return
		}
	}
}

// names are what containers may be called, and where they are.
var places = []struct {
	tenant, vpc, subnet string
	names               int
}{{"acme", "prod", "web", 5}, {"acme", "prod", "db", 4}, {"globex", "prod", "web", 4}, {"globex", "prod", "db", 3}, {"globex", "shared", "log", 3}}

// attach runs a container on some host.
func (c *cluster) attach() {
	p := pick(c.rng, places)
	ref := endpoint.Ref{Tenant: p.tenant, VPC: p.vpc, Name: fmt.Sprintf("%s%d", p.subnet, c.between(1, p.names+1))}
	c.attachAt(pick(c.rng, c.hosts), &container{ref: ref, subnet: p.subnet}, true)
}

func (c *cluster) attachAt(h *host, k *container, fresh bool) {
	if !h.hostdUp || h.has(k.ref) {
		return
	}
	if fresh {
		k.cluster, k.sentTo, k.got = c, make(map[way]bool), make(map[uint32]bool)
		k.role = pick(c.rng, []string{"", "x", "y"})
		if c.chance(3) {
			k.claims = []string{pick(c.rng, []string{"ops", "db", "x"})}
		}
	}
	k.host = h
	h.asked[k.ref] = k
	r := endpoint.Request{Ref: k.ref, Subnet: k.subnet, Interface: "eth0", Groups: k.claims, IP: k.ip, MAC: endpoint.MAC(k.mac)}
	if k.role != "" {
		r.Labels = map[string]string{"role": k.role}
	}
	c.trace("attach %s at %s", k.ref, h.name)
	h.machineStep(endpoint.Attach{Request: r, Token: c.id(), Deadline: c.now.Add(30 * time.Second)})
}

// someone returns a container that runs, or nil.
func (c *cluster) someone() *container {
	if len(c.containers) == 0 {
		return nil
	}
	return pick(c.rng, c.containers)
}

func (c *cluster) detach() {
	if k := c.someone(); k != nil && len(c.containers) > 6 {
		k.detach()
	}
}

func (k *container) detach() {
	if k.host.hostdUp {
		k.trace("detach %s from %s", k.ref, k.host.name)
		k.host.machineStep(endpoint.Detach{Ref: k.ref, Token: k.id()})
	}
}

// move takes a container to another host with its addresses, as soon as it has
// left its own.
func (c *cluster) move() {
	k, to := c.someone(), pick(c.rng, c.hosts)
	if k == nil || k.host == to || !k.host.hostdUp {
		return
	}
	k.detach()
	c.arrive(k, to, 50)
}

func (c *cluster) arrive(k *container, to *host, tries int) {
	c.beat(c.delay(), func() {
		if k.port != 0 || k.host.hostdUp && k.host.has(k.ref) {
			if tries > 0 {
				c.arrive(k, to, tries-1)
			}
			return
		}
		k.leaving = false
		c.attachAt(to, k, false)
	})
}

// edit commits another revision, which the controller loads when it sees it.
func (c *cluster) edit() {
	c.desired = pick(c.rng, c.revisions)
	c.trace("commit %s", c.desired.name)
	if c.ctl.up {
		c.ctl.later(c.delay(), c.ctl.load)
	}
}

// routerChanges gives a host's next hop another hardware address, as when a
// router is replaced.
func (c *cluster) routerChanges() {
	h := pick(c.rng, c.hosts)
	h.routerMAC[4]++
	c.trace("the router of %s has another address", h.name)
	h.linkSoon()
}

// linkSoon has hostd notice the next hop's address.
func (h *host) linkSoon() {
	h.later(h.delay(), func() {
		if h.stream != nil {
			u := h.uplink()
			h.delta(inventory.HostDelta{Seq: h.machine.NextSeq(), Uplink: &u})
		}
	})
}

// listen opens or closes a port of a host's own in the wire range.
func (c *cluster) listen() {
	h := pick(c.rng, c.hosts)
	if len(h.listeners) > 0 {
		h.listeners = nil
	} else {
		h.listeners = []inventory.Listener{{Proto: packet.TCP, Port: c.wirePort()}}
	}
	c.trace("%s listens on %v", h.name, h.listeners)
	h.later(h.delay(), func() {
		if h.swUp {
			h.installBase()
		}
		if h.stream != nil {
			ls := append([]inventory.Listener(nil), h.listeners...)
			h.delta(inventory.HostDelta{Seq: h.machine.NextSeq(), Listeners: &ls})
		}
	})
}

// tinker has somebody take away or add a flow by hand, as with ovs-ofctl. What is
// added only drops, so that nothing goes astray until it is found.
func (c *cluster) tinker() {
	h := pick(c.rng, c.hosts)
	var ours []*openflow.Flow
	for f := range h.sw.All() {
		switch pipeline.ParseCookie(f.Cookie).Category {
		case pipeline.CategoryEndpoint, pipeline.CategoryPeer, pipeline.CategorySession:
			ours = append(ours, f)
		}
	}
	if !h.swUp || len(ours) == 0 {
		return
	}
	f := *pick(c.rng, ours)
	mod := openflow.DeleteStrict(f)
	if c.chance(3) {
		f.Table, f.Priority, f.Actions = pipeline.TableSession, 300, openflow.Actions{}
		f.Goto, f.Meter, f.Match = 0, 0, openflow.Match{InPort: f.Match.InPort, EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(openflow.ProtoTCP)}
		if c.chance(2) {
			f.Cookie += 1000
		}
		mod = openflow.Add(f)
	}
	c.trace("somebody tinkers with switch %s: %s", h.name, mod)
	h.sw.Apply(c.now, openflow.Batch{DPID: h.sw.DPID, Flows: []openflow.FlowMod{mod}})
	h.audits, h.batches, h.tinkered = 3, h.batches+1, h.tinkered+1
}

func (c *cluster) resetSwitch() {
	if l := pick(c.rng, c.hosts).conn; l != nil {
		l.reset()
	}
}

func (c *cluster) resetStream() {
	if s := pick(c.rng, c.hosts).stream; s != nil {
		s.reset()
	}
}

// letTimePass has nobody do anything for a while, as soon as nothing is under
// way: no message takes as long as a label rests.
func (c *cluster) letTimePass() {
	switch n := c.rng.IntN(10); {
	case n < 5:
		c.lull = second + c.rng.Int64N(10*second)
	case n < 9:
		c.lull = 50*second + c.rng.Int64N(50*second)
	default:
		c.lull = 1 + c.rng.Int64N(3600*second)
	}
}
