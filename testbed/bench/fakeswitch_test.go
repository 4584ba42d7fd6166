package bench

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

var everything = openflow.StatsFilter{Table: openflow.AllTables}

// dump reads what a flow table answers as a switch's statistics are read.
func dump(t *testing.T, ft *flowTable, filter openflow.StatsFilter) []openflow.FlowStats {
	t.Helper()
	var all []openflow.FlowStats
	for _, body := range ft.stats(filter) {
		head := []byte{0, byte(openflow.MultipartFlow), 0, 0, 0, 0, 0, 0}
		var err error
		if all, err = openflow.AppendFlowStats(all, appendMessage(nil, openflow.TypeMultipartReply, 1, append(head, body...))); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestFlowTableTellsTheFlowsThatItWasGiven(t *testing.T) {
	ft := newFlowTable()
	apply := func(m openflow.FlowMod) { ft.apply(openflow.AppendFlowMod(nil, 1, &m)) }
	first := ourFlowMod().Flow
	second := first
	second.Cookie++
	second.Match.L4Dst = openflow.Exact[uint16](5433)
	apply(openflow.Add(first))
	apply(openflow.Add(second))
	apply(openflow.Add(second)) // the same again
	one, two := dump(t, ft, everything), dump(t, ft, everything)
	if len(one) != 2 || len(two) != 2 {
		t.Fatalf("the table tells %d, then %d flows; want 2", len(one), len(two))
	}
	for i := range one {
		if one[i].Cookie == first.Cookie && (!one[i].Known || one[i].Match != first.Match || one[i].Priority != first.Priority || one[i].Table != first.Table) {
			t.Errorf("the table tells %+v; want %s", one[i], first)
		}
	}
	if two[0].Packets <= one[0].Packets || two[0].Bytes <= one[0].Bytes {
		t.Errorf("counters went from %d to %d packets; want them to rise", one[0].Packets, two[0].Packets)
	}
	for _, c := range []struct {
		filter openflow.StatsFilter
		want   int
	}{
		{openflow.StatsFilter{Table: first.Table}, 2},
		{openflow.StatsFilter{Table: first.Table + 1}, 0},
		{openflow.StatsFilter{Table: openflow.AllTables, Cookie: first.Cookie, CookieMask: ^uint64(0)}, 1},
		{openflow.StatsFilter{Table: openflow.AllTables, Cookie: first.Cookie, CookieMask: 0xff << 56}, 2},
		{openflow.StatsFilter{Table: openflow.AllTables, Cookie: 0, CookieMask: 0xff << 56}, 0},
	} {
		if n := len(dump(t, ft, c.filter)); n != c.want {
			t.Errorf("the table tells %d flows of %+v; want %d", n, c.filter, c.want)
		}
	}
	apply(openflow.DeleteByCookie(first.Cookie, ^uint64(0)))
	if left := dump(t, ft, everything); len(left) != 1 || left[0].Cookie != second.Cookie {
		t.Errorf("after a deletion by cookie the table tells %+v; want the other flow", left)
	}
	third := second
	third.Cookie++
	apply(openflow.Add(third)) // in the place of the second
	apply(openflow.DeleteByCookie(second.Cookie, ^uint64(0)))
	if left := dump(t, ft, everything); len(left) != 1 || left[0].Cookie != third.Cookie {
		t.Errorf("after a flow took another's place and that was deleted by its cookie, the table tells %+v; want the new one", left)
	}
	apply(openflow.DeleteStrict(third))
	if left := dump(t, ft, everything); len(left) != 0 {
		t.Errorf("after a strict deletion the table tells %+v; want nothing", left)
	}
}

func TestFlowTableParts(t *testing.T) {
	ft := newFlowTable()
	for port := range uint16(2000) {
		m := ourFlowMod()
		m.Flow.Match.L4Dst = openflow.Exact(port)
		ft.apply(openflow.AppendFlowMod(nil, 1, &m))
	}
	if parts := ft.stats(everything); len(parts) < 2 {
		t.Errorf("2000 flows come in %d part; want several", len(parts))
	}
	if n := len(dump(t, ft, everything)); n != 2000 {
		t.Errorf("the table tells %d flows; want 2000", n)
	}
}

func TestPacketInIsDecoded(t *testing.T) {
	frame := []byte("a frame of some length")
	in, err := openflow.DecodePacketIn(appendPacketIn([]byte("before"), 17, frame)[len("before"):])
	want := openflow.PacketIn{InPort: 17, Frame: frame}
	if d := cmp.Diff(want, in); err != nil || d != "" {
		t.Errorf("DecodePacketIn = %v (-want +got):\n%s", err, d)
	}
}

// TestFakeSwitchLiftsAsItIsAnswered has a window of two of five frames.
func TestFakeSwitchLiftsAsItIsAnswered(t *testing.T) {
	ours, theirs := net.Pipe()
	s := newFakeSwitch(7, theirs, newFlowTable())
	done := make(chan error, 1)
	go func() { done <- s.serve() }()
	if err := ours.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	expect := func(typ openflow.MessageType) {
		t.Helper()
		head := make([]byte, openflow.HeaderLen)
		if _, err := io.ReadFull(ours, head); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, ours, int64(binary.BigEndian.Uint16(head[2:]))-openflow.HeaderLen); err != nil || openflow.MessageType(head[1]) != typ {
			t.Fatalf("got message %d, %v; want %d", head[1], err, typ)
		}
	}
	say := func(b []byte) {
		t.Helper()
		if _, err := ours.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	expect(openflow.TypeHello)
	say(openflow.AppendFeaturesRequest(nil, 1))
	expect(openflow.TypeFeaturesReply)
	say(openflow.AppendSetConfig(nil, 2))
	<-s.up
	lifted := make(chan error, 1)
	go func() {
		lifted <- s.lift(2, func(n int) (uint32, []byte) {
			if n == 5 {
				return 0, nil
			}
			return 16, []byte{byte(n)}
		})
	}()
	expect(openflow.TypePacketIn)
	expect(openflow.TypePacketIn)
	if err := <-lifted; err != nil {
		t.Fatal(err)
	}
	out := openflow.PacketOut{Actions: openflow.ActionList(openflow.Output(1)), Frame: []byte{1}}
	for range 3 {
		say(openflow.AppendPacketOut(nil, 3, &out))
		expect(openflow.TypePacketIn)
	}
	say(openflow.AppendPacketOut(nil, 3, &out)) // there is no sixth frame
	say(openflow.AppendBarrierRequest(nil, 4))
	expect(openflow.TypeBarrierReply)
	if n := s.answers.Load(); n != 4 {
		t.Errorf("the switch counts %d answers; want 4", n)
	}
	ours.Close()
	if err := <-done; err != nil {
		t.Errorf("serve = %v; want nil after the connection ended", err)
	}
}

// TestEverySessionOfAFleetIsAnother checks the two ways in which frames are
// numbered: two of one key would be one session.
func TestEverySessionOfAFleetIsAnother(t *testing.T) {
	o := &ours{fleet: newFleet(8)}
	hosts := o.hosts
	for name, frame := range map[string]func(n int) []byte{
		"across hosts": func(n int) []byte { _, f := crossHost(hosts, 3, n); return f },
		"by number":    func(n int) []byte { _, _, f := o.numbered(n); return f },
	} {
		seen := map[[3]any]bool{}
		for n := range 10_000 {
			h, err := packet.Decode(frame(n))
			if err != nil {
				t.Fatal(err)
			}
			if key := [3]any{h.Src, h.Dst, h.DstPort}; seen[key] {
				t.Fatalf("%s: frame %d opens the session of an earlier one: %v", name, n, key)
			} else {
				seen[key] = true
			}
			if h.Src.As4()[2] == h.Dst.As4()[2] {
				t.Fatalf("%s: frame %d stays on its host", name, n)
			}
		}
	}
}
