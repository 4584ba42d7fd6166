//go:build e2e

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// TestDriftOfABusySwitchIsMended: with so many sessions the switch is asked cookie
// by cookie, and looked at whole for what nothing explains.
func TestDriftOfABusySwitchIsMended(t *testing.T) {
	const sessions = 200 // fewer than a scan is taken for
	f := start(t, 2)
	client, server := f.attach("h1:acme/wide/one/client"), f.attach("h2:acme/wide/two/server")
	dev := f.device(client)
	f.eventually("sessions", func() error {
		for i := range uint16(sessions) {
			fr := dataFrame(client, server, 40000, 5000+i)
			fr.Proto, fr.Payload = inside.UDP, []byte("x")
			if err := dev.Send(fr.Bytes()); err != nil {
				return err
			}
		}
		if n := f.status().Sessions; n < sessions {
			return fmt.Errorf("%d are live", n)
		}
		return nil
	})
	held := func() (out []string) {
		for _, fl := range f.flows("h1", sessionFlows) {
			fl.Packets, fl.Bytes = 0, 0
			out = append(out, fl.String())
		}
		slices.Sort(out)
		return out
	}
	var want []string
	f.eventually("the switch to hold them all", func() error {
		want = held()
		if n := len(want); n != 3*sessions { // there, back, and the guard against the host's own
			return fmt.Errorf("it has %d flows", n)
		}
		return nil
	})
	all := f.flows("h1", sessionFlows)
	altered := slices.IndexFunc(all[1:], func(fl netns.Flow) bool { return fl.Actions != "drop" })
	stray := all[0]
	stray.Cookie = pipeline.Cookie{Category: pipeline.CategorySession, Number: 4711}.Bits()
	stray.Match = strings.Replace(stray.Match, "udp", "tcp", 1)
	h := f.Host("h1")
	for _, err := range []error{h.DeleteFlow(f.ctx, all[0]), h.SetActions(f.ctx, all[1+altered], "drop"), h.AddFlow(f.ctx, stray)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if cmp.Diff(want, held()) == "" {
		t.Fatal("nothing has changed: the test is blind")
	}
	f.within(30*time.Second, "the drift to be mended", func() error {
		if diff := cmp.Diff(want, held()); diff != "" {
			return fmt.Errorf("flows (-before +now):\n%s", diff)
		}
		return nil
	})
	for _, kind := range []string{"missing", "altered", "stray"} {
		if n := f.status().Drift[kind]; n != 1 {
			t.Errorf("the controller mended %d %s flows; want 1", n, kind)
		}
	}
}
