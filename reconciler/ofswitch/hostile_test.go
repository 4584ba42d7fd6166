package ofswitch_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

func TestMessagesMayArriveInAnyPieces(t *testing.T) {
	r, p, _ := connected(t, ofswitch.Config{})
	var stream []byte
	for i := range 20 {
		stream = append(stream, packetIn(of.PortNo(i+1), bytes.Repeat([]byte{byte(i)}, i*97))...)
	}
	stream = append(stream, packetIn(21, make([]byte, of.MaxMessageLen-len(packetIn(21, nil))))...) // the longest there is
	go func() {
		if _, err := io.Copy(p.conn, iotest.OneByteReader(bytes.NewReader(stream[:4000]))); err != nil {
			t.Error(err)
		}
		p.write(stream[4000:])
	}()
	for i := range 20 {
		e := r.want(t, "packet")
		if e.in.InPort != of.PortNo(i+1) || !bytes.Equal(e.in.Frame, bytes.Repeat([]byte{byte(i)}, i*97)) {
			t.Errorf("packet %d came as %d bytes from port %d", i, len(e.in.Frame), e.in.InPort)
		}
	}
	r.want(t, "packet")
}

func TestBrokenMessageCostsOnlyItself(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{})
	broken := packetIn(1, []byte("frame"))
	binary.BigEndian.PutUint16(broken[12:], 500) // the packet's length
	p.write(broken)
	p.write(message(of.TypeError, 1))
	p.write(message(of.TypeMultipartReply, 1))
	p.write(message(of.TypePacketIn, 1))
	p.write(packetIn(2, []byte("frame")))
	if e := r.want(t, "packet"); e.in.InPort != 2 {
		t.Errorf("packet of port %d came; want 2", e.in.InPort)
	}
	if c := sw.Counters(); c.Malformed != 4 || c.PacketIns != 1 {
		t.Errorf("counters %+v; want 4 malformed messages and 1 packet-in", c)
	}
}

func TestUnknownMessagesAreCountedAndDropped(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{})
	roleStatus := message(of.TypeExperimenter, 0, append([]byte{0x4f, 0x4e, 0x46, 0, 0, 0, 0x07, 0x77}, make([]byte, 16)...)...)
	p.write(roleStatus)
	p.write(message(99, 0, 1, 2, 3))
	p.write(message(of.TypePortStatus, 0))
	p.write(message(of.TypeFlowRemoved, 0))
	p.write(packetIn(2, nil))
	r.want(t, "packet")
	if c := sw.Counters(); c.Unwanted != 2 || c.Malformed != 0 {
		t.Errorf("counters %+v; want 2 unwanted messages", c)
	}
}

func TestPanicOfTheHandlerCostsOneMessage(t *testing.T) {
	r := newRecorder()
	r.onPacket = func(_ *ofswitch.Switch, in of.PacketIn) {
		if in.InPort == 1 {
			panic("handler")
		}
	}
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r}, ln)
	p := newPeer(t, ln.dial())
	p.handshake(7)
	sw := r.want(t, "up").sw
	p.write(packetIn(1, nil))
	p.write(packetIn(2, nil))
	r.want(t, "packet")
	r.want(t, "packet")
	if c := sw.Counters(); c.Panics != 1 {
		t.Errorf("counters %+v; want 1 panic", c)
	}
}

// TestLogOfAFloodIsALineASecondOfEachKind sends what can't be decoded, what makes
// the handler panic, and errors about nothing, a hundred times each.
func TestLogOfAFloodIsALineASecondOfEachKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer // written by the reader only
		r := newRecorder()
		r.onPacket = func(_ *ofswitch.Switch, in of.PacketIn) {
			if in.InPort == 1 {
				panic("handler")
			}
		}
		ln := newPipes()
		stop := serve(t, ofswitch.Config{Handler: r, Logger: slog.New(slog.NewJSONHandler(&log, nil))}, ln)
		p := newPeer(t, ln.dial())
		p.handshake(7)
		sw := r.want(t, "up").sw
		flood := func(n uint64) {
			for range n {
				p.write(message(of.TypePacketIn, 1))
				p.write(packetIn(1, nil))
				p.write(errorMessage(9999, 1, 1))
			}
		}
		flood(100)
		time.Sleep(time.Second)
		flood(1)
		p.write(packetIn(2, nil))
		for e := r.want(t, "packet"); e.in.InPort != 2; e = r.want(t, "packet") {
		}
		if c := sw.Counters(); c.Malformed != 101 || c.Panics != 101 || c.Errors != 101 {
			t.Errorf("counters %+v; want 101 of each", c)
		}
		stop()
		for _, msg := range []string{"message dropped", "message panicked", "switch refused a message"} {
			if n := strings.Count(log.String(), `"msg":"`+msg+`"`); n != 2 {
				t.Errorf("%q was logged %d times in 2 seconds; want twice:\n%s", msg, n, &log)
			}
		}
		if n := strings.Count(log.String(), `"unlogged":99`); n != 3 {
			t.Errorf("%d lines tell of the 99 before them; want 3:\n%s", n, &log)
		}
	})
}

func TestStreamThatCannotBeFramedEnds(t *testing.T) {
	half := packetIn(1, []byte("frame"))
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"length 0", []byte{4, 10, 0, 0, 0, 0, 0, 0}},
		{"length 7", []byte{4, 10, 0, 7, 0, 0, 0, 0}},
		{"another version", []byte{1, 10, 0, 8, 0, 0, 0, 0}},
		{"text", []byte("hello, this is not OpenFlow")},
	} {
		r, p, _ := connected(t, ofswitch.Config{})
		go p.conn.Write(c.b)
		if e := r.want(t, "down"); e.err == nil {
			t.Errorf("%s: down without a reason", c.name)
		}
		r.none(t)
	}
	r, p, _ := connected(t, ofswitch.Config{})
	p.write(half[:len(half)-1])
	p.conn.Close()
	if e := r.want(t, "down"); e.err == nil {
		t.Error("half a message: down without a reason")
	}
	r.none(t)
}

func TestFloodKeepsItsOrderOverTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRecorder()
	serve(t, ofswitch.Config{Handler: r}, ln)
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, conn)
	p.handshake(7)
	r.want(t, "up")
	const n = 20_000
	go func() {
		for i := range n {
			p.write(packetIn(1, binary.BigEndian.AppendUint32(nil, uint32(i))))
		}
	}()
	for i := range uint32(n) {
		if e := r.want(t, "packet"); binary.BigEndian.Uint32(e.in.Frame) != i {
			t.Fatalf("packet %d came when %d was due", binary.BigEndian.Uint32(e.in.Frame), i)
		}
	}
}

func TestGarbageOfOneSwitchLeavesTheOthersAlone(t *testing.T) {
	r := newRecorder()
	ln := newPipes()
	serve(t, ofswitch.Config{Handler: r}, ln)
	good := newPeer(t, ln.dial())
	good.handshake(1)
	r.want(t, "up")
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 50 {
		bad := newPeer(t, ln.dial())
		go bad.handshake(uint64(100 + i))
		sw := r.want(t, "up").sw
		go io.Copy(io.Discard, bad.in)
		b := make([]byte, 1000)
		for k := range b {
			b[k] = byte(random.Uint32())
		}
		bad.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
		bad.conn.Write(b)
		bad.conn.Close()
		for e := (event{}); e.kind != "down" || e.sw != sw; {
			e = <-r.events
		}
	}
	good.write(packetIn(3, nil))
	if e := r.want(t, "packet"); e.in.InPort != 3 || e.sw.DPID() != 1 {
		t.Errorf("packet of port %d of switch %d; want 3 of 1", e.in.InPort, e.sw.DPID())
	}
}

// FuzzConnection gives any bytes to a connection, from its start or behind a
// handshake: it must end when they do, with the server still serving.
func FuzzConnection(f *testing.F) {
	f.Add(false, of.AppendHello(nil, 1))
	f.Add(false, append(of.AppendHello(nil, 1), featuresReply(2, 7)...))
	f.Add(true, packetIn(1, []byte("frame")))
	f.Add(true, append(packetIn(1, nil), statsReply(6, true, 1)...))
	f.Add(true, append(errorMessage(6, 12, 2), message(of.TypeBarrierReply, 7)...))
	f.Add(true, message(of.TypeExperimenter, 0, 0x4f, 0x4e, 0x46, 0, 0, 0, 7, 0x77))
	f.Add(true, []byte{4, 10, 0, 7, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, up bool, b []byte) {
		r := newRecorder()
		ln := newPipes()
		stop := serve(t, ofswitch.Config{Handler: r}, ln)
		p := newPeer(t, ln.dial())
		if up {
			p.handshake(7)
			sw := r.want(t, "up").sw
			if err := sw.Send(of.Batch{DPID: 7, Token: 1, Flows: []of.FlowMod{of.Add(aFlow)}}); err != nil {
				t.Fatal(err)
			}
		}
		go io.Copy(io.Discard, p.in)
		p.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		p.conn.Write(b)
		p.conn.Close()
		if up {
			for e := (event{}); e.kind != "down"; {
				e = <-r.events
			}
		}
		stop()
	})
}
