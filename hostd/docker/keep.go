package docker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/moby/moby/api/types/events"

	"github.com/daolinet/daolinet/hostd/uplink"
)

// Timing of the keeper.
const (
	firstAgain = 200 * time.Millisecond // after the events ended
	lastAgain  = 2 * time.Second
	lookAgain  = 5 * time.Second        // after something could not be done
	lookAlways = 30 * time.Second       // safety net
	lookPause  = 200 * time.Millisecond // between two looks: containers often come and go together
	syncWait   = 20 * time.Second       // for one look at everything
)

// keep follows Docker's events until ctx ends: from their first moment on, what
// Docker has is compared with what there should be, whenever either changes.
func (d *Docker) keep(ctx context.Context) {
	for wait := firstAgain; ctx.Err() == nil; wait = min(2*wait, lastAgain) {
		began := time.Now()
		err := d.follow(ctx)
		d.driver.api.up.set(false)
		d.found(false, nil)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > lastAgain {
			wait = firstAgain
		}
		d.cfg.Logger.Info("docker does not answer", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// follow subscribes, looks at everything, and then at what events tell of.
func (d *Docker) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := d.driver.api.events(ctx)
	select {
	case err := <-stream.Err:
		return orEnded(err)
	default:
	}
	d.look()
	always := time.NewTimer(0)
	defer always.Stop()
	var kick <-chan struct{} // nil: pausing
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-stream.Err:
			return orEnded(err)
		case m := <-stream.Messages:
			if changes(m) {
				d.look()
			}
			continue
		case <-pause.C:
			kick = d.kick
			continue
		case <-kick:
		case <-always.C:
		}
		next := lookAlways
		err := d.sync(ctx)
		d.found(d.driver.api.up.isOpen(), err)
		if err != nil && ctx.Err() == nil {
			d.cfg.Logger.Warn("docker was not brought in line", slog.Any("err", err))
			next = lookAgain
		}
		kick = nil
		pause.Reset(lookPause)
		always.Reset(next)
	}
}

func orEnded(err error) error {
	if err == nil {
		return errors.New("its events ended")
	}
	return err
}

// changes reports whether an event is worth a look. What begins is Join's matter.
func changes(m events.Message) bool {
	switch m.Action {
	case events.ActionStart, events.ActionConnect:
		return false
	case events.ActionCreate:
		return m.Type == events.NetworkEventType
	}
	return true
}

// sync brings Docker's networks and the host's endpoints in line.
func (d *Docker) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	have, err := d.driver.host.Endpoints(ctx) // before Docker is asked: what comes later is not judged
	if err != nil {
		return err
	}
	ours, names, err := d.driver.api.networks(ctx)
	if err != nil {
		return err
	}
	byID := make(map[string]uplink.Network, len(ours))
	for _, n := range ours {
		byID[n.ID] = n.Subnet
	}
	if err := d.driver.book.setNetworks(byID); err != nil {
		return err
	}
	d.driver.api.up.set(true)
	lost := d.adopt(ctx, have, ours)
	if d.adopted {
		d.lookedAt()
	}
	places, err := d.places(ctx, ours, have)
	if err != nil {
		return errors.Join(lost, d.keepNetworks(ctx, ours, names), err)
	}
	return errors.Join(lost, d.collect(ctx, have, places), d.rename(ctx, have, places), d.keepNetworks(ctx, ours, names), d.route(ctx, have))
}

// lookedAt tells whoever waits that Docker was looked at.
func (d *Docker) lookedAt() {
	select {
	case <-d.looked:
	default:
		close(d.looked)
	}
}
