package netns

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// Bridge is the name of every host's bridge.
const Bridge = "br-daoli"

// Flow is one flow entry of a host's switch, as ovs-ofctl(8) prints it.
type Flow struct {
	Table    int
	Priority int
	Cookie   uint64
	Match    string // without priority
	Actions  string
	Packets  uint64
	Bytes    uint64

	HardTimeout int // seconds; 0: none
}

// String returns the flow in ovs-ofctl's syntax, without counters.
func (f Flow) String() string {
	return fmt.Sprintf("cookie=%#x,%s,actions=%s", f.Cookie, f.key(f.Match), f.Actions)
}

func (f Flow) key(match string) string {
	if match != "" {
		match = "," + match
	}
	return fmt.Sprintf("table=%d,priority=%d%s", f.Table, f.Priority, match)
}

// OFCtl runs ovs-ofctl with OpenFlow 1.3 against the host's bridge: command,
// the bridge, then args, options among them.
func (h *Host) OFCtl(ctx context.Context, command string, args ...string) (string, error) {
	bridge := "unix:" + filepath.Join(h.OVSDir, Bridge+".mgmt")
	argv := append([]string{"-O", "OpenFlow13", "--no-names", command, bridge}, args...)
	cmd := h.testbed.Command(ctx, append([]string{"ovs-ofctl"}, argv...)...)
	cmd.Env = append(cmd.Env, h.environ()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ovs-ofctl %s on %s: %w: %s", command, h.Name, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Flows returns the flows that filter selects ("": all), in ovs-ofctl's syntax
// such as "table=2,ip" or "cookie=0x300/0xff00".
func (h *Host) Flows(ctx context.Context, filter string) ([]Flow, error) {
	var args []string
	if filter != "" {
		args = []string{filter}
	}
	out, err := h.OFCtl(ctx, "dump-flows", args...)
	if err != nil {
		return nil, err
	}
	return parseFlows(out)
}

// DeleteFlows deletes the flows that filter selects, as in Flows.
func (h *Host) DeleteFlows(ctx context.Context, filter string) error {
	return h.change(ctx, "del-flows", filter)
}

// AddFlow adds a flow, or overwrites the one with its table, priority and match.
func (h *Host) AddFlow(ctx context.Context, f Flow) error {
	return h.change(ctx, "add-flow", f.String())
}

// DeleteFlow deletes exactly f.
func (h *Host) DeleteFlow(ctx context.Context, f Flow) error {
	return h.change(ctx, "del-flows", f.key(f.Match), "--strict")
}

// SetActions gives f's entry other actions; its cookie and counters stay.
func (h *Host) SetActions(ctx context.Context, f Flow, actions string) error {
	return h.change(ctx, "mod-flows", f.key(f.Match)+",actions="+actions, "--strict")
}

// change changes flows, and purges.
func (h *Host) change(ctx context.Context, command string, args ...string) error {
	if _, err := h.OFCtl(ctx, command, args...); err != nil {
		return err
	}
	return h.Purge(ctx)
}

// Purge lets the datapath forget what it cached of flows that are others now,
// which it would go by for some time more.
func (h *Host) Purge(ctx context.Context) error {
	cmd := h.testbed.Command(ctx, "ovs-appctl", "-t", "ovs-vswitchd", "revalidator/purge")
	cmd.Env = append(cmd.Env, h.environ()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("purge the datapath of %s: %w: %s", h.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// parseFlows reads the output of ovs-ofctl dump-flows.
func parseFlows(dump string) ([]Flow, error) {
	var flows []Flow
	for line := range strings.Lines(dump) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "cookie=") {
			continue // the heading
		}
		f, err := parseFlow(line)
		if err != nil {
			return nil, fmt.Errorf("read flow %q: %w", line, err)
		}
		flows = append(flows, f)
	}
	return flows, nil
}

func parseFlow(line string) (Flow, error) {
	f := Flow{Priority: 32768}
	head, actions, found := strings.Cut(line, " actions=")
	if !found {
		return f, fmt.Errorf("it has no actions")
	}
	f.Actions = actions
	// The counters end with ", "; the match after them has no space in it.
	at := strings.LastIndexByte(head, ' ')
	stats, match := head[:max(at, 0)], head[at+1:]
	for _, part := range strings.FieldsFunc(match, func(r rune) bool { return r == ',' }) {
		if p, ok := strings.CutPrefix(part, "priority="); ok {
			n, err := strconv.Atoi(p)
			if err != nil {
				return f, err
			}
			f.Priority = n
			continue
		}
		f.Match += "," + part
	}
	f.Match = strings.TrimPrefix(f.Match, ",")
	return f, f.readStats(stats)
}

func (f *Flow) readStats(stats string) error {
	for _, part := range strings.Split(stats, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.ParseUint(value, 0, 64)
		switch name {
		case "cookie":
			f.Cookie = n
		case "table":
			f.Table = int(n)
		case "hard_timeout":
			f.HardTimeout = int(n)
		case "n_packets":
			f.Packets = n
		case "n_bytes":
			f.Bytes = n
		default:
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
