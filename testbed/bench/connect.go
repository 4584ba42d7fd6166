package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

const (
	diallers  = 4
	acceptors = 2
	wellKnown = 80 // the service's port
)

// measureConnect is how many TCP connections a second a client makes to a
// service that it knows, on another host and on its own, over our flows and over
// static ones.
func measureConnect(ctx context.Context, e *Env) ([]Value, error) {
	p, err := e.pair(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.null.plain(ctx); err != nil {
		return nil, err
	}
	var out []Value
	for _, c := range []struct {
		line   string
		server func(*bed) *netns.Endpoint
	}{
		{"connect-cross-host", func(b *bed) *netns.Endpoint { return b.far }},
		{"connect-one-host", func(b *bed) *netns.Endpoint { return b.near }},
	} {
		side := func(b *bed) func(context.Context) (float64, error) {
			return func(ctx context.Context) (float64, error) {
				return connects(ctx, b.dialler, c.server(b), e.Effort.Round)
			}
		}
		ratio, ours, theirs, err := alternate(ctx, e.Effort.Rounds, side(p.real), side(p.null))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.line, err)
		}
		out = append(out, Value{
			Line: c.line, Quantity: Quantity{ratio, Ratio},
			Note: fmt.Sprintf("%s; static flows %s", Quantity{ours, PerSecond}, Quantity{theirs, PerSecond}),
		})
	}
	return out, nil
}

// plain gives a testbed static flows above all others for its TCP endpoints: on
// one host a bridge's, each way an output; between two, a router's.
func (b *bed) plain(ctx context.Context) error {
	const above = 60000
	var err error
	add := func(host, match, actions string) {
		if err == nil {
			err = b.Host(host).AddFlow(ctx, netns.Flow{Priority: above, Match: match, Actions: actions})
		}
	}
	for _, way := range [][2]*netns.Endpoint{{b.dialler, b.near}, {b.near, b.dialler}} {
		from, to := way[0], way[1]
		add("h1", fmt.Sprintf("tcp,in_port=%d,nw_dst=%s", from.Port, to.Addr), fmt.Sprintf("output:%d", to.Port))
		err = errors.Join(err, inEndpoint(ctx, from, "ip", "neigh", "replace", to.Addr.String(), "lladdr", to.HWAddr, "dev", "eth0"),
			inEndpoint(ctx, from, "ip", "route", "replace", to.Addr.String(), "dev", "eth0"))
	}
	for i, way := range [][2]*netns.Endpoint{{b.dialler, b.far}, {b.far, b.dialler}} {
		from, to := way[0], way[1]
		here, there := &b.reports[i].Uplink, &b.reports[1-i].Uplink
		add(from.Host, fmt.Sprintf("tcp,in_port=%d,nw_dst=%s", from.Port, to.Addr),
			fmt.Sprintf("set_field:%s->eth_src,set_field:%s->eth_dst,output:%d", openflow.MAC(here.MAC), openflow.MAC(here.NextHopMAC), uplinkPort))
		add(to.Host, fmt.Sprintf("tcp,in_port=%d,nw_dst=%s", uplinkPort, to.Addr),
			fmt.Sprintf("set_field:%s->eth_dst,output:%d", to.HWAddr, to.Port))
		err = errors.Join(err, b.inRouter(ctx, "ip", "route", "replace", to.Addr.String(), "via", there.Addr.Addr().String()))
	}
	return err
}

func inEndpoint(ctx context.Context, e *netns.Endpoint, argv ...string) error {
	_, err := e.Exec(ctx, argv...)
	return err
}

// inRouter runs a command in the underlay's router.
func (b *bed) inRouter(ctx context.Context, argv ...string) error {
	cmd := b.Command(ctx, argv...)
	err := inside.Do(b.Namespace("rt"), cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("run %v in the router: %w", argv, err)
	}
	return nil
}

// connects returns how many connections a second succeed for about d. The first
// is made before, so that the service is known.
func connects(ctx context.Context, from, to *netns.Endpoint, d time.Duration) (rate float64, err error) {
	at := netip.AddrPortFrom(to.Addr, wellKnown)
	ln, err := listen(to.Namespace, at)
	if err != nil {
		return 0, err
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range acceptors {
		wg.Go(func() { accept(ln, stop) })
	}
	defer func() {
		close(stop)
		wg.Wait()
		err = errors.Join(err, unix.Close(ln))
	}()
	if err := inside.Do(from.Namespace, func() error { return connect(at) }); err != nil {
		return 0, fmt.Errorf("first connection to %s: %w", at, err)
	}
	var n, failed atomic.Int64
	var last atomic.Pointer[error]
	begin := time.Now()
	var dialling sync.WaitGroup
	for range diallers {
		dialling.Go(func() {
			err := inside.Do(from.Namespace, func() error {
				for time.Since(begin) < d && ctx.Err() == nil {
					if err := connect(at); err != nil {
						failed.Add(1)
						last.Store(&err)
						continue
					}
					n.Add(1)
				}
				return ctx.Err()
			})
			if err != nil {
				last.Store(&err)
			}
		})
	}
	dialling.Wait()
	spent := time.Since(begin)
	if failed.Load() > n.Load()/100 || n.Load() == 0 {
		return 0, fmt.Errorf("%d of %d connections failed: %w", failed.Load(), failed.Load()+n.Load(), *last.Load())
	}
	return float64(n.Load()) / spent.Seconds(), nil
}

// abort makes close send a reset: nothing of the connection stays in a stack.
var abort = unix.Linger{Onoff: 1}

// connect makes one connection from this thread's namespace, and ends it.
func connect(to netip.AddrPort) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	wait := unix.Timeval{Sec: 2}
	linger, addr := abort, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait),
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger),
		unix.Connect(fd, addr))
	for errors.Is(err, unix.EINTR) { // by Go's own signals; the connection goes on meanwhile
		err = unix.Connect(fd, addr)
	}
	return err
}

// listen opens a listening socket in a namespace.
func listen(namespace string, at netip.AddrPort) (fd int, err error) {
	err = inside.Do(namespace, func() error {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		wait := unix.NsecToTimeval(int64(tapWait))
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
			unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}),
			unix.Listen(fd, 1024))
		if err != nil {
			unix.Close(fd)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("listen at %s in %s: %w", at, namespace, err)
	}
	return fd, nil
}

// accept takes connections and ends them, until stop.
func accept(ln int, stop <-chan struct{}) {
	for {
		fd, _, err := unix.Accept4(ln, unix.SOCK_CLOEXEC)
		if err == nil {
			unix.Close(fd)
			continue
		}
		select {
		case <-stop:
			return
		default: // nobody came for a while, or who came is gone already
		}
	}
}
