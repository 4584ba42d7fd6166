package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/session"
)

// core is an engine without sockets that gets packets' bytes and gives those of
// its answers.
type core struct {
	engine *engine.Engine
	wire   []byte               // the last answer; reused
	flows  int                  // FlowMods of all answers
	sent   func(openflow.Batch) // sees each batch; nil: nobody does
}

// newCore returns an engine under a policy whose hosts are all connected.
func newCore(pol engine.Policy, hosts []inventory.HostReport) *core {
	c := &core{engine: engine.New(engine.Config{Epoch: 1, Wire: pipeline.DefaultWireRange})}
	c.step(engine.RevisionLoaded{Policy: pol})
	for i := range hosts {
		c.step(engine.HostUp{Conn: uint64(i + 1), Report: hosts[i]})
		c.step(engine.SwitchUp{DPID: hosts[i].DPID})
	}
	c.flows = 0
	return c
}

// lift has a port lift a frame.
func (c *core) lift(dpid uint64, port uint32, frame []byte) {
	c.step(engine.PacketIn{DPID: dpid, In: openflow.PacketIn{InPort: openflow.PortNo(port), Frame: frame}})
}

// step feeds the engine and performs what it asks for, in its order.
func (c *core) step(ev engine.Event) {
	for _, ef := range c.engine.Step(start, ev) {
		switch ef := ef.(type) {
		case engine.Decide:
			r := admission.Decide(ef.Ask.Snapshot, ef.Ask.Policy, start, ef.Ask.Request)
			c.step(engine.Decided{Decided: session.Decided{Ask: ef.Ask, Result: r}})
		case engine.Send:
			c.flows += len(ef.Batch.Flows)
			c.wire = openflow.AppendBatch(c.wire[:0], 1, ef.Batch)
			if c.sent != nil {
				c.sent(*ef.Batch)
			} else {
				c.engine.Recycle(ef.Batch)
			}
			if ef.Batch.Token != 0 {
				c.step(engine.BatchDone{DPID: ef.Batch.DPID, Token: ef.Batch.Token})
			}
		}
	}
}

// An engine gets so many sessions before the next is taken, between so many
// hosts with so many endpoints: half of the wire ports that they have.
const (
	coreSessions  = 16_000
	coreHosts     = 5
	coreEndpoints = 100
)

// coreFrames are the openers of sessions of the first host's endpoints, each of
// another session; endpoint n%coreEndpoints sends frame n.
func coreFrames(hosts []inventory.HostReport) [][]byte {
	frames := make([][]byte, coreSessions)
	others := len(hosts) - 1
	for n := range frames {
		from := &hosts[0].Endpoints[n%coreEndpoints]
		to := &hosts[1+n%others].Endpoints[n/others%coreEndpoints]
		frames[n] = opener(from, to, packet.TCP, 40000, uint16(1+n/(others*coreEndpoints)))
	}
	return frames
}

// engineLoad is what the engine lines give an engine: openers of sessions under a
// policy that has decided about all of them.
type engineLoad struct {
	policy engine.Policy
	hosts  []inventory.HostReport
	frames [][]byte
}

// newEngineLoad returns the load, once it has opened all of its sessions.
func newEngineLoad() (*engineLoad, error) {
	pol, err := compile("r1", oneTenant())
	if err != nil {
		return nil, err
	}
	hosts := fakeHosts(coreHosts, coreEndpoints)
	l := &engineLoad{pol, hosts, coreFrames(hosts)}
	warm := newCore(pol, hosts)
	l.lift(warm, len(l.frames))
	if got := warm.engine.Sessions().Len(); got != len(l.frames) || warm.flows < 4*got {
		return nil, fmt.Errorf("%d sessions with %d flows from %d packets; want one each, with four flows", got, warm.flows, len(l.frames))
	}
	return l, nil
}

// lift has the first host's ports lift the first n frames.
func (l *engineLoad) lift(c *core, n int) {
	clients := l.hosts[0].Endpoints
	for i, f := range l.frames[:n] {
		c.lift(1, clients[i%len(clients)].Port, f)
	}
}

// measureEngine is the hot path without sockets: a first packet's bytes in, the
// FlowMods' bytes of both hosts out, with the decision in the policy's cache, by
// CPU time with that of the garbage collector.
func measureEngine(ctx context.Context, e *Env) ([]Value, error) {
	load, err := newEngineLoad()
	if err != nil {
		return nil, err
	}
	var rates, allocated []float64
	for range e.Effort.Rounds {
		var spent time.Duration
		var before, after runtime.MemStats
		n := 0
		for spent < e.Effort.Core && ctx.Err() == nil {
			c := newCore(load.policy, load.hosts)
			runtime.GC()
			runtime.ReadMemStats(&before)
			begin := cpuTime()
			load.lift(c, len(load.frames))
			spent += cpuTime() - begin
			runtime.ReadMemStats(&after)
			n += len(load.frames)
		}
		rates = append(rates, float64(n)/spent.Seconds())
		allocated = append(allocated, float64(after.Mallocs-before.Mallocs)/float64(len(load.frames)))
	}
	return []Value{
		{Line: "engine-cached", Quantity: Quantity{median(rates), PerSecond}},
		{Line: "engine-allocated", Quantity: Quantity{median(allocated), Each}},
	}, nil
}
