//go:build e2e

package nic_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/hostd/endpoint"
	"github.com/daolinet/daolinet/hostd/internal/lab"
	"github.com/daolinet/daolinet/hostd/nic"
)

// TestARoomsDoorGoesWithTheRoom: a room takes whatever comes by its door, the door
// can be made again in the place of one that was left, and closing it leaves
// nothing on the host.
func TestARoomsDoorGoesWithTheRoom(t *testing.T) {
	host := lab.New(t).Namespace("host")
	before := host.Run("ip", "-o", "link")
	room, err := nic.NewRoom()
	if err != nil {
		t.Fatal(err)
	}
	defer room.Close()
	door := nic.Door{
		Device: "door", Inside: "in", Outer: endpoint.MAC{2, 0, 0, 0, 0, 3}, MAC: endpoint.MAC{2, 0, 0, 0, 0, 2}, MTU: 1400,
		Addr: netip.MustParseAddr("169.254.1.1"), Neighbors: netip.MustParsePrefix("169.254.64.0/18"),
	}
	host.Do(func() {
		for range 2 {
			if err := room.Open(t.Context(), door, nil); err != nil {
				t.Error(err)
			}
		}
	})
	err = room.Do(func() error {
		in, err := net.InterfaceByName("in")
		if err != nil {
			return err
		}
		if in.MTU != door.MTU || in.HardwareAddr.String() != "02:00:00:00:00:02" || in.Flags&net.FlagUp == 0 {
			t.Errorf("inside = %+v", in)
		}
		for _, addr := range []string{"169.254.1.1:0", "192.0.2.53:0"} { // its own, and any
			c, err := net.ListenPacket("udp4", addr)
			if err != nil {
				return err
			}
			c.Close()
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if out := host.Run("ip", "-o", "link", "show", "dev", "door"); !strings.Contains(out, "02:00:00:00:00:03") {
		t.Errorf("the door has another address: %s", out)
	}
	if out := host.Run("ip", "-o", "addr", "show", "dev", "door"); strings.Contains(out, "inet") {
		t.Errorf("the host has an address on the door: %s", out)
	}
	host.Do(func() {
		if err := nic.Unplumb(t.Context(), door.Device, nil); err != nil {
			t.Error(err)
		}
	})
	if after := host.Run("ip", "-o", "link"); after != before {
		t.Errorf("devices = %s\nwant %s", after, before)
	}
}
