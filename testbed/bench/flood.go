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

// flooder is a container that floods another one on the other host.
type flooder struct {
	from, to *netns.Endpoint
	dev      *inside.Device
	sender   flood.Sender
}

func newFlooder(ctx context.Context, b *bed) (*flooder, error) {
	f := new(flooder)
	for _, side := range []struct {
		host, name string
		to         **netns.Endpoint
	}{{"h1", "flooder", &f.from}, {"h2", "flooded", &f.to}} {
		ep, err := b.Attach(ctx, netns.EndpointSpec{Name: side.name, Host: side.host, VPC: tenant + "/" + vpc, Subnet: "web"})
		if err != nil {
			return nil, errors.Join(err, f.close(ctx))
		}
		*side.to = ep
	}
	var err error
	if f.dev, err = inside.OpenDevice(f.from.Namespace, "eth0"); err != nil {
		return nil, errors.Join(err, f.close(ctx))
	}
	gateway := pipeline.GatewayMAC
	f.sender = flood.Sender{MAC: f.dev.MAC, Gateway: net.HardwareAddr(gateway[:]), Addr: f.from.Addr, Target: f.to.Addr}
	return f, nil
}

func (f *flooder) close(ctx context.Context) error {
	var errs []error
	if f.dev != nil {
		errs = append(errs, f.dev.Close())
	}
	for _, ep := range []*netns.Endpoint{f.from, f.to} {
		if ep != nil {
			errs = append(errs, ep.Detach(ctx))
		}
	}
	return errors.Join(errs...)
}

// floodHead is how long a flood runs before sessions are measured beside it, so
// that its meter's burst is used up.
const floodHead = 300 * time.Millisecond

// during measures first packets while the flooder floods. Each time the packets
// are the same ones, so that the wire ports of those before, which rest, are
// theirs again.
func (f *flooder) during(ctx context.Context, b *bed, k *flood.Kind, n int) (l latencies, err error) {
	ports := b.ports
	defer func() { b.ports = ports }()
	if k == nil {
		return paced(ctx, b, floodedRate, n)
	}
	flooding, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := flood.Send(flooding, f.dev, *k, f.sender, flood.Rate, math.MaxInt)
		ended <- err
	}()
	if err = pause(ctx, floodHead); err == nil {
		l, err = paced(ctx, b, floodedRate, n)
	}
	stop()
	return l, errors.Join(err, <-ended)
}

// measureFlood is how much longer first packets of others on a flooder's host
// take: the median of the rounds' ratios to the same round's without a flood, of
// the kind of flood that hurts most.
func measureFlood(ctx context.Context, e *Env) (values []Value, err error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	f, err := newFlooder(ctx, p.real)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.close(context.WithoutCancel(ctx))) }()
	n := int(floodedRate * e.Effort.Round.Seconds())
	ratios := make(map[string][]float64)
	var calm []float64
	lost := 0
	for range e.Effort.Rounds {
		base, err := f.round(ctx, p, nil, n)
		if err != nil {
			return nil, err
		}
		calm = append(calm, base.p99)
		for _, k := range flood.Kinds() {
			l, err := f.round(ctx, p, &k, n)
			if err != nil {
				return nil, fmt.Errorf("beside a flood of %s: %w", k.Name, err)
			}
			ratios[k.Name] = append(ratios[k.Name], l.p99/base.p99)
			lost += l.lost
		}
	}
	worst, note := 0.0, fmt.Sprintf("without %s", Quantity{median(calm), Milliseconds})
	for _, k := range flood.Kinds() {
		m := median(ratios[k.Name])
		worst = max(worst, m)
		note += fmt.Sprintf("; %s %s", k.Name, Quantity{m, Ratio})
	}
	return []Value{
		{Line: "flood-first-packet-p99", Quantity: Quantity{worst, Ratio}, Note: note},
		{Line: "flood-first-packet-lost", Quantity: Quantity{float64(lost), Lost},
			Note: fmt.Sprintf("of %d", n*e.Effort.Rounds*len(flood.Kinds()))},
	}, nil
}

// round is one measurement with its sessions ended afterwards.
func (f *flooder) round(ctx context.Context, p *pair, k *flood.Kind, n int) (latencies, error) {
	l, err := f.during(ctx, p.real, k, n)
	if err != nil {
		return l, err
	}
	return l, p.forget(ctx)
}
