package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/hostd/identity"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// impostor reports to a controller in the place of a host's hostd, which was
// killed: its report may hold endpoints that no device stands behind. A switch
// that looks at 2,000 idle devices would measure those, and not what they cost
// the controller and the tables.
type impostor struct {
	from string // namespace of its host
	who  *identity.Identity
	to   netip.AddrPort
	link *grpc.ClientConn
}

// report replaces what the controller knows of the host, and waits until the
// switch has it.
func (i *impostor) report(ctx context.Context, r *inventory.HostReport) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("not acknowledged within 30 s"))
	defer cancel()
	i.close()
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return inside.Dial(ctx, i.from, "tcp4", 0, i.to)
	}
	var err error
	i.link, err = grpc.NewClient("passthrough:controller", grpc.WithContextDialer(dial),
		grpc.WithTransportCredentials(credentials.NewTLS(i.who.TLS())))
	if err != nil {
		return fmt.Errorf("connect host %s: %w", r.Name, err)
	}
	// The stream outlives ctx: the link's end is its end.
	stream, err := hostpb.NewHostLinkClient(i.link).Connect(context.WithoutCancel(ctx))
	if err == nil {
		err = stream.Send(&hostpb.HostMsg{Msg: &hostpb.HostMsg_Hello{Hello: helloOf(r)}})
	}
	if err != nil {
		return fmt.Errorf("connect host %s: %w", r.Name, err)
	}
	defer context.AfterFunc(ctx, func() { i.close() })()
	for {
		m, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("wait for the answer to a report of %d endpoints: %w", len(r.Endpoints), errors.Join(err, context.Cause(ctx)))
		}
		if a := m.GetAck(); a != nil {
			if len(a.GetErrors()) > 0 {
				return fmt.Errorf("the controller refused an endpoint: %s", a.GetErrors()[0].GetText())
			}
			return nil
		}
	}
}

func (i *impostor) close() {
	if i.link != nil {
		i.link.Close()
	}
}

// fullOf is a host's report with endpoints added until there are n.
func fullOf(r inventory.HostReport, n int) inventory.HostReport {
	r.Endpoints = slices.Clone(r.Endpoints)
	for j := 0; len(r.Endpoints) < n; j++ {
		one := scaleEndpoint(2, j)
		one.Port = 4000 + uint32(j) // no device's
		r.Endpoints = append(r.Endpoints, one)
	}
	return r
}

// measureScalePackets is how long first packets take on a host of many endpoints
// with many live sessions, of those with few and none.
func measureScalePackets(ctx context.Context, e *Env) (values []Value, err error) {
	binaries, err := e.binaries(ctx)
	if err != nil {
		return nil, err
	}
	b, err := newBed(ctx, binaries)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	b.Hosts[0].Hostd().Kill()
	who, err := identity.Open(b.Hosts[0].IdentityDir())
	if err != nil {
		return nil, err
	}
	i := &impostor{from: b.Hosts[0].Namespace, who: who, to: netip.AddrPortFrom(b.Controller.Addr().Addr(), netns.HostsPort)}
	defer i.close()
	few, many := b.reports[0], fullOf(b.reports[0], scaleEndpoints)
	n := int(floodedRate * e.Effort.Round.Seconds())
	var p50, p99, calm50, calm99, memory []float64
	lost := 0
	for range e.Effort.Rounds {
		calm, err := besideSessions(ctx, b, i, &few, 0, n)
		if err != nil {
			return nil, err
		}
		full, err := besideSessions(ctx, b, i, &many, e.Effort.Sessions, n)
		if err != nil {
			return nil, err
		}
		mb, err := residentMB(b.Controller.Process().PID())
		if err != nil {
			return nil, err
		}
		p50, p99 = append(p50, full.p50/calm.p50), append(p99, full.p99/calm.p99)
		calm50, calm99, memory = append(calm50, calm.p50), append(calm99, calm.p99), append(memory, mb)
		lost += full.lost
	}
	of := func(v []float64) string {
		return fmt.Sprintf("of %s with %d and none", Quantity{median(v), Milliseconds}, len(few.Endpoints))
	}
	return []Value{
		{Line: "scale-first-packet-p50", Quantity: Quantity{median(p50), Ratio}, Note: of(calm50)},
		{Line: "scale-first-packet-p99", Quantity: Quantity{median(p99), Ratio}, Note: of(calm99)},
		{Line: "scale-first-packet-lost", Quantity: Quantity{float64(lost), Lost}, Note: fmt.Sprintf("of %d", n*e.Effort.Rounds)},
		{Line: "scale-controller", Quantity: Quantity{median(memory), Megabytes}},
	}, nil
}

// besideSessions measures first packets on a host as reported while so many
// sessions live on it, and ends them all.
func besideSessions(ctx context.Context, b *bed, i *impostor, r *inventory.HostReport, sessions, n int) (l latencies, err error) {
	if err := i.report(ctx, r); err != nil {
		return l, err
	}
	ports := b.ports
	if err := b.openLocal(ctx, sessions); err != nil {
		return l, err
	}
	if l, err = paced(ctx, b, floodedRate, n); err != nil {
		return l, err
	}
	b.ports = ports // whose wire ports rest, and are theirs again
	return l, b.forget(ctx)
}

// openRate is how many sessions a second openLocal opens: no port's meter says
// no to its share.
const openRate = 2000

// openLocal has the clients open sessions within their host. What a busy
// machine's devices lose is sent again.
func (b *bed) openLocal(ctx context.Context, sessions int) error {
	if sessions == 0 {
		return nil
	}
	c, err := newCourse(b, b.clients, b.local, sessions)
	if err != nil {
		return err
	}
	defer c.close()
	open := 0
	for range 4 {
		begin := time.Now()
		for n := range sessions {
			if err := pause(ctx, time.Until(begin.Add(time.Duration(n)*time.Second/openRate))); err != nil {
				return err
			}
			if err := c.launch(n); err != nil {
				return err
			}
		}
		s, err := b.Controller.API().Status(ctx)
		if err != nil {
			return err
		}
		if open = s.Sessions; open >= sessions*99/100 {
			return nil
		}
	}
	return fmt.Errorf("%d of %d sessions are open", open, sessions)
}
