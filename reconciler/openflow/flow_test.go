package openflow_test

import (
	"bytes"
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

func TestEveryFieldHasNamesAndAWidth(t *testing.T) {
	for f := of.FieldInPort; f <= of.FieldReg0; f++ {
		if f.String() == "" || f.NXMName() == "" || f.Bits()%8 != 0 || f.Bits() == 0 || f.Bits() > 48 {
			t.Errorf("field %d: %q, %q, %d bits", f, f, f.NXMName(), f.Bits())
		}
	}
	if f := of.FieldReg0 + 1; f.Bits() != 0 || f.String() != "" {
		t.Errorf("field %d exists: %q, %d bits", f, f, f.Bits())
	}
}

func TestPacketOutBeyondTheLongestMessageIsLeftOut(t *testing.T) {
	before := of.AppendHello(nil, 1)
	overhead := len(of.AppendPacketOut(nil, 1, &of.PacketOut{Actions: of.ActionList(of.Output(1))}))
	for _, c := range []struct {
		frame int
		want  int // bytes appended
	}{
		{of.MaxMessageLen - overhead, of.MaxMessageLen},
		{of.MaxMessageLen - overhead + 1, 0},
		{1 << 20, 0},
	} {
		p := of.PacketOut{Actions: of.ActionList(of.Output(1)), Frame: make([]byte, c.frame)}
		got := of.AppendPacketOut(before, 2, &p)
		if len(got) != len(before)+c.want || !bytes.HasPrefix(got, before) {
			t.Errorf("AppendPacketOut with a frame of %d appended %d bytes; want %d", c.frame, len(got)-len(before), c.want)
		}
	}
}

func TestMessageTextFindsTheMessageByItsPlaceInTheBatch(t *testing.T) {
	b := of.Batch{
		Meters:  []of.MeterMod{{ID: 1}, {ID: 2, Delete: true}},
		Groups:  []of.GroupMod{{ID: 3, Delete: true}},
		Flows:   []of.FlowMod{of.Add(sessionFlow), of.DeleteByCookie(5, 5)},
		Packets: []of.PacketOut{{Frame: []byte{1, 2}}},
	}
	want := []string{
		"meter " + b.Meters[0].String(), "meter delete meter=2", "group delete group_id=3", "flow " + sessionFlow.String(),
		"flow delete cookie=0x5/0x5", "packet in_port=CONTROLLER,packet=0102,actions=drop",
	}
	if b.Messages() != len(want) {
		t.Errorf("Messages() = %d; want %d", b.Messages(), len(want))
	}
	for i, text := range want {
		if got := b.MessageText(i); got != text {
			t.Errorf("MessageText(%d) = %q; want %q", i, got, text)
		}
	}
	for _, outside := range []int{-1, len(want)} {
		if got := b.MessageText(outside); got != "" {
			t.Errorf("MessageText(%d) = %q; want none", outside, got)
		}
	}
	// Each message has the xid of its place.
	const first = 100
	var seen []uint32
	for rest := of.AppendBatch(nil, first, &b); len(rest) > 0; {
		h, err := of.ParseHeader(rest)
		if err != nil {
			t.Fatal(err)
		}
		if len(seen) == 0 || seen[len(seen)-1] != h.Xid {
			seen = append(seen, h.Xid)
		}
		rest = rest[h.Length:]
	}
	for i, xid := range seen {
		if xid != first+uint32(i) {
			t.Errorf("message %d has xid %d; want %d", i, xid, first+i)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("batch has %d xids; want %d", len(seen), len(want))
	}
}
