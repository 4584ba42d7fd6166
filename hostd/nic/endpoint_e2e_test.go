//go:build e2e

package nic_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/internal/lab"
	"github.com/daolinet/daolinet/hostd/nic"
)

func plumbed(ns *lab.Namespace) nic.Endpoint {
	return nic.Endpoint{
		Device: "dl16", Namespace: ns.Path(), Interface: "eth0", IP: netip.MustParseAddr("10.1.0.2"), MAC: endpoint.MAC{2, 0, 0, 0, 0, 2}, MTU: 1400,
		Gateway: netip.MustParseAddr("169.254.1.1"), GatewayMAC: endpoint.MAC{2, 0, 0, 0, 0, 1},
	}
}

// A userspace datapath only taps the endpoint's device, so the host's stack sees
// what the container sends, and would answer.
func TestContainerDoesNotReachTheHostsStackBesideTheSwitch(t *testing.T) {
	for _, tt := range []struct {
		name    string
		drop    *nic.Dropper
		reached bool
	}{
		{"guarded", &nic.Dropper{}, false},
		{"guard taken out", nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := lab.New(t)
			h1, c1 := l.Namespace("h1"), l.Namespace("c1")
			h1.Run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "x0")
			h1.Run("ip", "addr", "add", "172.31.1.1/24", "dev", "eth0")
			h1.Run("ip", "link", "set", "eth0", "up")
			h1.Do(func() {
				if err := nic.Plumb(t.Context(), plumbed(c1), tt.drop); err != nil {
					t.Errorf("Plumb = %v", err)
				}
			})
			c1.Run("ip", "route", "add", "172.31.1.1/32", "dev", "eth0", "scope", "link")
			_ = c1.Command("ping", "-c", "1", "-W", "1", "172.31.1.1").Run() // only the ARP before it matters
			reached := strings.Contains(c1.Run("ip", "neigh", "show", "172.31.1.1"), "lladdr")
			if reached != tt.reached {
				t.Errorf("the host's stack answered: %v; want %v", reached, tt.reached)
			}
		})
	}
}

func TestUnplumbTakesEverythingAway(t *testing.T) {
	l := lab.New(t)
	h1, c1 := l.Namespace("h1"), l.Namespace("c1")
	drop := &nic.Dropper{}
	h1.Do(func() {
		for range 2 {
			if err := nic.Plumb(t.Context(), plumbed(c1), drop); err != nil {
				t.Errorf("Plumb = %v", err)
			}
			if ok, err := nic.Exists("dl16"); !ok || err != nil {
				t.Errorf("Exists = %v, %v", ok, err)
			}
			if err := nic.Plumb(t.Context(), plumbed(c1), drop); err == nil || !strings.Contains(err.Error(), `"dl16" exists`) {
				t.Errorf("Plumb of a device that exists = %v", err)
			}
			for range 2 {
				if err := nic.Unplumb(t.Context(), "dl16", drop); err != nil {
					t.Errorf("Unplumb = %v", err)
				}
			}
			if ok, err := nic.Exists("dl16"); ok || err != nil {
				t.Errorf("Exists after Unplumb = %v, %v", ok, err)
			}
		}
		if err := drop.Remove(t.Context()); err != nil {
			t.Errorf("Remove = %v", err)
		}
	})
	if out := c1.Run("ip", "-o", "link"); strings.Contains(out, "eth0") {
		t.Errorf("the namespace has:\n%s", out)
	}
	if out := h1.Run("nft", "list", "ruleset"); out != "" {
		t.Errorf("nft rules are left:\n%s", out)
	}
}
