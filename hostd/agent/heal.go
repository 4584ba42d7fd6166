package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/nic"
)

// Timing of the healer.
const (
	healEvery = 3 * time.Second        // without an event: it also keeps what LOCAL has
	healPause = 150 * time.Millisecond // what is wrong twice in this time is wrong
)

// keptChanged tells the loop what LOCAL has now.
type keptChanged struct{ kept nic.Kept }

// healer looks whether what the host has joined with is still there: the bridge,
// its ports, the uplink, the address. Where something was taken away it lets the
// agent's parts end and the host join again, which is what a restart does too.
type healer struct {
	loop  *loop
	index int // of the uplink, as joined; 0: it is away
	up    bool
}

func newHealer(l *loop) *healer {
	h := &healer{loop: l, up: true}
	h.index, _, _ = nic.Carrier(l.plug.state.Uplink)
	return h
}

// run looks until ctx ends or the host has to join again.
func (h *healer) run(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	for wrong := error(nil); ; {
		again := tick.C
		if wrong != nil {
			again = time.After(healPause)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-h.loop.senses.links:
			if wrong == nil { // let what goes on be over
				select {
				case <-ctx.Done():
					return
				case <-time.After(healPause):
				}
			}
		}
		before := wrong
		wrong = h.look(ctx)
		if wrong != nil && before != nil {
			h.loop.cfg.Logger.Error("the host joins again", slog.Any("err", wrong))
			end(errRejoin)
			return
		}
		if wrong == nil {
			h.keep(ctx)
		}
	}
}

// look returns what is wrong and joining again would mend.
func (h *healer) look(ctx context.Context) error {
	v, err := h.view(ctx)
	if err != nil {
		return nil // the agent ends
	}
	if back, err := h.uplink(v); back || err != nil {
		return err
	}
	p := h.loop.plug
	if !v.own {
		if _, err := nic.Address(p.bridge.Name()); err != nil {
			return err
		}
	}
	ports := []string{v.device}
	for _, e := range v.endpoints {
		if e.State == endpoint.Up {
			ports = append(ports, e.Device())
		}
	}
	for _, dev := range ports {
		if has, known := p.bridge.HasPort(dev); known && !has {
			return fmt.Errorf("bridge %q has no port %q any more", p.bridge.Name(), dev)
		}
	}
	return nil
}

// uplink reports whether the uplink is away, so that there is nothing to do but
// wait, and an error where it is another one or can be made again.
func (h *healer) uplink(v view) (away bool, err error) {
	log := h.loop.cfg.Logger
	index, carrier, err := nic.Carrier(v.device)
	if err != nil {
		return false, nil // not seen; the next look tells
	}
	if index == 0 {
		if h.index != 0 {
			log.Error("uplink vanished", slog.String("uplink", v.device))
		}
		h.index = 0
		if here, _ := nic.Exists(v.parent); v.parent != v.device && here {
			return true, fmt.Errorf("device %q was deleted", v.device)
		}
		return true, nil
	}
	if carrier != h.up {
		log.Warn("uplink's carrier changed", slog.String("uplink", v.device), slog.Bool("carrier", carrier))
		h.up = carrier
	}
	if index != h.index {
		return true, fmt.Errorf("uplink %q came back", v.device)
	}
	return false, nil
}

// keep tells the loop what LOCAL has, which goes with the bridge if somebody
// deletes that.
func (h *healer) keep(ctx context.Context) {
	v, err := h.view(ctx)
	if err != nil || v.own {
		return
	}
	kept, err := nic.Keep(h.loop.plug.bridge.Name())
	if err != nil || len(kept.Addrs) == 0 {
		return
	}
	if !kept.Equal(v.kept) {
		h.loop.post(ctx, keptChanged{kept})
	}
}

func (h *healer) view(ctx context.Context) (view, error) {
	answer := make(chan view, 1)
	h.loop.post(ctx, viewRequest{answer})
	select {
	case <-ctx.Done():
		return view{}, errors.New("the agent ends")
	case v := <-answer:
		return v, nil
	}
}

func (l *loop) keptChanged(k nic.Kept) {
	l.plug.state.Kept = nic.Kept{Addrs: slices.Clone(k.Addrs), Routes: slices.Clone(k.Routes)}
	if err := l.plug.store.saveHost(l.plug.state); err != nil {
		l.cfg.Logger.Error("host was not saved", slog.Any("err", err))
	}
}
