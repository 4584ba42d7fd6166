package controller

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/admission"
	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/session"
)

func TestAllowsAndDeniesAreInTheDecisionLog(t *testing.T) {
	var out bytes.Buffer
	w, err := decisionlog.Open(decisionlog.Config{Path: "-", Stdout: &out, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := &Controller{decisions: w, log: slog.New(slog.DiscardHandler), denials: newDenialLog(), ctx: t.Context()}
	d := policy.Decision{Verdict: policy.Allow, Reason: policy.ReasonRule}
	c.perform([]engine.Effect{
		engine.SessionOpened{Session: &session.Session{ID: 7, Client: new(inventory.Endpoint), Server: new(inventory.Endpoint), Decision: &d}},
		engine.PacketDenied{DPID: 1, InPort: 2,
			Head:   packet.Headers{Src: netip.MustParseAddr("10.0.0.1"), Dst: netip.MustParseAddr("10.0.0.2")},
			Result: admission.Result{Decision: policy.Decision{Reason: policy.ReasonSpoofed}}},
	})
	w.Close()
	w.Run()
	var got []string
	for line := range bytes.Lines(out.Bytes()) {
		r, err := decisionlog.Parse(bytes.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Verdict+" "+r.Reason+" "+r.Session+r.Switch)
	}
	if diff := cmp.Diff([]string{"allow rule 0x7", "drop spoofed 0000000000000001"}, got); diff != "" {
		t.Error(diff)
	}
}
