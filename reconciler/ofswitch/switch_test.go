package ofswitch_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/daolinet/daolinet/reconciler/ofswitch"
	of "github.com/daolinet/daolinet/reconciler/openflow"
)

var aFlow = of.Flow{Table: 2, Priority: 201, Cookie: 5, Match: of.Match{InPort: 16}, Actions: of.ActionList(of.Output(1))}

func TestSendKeepsTheOrderAndReportsTheBarrier(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{})
	err := sw.Send(of.Batch{
		DPID: 7, Token: 42,
		Meters:  []of.MeterMod{{ID: 16, Rate: 1000, Burst: 200}},
		Groups:  []of.GroupMod{{ID: 7, Actions: of.ActionList(of.Output(1))}},
		Flows:   []of.FlowMod{of.Add(aFlow)},
		Packets: []of.PacketOut{{Actions: of.ActionList(of.Output(16)), Frame: []byte("frame")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	add, _ := p.want(of.TypeMeterMod)
	modify, _ := p.want(of.TypeMeterMod)
	if add.Xid != modify.Xid {
		t.Errorf("a meter's messages have the xids %d and %d; want one", add.Xid, modify.Xid)
	}
	p.want(of.TypeGroupMod)
	_, flow := p.want(of.TypeFlowMod)
	mod := of.Add(aFlow)
	if want := of.AppendFlowMod(nil, binary.BigEndian.Uint32(flow[4:]), &mod); !bytes.Equal(flow, want) {
		t.Errorf("switch got %x; want %x", flow, want)
	}
	p.want(of.TypePacketOut)
	h, _ := p.want(of.TypeBarrierRequest)
	p.write(errorMessage(add.Xid, 12, 1)) // the meter was there
	r.none(t)
	p.write(message(of.TypeBarrierReply, h.Xid+1)) // a barrier of nobody
	p.write(message(of.TypeBarrierReply, h.Xid))
	if e := r.want(t, "done"); e.token != 42 || e.err != nil {
		t.Errorf("BatchDone(%d, %v); want 42 without an error", e.token, e.err)
	}
	if c := sw.Counters(); c.Unwanted != 1 || c.Errors != 0 {
		t.Errorf("counters %+v; want one unwanted message and no error", c)
	}
}

func TestBatchDoneJoinsWhatTheSwitchRefused(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{})
	for token := range uint64(3) {
		b := of.Batch{DPID: 7, Token: token + 1}
		for range 40 {
			b.Flows = append(b.Flows, of.Add(aFlow))
		}
		go sw.Send(b)
		var barrier of.Header
		for i := range 41 {
			h, _, err := p.read()
			if err != nil {
				t.Fatal(err)
			}
			if token == 1 && i < 20 {
				p.write(errorMessage(h.Xid, 2, 9))
			}
			barrier = h
		}
		p.write(message(of.TypeBarrierReply, barrier.Xid))
		e := r.want(t, "done")
		if e.token != token+1 {
			t.Errorf("BatchDone(%d); want %d", e.token, token+1)
		}
		if token != 1 {
			if e.err != nil {
				t.Errorf("batch %d: %v; want no error", e.token, e.err)
			}
			continue
		}
		var refused *of.ErrorMessage
		if !errors.As(e.err, &refused) || refused.Type != 2 || refused.Code != 9 {
			t.Errorf("batch %d: %v; want OFPBAC_BAD_OUT_GROUP", e.token, e.err)
		}
		want := "flow " + aFlow.String() + ": OFPBAC_BAD_OUT_GROUP"
		if got := fmt.Sprint(e.err); strings.Count(got, want) != 16 || !strings.Contains(got, "and 4 more") {
			t.Errorf("batch %d: error\n%s\nwant 16 times %q, and 4 more", e.token, got, want)
		}
	}
}

func TestErrorOfAMessageWithoutBatchIsOnlyCounted(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{})
	if err := sw.Send(of.Batch{DPID: 7, Flows: []of.FlowMod{of.Add(aFlow)}}); err != nil {
		t.Fatal(err)
	}
	h, _ := p.want(of.TypeFlowMod)
	p.write(errorMessage(h.Xid, 2, 9))
	p.write(packetIn(1, nil))
	r.want(t, "packet")
	if c := sw.Counters(); c.Errors != 1 {
		t.Errorf("counters %+v; want one error", c)
	}
}

func TestSendRefusesABatchForAnotherSwitch(t *testing.T) {
	_, _, sw := connected(t, ofswitch.Config{})
	if err := sw.Send(of.Batch{DPID: 8}); err == nil {
		t.Error("Send of a batch for switch 8 to switch 7 succeeded")
	}
}

func TestSendFromManyGoroutinesNeverMixesBatches(t *testing.T) {
	_, p, sw := connected(t, ofswitch.Config{})
	const senders, batches, flows = 8, 50, 5
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range batches {
				b := of.Batch{DPID: 7}
				for k := range flows {
					f := aFlow
					f.Cookie = uint64(i)<<32 | uint64(n)<<16 | uint64(k)
					b.Flows = append(b.Flows, of.Add(f))
				}
				if err := sw.Send(b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [senders]uint64
	for range senders * batches {
		var first uint64
		for k := range flows {
			_, m := p.want(of.TypeFlowMod)
			c := binary.BigEndian.Uint64(m[8:])
			if k == 0 {
				first = c
			} else if c != first+uint64(k) {
				t.Fatalf("flow %#x follows %#x in a batch", c, first)
			}
		}
		i := first >> 32
		if n := first >> 16 & 0xffff; n != next[i] {
			t.Fatalf("batch %d of sender %d came when %d was due", n, i, next[i])
		}
		next[i]++
	}
	wg.Wait()
}

func TestSlowSwitchOverflowsItsQueue(t *testing.T) {
	r, _, sw := connected(t, ofswitch.Config{MaxQueued: 1 << 20})
	b := of.Batch{DPID: 7}
	for range 100 {
		b.Flows = append(b.Flows, of.Add(aFlow))
	}
	var err error
	for range 1000 { // the peer reads nothing
		if err = sw.Send(b); err != nil {
			break
		}
	}
	if !errors.Is(err, ofswitch.ErrOverflow) {
		t.Errorf("Send = %v; want %v", err, ofswitch.ErrOverflow)
	}
	if e := r.want(t, "down"); !errors.Is(e.err, ofswitch.ErrOverflow) {
		t.Errorf("down with %v; want %v", e.err, ofswitch.ErrOverflow)
	}
}

func TestSwitchThatNeverAnswersBarriersOverflows(t *testing.T) {
	r, p, sw := connected(t, ofswitch.Config{MaxPending: 3})
	go func() {
		for _, _, err := p.read(); err == nil; _, _, err = p.read() {
		}
	}()
	for token := range uint64(3) {
		if err := sw.Send(of.Batch{DPID: 7, Token: token + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := sw.Send(of.Batch{DPID: 7, Token: 4}); !errors.Is(err, ofswitch.ErrOverflow) {
		t.Errorf("Send = %v; want %v", err, ofswitch.ErrOverflow)
	}
	r.want(t, "down")
}

func TestSwitchThatStopsReadingIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, sw := connected(t, ofswitch.Config{WriteTimeout: 20 * time.Second, EchoInterval: time.Hour})
		start := time.Now()
		if err := sw.Send(of.Batch{DPID: 7, Flows: []of.FlowMod{of.Add(aFlow)}}); err != nil {
			t.Fatal(err)
		}
		r.want(t, "down")
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("connection ended after %v; want 20s", took)
		}
		p.ended()
	})
}

func TestEchoRequestIsAnsweredWithItsData(t *testing.T) {
	_, p, _ := connected(t, ofswitch.Config{})
	p.write(message(of.TypeEchoRequest, 0xabcdef, []byte("are you there")...))
	h, m := p.want(of.TypeEchoReply)
	if h.Xid != 0xabcdef || string(m[of.HeaderLen:]) != "are you there" {
		t.Errorf("echo reply %x with %q; want xid 0xabcdef and the data", h.Xid, m[of.HeaderLen:])
	}
}

func TestSilentSwitchIsAskedAndThenDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, p, _ := connected(t, ofswitch.Config{EchoInterval: time.Second})
		for range 10 { // as long as it answers it lives
			h, _ := p.want(of.TypeEchoRequest)
			p.write(message(of.TypeEchoReply, h.Xid))
		}
		start := time.Now()
		go p.ended()
		e := r.want(t, "down")
		if took := time.Since(start); !errors.Is(e.err, ofswitch.ErrSilent) || took < 2*time.Second || took > 4*time.Second {
			t.Errorf("down with %v after %v; want %v after 3 s", e.err, took, ofswitch.ErrSilent)
		}
	})
}

func TestSlowHandlerIsNoSilentSwitch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		r.onPacket = func(*ofswitch.Switch, of.PacketIn) { time.Sleep(time.Minute) }
		ln := newPipes()
		serve(t, ofswitch.Config{Handler: r, EchoInterval: time.Second}, ln)
		p := newPeer(t, ln.dial())
		p.handshake(7)
		sw := r.want(t, "up").sw
		p.write(packetIn(1, nil))
		r.want(t, "packet")
		time.Sleep(59 * time.Second)
		if err := sw.Send(of.Batch{DPID: 7}); err != nil {
			t.Errorf("Send while the handler runs = %v; want the switch to live", err)
		}
	})
}

// statsReply builds one part of an answer with an entry for each cookie.
func statsReply(xid uint32, more bool, cookies ...byte) []byte {
	body := []byte{0, 1, 0, 0, 0, 0, 0, 0}
	if more {
		body[3] = 1
	}
	for _, c := range cookies {
		entry := make([]byte, 56)
		entry[1], entry[2], entry[31] = 56, 2, c
		copy(entry[48:], []byte{0, 1, 0, 4})
		body = append(body, entry...)
	}
	return message(of.TypeMultipartReply, xid, body...)
}

func TestFlowStatsJoinsTheParts(t *testing.T) {
	_, p, sw := connected(t, ofswitch.Config{})
	go func() {
		h, m := p.want(of.TypeMultipartRequest)
		want := of.AppendFlowStatsRequest(nil, h.Xid, of.StatsFilter{Table: 2, Cookie: 5, CookieMask: 0xff})
		if !bytes.Equal(m, want) {
			t.Errorf("switch got %x; want %x", m, want)
		}
		p.write(statsReply(h.Xid, true, 1, 2))
		p.write(statsReply(h.Xid+100, true, 9)) // nobody's
		p.write(statsReply(h.Xid, true))
		p.write(statsReply(h.Xid, false, 3))
	}()
	flows, err := sw.FlowStats(t.Context(), ofswitch.StatsFilter{Table: 2, Cookie: 5, CookieMask: 0xff})
	if err != nil || len(flows) != 3 {
		t.Fatalf("FlowStats = %+v, %v; want 3 flows", flows, err)
	}
	for i, f := range flows {
		if f.Cookie != uint64(i+1) || f.Table != 2 || !f.Known {
			t.Errorf("flow %d is %+v; want cookie %d in table 2", i, f, i+1)
		}
	}
}

// TestFlowStatsOfManyFiltersIsAllTheirAnswers, whose parts may come mixed; an error
// in one ends it, and leaves the connection in order.
func TestFlowStatsOfManyFiltersIsAllTheirAnswers(t *testing.T) {
	_, p, sw := connected(t, ofswitch.Config{})
	filters := []ofswitch.StatsFilter{{Cookie: 1, CookieMask: ^uint64(0)}, {Cookie: 2, CookieMask: ^uint64(0)}, {Cookie: 3, CookieMask: ^uint64(0)}}
	asked := func() (xids [3]uint32) {
		for i, f := range filters {
			h, m := p.want(of.TypeMultipartRequest)
			if want := of.AppendFlowStatsRequest(nil, h.Xid, f); !bytes.Equal(m, want) {
				t.Errorf("request %d is %x; want %x", i, m, want)
			}
			xids[i] = h.Xid
		}
		return xids
	}
	go func() {
		x := asked()
		p.write(statsReply(x[1], true, 2))
		p.write(statsReply(x[0], false, 1))
		p.write(statsReply(x[1], false, 2))
		p.write(statsReply(x[2], false)) // which has none
		x = asked()
		p.write(statsReply(x[0], false, 1))
		p.write(errorMessage(x[1], 1, 5))
		p.write(errorMessage(x[2], 1, 5))
		x = asked()
		for _, xid := range x {
			p.write(statsReply(xid, false, 7))
		}
	}()
	for i, want := range []int{3, -1, 3} {
		flows, err := sw.FlowStats(t.Context(), filters...)
		if (err != nil) != (want < 0) || err == nil && len(flows) != want {
			t.Errorf("FlowStats %d = %+v, %v; want %d flows, or an error for -1", i, flows, err, want)
		}
	}
	if flows, err := sw.FlowStats(t.Context()); err != nil || flows != nil {
		t.Errorf("FlowStats of nothing = %+v, %v; want nothing", flows, err)
	}
}

func TestFlowStatsEndsWithoutAnAnswer(t *testing.T) {
	_, p, sw := connected(t, ofswitch.Config{})
	for _, c := range []struct {
		name   string
		answer func(xid uint32, cancel func())
	}{
		{"context", func(_ uint32, cancel func()) { cancel() }},
		{"error", func(xid uint32, _ func()) { p.write(errorMessage(xid, 1, 5)) }},
		{"broken answer", func(xid uint32, _ func()) {
			b := statsReply(xid, true, 1)
			b[16+1] = 3 // the entry's length
			p.write(b)
		}},
		{"end of the connection", func(uint32, func()) { sw.Close() }},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			h, _ := p.want(of.TypeMultipartRequest)
			c.answer(h.Xid, cancel)
		}()
		if flows, err := sw.FlowStats(ctx, ofswitch.StatsFilter{}); err == nil {
			t.Errorf("%s: FlowStats = %+v; want an error", c.name, flows)
		}
		cancel()
	}
}
