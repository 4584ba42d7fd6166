package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"runtime"
	"slices"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// A full host, as it is measured: so many endpoints on one of so many hosts.
const (
	scaleHosts     = 4
	scaleEndpoints = 2000
	scaleServers   = 50 // endpoints of each other host
)

// Kilobytes are of 1,000 bytes.
const Kilobytes Unit = "kB"

// scaleEndpoint is endpoint j, from 0 to 2,399, of host i, from 1 to 16: ten
// subnets of 240 addresses a host.
func scaleEndpoint(i, j int) inventory.EndpointReport {
	third, last := byte((i-1)*10+j/240), byte(10+j%240)
	return inventory.EndpointReport{
		Name: fmt.Sprintf("e%d-%d", i, j), Tenant: tenant, VPC: vpc, Subnet: "web",
		IP:  netip.AddrFrom4([4]byte{10, 1, third, last}),
		MAC: packet.MAC{0x02, 0x42, 10, 1, third, last}, Port: uint32(pipeline.FirstEndpointPort) + uint32(j),
	}
}

// fullHosts are hosts of which the first has endpoints, and the others enough to
// be its servers.
func fullHosts(endpoints int) []inventory.HostReport {
	var out []inventory.HostReport
	for i := 1; i <= scaleHosts; i++ {
		h := fakeHost(i)
		n := scaleServers
		if i == 1 {
			n = endpoints
		}
		for j := range n {
			h.Endpoints = append(h.Endpoints, scaleEndpoint(i, j))
		}
		out = append(out, h)
	}
	return out
}

// openSessions has endpoints of the first host open sessions to those of the
// others, on ports that the engine has not seen yet.
func openSessions(c *core, hosts []inventory.HostReport, sessions int) error {
	clients := hosts[0].Endpoints
	for n := range sessions {
		from, servers := &clients[n%len(clients)], hosts[1+n%(len(hosts)-1)].Endpoints
		to := &servers[n/(len(hosts)-1)%len(servers)]
		c.lift(hosts[0].DPID, from.Port, opener(from, to, packet.TCP, 40000, uint16(1+n)))
	}
	if got := c.engine.Sessions().Len(); got != sessions {
		return fmt.Errorf("%d sessions are live; want %d", got, sessions)
	}
	return nil
}

// heap is what lives on this process's heap, in bytes.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first frees what has a finalizer
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// measureScale is what a full host costs the engine: memory per endpoint and per
// session, and the CPU time of a change of one endpoint, and of an audit of the
// host's switch, while they all live, garbage collection included.
func measureScale(ctx context.Context, e *Env) ([]Value, error) {
	pol, err := compile("r1", oneTenant())
	if err != nil {
		return nil, err
	}
	sessions := e.Effort.Sessions
	var perEndpoint, perSession, deltas, audits []float64
	for range e.Effort.Rounds {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hosts := fullHosts(scaleEndpoints)
		before := heap()
		c := newCore(pol, hosts)
		c.wire = nil // what the switches were told is not the engine's
		joined := heap()
		if err := openSessions(c, hosts, sessions); err != nil {
			return nil, err
		}
		c.wire = nil
		opened := heap()
		perEndpoint = append(perEndpoint, (joined-before)/scaleEndpoints/1000)
		perSession = append(perSession, (opened-joined)/float64(sessions)/1000)
		d, err := changeEndpoints(ctx, c, e.Effort.Edits)
		if err != nil {
			return nil, err
		}
		deltas = append(deltas, d)
		if d, err = auditFullHost(c, hosts[0].DPID, 3); err != nil {
			return nil, err
		}
		audits = append(audits, d)
	}
	what := fmt.Sprintf("%d endpoints on one of %d hosts, %d sessions between hosts", scaleEndpoints, scaleHosts, sessions)
	return []Value{
		{Line: "scale-endpoint-memory", Quantity: Quantity{median(perEndpoint), Kilobytes}, Note: what},
		{Line: "scale-session-memory", Quantity: Quantity{median(perSession), Kilobytes}, Note: what},
		{Line: "scale-delta", Quantity: Quantity{median(deltas), Milliseconds}, Note: what},
		{Line: "scale-audit", Quantity: Quantity{median(audits), Milliseconds}, Note: what},
	}, nil
}

// changeEndpoints has the full host report one more endpoint and take it back,
// each n times, and returns the milliseconds of CPU of one report.
func changeEndpoints(ctx context.Context, c *core, n int) (float64, error) {
	one := scaleEndpoint(1, scaleEndpoints)
	ref := inventory.EndpointRef{VPC: one.VPCID(), Name: one.Name}
	live := c.engine.Sessions().Len()
	flows := c.flows
	begin := cpuTime()
	for i := range n {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		c.step(engine.HostChanged{Conn: 1, Host: "h1", Delta: inventory.HostDelta{Seq: uint64(2*i + 1), Up: []inventory.EndpointReport{one}}})
		c.step(engine.HostChanged{Conn: 1, Host: "h1", Delta: inventory.HostDelta{Seq: uint64(2*i + 2), Down: []inventory.EndpointRef{ref}}})
	}
	spent := cpuTime() - begin
	if c.engine.Sessions().Len() != live || c.flows == flows {
		return 0, errors.New("an endpoint that comes and goes cut sessions of others, or had no flows")
	}
	return spent.Seconds() * 1000 / float64(2*n), nil
}

// auditParts is in how many parts a switch's flows are counted and audited here;
// the sum of them hardly depends on that.
const auditParts = 64

// auditFullHost has a switch that holds what it should counted and audited n
// times, and returns the milliseconds of CPU of once.
func auditFullHost(c *core, dpid uint64, n int) (float64, error) {
	held := make(map[openflow.Key]openflow.FlowStats)
	c.sent = func(b openflow.Batch) {
		for _, m := range b.Flows {
			if b.DPID == dpid {
				held[m.Flow.Key()] = openflow.FlowStats{Flow: m.Flow, Known: true, Whole: true}
			}
		}
	}
	c.step(engine.SwitchUp{DPID: dpid}) // empty, so it gets all
	c.sent = nil
	flows := slices.Collect(maps.Values(held))
	begin := cpuTime()
	for i := range n {
		for j := range flows {
			flows[j].Packets = uint64(i + 1) // it is busy
		}
		for _, part := range (engine.FlowsCounted{DPID: dpid, Flows: flows}).Split(auditParts) {
			c.step(part)
		}
	}
	spent := cpuTime() - begin
	if drift := c.engine.Counters().Drift; len(flows) < 4*scaleEndpoints || len(drift) > 0 {
		return 0, fmt.Errorf("a switch of %d flows that holds what it should drifts: %v", len(flows), drift)
	}
	return spent.Seconds() * 1000 / float64(n), nil
}
