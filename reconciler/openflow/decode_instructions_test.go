package openflow_test

import (
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// entryOf returns f as an entry of flow statistics. Its match and instructions
// are those of the FlowMod that adds it, as OVS reports them; content, if there
// is any, replaces the instructions.
func entryOf(f of.Flow, flags uint16, content ...byte) []byte {
	mod := of.Add(f)
	match := matchOf(f.Match)
	if content == nil {
		content = of.AppendFlowMod(nil, 0, &mod)[48+len(match):]
	}
	b := binary.BigEndian.AppendUint16(nil, uint16(48+len(match)+len(content)))
	b = append(b, byte(f.Table), 0, 0, 0, 0, 7, 0, 0, 0, 0)
	for _, v := range []uint16{f.Priority, f.IdleTimeout, f.HardTimeout, flags, 0, 0} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for _, v := range []uint64{f.Cookie, 5, 500} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return append(append(b, match...), content...)
}

// replyOf returns an OFPT_MULTIPART_REPLY of entries.
func replyOf(entries ...[]byte) []byte {
	b := []byte{of.Version, byte(of.TypeMultipartReply), 0, 0, 0, 0, 0, 9, 0, 1, 0, 0, 0, 0, 0, 0}
	for _, e := range entries {
		b = append(b, e...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

func TestEncodedFlowsDecodeToThemselves(t *testing.T) {
	var entries [][]byte
	var want []of.FlowStats
	for _, c := range flowCases {
		f := c.mod.Flow
		entries = append(entries, entryOf(f, 0))
		want = append(want, of.FlowStats{Flow: f, Known: true, Whole: true, DurationSec: 7, Packets: 5, Bytes: 500})
		got, err := of.AppendFlowStats(nil, replyOf(entries[len(entries)-1]))
		if err != nil || len(got) != 1 || got[0] != want[len(want)-1] {
			t.Errorf("%s: AppendFlowStats = %+v, %v; want %+v", c.name, got, err, f)
		}
	}
	got, err := of.AppendFlowStats(nil, replyOf(entries...))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("AppendFlowStats of all: %v (-want +got):\n%s", err, diff)
	}
}

func TestEveryFieldIsDecodedWhereverItCanStand(t *testing.T) {
	for f := of.FieldNone + 1; f.Bits() != 0; f++ {
		all := ^uint64(0) >> (64 - f.Bits())
		want := of.Flow{Actions: of.ActionList(
			of.Action{Kind: of.ActionSetField, Field: f, Value: all - 1},
			of.Load(all, f, 0, f.Bits()),
			of.Load(1, f, f.Bits()-1, 1),
			of.Move(f, f),
			of.Action{Kind: of.ActionMove, Field: f, Field2: f, Ofs: f.Bits() - 1, Ofs2: 1, Bits: 1},
		)}
		got, err := of.AppendFlowStats(nil, replyOf(entryOf(want, 0)))
		if err != nil || len(got) != 1 || got[0].Flow != want || !got[0].Whole {
			t.Errorf("%s: AppendFlowStats = %+v, %v; want %s", f, got, err, want)
		}
	}
}

// unhex returns the bytes of hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// apply returns an apply-actions instruction.
func apply(actions []byte) []byte {
	b := []byte{0, 4, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(8+len(actions)))
	return append(b, actions...)
}

func TestFlowStatsAreWholeOnlyWithoutALoss(t *testing.T) {
	const goto2, out9 = "0001 0008 02 000000", "0000 0010 00000009 0000 000000000000"
	drop := of.Flow{}
	to2 := of.Flow{Goto: 2}
	out := of.Flow{Actions: of.ActionList(of.Output(9))}
	for _, c := range []struct {
		name         string
		instructions string
		actions      string // of an apply-actions after the instructions
		want         of.Flow
		whole        bool
	}{
		{"nothing", "", "", drop, true},
		{"an apply-actions without actions", "0004 0008 00000000", "", drop, true},
		{"goto", goto2, "", to2, true},
		{"goto before actions", goto2, out9, of.Flow{Actions: out.Actions, Goto: 2}, true},
		{"goto twice", goto2 + goto2, "", to2, false},
		{"goto to no later table", "0001 0008 00 000000", "", drop, false},
		{"goto of 16 bytes", "0001 0010 02 000000 0000000000000000", "", drop, false},
		{"meter 0", "0006 0008 00000000", "", drop, false},
		{"meter twice", "0006 0008 00000001 0006 0008 00000002", "", of.Flow{Meter: 1}, false},
		{"write metadata of 16 bytes", "0002 0010 00000000 0000000000000001", "", drop, false},
		{"write no metadata", "0002 0018 00000000 0000000000000001 0000000000000000", "", drop, false},
		{"write metadata twice", strings.Repeat("0002 0018 00000000 0000000000000001 0000000000000003", 2), "",
			of.Flow{WriteMetadata: of.Masked[uint64](1, 3)}, false},
		{"write actions", "0003 0018 00000000" + out9, "", drop, false},
		{"clear actions", "0005 0008 00000000", out9, out, false},
		{"an experimenter's instruction", "ffff 0010 00002320 0000000000000000", out9, out, false},
		{"actions twice", "0004 0018 00000000 0000 0010 00000009 0000 000000000000", "0000 0010 0000000a 0000 000000000000", out, false},
		{"output with a length to send, which means nothing", "", "0000 0010 00000009 ffff 000000000000", out, true},
		{"output to the controller", "", "0000 0010 fffffffd ffff 000000000000", of.Flow{Actions: of.ActionList(of.ToController())}, true},
		{"output to the controller, cut", "", "0000 0010 fffffffd 0080 000000000000", drop, false},
		{"output of 8 bytes", "", "0000 0008 00000009", drop, false},
		{"unknown action between others", "", "0019 0010 80001804 0a010109 00000000 000d 0008 00000001" + out9,
			of.Flow{Actions: of.ActionList(of.Action{Kind: of.ActionSetField, Field: of.FieldIPDst, Value: 0x0a010109}, of.Output(9))}, false},
		{"set a field that there is none of", "", "0019 0010 80001001 05 00000000000000", drop, false},
		{"set a field under a mask", "", "0019 0018 80001908 0a000000 ff000000 00000000 00000000", drop, false},
		{"group of 16 bytes", "", "0016 0010 00000001 0000000000000000", drop, false},
		{"dec_ttl of 16 bytes", "", "0018 0010 00000000 0000000000000000", drop, false},
		{"mod_nw_ttl of 16 bytes", "", "0017 0010 40000000 0000000000000000", drop, false},
		{"move", "", "ffff 0018 00002320 0006 0010 0000 0000 00001202 00001402",
			of.Flow{Actions: of.ActionList(of.Move(of.FieldTCPSrc, of.FieldTCPDst))}, true},
		{"move beyond the field", "", "ffff 0018 00002320 0006 0010 0001 0000 00001202 00001402", drop, false},
		{"move of nothing", "", "ffff 0018 00002320 0006 0000 0000 0000 00001202 00001402", drop, false},
		{"move of another field", "", "ffff 0018 00002320 0006 0004 0000 0000 00001202 00010804", drop, false},
		{"move of 16 bytes", "", "ffff 0010 00002320 0006 0010 0000 0000", drop, false},
		{"load", "", "ffff 0018 00002320 0007 000f 00001402 0000000000000050",
			of.Flow{Actions: of.ActionList(of.Load(0x50, of.FieldTCPDst, 0, 16))}, true},
		{"load of more than its bits", "", "ffff 0018 00002320 0007 000f 00001402 0000000000010050", drop, false},
		{"load beyond the field", "", "ffff 0018 00002320 0007 004f 00001402 0000000000000050", drop, false},
		{"load of another field", "", "ffff 0018 00002320 0007 000f 00010804 0000000000000050", drop, false},
		{"resubmit", "", "ffff 0010 00002320 000e fff8 05 000000", drop, false},
		{"another experimenter's action", "", "ffff 0018 4f4e4600 0006 0010 0000 0000 00001202 00001402", drop, false},
		{"an experimenter's action without content", "", "ffff 0008 00002320", drop, false},
		{"13 actions", "", strings.Repeat(out9, of.MaxActions+1), of.Flow{Actions: twelveOutputs()}, false},
		{"12 actions", "", strings.Repeat(out9, of.MaxActions), of.Flow{Actions: twelveOutputs()}, true},
	} {
		content := unhex(t, c.instructions)
		if c.actions != "" {
			content = append(content, apply(unhex(t, c.actions))...)
		}
		got, err := of.AppendFlowStats(nil, replyOf(entryOf(of.Flow{}, 0, content...), entryOf(of.Flow{}, 0)))
		if err != nil || len(got) != 2 || got[0].Flow != c.want || got[0].Whole != c.whole || !got[0].Known || !got[1].Whole {
			t.Errorf("%s: AppendFlowStats = %+v, whole %v, %v; want %s, whole %v", c.name, got, got[0].Whole, err, c.want, c.whole)
		}
	}
}

func twelveOutputs() (as of.Actions) {
	for i := range as {
		as[i] = of.Output(9)
	}
	return as
}

func TestFlowStatsWithFlagsOrAnUnknownMatchAreNotWhole(t *testing.T) {
	stranger := entryOf(of.Flow{}, 0)
	stranger = append(stranger[:48:48], 0, 1, 0, 10, 0x80, 0, 0x22, 2, 0, 53, 0, 0, 0, 0, 0, 0) // sctp port 53
	stranger[1] = byte(len(stranger))
	got, err := of.AppendFlowStats(nil, replyOf(entryOf(of.Flow{Goto: 2}, 1), stranger))
	if err != nil || len(got) != 2 || got[0].Whole || got[1].Whole || !got[0].Known || got[1].Known {
		t.Errorf("AppendFlowStats = %#v, %v; want one with a known match, none whole", got, err)
	}
}

func TestLearnActionsDecodeToThemselves(t *testing.T) {
	for _, l := range []of.Learn{
		{Proto: of.ProtoTCP, DstBits: 16, InPort: of.PortLocal},
		{Proto: of.ProtoUDP, DstBits: 1, InPort: 0xfeff, Limit: 1},
		{Proto: of.ProtoTCP, DstBits: 7, InPort: 1, Limit: 1 << 31, Table: 254, Priority: 65535, IdleTimeout: 65535, Cookie: ^uint64(0)},
	} {
		want := of.Flow{Actions: of.ActionList(of.Output(1), of.Action{Kind: of.ActionLearn}), Learn: l}
		got, err := of.AppendFlowStats(nil, replyOf(entryOf(want, 0)))
		if err != nil || len(got) != 1 || got[0].Flow != want || !got[0].Whole {
			t.Errorf("AppendFlowStats = %+v, %v; want %s", got, err, want)
		}
		want.Actions = of.ActionList(of.Action{Kind: of.ActionLearn}, of.Action{Kind: of.ActionLearn}, of.Output(1))
		if got, err = of.AppendFlowStats(nil, replyOf(entryOf(want, 0))); err != nil || got[0].Flow == want || got[0].Whole {
			t.Errorf("two learn actions: AppendFlowStats = %+v, %v; want one of them, not whole", got, err)
		}
	}
}

func TestLearnActionsOutOfRangeAreLeftOut(t *testing.T) {
	for _, l := range []of.Learn{
		{Proto: of.ProtoTCP, DstBits: 0, InPort: 1},
		{Proto: of.ProtoTCP, DstBits: 17, InPort: 1},
		{Proto: 47, DstBits: 16, InPort: 1},
	} {
		f := of.Flow{Actions: of.ActionList(of.Action{Kind: of.ActionLearn}, of.Output(1)), Learn: l}
		got, err := of.AppendFlowStats(nil, replyOf(entryOf(f, 0)))
		if want := (of.Flow{Actions: of.ActionList(of.Output(1))}); err != nil || len(got) != 1 || got[0].Flow != want || got[0].Whole {
			t.Errorf("AppendFlowStats = %+v, %v; want %s, not whole", got, err, want)
		}
	}
}

// A learn action that is not just as Learn would be encoded is left out.
func TestOnlyOurLearnActionsAreDecoded(t *testing.T) {
	for _, c := range flowCases {
		if c.mod.Flow.Learn.Proto == 0 {
			continue
		}
		entry := entryOf(c.mod.Flow, 0)
		start := 48 + len(matchOf(c.mod.Flow.Match)) + 8 // of the learn action
		end := len(entry) - 16                           // the output stands behind it
		for i := start + 4; i < end; i++ {
			b := append([]byte(nil), entry...)
			b[i] ^= 0x40
			got, err := of.AppendFlowStats(nil, replyOf(b))
			if err != nil || len(got) != 1 {
				t.Fatalf("%s, byte %d changed: %v", c.name, i-start, err)
			}
			if f := got[0]; f.Flow == c.mod.Flow || f.Whole && string(entryOf(f.Flow, 0)) != string(b) {
				t.Errorf("%s, byte %d changed: AppendFlowStats = %s, whole %v", c.name, i-start, f.Flow, f.Whole)
			}
		}
	}
}

func TestFlowStatsRefuseInstructionsThatDoNotFit(t *testing.T) {
	for _, c := range []struct{ name, content string }{
		{"length 0", "0001 0000 02 000000"},
		{"length 4", "0001 0004 02 000000"},
		{"length 12", "0001 000c 02 000000 00000000"},
		{"longer than the entry", "0001 0010 02 000000"},
		{"cut", "0001 00"},
		{"half an instruction behind a whole one", "0001 0008 02 000000 0001 0008"},
		{"action of length 0", "0004 0010 00000000 0016 0000 00000001"},
		{"action of length 12", "0004 0014 00000000 0016 000c 00000001 00000000"},
		{"action of length 12 in whole instructions", "0004 0020 00000000 0016 000c 00000001 00000000 0016 000c 00000001 00000000"},
		{"action of length 4", "0004 0010 00000000 0016 0004 00000001"},
		{"action longer than its instruction", "0004 0010 00000000 0016 0010 00000001 0001 0008 02 000000"},
		{"action not fitting behind twelve", "0004 00d0 00000000" + strings.Repeat("0000 0010 00000009 0000 000000000000", 12) + "0016 0010 00000001"},
	} {
		before := []of.FlowStats{{Packets: 1}}
		got, err := of.AppendFlowStats(before, replyOf(entryOf(of.Flow{}, 0), entryOf(of.Flow{}, 0, unhex(t, c.content)...)))
		if err == nil || len(got) != 1 || got[0] != before[0] {
			t.Errorf("%s: AppendFlowStats = %+v, %v; want an error and nothing added", c.name, got, err)
		}
	}
}

// captured is an entry of flow statistics from Open vSwitch: the flow it decodes
// to, whether that is all of it, and its bytes.
type captured struct {
	flow  string
	whole bool
	entry []byte
}

func readCaptured(t testing.TB) (all []captured) {
	t.Helper()
	b, err := os.ReadFile("testdata/flow-stats-hex.txt")
	if err != nil {
		t.Fatal(err)
	}
	var c captured
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if flow, ok := strings.CutPrefix(line, "# whole: "); ok {
			c = captured{flow: flow, whole: true}
		} else if flow, ok := strings.CutPrefix(line, "# part: "); ok {
			c = captured{flow: flow}
		} else if c.flow != "" {
			c.entry = unhex(t, line)
			all, c = append(all, c), captured{}
		}
	}
	if len(all) < 30 {
		t.Fatalf("%d captured entries", len(all))
	}
	return all
}

func TestFlowStatsOfOpenVSwitch(t *testing.T) {
	var entries [][]byte
	all := readCaptured(t)
	for _, c := range all {
		entries = append(entries, c.entry)
	}
	got, err := of.AppendFlowStats(nil, replyOf(entries...))
	if err != nil || len(got) != len(all) {
		t.Fatalf("AppendFlowStats has %d flows of %d, %v", len(got), len(all), err)
	}
	for i, c := range all {
		if got[i].Flow.String() != c.flow || got[i].Whole != c.whole {
			t.Errorf("AppendFlowStats of %x = %s, whole %v\nwant %s, whole %v", c.entry, got[i].Flow, got[i].Whole, c.flow, c.whole)
		}
	}
}
