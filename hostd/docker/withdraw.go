package docker

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// withdrawWait bounds Withdraw.
const withdrawWait = 10 * time.Second

// Withdraw removes the networks that hostd made, since the host leaves: a dockerd
// that starts asks for each of them, and waits for an answer. No network is made
// any more. One that a container has stays, and that is logged. Run must be
// running, for Docker asks about each.
func (d *Docker) Withdraw(ctx context.Context) {
	d.driver.mu.Lock()
	d.driver.withdrawn, d.driver.known = true, nil
	d.driver.mu.Unlock()
	if _, err := os.Stat(d.cfg.Socket); err != nil {
		return // there is no Docker
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawWait)
	defer cancel()
	if err := d.removeOwn(ctx); err != nil {
		d.cfg.Logger.Warn("docker networks were not removed: docker network rm does it, while daoli-hostd runs", slog.Any("err", err))
	}
}

func (d *Docker) removeOwn(ctx context.Context) error {
	ours, names, err := d.driver.api.networks(ctx)
	if err != nil {
		return fmt.Errorf("withdraw: %w", err)
	}
	return d.applyNetworks(ctx, nil, ours, names)
}
