package pipeline_test

import (
	"net/netip"
	"testing"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

func host() pipeline.HostConfig {
	return pipeline.HostConfig{
		Uplink: 1, Addr: netip.MustParseAddr("172.31.1.1"), MAC: openflow.MAC{0xa, 0, 0, 0, 0, 1}, Wire: pipeline.DefaultWireRange,
		Listeners: []pipeline.Listener{{Proto: openflow.ProtoTCP, Port: 17000}, {Proto: openflow.ProtoUDP, Port: 40000}},
	}
}

// all is every flow of a host with one endpoint and two peers, and its meters.
func all() ([]openflow.MeterMod, []openflow.Flow) {
	meters, flows := pipeline.Base(host())
	m, fs := pipeline.Peers(1, 6<<56, []netip.Prefix{netip.MustParsePrefix("172.31.1.0/24"), netip.MustParsePrefix("172.31.2.0/24")})
	meters, flows = append(meters, m), append(flows, fs...)
	m, fs = pipeline.Endpoint(pipeline.EndpointConfig{Port: 16, IP: netip.MustParseAddr("10.1.0.2"), Cookie: 2 << 56})
	return append(meters, m), append(flows, fs...)
}

// TestFlowsAreWellFormed holds what OVS refuses, or what two flows would make
// of each other: an unknown meter, a goto that does not lead forward, equal keys.
func TestFlowsAreWellFormed(t *testing.T) {
	meters, flows := all()
	known := map[uint32]bool{0: true}
	for _, m := range meters {
		if known[m.ID] {
			t.Errorf("meter %d is there twice", m.ID)
		}
		known[m.ID] = true
	}
	keys := make(map[openflow.Key]bool)
	for i := range flows {
		f := &flows[i]
		if !known[f.Meter] {
			t.Errorf("%s: unknown meter", f)
		}
		if f.Goto != 0 && f.Goto <= f.Table {
			t.Errorf("%s: goto does not lead forward", f)
		}
		if keys[f.Key()] {
			t.Errorf("%s: another flow has its key", f)
		}
		keys[f.Key()] = true
	}
}

// TestEveryTableEndsInAFlowOfItsOwn: no packet is left to what a switch does
// without a match.
func TestEveryTableEndsInAFlowOfItsOwn(t *testing.T) {
	_, flows := all()
	ends := map[openflow.TableID]bool{}
	for _, f := range flows {
		if f.Priority == 0 && f.Match == (openflow.Match{}) {
			ends[f.Table] = true
		}
	}
	for _, table := range []openflow.TableID{pipeline.TableClassify, pipeline.TableOpener, pipeline.TableSession, pipeline.TableMiss} {
		if !ends[table] {
			t.Errorf("table %d has no flow for what nothing else takes", table)
		}
	}
}

func TestWireRange(t *testing.T) {
	for _, tt := range []struct {
		r     pipeline.WireRange
		valid bool
		size  int
	}{
		{pipeline.DefaultWireRange, true, 8192},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xc000}, true, 16384},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xff00}, true, 256},
		{pipeline.WireRange{Value: 0x4000, Mask: 0xff80}, false, 128},  // too small
		{pipeline.WireRange{Value: 0x8000, Mask: 0xe000}, false, 8192}, // top bit
		{pipeline.WireRange{Value: 0x4100, Mask: 0xe000}, false, 8192}, // not at a multiple of its size
		{pipeline.WireRange{Value: 0x4000, Mask: 0xe0f0}, false, 7952}, // no block
		{pipeline.WireRange{Value: 0, Mask: 0xfc00}, false, 1024},      // privileged ports
		{pipeline.WireRange{}, false, 65536},
	} {
		if got := tt.r.Valid(); got != tt.valid {
			t.Errorf("%v.Valid() = %v; want %v", tt.r, got, tt.valid)
		}
		if got := tt.r.Size(); tt.valid && got != tt.size {
			t.Errorf("%v.Size() = %d; want %d", tt.r, got, tt.size)
		}
	}
	for p, want := range map[uint16]bool{16383: false, 16384: true, 24575: true, 24576: false, 49152: false} {
		if got := pipeline.DefaultWireRange.Contains(p); got != want {
			t.Errorf("Contains(%d) = %v; want %v", p, got, want)
		}
	}
}

func TestCookieRoundTrip(t *testing.T) {
	want := pipeline.Cookie{Category: pipeline.CategorySession, Slot: 3, Epoch: 515, Number: 0xfffffffe}
	if got := pipeline.ParseCookie(want.Bits()); got != want {
		t.Errorf("ParseCookie(Bits) = %+v; want %+v", got, want)
	}
	if got := want.Bits() & pipeline.CategoryMask; got != uint64(pipeline.CategorySession)<<56 {
		t.Errorf("category of %#x = %#x", want.Bits(), got)
	}
}
