package openflow_test

import (
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// vector is a message as ovs-ofctl 3.1 sent it: the command, its OpenFlow type
// and the bytes behind the header.
type vector struct {
	command, kind, body string
}

func readVectors(t *testing.T) (vectors []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/wire-hex.txt")
	if err != nil {
		t.Fatal(err)
	}
	var command string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if c, ok := strings.CutPrefix(line, "# "); ok {
			command = c
		}
		if rest, ok := strings.CutPrefix(line, "type "); ok {
			kind, body, _ := strings.Cut(rest, " ")
			vectors = append(vectors, vector{command, kind, body})
		}
	}
	return vectors
}

// inexpressible are the vectors that this package's types cannot say, since
// DaoliNet doesn't use them, by the start of their command.
var inexpressible = map[string]string{
	"add-group group_id=1,type=select":                       "select groups",
	"add-flow priority=1,tcp,idle_timeout=300,send_flow_rem": "fin_timeout, send_flow_rem",
	"add-flow priority=300,udp,ip_frag=yes":                  "ip_frag, ct",
	"add-flow priority=190,udp,ip_frag=later":                "ip_frag, set ip_dscp",
	"add-flow table=5,priority=10,udp,ct_state=+trk-inv":     "ct_state, ct",
	"add-flow priority=5,udp,actions=ct(commit":              "ct, nat",
}

// expressible are the other vectors, as values.
func expressible() map[string][]byte {
	tcp := of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoTCP)}
	gw := of.MAC{2, 0, 0, 0, 0, 1}
	flows := map[string]of.Flow{
		"add-flow table=0,priority=100,arp,arp_op=1": {
			Priority: 100, Match: of.Match{EthType: of.EthTypeARP, ARPOp: of.Exact[uint16](1)},
			Actions: of.ActionList(of.Move(of.FieldEthSrc, of.FieldEthDst), of.SetMAC(of.FieldEthSrc, gw),
				of.Set(of.FieldARPOp, 2), of.Move(of.FieldARPSHA, of.FieldARPTHA), of.SetMAC(of.FieldARPSHA, gw),
				of.Move(of.FieldARPSPA, of.FieldReg0), of.Move(of.FieldARPTPA, of.FieldARPSPA),
				of.Move(of.FieldReg0, of.FieldARPTPA), of.Output(of.PortInPort)),
		},
		"add-flow table=1,priority=200,metadata=0/1,tcp": {
			Table: 1, Priority: 200,
			Match: with(tcp, func(m *of.Match) {
				m.InPort, m.Metadata = 11, of.Masked[uint64](0, 1)
				m.IPSrc, m.IPDst = of.IPv4(netip.MustParseAddr("10.0.2.11")), of.IPv4(netip.MustParseAddr("10.0.1.11"))
				m.L4Src, m.L4Dst = of.Exact[uint16](8080), of.Masked[uint16](0x8000, 0x8000)
			}),
			Actions: of.ActionList(of.DecTTL(), of.Set(of.FieldTCPSrc, 20001), of.Output(1)),
		},
		"add-flow table=0,priority=50,tcp,tcp_flags=+syn-ack": {
			Priority: 50,
			Match:    with(tcp, func(m *of.Match) { m.TCPFlags = of.Masked(of.TCPSyn, of.TCPSyn|of.TCPAck) }),

			WriteMetadata: of.Masked[uint64](1, 1), Goto: 1,
		},
		"add-flow priority=200,icmp,icmp_type=8,icmp_code=0": {
			Priority: 200,
			Match: of.Match{EthType: of.EthTypeIPv4, IPProto: of.Exact(of.ProtoICMP),
				ICMPType: of.Exact[uint8](8), ICMPCode: of.Exact[uint8](0)},
			Actions: of.ActionList(of.Set(of.FieldICMPCode, 7), of.Output(1)),
		},
		"add-flow priority=0,in_port=11": {
			Match: of.Match{InPort: 11}, Meter: 11, Actions: of.ActionList(of.ToController()),
		},
	}
	all := map[string][]byte{}
	for command, f := range flows {
		m := of.Add(f)
		all[command] = of.AppendFlowMod(nil, xid, &m)
	}
	meter := of.AppendMeterMod(nil, xid, &of.MeterMod{ID: 11, Rate: 100, Burst: 20})
	all["add-meter meter=11"] = meter[:len(meter)/2] // the ADD; a MODIFY follows
	all["packet-out in_port=11"] = of.AppendPacketOut(nil, xid, &of.PacketOut{
		InPort: 11, Actions: of.ActionList(of.Output(of.PortTable)),
		Frame: []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0},
	})
	return all
}

func TestRecordedMessagesAreEncodedAlike(t *testing.T) {
	values := expressible()
	for _, v := range readVectors(t) {
		var found int
		for start := range inexpressible {
			if strings.HasPrefix(v.command, start) {
				found++
			}
		}
		for start, got := range values {
			if !strings.HasPrefix(v.command, start) {
				continue
			}
			found++
			delete(values, start)
			if body := hex.EncodeToString(got[of.HeaderLen:]); body != v.body {
				t.Errorf("%s\n got %s\nwant %s", v.command, body, v.body)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d values, want 1 or a reason why none", v.command, found)
		}
	}
	for start := range values {
		t.Errorf("no vector %q", start)
	}
}
