package bench

import (
	"context"
	"fmt"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
)

// measureRejudge has live sessions, each on a port of its own so that each is a
// decision of its own, judged under a new revision that forbids a tenth of them:
// the evaluations that precede the swap, and the swap with what it sends, by CPU
// time.
func measureRejudge(ctx context.Context, e *Env) ([]Value, error) {
	sessions := e.Effort.Sessions
	allowing := func(rev string, ports int) (*policy.Policy, error) {
		return compile(rev, oneTenant(fmt.Sprintf("{from: [{subnet: web}], ports: [tcp/1-%d]}", ports)))
	}
	before, err := allowing("r1", sessions)
	if err != nil {
		return nil, err
	}
	hosts := fakeHosts(3, 50)
	var total, swaps []float64
	for range e.Effort.Rounds {
		after, err := allowing("r2", sessions-sessions/10) // anew: nothing is in its cache
		if err != nil {
			return nil, err
		}
		c := newCore(before, hosts)
		for n := range sessions {
			from, to := &hosts[0].Endpoints[n%50], &hosts[1+n%2].Endpoints[n/2%50]
			c.lift(1, from.Port, opener(from, to, packet.TCP, 40000, uint16(1+n)))
		}
		if got := c.engine.Sessions().Len(); got != sessions {
			return nil, fmt.Errorf("%d sessions are live; want %d", got, sessions)
		}
		begin := cpuTime()
		warm(c.engine.Snapshot(), after, c)
		swap := cpuTime()
		c.step(engine.RevisionLoaded{Policy: after})
		end := cpuTime()
		total, swaps = append(total, (end-begin).Seconds()), append(swaps, (end-swap).Seconds()*1000)
		if got := c.engine.Sessions().Len(); got != sessions-sessions/10 {
			return nil, fmt.Errorf("%d sessions live after the edit; want %d", got, sessions-sessions/10)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return []Value{{
		Line: "rejudge", Quantity: Quantity{median(total), Seconds},
		Note: fmt.Sprintf("%d sessions; of it the swap itself %s", sessions, Quantity{median(swaps), Milliseconds}),
	}}, nil
}

// warm asks a policy what the live sessions will ask of it, as the controller
// does before it makes a revision the active one.
func warm(snap *inventory.Snapshot, pol *policy.Policy, c *core) {
	for _, k := range c.engine.Sessions().Keys() {
		client := snap.EndpointByAddr(k.Client.VPC, k.Client.IP)
		server := snap.EndpointByAddr(k.Server.VPC, k.Server.IP)
		if client != nil && server != nil {
			admission.Between(pol, start, client, server, k.Proto, k.Port)
		}
	}
}
