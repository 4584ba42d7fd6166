package nic

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// nftTimeout bounds one nft.
const nftTimeout = 5 * time.Second

// Dropper keeps what comes in on devices from the host's own stack, which a
// userspace datapath only taps: without it the stack would see, and answer,
// every packet that the switch forwards. It owns the nftables table `daoli` of
// family netdev, with one chain a device.
type Dropper struct {
	mu sync.Mutex // serializes nft
}

// Drop makes the stack see nothing of what dev receives. Doing it again is no
// error. The chain is made anew, since an old one is not bound to a device that
// was made again under its name.
func (d *Dropper) Drop(ctx context.Context, dev string) error {
	def := fmt.Sprintf("add chain netdev daoli %s { type filter hook ingress device %q priority -500; policy drop; }\n", chain(dev), dev)
	return d.nft(ctx, "add table netdev daoli\n"+forget(dev)+def)
}

// Restore undoes Drop.
func (d *Dropper) Restore(ctx context.Context, dev string) error {
	return d.nft(ctx, "add table netdev daoli\n"+forget(dev))
}

// Remove deletes the table.
func (d *Dropper) Remove(ctx context.Context) error {
	return d.nft(ctx, "add table netdev daoli\ndelete table netdev daoli\n")
}

// forget deletes a chain whether it is there or not: this nft has no destroy.
func forget(dev string) string {
	return fmt.Sprintf("add chain netdev daoli %[1]s\ndelete chain netdev daoli %[1]s\n", chain(dev))
}

func (d *Dropper) nft(ctx context.Context, rules string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, nftTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "nft", "-f", "-")
	c.Stdin = strings.NewReader(rules)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}

// chain returns the name of a device's chain, made of what nft allows there.
func chain(dev string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, dev)
	return "drop-" + clean
}
