package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
	"github.com/daolinet/daolinet/hostd/uplink"
)

// How often the host is looked at.
const (
	listenersEvery = 500 * time.Millisecond
	nextHopEvery   = 10 * time.Second // without events: it also keeps the entry fresh
	nextHopPause   = 50 * time.Millisecond
	watchAgain     = time.Second
)

// What the senses tell the loop.
type (
	listenersChanged struct{ listeners []uplink.Listener }
	nextHopChanged   struct{ hop nic.NextHop }
	// devicesSeen holds the names of all devices. It comes before each watch.
	devicesSeen struct{ names map[string]bool }
)

// senses look at the host and tell what changes.
type senses struct {
	log     *slog.Logger
	device  string        // with the underlay address
	first   atomic.Uint32 // lowest port of listeners
	nextHop chan struct{} // capacity 1: look
}

func newSenses(device string, first uint16, log *slog.Logger) *senses {
	s := &senses{log: log, device: device, nextHop: make(chan struct{}, 1)}
	s.first.Store(uint32(first))
	return s
}

// run looks until ctx ends.
func (s *senses) run(ctx context.Context, l *loop) {
	done := make(chan struct{}, 2)
	go func() { s.listeners(ctx, l); done <- struct{}{} }()
	go func() { s.hop(ctx, l); done <- struct{}{} }()
	s.events(ctx, l)
	<-done
	<-done
}

func (s *senses) listeners(ctx context.Context, l *loop) {
	tick := time.NewTicker(listenersEvery)
	defer tick.Stop()
	var last []uplink.Listener
	for known := false; ; {
		now, err := listeners(uint16(s.first.Load()))
		switch {
		case err != nil:
			s.log.Warn("listeners were not read", slog.Any("err", err))
		case !known || !slices.Equal(now, last):
			last, known = now, true
			l.post(ctx, listenersChanged{now})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
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

// events follows the kernel's own messages, and looks at everything before,
// since some may have been lost.
func (s *senses) events(ctx context.Context, l *loop) {
	look := nic.Events{
		DeviceGone: func(name string) { l.post(ctx, endpoint.DeviceGone{Device: name}) },
		Neighbour: func() {
			select {
			case s.nextHop <- struct{}{}:
			default:
			}
		},
		Begin: func() {
			names, err := nic.Names()
			if err != nil {
				s.log.Warn("devices were not listed", slog.Any("err", err))
				return
			}
			l.post(ctx, devicesSeen{names})
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
