package engine_test

import (
	"testing"

	"github.com/daolinet/daolinet/reconciler/engine"
	"github.com/daolinet/daolinet/reconciler/inventory"
	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
)

// told returns the one frame that was put out since, and checks that it goes to
// an endpoint's port.
func (b *bench) told(name string) packet.Headers {
	b.Helper()
	e := b.e.Snapshot().EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: name})
	if len(b.out) != 1 || b.out[0].Actions != openflow.ActionList(openflow.Output(openflow.PortNo(e.Port))) {
		b.Fatalf("packets out = %+v; want one at port %d", b.out, e.Port)
	}
	h, err := packet.Decode(b.out[0].Frame)
	if err != nil || !packet.ChecksumsValid(b.out[0].Frame, &h) {
		b.Fatalf("frame %x: %v", b.out[0].Frame, err)
	}
	if h.Src != pipeline.GatewayIP() || h.Dst != e.IP || h.EthDst != e.MAC || h.Inner == nil {
		b.Errorf("frame = %+v; want an error from the gateway to %s", h, name)
	}
	b.out = nil
	return h
}

func TestICMPErrorsReachTheirEndpoints(t *testing.T) {
	b := started(t)
	snap := b.e.Snapshot()
	web1 := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "web1"})
	db2 := snap.EndpointByName(inventory.EndpointRef{VPC: "acme/prod", Name: "db2"})
	lift := func(dpid uint64, port uint32, frame []byte) {
		b.out = nil
		b.step(engine.PacketIn{DPID: dpid, In: openflow.PacketIn{InPort: openflow.PortNo(port), Frame: frame}})
	}
	sent := packet.Headers{
		EthSrc: web1.MAC, EthDst: packet.MAC(pipeline.GatewayMAC), Src: web1.IP, Dst: db2.IP, Proto: packet.TCP, SrcPort: 999, DstPort: 80, Flags: packet.SYN, TTL: 1,
	}
	lift(1, web1.Port, packet.Build(sent, nil))
	if h := b.told("web1"); h.ICMPType != 11 || h.Inner.SrcPort != 999 || h.Inner.DstPort != 80 {
		t.Errorf("told %+v about a TTL of 1", h)
	}
	if n := b.e.Sessions().Len(); n != 0 {
		t.Errorf("%d sessions; want none", n)
	}

	sent.TTL = 64
	lift(1, web1.Port, packet.Build(sent, nil))
	_, low := b.e.Sessions().Sessions()[0].WirePorts()
	h1, h2 := web1.Host.Uplink, db2.Host.Uplink
	wire := packet.Headers{
		EthSrc: h1.MAC, EthDst: h2.MAC, Src: h1.Addr.Addr(), Dst: h2.Addr.Addr(), Proto: packet.TCP, SrcPort: 33767, DstPort: low, Flags: packet.ACK, TTL: 1,
	}
	onWire := packet.Build(wire, []byte("text"))
	lift(2, h2.Port, onWire)
	if h := b.told("web1"); h.ICMPType != 11 || h.Inner.Src != web1.IP || h.Inner.Dst != db2.IP || h.Inner.SrcPort != 999 || h.Inner.DstPort != 80 {
		t.Errorf("told %+v about a TTL of 1 on the wire", h)
	}

	d, err := packet.Decode(onWire)
	if err != nil {
		t.Fatal(err)
	}
	lift(1, h1.Port, packet.ICMPFragNeeded(onWire, d, 1400, h1.NextHop, packet.MAC(h1.NextHopMAC)))
	if h := b.told("web1"); h.ICMPType != 3 || h.ICMPCode != packet.CodeFragNeeded || h.Inner.DstPort != 80 {
		t.Errorf("told %+v about a narrow path", h)
	}

	count := b.e.Counters().Outcomes
	if count[engine.OutcomeTimeExceeded] != 2 || count[engine.OutcomeUnderlayError] != 1 {
		t.Errorf("outcomes = %v", count)
	}
	wire.DstPort++
	onWire = packet.Build(wire, nil)
	if d, err = packet.Decode(onWire); err != nil {
		t.Fatal(err)
	}
	lift(1, h1.Port, packet.ICMPFragNeeded(onWire, d, 68, h1.NextHop, packet.MAC(h1.NextHopMAC)))
	if len(b.out) != 0 || b.e.Counters().Outcomes["icmp-unknown"] != 1 {
		t.Errorf("an error about no session: %d packets out, outcomes %v", len(b.out), b.e.Counters().Outcomes)
	}
}
