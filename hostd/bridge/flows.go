package bridge

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/digitalocean/go-openvswitch/ovs"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// Base is what hostd keeps in the switch: meters, and flows that all have the
// same cookie.
type Base struct {
	Cookie uint64
	Meters []openflow.MeterMod
	Flows  []openflow.Flow
}

// InstallBase puts base in the place of all flows with its cookie, in one atomic
// bundle, so that no packet meets a table without. Meters go first, or OVS
// refuses the whole bundle. Fragments are set to be told apart, so that a first
// fragment has its ports (ovs-ofctl(8), set-frags).
func (b *Bridge) InstallBase(ctx context.Context, base Base) error {
	if _, err := b.tools.ofctl(ctx, "set-frags", b.cfg.Name, "nx-match"); err != nil {
		return fmt.Errorf("set fragment handling: %w", err)
	}
	for _, m := range base.Meters {
		if err := b.setMeter(ctx, m); err != nil {
			return err
		}
	}
	err := b.tools.cli(ctx).OpenFlow.AddFlowBundle(b.cfg.Name, func(tx *ovs.FlowTransaction) error {
		tx.Delete(&ovs.MatchFlow{Cookie: base.Cookie, Table: ovs.AnyTable})
		for i := range base.Flows {
			tx.Add(cliFlow(&base.Flows[i]))
		}
		return tx.Commit()
	})
	if err != nil {
		return fmt.Errorf("install %d base flows: %w", len(base.Flows), err)
	}
	return nil
}

var flowCount = regexp.MustCompile(`flow_count=(\d+)`)

// CountFlows returns how many flows have the cookie.
func (b *Bridge) CountFlows(ctx context.Context, cookie uint64) (int, error) {
	out, err := b.tools.ofctl(ctx, "dump-aggregate", b.cfg.Name, fmt.Sprintf("cookie=%#x/-1", cookie))
	if err != nil {
		return 0, fmt.Errorf("count flows: %w", err)
	}
	m := flowCount.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("count flows: no flow_count in %q", out)
	}
	return strconv.Atoi(string(m[1]))
}

// DelPortFlows deletes all flows that take packets from the port ofport or send
// packets to it, and its meters: once the flows are gone, a
// controller that was away can't know of it.
func (b *Bridge) DelPortFlows(ctx context.Context, ofport uint32) error {
	flows := b.tools.cli(ctx).OpenFlow
	if err := flows.DelFlows(b.cfg.Name, &ovs.MatchFlow{InPort: int(ofport), Table: ovs.AnyTable}); err != nil {
		return fmt.Errorf("delete flows from port %d: %w", ofport, err)
	}
	to := ovs.MatchFlow{Matches: []ovs.Match{text(fmt.Sprintf("out_port=%d", ofport))}, Table: ovs.AnyTable}
	if err := flows.DelFlows(b.cfg.Name, &to); err != nil {
		return fmt.Errorf("delete flows to port %d: %w", ofport, err)
	}
	for _, m := range []uint32{ofport, pipeline.MeterResolver + ofport} {
		if _, err := b.tools.ofctl(ctx, "del-meter", b.cfg.Name, fmt.Sprintf("meter=%d", m)); err != nil {
			return fmt.Errorf("delete meter %d of port %d: %w", m, ofport, err)
		}
	}
	return nil
}

// setMeter adds the meter or, if the switch has it, changes it.
func (b *Bridge) setMeter(ctx context.Context, m openflow.MeterMod) error {
	_, err := b.tools.ofctl(ctx, "add-meter", b.cfg.Name, m.String())
	if err != nil && strings.Contains(err.Error(), "METER_EXISTS") {
		_, err = b.tools.ofctl(ctx, "mod-meter", b.cfg.Name, m.String())
	}
	if err != nil {
		return fmt.Errorf("set meter %d: %w", m.ID, err)
	}
	return nil
}

// cliFlow returns f as go-openvswitch takes it. The library has no types for
// most of our matches and actions, so they go in as the text they have anyway.
func cliFlow(f *openflow.Flow) *ovs.Flow {
	out := &ovs.Flow{
		Priority: int(f.Priority), Table: int(f.Table), IdleTimeout: int(f.IdleTimeout), Cookie: f.Cookie,
	}
	if m := f.Match.String(); m != "" {
		out.Matches = []ovs.Match{text(m)}
	}
	_, actions, _ := strings.Cut(f.String(), " actions=")
	out.Actions = []ovs.Action{text(actions)}
	return out
}

// text is a match or action of go-openvswitch in ovs-ofctl's own words.
type text string

func (t text) MarshalText() ([]byte, error) { return []byte(t), nil }
func (t text) GoString() string             { return strconv.Quote(string(t)) }
