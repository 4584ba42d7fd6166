package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	dns "github.com/daolinet/daolinet/hostd/names"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// How often the host is looked at.
const (
	ownEvery     = 500 * time.Millisecond // sockets and addresses
	namesEvery   = 30 * time.Second
	nextHopEvery = 10 * time.Second // without events: it also keeps the entry fresh
	nextHopPause = 50 * time.Millisecond
	watchAgain   = time.Second
)

// What the senses tell the loop.
type (
	listenersChanged struct{ listeners []uplink.Listener }
	addressesChanged struct{ own []netip.Addr } // of all devices
	controllersFound struct{ told []netip.Addr }
	resolversChanged struct{ given []netip.Addr } // name servers that containers are given
	nextHopChanged   struct{ hop nic.NextHop }
	// devicesSeen holds the names of all devices. It comes before each watch.
	devicesSeen struct{ names map[string]bool }
)

// senses look at the host and tell what changes.
type senses struct {
	log     *slog.Logger
	device  string        // with the underlay address
	first   atomic.Uint32 // lowest port of listeners
	names   *names        // of the controllers
	nextHop chan struct{} // capacity 1: look
	links   chan struct{} // capacity 1: some device changed
	wire    *ownWire      // nil: the wire's address is the host's
}

func newSenses(device string, first uint16, log *slog.Logger, controllers []string, wire *ownWire) *senses {
	s := &senses{
		log: log, device: device, names: newNames(controllers, log), wire: wire,
		nextHop: make(chan struct{}, 1), links: make(chan struct{}, 1),
	}
	s.first.Store(uint32(first))
	return s
}

// run looks until ctx ends.
func (s *senses) run(ctx context.Context, l *loop) {
	var parts sync.WaitGroup
	parts.Go(func() { s.own(ctx, l) })
	parts.Go(func() { s.controllers(ctx, l) })
	if s.wire != nil {
		parts.Go(func() { s.wireHop(ctx, l) })
	} else {
		parts.Go(func() { s.hop(ctx, l) })
	}
	s.events(ctx, l)
	parts.Wait()
}

// own looks at the host's sockets and addresses.
func (s *senses) own(ctx context.Context, l *loop) {
	tick := time.NewTicker(ownEvery)
	defer tick.Stop()
	var sockets seen[uplink.Listener]
	var addresses, resolvers seen[netip.Addr]
	for {
		if s.wire != nil {
			// The host's sockets are on another address than the wire's.
		} else if now, err := listeners(uint16(s.first.Load())); err != nil {
			s.log.Warn("listeners were not read", slog.Any("err", err))
		} else if sockets.changed(now) {
			l.post(ctx, listenersChanged{now})
		}
		if now, err := nic.Addresses(); err != nil {
			s.log.Warn("addresses were not read", slog.Any("err", err))
		} else if addresses.changed(now) {
			l.post(ctx, addressesChanged{now})
		}
		if now := dns.Given(l.cfg.resolvConf()); resolvers.changed(now) {
			l.post(ctx, resolversChanged{now})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// controllers looks where the controllers' names lead.
func (s *senses) controllers(ctx context.Context, l *loop) {
	tick := time.NewTicker(namesEvery)
	defer tick.Stop()
	var found seen[netip.Addr]
	for {
		if now := s.names.addresses(ctx); found.changed(now) {
			l.post(ctx, controllersFound{now})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// seen is a list as it was when it was looked at last.
type seen[T comparable] struct {
	last  []T
	known bool
}

// changed takes the list as it is now, and reports whether it is another or the
// first.
func (s *seen[T]) changed(now []T) bool {
	if s.known && slices.Equal(now, s.last) {
		return false
	}
	s.last, s.known = now, true
	return true
}

func (s *senses) hop(ctx context.Context, l *loop) {
	tick := time.NewTicker(nextHopEvery)
	defer tick.Stop()
	var last nic.NextHop
	for {
		now, err := nic.FindNextHop(s.device)
		switch {
		case err != nil:
			s.log.Warn("next hop was not found", slog.Any("err", err))
		case now != last:
			last = now
			l.post(ctx, nextHopChanged{now})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.nextHop:
			select {
			case <-ctx.Done():
				return
			case <-time.After(nextHopPause): // a busy network has many such events
			}
		}
	}
}

// wake tells who waits for c that there is something to look at.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// events follows the kernel's own messages, and looks at everything before,
// since some may have been lost.
func (s *senses) events(ctx context.Context, l *loop) {
	look := nic.Events{
		DeviceGone: func(name string) { l.post(ctx, endpoint.DeviceGone{Device: name}) },
		Neighbour:  func() { wake(s.nextHop) },
		LinkChange: func() { wake(s.links) },
		Begin: func() {
			names, err := nic.Names()
			if err != nil {
				s.log.Warn("devices were not listed", slog.Any("err", err))
				return
			}
			l.post(ctx, devicesSeen{names})
			wake(s.links)
		},
	}
	for ctx.Err() == nil {
		err := nic.Watch(ctx, look)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("watch of devices was interrupted", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}
