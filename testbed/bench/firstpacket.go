package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/netns"
)

// course sends first packets of sessions and sees them arrive.
type course struct {
	clients, servers []runner
	sent             []atomic.Int64 // by number: when, in nanoseconds since 1970
	took             []atomic.Int64 // by number: nanoseconds until it arrived, 0: it did not
	arrived          chan int       // numbers, as they arrive; nil: nobody listens
	first            uint16         // destination port of the first packet
}

// runner is an endpoint with a tap.
type runner struct {
	tap    *tap
	report inventory.EndpointReport
}

// newCourse opens taps for n packets, each of a session of its own.
func newCourse(b *bed, clients, servers []*netns.Endpoint, n int) (c *course, err error) {
	c = &course{sent: make([]atomic.Int64, n), took: make([]atomic.Int64, n), first: b.ports}
	// Each pair of endpoints has a session a port.
	b.ports += uint16(n/(len(clients)*len(servers)) + 1)
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for _, side := range []struct {
		from []*netns.Endpoint
		to   *[]runner
	}{{clients, &c.clients}, {servers, &c.servers}} {
		for _, ep := range side.from {
			mac, err := parseMAC(ep.HWAddr)
			if err != nil {
				return c, err
			}
			t, err := openTap(ep.Namespace)
			if err != nil {
				return c, err
			}
			*side.to = append(*side.to, runner{t, inventory.EndpointReport{IP: ep.Addr, MAC: mac}})
		}
	}
	return c, nil
}

func (c *course) close() {
	for _, r := range append(c.clients, c.servers...) {
		r.tap.close()
	}
}

// courseMark begins the payload of a course's packets, and a number follows.
const courseMark uint32 = 0x64616f6c

// frame is the packet of a number, and the tap that sends it.
func (c *course) frame(i int) (from *tap, frame []byte) {
	var payload [8]byte
	binary.BigEndian.PutUint32(payload[:], courseMark)
	binary.BigEndian.PutUint32(payload[4:], uint32(i))
	client := i % len(c.clients)
	i /= len(c.clients)
	server := i % len(c.servers)
	port := c.first + uint16(i/len(c.servers))
	a, b := &c.clients[client], &c.servers[server]
	return a.tap, opener(&a.report, &b.report, packet.UDP, 40000, port, payload[:]...)
}

// launch sends the packet of a number.
func (c *course) launch(i int) error {
	from, frame := c.frame(i)
	c.sent[i].Store(time.Now().UnixNano())
	return from.send(frame)
}

// watch notes arrivals at all servers until stop is closed, then returns.
func (c *course) watch(stop <-chan struct{}) (wait func() error) {
	var wg sync.WaitGroup
	errs := make(chan error, len(c.servers))
	for _, s := range c.servers {
		wg.Go(func() {
			buf, control := make([]byte, 2048), make([]byte, 64)
			for {
				n, at, err := s.tap.receive(buf, control)
				if err != nil {
					errs <- fmt.Errorf("receive: %w", err)
					return
				}
				if n == 0 {
					select {
					case <-stop:
						return
					default:
						continue
					}
				}
				c.note(buf[:n], at)
			}
		})
	}
	return func() error {
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
}

// note is the arrival of a frame.
func (c *course) note(frame []byte, at time.Time) {
	if len(frame) < udpEnd+8 || binary.BigEndian.Uint32(frame[udpEnd:]) != courseMark {
		return
	}
	i := int(binary.BigEndian.Uint32(frame[udpEnd+4:]))
	if i >= len(c.sent) || !c.took[i].CompareAndSwap(0, max(at.UnixNano()-c.sent[i].Load(), 1)) {
		return
	}
	if c.arrived != nil {
		c.arrived <- i
	}
}

// latencies are those of a round's first packets, in milliseconds.
type latencies struct {
	p50, p99 float64
	lost     int
}

// paced sends n packets at a rate, and waits for the last ones.
func paced(ctx context.Context, b *bed, perSecond, n int) (l latencies, err error) {
	c, err := newCourse(b, b.clients, b.remote, n)
	if err != nil {
		return l, err
	}
	defer c.close()
	stop := make(chan struct{})
	wait := c.watch(stop)
	begin := time.Now()
	for i := range n {
		if err = pause(ctx, time.Until(begin.Add(time.Duration(i)*time.Second/time.Duration(perSecond)))); err != nil {
			break
		}
		if err = c.launch(i); err != nil {
			break
		}
	}
	if err == nil {
		err = pause(ctx, 200*time.Millisecond)
	}
	close(stop)
	if werr := wait(); err == nil {
		err = werr
	}
	if err != nil {
		return l, err
	}
	var ms []float64
	for i := range c.took {
		if t := c.took[i].Load(); t > 0 {
			ms = append(ms, float64(t)/1e6)
		}
	}
	return latencies{percentile(ms, 0.5), percentile(ms, 0.99), n - len(ms)}, nil
}

// measureFirstPacket is how long the first packet of a session takes from host
// to host, over the real controller and over the null one.
func measureFirstPacket(ctx context.Context, e *Env) ([]Value, error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	var out []Value
	for _, perSecond := range []int{200, 500} {
		values, err := firstPacketsAt(ctx, e, p, perSecond)
		if err != nil {
			return nil, err
		}
		out = append(out, values...)
	}
	return out, nil
}

func firstPacketsAt(ctx context.Context, e *Env, p *pair, perSecond int) ([]Value, error) {
	n := int(float64(perSecond) * e.Effort.Round.Seconds())
	var ours, theirs struct {
		p50, p99 []float64
		lost     int
	}
	for range e.Effort.Rounds {
		for _, side := range []struct {
			b  *bed
			to *struct {
				p50, p99 []float64
				lost     int
			}
		}{{p.real, &ours}, {p.null, &theirs}} {
			l, err := paced(ctx, side.b, perSecond, n)
			if err != nil {
				return nil, err
			}
			side.to.p50, side.to.p99 = append(side.to.p50, l.p50), append(side.to.p99, l.p99)
			side.to.lost += l.lost
		}
		if err := p.forget(ctx); err != nil {
			return nil, err
		}
	}
	name := "first-packet-" + strconv.Itoa(perSecond)
	null := func(v float64) string { return "null controller " + Quantity{v, Milliseconds}.String() }
	return []Value{
		{name + "-p50", Quantity{median(ours.p50), Milliseconds}, null(median(theirs.p50))},
		{name + "-p99", Quantity{median(ours.p99), Milliseconds}, null(median(theirs.p99))},
		{name + "-lost", Quantity{float64(ours.lost), Lost}, fmt.Sprintf("of %d; null controller %d", n*e.Effort.Rounds, theirs.lost)},
	}, nil
}

// flight is how many first packets are on their way at a time where a switch is
// to be kept busy, and flightTime after how long one is lost.
const (
	flight     = 64
	flightTime = 200 * time.Millisecond
)

// sustained sends first packets within one host, a new one for each that
// arrived, and returns how many a second did.
func sustained(ctx context.Context, b *bed, d time.Duration) (float64, error) {
	const most = 16_000 // a second, of all ports' meters together
	n := int(d.Seconds()*most) + flight
	c, err := newCourse(b, b.clients, b.local, n)
	if err != nil {
		return 0, err
	}
	defer c.close()
	c.arrived = make(chan int, n)
	stop := make(chan struct{})
	wait := c.watch(stop)
	next := 0
	for ; next < flight && err == nil; next++ {
		err = c.launch(next)
	}
	begin, got := time.Now(), 0
	for err == nil && next < n && time.Since(begin) < d {
		select {
		case <-c.arrived:
			got++
		case <-time.After(flightTime): // all that flew are lost
			next += flight - 1
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err == nil && next < n {
			err = c.launch(next)
			next++
		}
	}
	spent := time.Since(begin)
	close(stop)
	if werr := wait(); err == nil {
		err = werr
	}
	return float64(got) / spent.Seconds(), err
}

// measureSessions is how many new sessions a second one switch takes.
func measureSessions(ctx context.Context, e *Env) ([]Value, error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	side := func(b *bed) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			v, err := sustained(ctx, b, e.Effort.Round)
			if err != nil {
				return v, err
			}
			return v, p.forget(ctx)
		}
	}
	ratio, ours, theirs, err := alternate(ctx, e.Effort.Rounds, side(p.real), side(p.null))
	return []Value{{
		Line: "sessions-one-switch", Quantity: Quantity{ratio, Ratio},
		Note: fmt.Sprintf("%s; null controller %s", Quantity{ours, PerSecond}, Quantity{theirs, PerSecond}),
	}}, err
}
