package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/bridge"
)

// Timing of the keeper.
const (
	checkEvery = 5 * time.Second        // safety net: flows are counted
	retryAfter = 100 * time.Millisecond // after a failed installation
)

// keeper keeps the base flows in the switch: after it came back, after a change,
// and if somebody took some away.
type keeper struct {
	bridge *bridge.Bridge
	log    *slog.Logger
	kick   chan struct{} // capacity 1

	mu   sync.Mutex // guards want
	want bridge.Base
}

func newKeeper(b *bridge.Bridge, log *slog.Logger, want bridge.Base) *keeper {
	return &keeper{bridge: b, log: log, kick: make(chan struct{}, 1), want: want}
}

// set says which flows there should be from now on.
func (k *keeper) set(b bridge.Base) {
	k.mu.Lock()
	k.want = b
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

func (k *keeper) wanted() bridge.Base {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.want
}

// run keeps them until ctx ends.
func (k *keeper) run(ctx context.Context) {
	var have struct {
		generation uint64
		base       bridge.Base
	}
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		counting := false
		select {
		case <-ctx.Done():
			return
		case <-k.bridge.Changes():
		case <-k.kick:
		case <-retry.C:
		case <-check.C:
			counting = true
		}
		state, want := k.bridge.State(), k.wanted()
		if !state.Up {
			continue
		}
		reason := ""
		switch {
		case state.Generation != have.generation:
			reason = "the switch started"
		case !sameBase(want, have.base):
			reason = "they changed"
		case counting && k.missing(ctx, want):
			reason = "some were gone"
		}
		if reason == "" {
			continue
		}
		if err := k.bridge.InstallBase(ctx, want); err != nil {
			k.log.Warn("base flows were not installed", slog.Any("err", err))
			retry.Reset(retryAfter)
			continue
		}
		have.generation, have.base = state.Generation, want
		k.log.Info("base flows installed", slog.String("reason", reason), slog.Int("flows", len(want.Flows)))
	}
}

// missing reports whether the switch has another number of flows than it should.
func (k *keeper) missing(ctx context.Context, want bridge.Base) bool {
	n, err := k.bridge.CountFlows(ctx, want.Cookie)
	if err != nil {
		k.log.Warn("base flows were not counted", slog.Any("err", err))
		return false
	}
	return n != len(want.Flows)
}

func sameBase(a, b bridge.Base) bool {
	return a.Cookie == b.Cookie && slices.Equal(a.Meters, b.Meters) && slices.Equal(a.Flows, b.Flows)
}
