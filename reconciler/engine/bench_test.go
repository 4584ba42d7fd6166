package engine_test

import (
	"testing"
	"time"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/testbed/world"
)

// remembering is a policy that remembers every decision.
type remembering struct{ *world.Verdicts }

func (p remembering) Cached(now time.Time, q policy.Query) (policy.Decision, bool) {
	return p.Decide(now, q), true
}

// BenchmarkNewSession is the hot path without sockets and without Rego: a first
// packet's bytes in, the FlowMods' bytes of both hosts out, the decision at hand.
func BenchmarkNewSession(b *testing.B) {
	w := world.New()
	// Enough servers that wire ports do not run out: each pair of endpoints and
	// each port is a session.
	const servers = 200
	w.Hosts[1].Endpoints = nil
	for i := range servers {
		e := world.Endpoint("acme", "s"+string(rune('a'+i)), "web", "10.1.0.10", uint32(16+i))
		ip := e.IP.As4()
		ip[3] = byte(20 + i)
		e.IP = openflow.AddrFrom32(uint32(ip[0])<<24 | uint32(ip[1])<<16 | uint32(ip[2])<<8 | uint32(ip[3]))
		w.Hosts[1].Endpoints = append(w.Hosts[1].Endpoints, e)
	}
	fresh := func() *engine.Engine {
		e := engine.New(engine.Config{Epoch: 1, Wire: pipeline.DefaultWireRange})
		e.Step(world.Start, engine.RevisionLoaded{Policy: remembering{w.AllowAll("r1")}})
		for i := range w.Hosts {
			e.Step(world.Start, engine.HostUp{Conn: uint64(i + 1), Report: w.Hosts[i]})
			for _, ef := range e.Step(world.Start, engine.SwitchUp{DPID: w.Hosts[i].DPID}) {
				if s, ok := ef.(engine.Send); ok && s.Batch.Token != 0 {
					e.Step(world.Start, engine.BatchDone{DPID: s.Batch.DPID, Token: s.Batch.Token})
				}
			}
		}
		return e
	}
	const each = 1000 // sessions of one engine: one client's share of a pair's wire ports
	frames := make([][]byte, each)
	for i := range frames {
		h := syn(uint16(1 + i/servers))
		src, dst := &w.Hosts[0].Endpoints[0], &w.Hosts[1].Endpoints[i%servers]
		h.EthSrc, h.EthDst, h.EthType, h.TTL, h.Src, h.Dst = src.MAC, packet.MAC(pipeline.GatewayMAC), 0x800, 64, src.IP, dst.IP
		frames[i] = packet.Build(h, nil)
	}
	var wire []byte
	var flows int
	var e *engine.Engine
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%each == 0 {
			b.StopTimer()
			e = fresh()
			b.StartTimer()
		}
		effects := e.Step(world.Start, engine.PacketIn{DPID: 1, In: openflow.PacketIn{InPort: 16, Frame: frames[i%each]}})
		for _, ef := range effects {
			if ef, ok := ef.(engine.Send); ok {
				flows += len(ef.Batch.Flows)
				wire = openflow.AppendBatch(wire[:0], 1, ef.Batch)
				e.Recycle(ef.Batch)
			}
		}
	}
	if flows != 6*b.N {
		b.Fatalf("flows = %d for %d sessions; want 6 each", flows, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
}
