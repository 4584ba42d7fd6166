//go:build e2e

package netns_test

import (
	"context"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
)

func TestPartsAreStartedAgainInAnyOrder(t *testing.T) {
	tb := up(t, netns.Options{Hosts: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h := tb.Hosts[0]
	vsctl(ctx, t, h, "--timeout=10", "add-br", netns.Bridge, "--", "set", "bridge", netns.Bridge, "datapath_type=netdev", "protocols=OpenFlow13")
	// The switch can't serve before its database does, which is started later.
	parts := []netns.Part{{Program: netns.ProgramSwitch, Host: "h1"}, {Program: netns.ProgramDatabase, Host: "h1"}}
	before := []int{h.Switch().PID(), h.Database().PID()}
	for _, p := range parts {
		if err := tb.Kill(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := tb.Start(ctx, parts...); err != nil {
		t.Fatal(err)
	}
	if now := []int{h.Switch().PID(), h.Database().PID()}; now[0] == before[0] || now[1] == before[1] {
		t.Errorf("processes of switch and database = %v; want others than %v", now, before)
	}
	vsctl(ctx, t, h, "--timeout=10", "set", "bridge", netns.Bridge, "other-config:disable-in-band=true") // waits for the switch
}

func TestPartsThatATestbedLacksAreErrors(t *testing.T) {
	tb := up(t, netns.Options{Hosts: 1})
	for _, p := range []netns.Part{
		{Program: netns.ProgramController}, // UnderlayOnly
		{Program: netns.ProgramController, Host: "h1"},
		{Program: netns.ProgramHostd, Host: "h1"},
		{Program: netns.ProgramSwitch, Host: "h2"},
		{Program: netns.ProgramSwitch},
		{},
	} {
		if err := tb.Kill(p); err == nil {
			t.Errorf("Kill(%q) succeeded; want an error", p)
		}
	}
}
