package soak

import (
	"context"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// Ports of the traffic; probes listen on others.
const (
	trafficTCP = 81
	trafficUDP = 54
)

// talkers is how many exchanges are under way at a time.
const talkers = 4

// servers are what answers in one container.
type servers []*inside.Server

func serve(e *netns.Endpoint) (servers, error) {
	any4 := netip.IPv4Unspecified()
	tcp, err := inside.ServeTCP(e.Namespace, netip.AddrPortFrom(any4, trafficTCP), "")
	if err != nil {
		return nil, err
	}
	udp, err := inside.ServeUDP(e.Namespace, netip.AddrPortFrom(any4, trafficUDP), "")
	if err != nil {
		tcp.Close()
		return nil, err
	}
	return servers{tcp, udp}, nil
}

func (s servers) close() {
	for _, one := range s {
		one.Close()
	}
}

// traffic lets random containers talk to each other, whether they may or not.
type traffic struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	here     []*netns.Endpoint
	answered int
}

func startTraffic() *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	t := &traffic{cancel: cancel}
	for range talkers {
		t.wg.Go(func() {
			for ctx.Err() == nil {
				t.exchange(ctx)
			}
		})
	}
	return t
}

// set says who is there.
func (t *traffic) set(here []*container) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.here = nil
	for _, c := range here {
		if c != nil {
			t.here = append(t.here, c.on)
		}
	}
}

// stop ends the traffic and returns how many exchanges were answered.
func (t *traffic) stop() int {
	t.cancel()
	t.wg.Wait()
	return t.answered
}

// exchange is one attempt, which is not answered where it may not be, or where
// one of the ends has just gone.
func (t *traffic) exchange(ctx context.Context) {
	t.mu.Lock()
	here := slices.Clone(t.here)
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if len(here) < 2 {
		<-ctx.Done()
		return
	}
	from, to := here[rand.IntN(len(here))], here[rand.IntN(len(here))]
	network, port := "tcp4", uint16(trafficTCP)
	if rand.IntN(2) == 0 {
		network, port = "udp4", trafficUDP
	}
	c, err := inside.Dial(ctx, from.Namespace, network, 0, to.AddrPort(port))
	if err != nil {
		pause(ctx, 10*time.Millisecond)
		return
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	c.SetDeadline(deadline)
	text := make([]byte, 1000)
	if _, err := c.Write(text); err != nil {
		return
	}
	if _, err := io.ReadFull(c, text); err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.answered++
	}
}
