package ofswitch_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// inboxLimits are those that the controller has, more or less.
var inboxLimits = ofswitch.FairLimits{PerKey: 512, PerGroup: 4096, Total: 65536}

// lifted is a handler that only takes packets.
type lifted struct {
	up  chan *ofswitch.Switch
	add func(sw *ofswitch.Switch, in of.PacketIn)
}

func newLifted(add func(*ofswitch.Switch, of.PacketIn)) lifted {
	return lifted{make(chan *ofswitch.Switch, 16), add}
}

func (l lifted) SwitchUp(sw *ofswitch.Switch)                 { l.up <- sw }
func (l lifted) SwitchDown(*ofswitch.Switch, error)           {}
func (l lifted) BatchDone(*ofswitch.Switch, uint64, error)    {}
func (l lifted) PacketIn(sw *ofswitch.Switch, in of.PacketIn) { l.add(sw, in) }

// listen serves h over TCP and returns a function that connects one more switch.
func listen(t *testing.T, h ofswitch.Handler) (dial func(dpid uint64) *peer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ofswitch.Config{Handler: h}, ln)
	return func(dpid uint64) *peer {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, conn)
		p.handshake(dpid)
		return p
	}
}

const (
	flooded  = 100_000 // packets of the flooding port
	victims  = 100     // packets of the other
	lastWord = 77      // port of the packet behind all of them
)

// flood writes the packets of port 1, with those of port 2 among them, each with
// its number, and one of another port behind them.
func (p *peer) flood() {
	number := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	var b []byte
	for i := range flooded {
		b = append(b, packetIn(1, number(i))...)
		if i%(flooded/victims) == 0 {
			b = append(b, packetIn(2, number(i/(flooded/victims)))...)
			p.write(b)
			b = b[:0]
		}
	}
	p.write(append(b, packetIn(lastWord, nil)...))
}

// TestFloodedInboxServesTheOtherPort reads a whole flood before it serves any of
// it, as an engine that stands still for that long would.
func TestFloodedInboxServesTheOtherPort(t *testing.T) {
	inbox := ofswitch.NewInbox(inboxLimits)
	full := make(chan of.PacketIn, inboxLimits.PerGroup) // the guard out: the first come is the first served
	read := make(chan struct{})
	h := newLifted(func(sw *ofswitch.Switch, in of.PacketIn) {
		inbox.Add(sw.DPID(), in)
		in.Frame = bytes.Clone(in.Frame)
		select {
		case full <- in:
		default:
		}
		if in.InPort == lastWord {
			close(read)
		}
	})
	p := listen(t, h)(7)
	p.flood()
	<-read
	next, got := uint32(0), 0
	for turn := 1; ; turn++ {
		l, ok := inbox.Next()
		if !ok {
			break
		}
		got++
		if l.In.InPort != 2 {
			continue
		}
		if n := binary.BigEndian.Uint32(l.In.Frame); n != next || turn > 3*(int(n)+1) {
			t.Fatalf("packet %d of the victim came at turn %d as its number %d; want it in order, once in three turns", n, turn, next)
		}
		next++
	}
	if next != victims {
		t.Errorf("%d of the victim's packets came; want %d", next, victims)
	}
	if d := inbox.TakeDrops(); d.Packets != uint64(flooded+victims+1-got) || d.Packets != inbox.Dropped() || d.DPID != 7 || d.OfSwitch != d.Packets || d.LastPort != 1 {
		t.Errorf("of %d packets %d came, and the drops are %+v", flooded+victims+1, got, d)
	}
	if d := inbox.TakeDrops(); d != (ofswitch.Drops{}) {
		t.Errorf("drops since then: %+v; want none", d)
	}
	survived := 0
	for close(full); len(full) > 0; {
		if in := <-full; in.InPort == 2 {
			survived++
		}
	}
	if survived > victims/10 {
		t.Errorf("without the guard %d of %d packets survived; the hazard is not there", survived, victims)
	}
}

// TestInboxServesWhileItFills serves floods of several switches as they come: no
// packet of a port that stays below its bound is lost, and each port's keep their
// order.
func TestInboxServesWhileItFills(t *testing.T) {
	const switches = 3
	inbox := ofswitch.NewInbox(inboxLimits)
	h := newLifted(func(sw *ofswitch.Switch, in of.PacketIn) { inbox.Add(sw.DPID(), in) })
	dial := listen(t, h)
	for dpid := range uint64(switches) {
		p := dial(dpid + 1)
		go p.flood()
	}
	type port struct {
		dpid uint64
		port of.PortNo
	}
	last := make(map[port]int64)
	came := make(map[port]int)
	for ended := 0; ended < switches; {
		l, ok := inbox.Next()
		if !ok {
			<-inbox.Ready()
			continue
		}
		if l.In.InPort == lastWord {
			ended++
			continue
		}
		k := port{l.DPID, l.In.InPort}
		n := int64(binary.BigEndian.Uint32(l.In.Frame)) + 1
		if n <= last[k] {
			t.Fatalf("packet %d of %v came after %d", n-1, k, last[k]-1)
		}
		last[k] = n
		came[k]++
	}
	for l, ok := inbox.Next(); ok; l, ok = inbox.Next() { // what a port had left when the last word came
		came[port{l.DPID, l.In.InPort}]++
	}
	total := uint64(0)
	for k, n := range came {
		total += uint64(n)
		if k.port == 2 && n != victims {
			t.Errorf("%d packets of %v came; want %d", n, k, victims)
		}
	}
	if want := uint64(switches * (flooded + victims)); total+inbox.Dropped() != want {
		t.Errorf("%d packets came and %d were dropped; want %d in all", total, inbox.Dropped(), want)
	}
}

func TestInboxBoundsTheMemoryOfFrames(t *testing.T) {
	inbox := ofswitch.NewInbox(inboxLimits)
	jumbo := of.PacketIn{InPort: 1, Frame: make([]byte, 64000)}
	for range 1000 {
		inbox.Add(1, jumbo)
	}
	kept := 0
	for l, ok := inbox.Next(); ok; l, ok = inbox.Next() {
		kept += len(l.In.Frame)
	}
	if kept == 0 || kept > inboxLimits.PerKey*ofswitch.FrameUnit {
		t.Errorf("one port keeps %d bytes; want at most %d", kept, inboxLimits.PerKey*ofswitch.FrameUnit)
	}
}

func TestInboxCopiesFrames(t *testing.T) {
	inbox := ofswitch.NewInbox(inboxLimits)
	frame := []byte("first")
	inbox.Add(1, of.PacketIn{InPort: 1, Frame: frame})
	copy(frame, "other")
	if l, _ := inbox.Next(); string(l.In.Frame) != "first" {
		t.Errorf("Next = %q; want first", l.In.Frame)
	}
}

func TestInboxTellsOfHeldPacketsWhenTheyAreReleased(t *testing.T) {
	inbox := ofswitch.NewInbox(inboxLimits)
	inbox.Hold(1, 5)
	inbox.Add(1, of.PacketIn{InPort: 5})
	<-inbox.Ready()
	if l, ok := inbox.Next(); ok {
		t.Fatalf("Next = %+v of a held port", l)
	}
	inbox.Release(1, 5)
	<-inbox.Ready()
	if _, ok := inbox.Next(); !ok {
		t.Error("the packet did not come after its port's release")
	}
	inbox.Hold(1, 5)
	inbox.Add(1, of.PacketIn{InPort: 5})
	inbox.Forget(1)
	inbox.Add(1, of.PacketIn{InPort: 5})
	if _, ok := inbox.Next(); !ok {
		t.Error("a hold outlived Forget")
	}
	if l, ok := inbox.Next(); ok {
		t.Errorf("Next = %+v; want what was forgotten to be gone", l)
	}
}
