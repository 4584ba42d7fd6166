package agent

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/daolinet/daolinet/hostd/bridge"
	"github.com/daolinet/daolinet/reconciler/pipeline"
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
	want pipeline.HostConfig
}

func newKeeper(b *bridge.Bridge, log *slog.Logger, want pipeline.HostConfig) *keeper {
	return &keeper{bridge: b, log: log, kick: make(chan struct{}, 1), want: want}
}

// set says what there should be flows for from now on.
func (k *keeper) set(c pipeline.HostConfig) {
	k.mu.Lock()
	k.want = c
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

func (k *keeper) wanted() pipeline.HostConfig {
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
		state, config := k.bridge.State(), k.wanted()
		if !state.Up {
			continue
		}
		want := baseOf(config)
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
		if err := k.bridge.InstallBase(ctx, withConnections(config, k.log)); err != nil {
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
