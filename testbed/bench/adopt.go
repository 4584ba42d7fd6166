package bench

import (
	"context"
	"fmt"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// measureAdopt has a new engine take over the sessions that an earlier one left
// in three switches, by CPU time: from the flow statistics of the switches to
// the last session that is live again.
func measureAdopt(ctx context.Context, e *Env) ([]Value, error) {
	pol, err := compile("r1", oneTenant())
	if err != nil {
		return nil, err
	}
	hosts := fakeHosts(3, 50)
	tables := make(map[uint64]map[openflow.Key]openflow.Flow)
	for i := range hosts {
		tables[hosts[i].DPID] = make(map[openflow.Key]openflow.Flow)
	}
	c := newCore(pol, hosts)
	c.sent = func(b openflow.Batch) {
		for _, m := range b.Flows {
			if m.Command == openflow.FlowAdd {
				tables[b.DPID][m.Flow.Key()] = m.Flow
			}
		}
	}
	sessions := e.Effort.Sessions
	for n := range sessions {
		from, to := &hosts[0].Endpoints[n%50], &hosts[1+n%2].Endpoints[n/2%50]
		c.lift(1, from.Port, opener(from, to, packet.TCP, 40000, uint16(1+n)))
	}
	stats := make(map[uint64][]openflow.FlowStats)
	for dpid, table := range tables {
		for _, f := range table {
			stats[dpid] = append(stats[dpid], openflow.FlowStats{Flow: f, Known: true, Whole: true})
		}
	}
	var total []float64
	for round := range e.Effort.Rounds {
		next := &core{engine: engine.New(engine.Config{Epoch: uint16(2 + round), Wire: pipeline.DefaultWireRange})}
		begin := cpuTime()
		next.step(engine.RevisionLoaded{Policy: pol})
		for i := range hosts {
			next.step(engine.HostUp{Conn: uint64(i + 1), Report: hosts[i]})
			next.step(engine.SwitchUp{DPID: hosts[i].DPID, Flows: stats[hosts[i].DPID]})
		}
		total = append(total, (cpuTime() - begin).Seconds())
		if got := next.engine.Sessions().Len(); got != sessions {
			return nil, fmt.Errorf("%d sessions were adopted; want %d", got, sessions)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return []Value{{Line: "adopt", Quantity: Quantity{median(total), Seconds}, Note: fmt.Sprintf("%d sessions", sessions)}}, nil
}
