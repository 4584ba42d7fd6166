package pipeline

import "github.com/daolinet/daolinet/reconciler/openflow"

// What the flows of this package are put together from.

var (
	icmpEcho   = [...]uint8{8, 0}      // request, reply
	icmpErrors = [...]uint8{3, 11, 12} // unreachable, time exceeded, parameter problem
	l4Protos   = [...]uint8{openflow.ProtoTCP, openflow.ProtoUDP}
)

// instruction adds to a flow what it does.
type instruction func(*openflow.Flow)

// flow returns a flow that does ins; with none it drops.
func flow(t openflow.TableID, prio uint16, m openflow.Match, ins ...instruction) openflow.Flow {
	f := openflow.Flow{Table: t, Priority: prio, Match: m}
	for _, in := range ins {
		in(&f)
	}
	return f
}

func to(t openflow.TableID) instruction { return func(f *openflow.Flow) { f.Goto = t } }

func meter(id uint32) instruction { return func(f *openflow.Flow) { f.Meter = id } }

func mark(bits uint64) instruction {
	return func(f *openflow.Flow) { f.WriteMetadata = openflow.Masked(bits, bits) }
}

// apply appends actions to those that the flow has.
func apply(as ...openflow.Action) instruction {
	return func(f *openflow.Flow) {
		n := f.Actions.Len()
		if copy(f.Actions[n:], as) < len(as) {
			panic("pipeline: too many actions")
		}
	}
}

func output(p openflow.PortNo) instruction { return apply(openflow.Output(p)) }

// wayBack is what the host's own packets of a protocol learn: their way back
// from the uplink, which must agree in the dstBits highest bits of the client's
// port.
func wayBack(uplink openflow.PortNo, proto, dstBits uint8) openflow.Learn {
	l := openflow.Learn{
		Table: TableMiss, Priority: prioConnection, IdleTimeout: 7500, Limit: MaxConnections,
		Cookie: LearnedTCPCookie, InPort: uplink, Proto: proto, DstBits: dstBits,
	}
	if proto == openflow.ProtoUDP {
		l.IdleTimeout, l.Cookie = 120, LearnedUDPCookie
	}
	return l
}

// learn makes the host's own packets of a protocol learn their way back.
func learn(uplink openflow.PortNo, proto, dstBits uint8) instruction {
	return func(f *openflow.Flow) {
		f.Learn = wayBack(uplink, proto, dstBits)
		apply(openflow.Action{Kind: openflow.ActionLearn})(f)
	}
}

func l4Match(in openflow.PortNo, proto uint8) openflow.Match {
	return openflow.Match{InPort: in, EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(proto)}
}

func icmpMatch(in openflow.PortNo, typ uint8) openflow.Match {
	m := l4Match(in, openflow.ProtoICMP)
	m.ICMPType = openflow.Exact(typ)
	return m
}

// arpAnswer turns an ARP request into the answer that mac has the address asked
// for, whatever that is.
func arpAnswer(mac openflow.MAC) []openflow.Action {
	return []openflow.Action{
		openflow.Move(openflow.FieldEthSrc, openflow.FieldEthDst),
		openflow.SetMAC(openflow.FieldEthSrc, mac),
		openflow.Set(openflow.FieldARPOp, 2),
		openflow.Move(openflow.FieldARPSHA, openflow.FieldARPTHA),
		openflow.SetMAC(openflow.FieldARPSHA, mac),
		openflow.Move(openflow.FieldARPSPA, openflow.FieldReg0),
		openflow.Move(openflow.FieldARPTPA, openflow.FieldARPSPA),
		openflow.Move(openflow.FieldReg0, openflow.FieldARPTPA),
		openflow.Output(openflow.PortInPort),
	}
}

// gatewayPong turns an echo request to the gateway into its reply.
func gatewayPong() []openflow.Action {
	return []openflow.Action{
		openflow.Move(openflow.FieldEthSrc, openflow.FieldEthDst),
		openflow.SetMAC(openflow.FieldEthSrc, GatewayMAC),
		openflow.Move(openflow.FieldIPSrc, openflow.FieldIPDst),
		openflow.SetIP(openflow.FieldIPSrc, GatewayIP()),
		openflow.Set(openflow.FieldICMPType, 0),
		openflow.Output(openflow.PortInPort),
	}
}
