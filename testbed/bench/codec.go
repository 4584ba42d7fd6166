package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/contiv/libOpenflow/openflow13"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// codecBatch is how many messages are encoded between two looks at the clock.
const codecBatch = 1000

// The message that both codecs encode: a session's flow towards the wire.
const codecCookie = 0x0310000a00000007

var (
	codecFrom, codecTo = netip.MustParseAddr("10.1.0.5"), netip.MustParseAddr("10.1.1.9")
	codecH1, codecH2   = netip.MustParseAddr("172.31.1.1"), netip.MustParseAddr("172.31.2.1")
)

// measureCodec builds and encodes the same FlowMod with both codecs.
func measureCodec(ctx context.Context, e *Env) ([]Value, error) {
	buf := make([]byte, 0, 512)
	encode := func() []byte {
		m := ourFlowMod()
		return openflow.AppendFlowMod(buf, 1, &m)
	}
	want, err := libraryFlowMod().MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode with libOpenflow: %w", err)
	}
	if !bytes.Equal(encode(), want) {
		return nil, errors.New("the two codecs' bytes differ")
	}
	ratio, ours, theirs, err := alternate(ctx, e.Effort.Rounds,
		func(ctx context.Context) (float64, error) {
			return rate(ctx, e.Effort.Core, func() (int, error) {
				for range codecBatch {
					encode()
				}
				return codecBatch, nil
			})
		},
		func(ctx context.Context) (float64, error) {
			return rate(ctx, e.Effort.Core, func() (int, error) {
				for range codecBatch {
					if _, err := libraryFlowMod().MarshalBinary(); err != nil {
						return 0, err
					}
				}
				return codecBatch, nil
			})
		})
	return []Value{{
		Line: "codec-flowmod", Quantity: Quantity{ratio, Ratio},
		Note: fmt.Sprintf("%s; libOpenflow %s", Quantity{ours, PerSecond}, Quantity{theirs, PerSecond}),
	}}, err
}

func ourFlowMod() openflow.FlowMod {
	return openflow.Add(openflow.Flow{
		Table: 2, Priority: 201, Cookie: codecCookie,
		Match: openflow.Match{
			InPort: 16, EthType: openflow.EthTypeIPv4, IPProto: openflow.Exact(openflow.ProtoTCP),
			IPSrc: openflow.IPv4(codecFrom), IPDst: openflow.IPv4(codecTo),
			L4Src: openflow.Masked[uint16](0x8000, 0x8000), L4Dst: openflow.Exact[uint16](5432), Metadata: openflow.Masked[uint64](0, 2),
		},
		Actions: openflow.ActionList(openflow.DecTTL(), openflow.SetIP(openflow.FieldIPSrc, codecH1),
			openflow.SetIP(openflow.FieldIPDst, codecH2), openflow.Set(openflow.FieldTCPDst, 16384), openflow.Group(7)),
	})
}

// libraryFlowMod is ourFlowMod as libOpenflow builds it.
func libraryFlowMod() *openflow13.FlowMod {
	m := openflow13.NewFlowMod()
	m.Header.Xid = 1
	m.Cookie, m.TableId, m.Priority = codecCookie, 2, 201
	src := openflow13.NewTcpSrcField(0x8000)
	src.HasMask, src.Mask, src.Length = true, openflow13.NewPortField(0x8000), 4
	mask := uint64(2)
	for _, f := range []openflow13.MatchField{
		*openflow13.NewInPortField(16), *openflow13.NewEthTypeField(0x0800),
		*openflow13.NewIpv4SrcField(net.IP(codecFrom.AsSlice()), nil), *openflow13.NewIpv4DstField(net.IP(codecTo.AsSlice()), nil),
		*openflow13.NewIpProtoField(6), *src, *openflow13.NewTcpDstField(5432), *openflow13.NewMetadataField(0, &mask),
	} {
		m.Match.AddField(f)
	}
	apply := openflow13.NewInstrApplyActions()
	for _, a := range []openflow13.Action{
		openflow13.NewActionDecNwTtl(),
		openflow13.NewActionSetField(*openflow13.NewIpv4SrcField(net.IP(codecH1.AsSlice()), nil)),
		openflow13.NewActionSetField(*openflow13.NewIpv4DstField(net.IP(codecH2.AsSlice()), nil)),
		openflow13.NewActionSetField(*openflow13.NewTcpDstField(16384)), openflow13.NewActionGroup(7),
	} {
		apply.AddAction(a, false) // false: behind the others; its error is always nil
	}
	m.AddInstruction(apply)
	return m
}
