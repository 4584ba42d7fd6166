package simulate

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// host is a machine: its switch, its hostd, its containers.
type host struct {
	*cluster
	name      string
	addr      netip.Prefix
	mac       packet.MAC
	routerMAC packet.MAC // of the next hop now
	listeners []inventory.Listener

	sw       *simnet.Switch
	swUp     bool
	conn     *ofConn // nil: not connected
	ports    map[openflow.PortNo]*container
	version  int // of the world that the switch has all of
	batches  int // that it did
	tinkered int // times that somebody else changed it
	audits   int // that the controller still has to do before all that somebody else did is mended

	machine   *endpoint.Machine
	hostdUp   bool
	hostdLife int
	stream    *stream
	wakeAt    time.Time

	// What hostd keeps on disk.
	saved    map[endpoint.Ref]endpoint.Endpoint
	nextPort uint32

	// Who asked for an endpoint.
	asked map[endpoint.Ref]*container
	// links are the wires to the other hosts.
	wires map[*host]*lane
}

// uplinkPort is the ofport of each host's uplink.
const uplinkPort = simnet.UplinkPort

func newHost(c *cluster, i int) *host {
	n := byte(i + 1)
	subnet := n
	if n == 2 {
		subnet = 1 // two hosts share a subnet
	}
	h := &host{
		cluster: c, name: fmt.Sprintf("h%d", n), addr: netip.PrefixFrom(v4(172, 31, subnet, n), 24),
		mac: packet.MAC{2, 0xaa, 0, 0, 0, n}, routerMAC: packet.MAC{2, 0xee, 0, 0, 0, n},
		ports: make(map[openflow.PortNo]*container), saved: make(map[endpoint.Ref]endpoint.Endpoint),
		nextPort: uint32(pipeline.FirstEndpointPort), asked: make(map[endpoint.Ref]*container), wires: make(map[*host]*lane),
	}
	h.sw = simnet.NewSwitch(h.name, uint64(n), uplinkPort)
	h.retry()
	return h
}

// retry has what is not connected try again, for ever.
func (h *host) retry() {
	h.beat(20*milli+h.rng.Int64N(second), func() {
		h.connect()
		h.dial()
		h.retry()
	})
}

// startSwitch starts ovs-vswitchd, with empty tables and its ports.
func (h *host) startSwitch() {
	h.trace("switch %s starts", h.name)
	h.sw.Restart()
	h.swUp = true
	h.batches++
	if h.hostdUp {
		h.baseSoon()
	}
}

func (h *host) killSwitch() {
	h.trace("switch %s is killed", h.name)
	h.swUp = false
	h.sw.Restart()
	if h.conn != nil {
		h.conn.reset()
	}
	h.beat(h.outage(), func() {
		if !h.swUp {
			h.startSwitch()
		}
	})
}

// baseSoon has hostd's keeper put the base flows in.
func (h *host) baseSoon() {
	life := h.hostdLife
	h.after(h.delay(), func() {
		if h.hostdUp && h.hostdLife == life && h.swUp {
			h.installBase()
		}
	})
}

func (h *host) base() ([]openflow.MeterMod, []openflow.Flow) {
	cfg := pipeline.HostConfig{Uplink: uplinkPort, Addr: h.addr.Addr(), MAC: openflow.MAC(h.mac), Wire: h.wire}
	for _, l := range h.listeners {
		cfg.Listeners = append(cfg.Listeners, pipeline.Listener{Proto: uint8(l.Proto), Port: l.Port})
	}
	return pipeline.Base(cfg)
}

// installBase does what hostd/bridge does: all flows of its cookie give way, in
// one transaction.
func (h *host) installBase() {
	meters, flows := h.base()
	b := openflow.Batch{DPID: h.sw.DPID, Meters: meters, Flows: []openflow.FlowMod{openflow.DeleteByCookie(pipeline.BaseCookie, ^uint64(0))}}
	for _, f := range flows {
		b.Flows = append(b.Flows, openflow.Add(f))
	}
	if _, errs := h.sw.Apply(h.now, b); len(errs) > 0 {
		h.fail(RuleSwitch, "switch %s refuses base flows: %v", h.name, errs)
	}
}

// hostd's bounds in a run: the numbers of ports come round as late as hostd's own
// do, long after what was on its way to a switch for an older endpoint.
var limits = endpoint.Limits{Endpoints: 8, FirstPort: uint32(pipeline.FirstEndpointPort), LastPort: uint32(pipeline.FirstEndpointPort) + 400}

func (h *host) startHostd() {
	h.trace("hostd %s starts", h.name)
	h.hostdUp = true
	h.hostdLife++
	var saved []endpoint.Endpoint
	for _, e := range h.saved {
		saved = append(saved, e)
	}
	slices.SortFunc(saved, func(a, b endpoint.Endpoint) int { return int(a.Port) - int(b.Port) })
	h.machine = endpoint.New(limits, saved, h.nextPort)
	if h.swUp {
		h.installBase()
	}
	h.machineStep(endpoint.Tick{})
}

func (h *host) killHostd() {
	h.trace("hostd %s is killed", h.name)
	h.hostdUp = false
	h.machine = nil
	if h.stream != nil {
		h.stream.reset()
	}
	h.beat(h.outage(), func() {
		if !h.hostdUp {
			h.startHostd()
		}
	})
}

// later has run happen in this life of hostd.
func (h *host) later(d int64, run func()) {
	life := h.hostdLife
	h.after(d, func() {
		if h.hostdUp && h.hostdLife == life {
			run()
		}
	})
}

// machineStep feeds the machine and performs what it says.
func (h *host) machineStep(ev endpoint.Event) {
	if h.tracing() {
		h.trace("hostd %s: %T%+v", h.name, ev, ev)
	}
	for _, ef := range h.machine.Step(h.now, ev) {
		h.perform(ef)
	}
	if d := h.machine.Deadline(); !d.IsZero() && !d.Equal(h.wakeAt) {
		h.wakeAt = d
		life := h.hostdLife
		h.beat(max(0, int64(d.Sub(h.now))), func() {
			if h.hostdUp && h.hostdLife == life {
				h.wakeAt = time.Time{}
				h.machineStep(endpoint.Tick{})
			}
		})
	}
}

func (h *host) perform(ef endpoint.Effect) {
	switch ef := ef.(type) {
	case endpoint.AskLease:
		if h.stream != nil {
			h.stream.event(engine.LeaseAsked{
				Conn: h.stream.id, ID: ef.ID, Host: h.name, Tenant: ef.Ref.Tenant, VPC: ef.Ref.VPC, Subnet: ef.Subnet, Name: ef.Ref.Name, IP: ef.IP,
			})
		}
	case endpoint.SendRelease:
		if h.stream != nil {
			h.stream.event(engine.LeaseReleased{Host: h.name, VPC: spec.VPCID(ef.Ref.VPCID()), IP: ef.IP, Name: ef.Ref.Name})
		}
	case endpoint.SendHello:
		h.stream.hello(h.report(ef.Endpoints))
	case endpoint.SendDelta:
		d := inventory.HostDelta{Seq: ef.Seq}
		for i := range ef.Up {
			d.Up = append(d.Up, reportOf(&ef.Up[i]))
		}
		for _, ref := range ef.Down {
			d.Down = append(d.Down, inventory.EndpointRef{VPC: spec.VPCID(ref.VPCID()), Name: ref.Name})
		}
		h.delta(d)
	case endpoint.Save:
		h.saved[ef.Endpoint.Ref] = ef.Endpoint
		h.nextPort = h.machine.NextPort()
	case endpoint.Forget:
		delete(h.saved, ef.Ref)
	case endpoint.Plumb:
		h.plumb(ef.Endpoint)
	case endpoint.Unplumb:
		h.unplumb(ef.Endpoint)
	case endpoint.Answer:
		if ef.Err != nil {
			h.trace("hostd %s answers %s: %v", h.name, ef.Endpoint.Ref, ef.Err)
		}
	}
}

func (h *host) delta(d inventory.HostDelta) {
	if h.stream != nil {
		h.stream.event(engine.HostChanged{Conn: h.stream.id, Host: h.name, Delta: d})
	}
}

func (h *host) uplink() inventory.Uplink {
	next := h.addr.Addr().As4()
	next[3] = 254
	return inventory.Uplink{Port: uint32(uplinkPort), MAC: h.mac, Addr: h.addr, NextHop: netip.AddrFrom4(next), NextHopMAC: h.routerMAC, MTU: 1500}
}

func (h *host) report(eps []endpoint.Endpoint) inventory.HostReport {
	r := inventory.HostReport{Name: h.name, BootID: "boot", DPID: h.sw.DPID, Uplink: h.uplink(), Listeners: slices.Clone(h.listeners)}
	for i := range eps {
		r.Endpoints = append(r.Endpoints, reportOf(&eps[i]))
	}
	return r
}

func reportOf(e *endpoint.Endpoint) inventory.EndpointReport {
	return inventory.EndpointReport{
		Name: e.Name, Tenant: e.Tenant, VPC: e.VPC, Subnet: e.Subnet, Claims: e.Groups, Labels: e.Labels,
		IP: e.IP, MAC: packet.MAC(e.MAC), Port: e.Port,
	}
}

// plumb gives a container its interface. hostd may die before it is told.
func (h *host) plumb(e endpoint.Endpoint) {
	life := h.hostdLife
	h.after(h.delay(), func() {
		if (!h.hostdUp || h.hostdLife != life) && h.chance(2) {
			return // it died before
		}
		if k := h.asked[e.Ref]; k != nil {
			k.plugged(e)
		}
		if h.hostdUp && h.hostdLife == life {
			h.machineStep(endpoint.Plumbed{Ref: e.Ref})
		}
	})
}

// unplumb takes it away again, with the flows that name its port.
func (h *host) unplumb(e endpoint.Endpoint) {
	life, port := h.hostdLife, openflow.PortNo(e.Port)
	if k := h.ports[port]; k != nil {
		k.leaving = true
	}
	dead := func() bool { return !h.hostdUp || h.hostdLife != life }
	h.after(h.delay(), func() {
		if dead() {
			return
		}
		h.deletePortFlows(port)
		h.after(h.delay(), func() {
			if dead() && h.chance(2) {
				return
			}
			h.sw.RemovePort(port)
			if k := h.ports[port]; k != nil {
				k.unplugged()
			}
			if !dead() {
				h.machineStep(endpoint.Unplumbed{Ref: e.Ref})
			}
		})
	})
}

// deletePortFlows deletes the flows that take packets from a port or send to it.
func (h *host) deletePortFlows(port openflow.PortNo) {
	var b openflow.Batch
	for f := range h.sw.All() {
		out := slices.ContainsFunc(f.Actions[:f.Actions.Len()], func(a openflow.Action) bool {
			return a.Kind == openflow.ActionOutput && a.Port() == port
		})
		if f.Match.InPort == port || out {
			b.Flows = append(b.Flows, openflow.DeleteStrict(*f))
		}
	}
	h.sw.Apply(h.now, b)
}

// has reports whether hostd has an endpoint of that name.
func (h *host) has(ref endpoint.Ref) bool {
	return slices.ContainsFunc(h.machine.Endpoints(), func(e endpoint.Endpoint) bool { return e.Ref == ref })
}
