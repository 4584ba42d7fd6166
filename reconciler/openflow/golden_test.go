package openflow_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// xid is the one of all golden messages.
const xid = 0x11223344

// golden is one message: what it is for, its text, its bytes.
type golden struct {
	name, text string
	bytes      []byte
}

func goldens() (all []golden) {
	for _, c := range flowCases {
		all = append(all, golden{"flow: " + c.name, c.mod.String(), of.AppendFlowMod(nil, xid, &c.mod)})
	}
	for _, c := range groupCases {
		all = append(all, golden{"group: " + c.name, c.mod.String(), of.AppendGroupMod(nil, xid, &c.mod)})
	}
	for _, c := range meterCases {
		all = append(all, golden{"meter: " + c.name, c.mod.String(), of.AppendMeterMod(nil, xid, &c.mod)})
	}
	for _, c := range packetCases {
		all = append(all, golden{"packet-out: " + c.name, c.out.String(), of.AppendPacketOut(nil, xid, &c.out)})
	}
	for _, m := range []struct {
		name  string
		bytes []byte
	}{
		{"hello", of.AppendHello(nil, xid)},
		{"hello failed", of.AppendHelloFailed(nil, xid)},
		{"echo request", of.AppendEchoRequest(nil, xid)},
		{"echo reply", of.AppendEchoReply(nil, xid, []byte("ping"))},
		{"barrier", of.AppendBarrierRequest(nil, xid)},
		{"features request", of.AppendFeaturesRequest(nil, xid)},
		{"set config", of.AppendSetConfig(nil, xid)},
		{"set async", of.AppendSetAsync(nil, xid)},
		{"role master", of.AppendRoleRequest(nil, xid, of.RoleMaster, 0x0102030405060708)},
		{"flow stats", of.AppendFlowStatsRequest(nil, xid, of.StatsFilter{Table: of.AllTables, Cookie: cookie, CookieMask: 0xff << 56})},
		{"port description", of.AppendPortDescRequest(nil, xid)},
	} {
		all = append(all, golden{"message: " + m.name, "", m.bytes})
	}
	return all
}

func TestMessagesMatchTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	for _, g := range goldens() {
		fmt.Fprintf(&got, "# %s\n", g.name)
		if g.text != "" {
			fmt.Fprintln(&got, g.text)
		}
		fmt.Fprintf(&got, "%s\n\n", hex.EncodeToString(g.bytes))
	}
	path := filepath.Join("testdata", "messages.golden")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, diff)
	}
}

func TestEveryMessageSaysItsLength(t *testing.T) {
	for _, g := range goldens() {
		for rest := g.bytes; len(rest) > 0; {
			h, err := of.ParseHeader(rest)
			if err != nil {
				t.Fatalf("%s: %v", g.name, err)
			}
			if int(h.Length) > len(rest) {
				t.Fatalf("%s: header says %d bytes, %d are there", g.name, h.Length, len(rest))
			}
			if h.Xid != xid || h.Version != of.Version {
				t.Errorf("%s: header %+v has not xid %#x and version %d", g.name, h, xid, of.Version)
			}
			rest = rest[h.Length:]
		}
	}
}
