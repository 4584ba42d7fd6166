package simnet_test

import (
	"net/netip"
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/simnet"
)

// TestFloodsLeaveRoomForWireMisses floods a host with what an endpoint elsewhere,
// or anybody outside, can make arrive there, and then lets one packet come whose
// flow is not there yet. Without meters of their own the floods use its up.
func TestFloodsLeaveRoomForWireMisses(t *testing.T) {
	peer, own := netip.MustParseAddr("172.31.2.1"), netip.MustParseAddr("172.31.1.1")
	wire := func(ttl uint8, sport, dport uint16) []byte {
		return packet.Build(packet.Headers{
			EthSrc: macB, EthDst: macA, Src: peer, Dst: own, Proto: packet.UDP, SrcPort: sport, DstPort: dport, TTL: ttl,
		}, nil)
	}
	first := wire(63, 40000, 16500)
	for name, flood := range map[string][]byte{
		"dying packets, forward": wire(1, 40000, 16500), "dying packets, replies": wire(1, 16500, 40000),
		"icmp errors": packet.Build(packet.Headers{
			EthSrc: macB, EthDst: macA, Src: netip.MustParseAddr("203.0.113.9"), Dst: own, Proto: packet.ICMP, ICMPType: 3, ICMPCode: 4,
		}, append([]byte{0, 0, 0, 68}, first[14:]...)),
	} {
		for _, guarded := range []bool{true, false} {
			s := simnet.NewSwitch("s", 1, 1, of.PortLocal)
			meters, flows := pipeline.Base(pipeline.HostConfig{Uplink: 1, Addr: own, Wire: pipeline.DefaultWireRange})
			peers, lifting := pipeline.Peers(pipeline.PeersConfig{
				Uplink: 1, Addr: own, Wire: pipeline.DefaultWireRange, Ranges: []netip.Prefix{netip.MustParsePrefix("172.31.2.0/24")},
			})
			for i := range lifting {
				if !guarded && lifting[i].Meter != 0 {
					lifting[i].Meter = pipeline.MeterWireMiss
				}
			}
			apply(t, s, t0, of.Batch{Meters: append(meters, peers...), Flows: append(adds(flows...), adds(lifting...)...)})
			lifted := 0
			for range 2000 {
				lifted += len(s.Receive(t0, 1, flood).PacketIns)
			}
			if lifted == 0 {
				t.Errorf("%s: none was lifted", name)
			}
			if got := len(s.Receive(t0, 1, first).PacketIns) == 1; got != guarded {
				t.Errorf("%s, meters of their own %v: %d were lifted, then the first packet of a session: %v", name, guarded, lifted, got)
			}
		}
	}
}
