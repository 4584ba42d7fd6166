package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/flood"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// floodedRate is how many sessions a second open beside a flood.
const floodedRate = 200

// flooder is a container on h1 that floods another one on h2.
type flooder struct {
	dev    *inside.Device
	sender flood.Sender
}

func newFlooder(ctx context.Context, b *bed) (*flooder, error) {
	var from, to *netns.Endpoint
	for _, side := range []struct {
		host, name, subnet string
		to                 **netns.Endpoint
	}{{"h1", "flooder", "web", &from}, {"h2", "flooded", "flooded", &to}} {
		ep, err := b.Attach(ctx, netns.EndpointSpec{Name: side.name, Host: side.host, VPC: tenant + "/" + vpc, Subnet: side.subnet})
		if err != nil {
			return nil, err
		}
		*side.to = ep
	}
	dev, err := inside.OpenDevice(from.Namespace, "eth0")
	if err != nil {
		return nil, err
	}
	gateway := pipeline.GatewayMAC
	return &flooder{dev: dev, sender: flood.Sender{MAC: dev.MAC, Gateway: net.HardwareAddr(gateway[:]), Addr: from.Addr, Target: to.Addr}}, nil
}

// floodHead is how long a flood runs before sessions are measured beside it, so
// that its meter's burst is used up.
const floodHead = 300 * time.Millisecond

// during measures first packets while the bed's flooder floods. Each time the
// packets are the same ones, so that the wire ports of those before, which rest,
// are theirs again.
func (b *bed) during(ctx context.Context, k *flood.Kind, n int) (l latencies, err error) {
	ports := b.ports
	defer func() { b.ports = ports }()
	if k == nil {
		return paced(ctx, b, floodedRate, n)
	}
	flooding, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := flood.Send(flooding, b.flooder.dev, *k, b.flooder.sender, flood.Rate, math.MaxInt)
		ended <- err
	}()
	if err = pause(ctx, floodHead); err == nil {
		l, err = paced(ctx, b, floodedRate, n)
	}
	stop()
	return l, errors.Join(err, <-ended)
}

// beside is how first packets fared, with the real controller and with the null
// one, which hears of the flood too and does nothing about it: what a flood costs
// others there is Open vSwitch's share.
type beside struct {
	ours, null []float64 // 99th percentiles of the rounds, or what they are of calm ones
	lost       int
}

// measureFlood is how much longer first packets of others on a flooder's host
// take: the median of the rounds' ratios to the same round's without a flood, of
// the kind of flood that hurts most.
func measureFlood(ctx context.Context, e *Env) ([]Value, error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	n := int(floodedRate * e.Effort.Round.Seconds())
	var calm beside
	kinds := flood.Kinds()
	seen := make([]beside, len(kinds))
	for range e.Effort.Rounds {
		ours, null, err := p.flooded(ctx, nil, n)
		if err != nil {
			return nil, err
		}
		calm.add(ours.p99, null.p99, ours.lost)
		for i := range kinds {
			r, o, err := p.flooded(ctx, &kinds[i], n)
			if err != nil {
				return nil, fmt.Errorf("beside a flood of %s: %w", kinds[i].Name, err)
			}
			seen[i].add(r.p99/ours.p99, o.p99/null.p99, r.lost)
		}
	}
	worst, lost := 0.0, calm.lost
	note := fmt.Sprintf("without %s, null controller %s", Quantity{median(calm.ours), Milliseconds}, Quantity{median(calm.null), Milliseconds})
	for i, k := range kinds {
		m := median(seen[i].ours)
		worst, lost = max(worst, m), lost+seen[i].lost
		note += fmt.Sprintf("; %s %s, null controller %s", k.Name, Quantity{m, Ratio}, Quantity{median(seen[i].null), Ratio})
	}
	return []Value{
		{Line: "flood-first-packet-p99", Quantity: Quantity{worst, Ratio}, Note: note},
		{Line: "flood-first-packet-lost", Quantity: Quantity{float64(lost), Lost},
			Note: fmt.Sprintf("of %d", n*e.Effort.Rounds*(1+len(kinds)))},
	}, nil
}

func (b *beside) add(ours, null float64, lost int) {
	b.ours, b.null, b.lost = append(b.ours, ours), append(b.null, null), b.lost+lost
}

// flooded is one measurement on both beds with its sessions ended afterwards.
func (p *pair) flooded(ctx context.Context, k *flood.Kind, n int) (ours, null latencies, err error) {
	if ours, err = p.real.during(ctx, k, n); err != nil {
		return ours, null, err
	}
	if null, err = p.null.during(ctx, k, n); err != nil {
		return ours, null, fmt.Errorf("with the null controller: %w", err)
	}
	return ours, null, p.forget(ctx)
}
