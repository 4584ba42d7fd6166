package openflow_test

import (
	"bytes"
	"log"
	"net"
	"os"
	"testing"

	"github.com/contiv/libOpenflow/openflow13"
	"github.com/contiv/libOpenflow/util"
	"github.com/sirupsen/logrus"

	of "github.com/daolinet/daolinet/reconciler/openflow"
)

// libraryFlowMod builds sessionFlow's ADD with libOpenflow.
func libraryFlowMod() util.Message {
	m := openflow13.NewFlowMod()
	m.Header.Xid = xid
	m.Cookie, m.TableId, m.Priority = cookie, 2, 201
	src := openflow13.NewTcpSrcField(0x8000)
	src.HasMask, src.Mask, src.Length = true, openflow13.NewPortField(0x8000), 4
	mask := uint64(2)
	for _, f := range []openflow13.MatchField{
		*openflow13.NewInPortField(16),
		*openflow13.NewEthTypeField(0x0800),
		*openflow13.NewIpv4SrcField(net.IP(c1.AsSlice()), nil),
		*openflow13.NewIpv4DstField(net.IP(c2.AsSlice()), nil),
		*openflow13.NewIpProtoField(6),
		*src,
		*openflow13.NewTcpDstField(5432),
		*openflow13.NewMetadataField(0, &mask),
	} {
		m.Match.AddField(f)
	}
	apply := openflow13.NewInstrApplyActions()
	for _, a := range []openflow13.Action{
		openflow13.NewActionDecNwTtl(),
		openflow13.NewActionSetField(*openflow13.NewIpv4SrcField(net.IP(s1.AsSlice()), nil)),
		openflow13.NewActionSetField(*openflow13.NewIpv4DstField(net.IP(s2.AsSlice()), nil)),
		openflow13.NewActionSetField(*openflow13.NewTcpDstField(16384)),
		openflow13.NewActionGroup(7),
	} {
		apply.AddAction(a, false)
	}
	m.AddInstruction(apply)
	return m
}

func TestFlowModIsEncodedAsLibOpenflowDoes(t *testing.T) {
	want, err := libraryFlowMod().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	m := of.Add(sessionFlow)
	if got := of.AppendFlowMod(nil, xid, &m); !bytes.Equal(got, want) {
		t.Errorf("%s\n got %x\nwant %x", m, got, want)
	}
}

// What libOpenflow logs would be whole messages, on the process' stderr.
func TestLibOpenflowStaysSilent(t *testing.T) {
	var logged bytes.Buffer
	logrus.SetOutput(&logged)
	log.SetOutput(&logged)
	defer logrus.SetOutput(os.Stderr)
	defer log.SetOutput(os.Stderr)
	goldens()
	for _, g := range goldens() {
		of.DecodeError(g.bytes)
		of.DecodeFeatures(g.bytes)
	}
	if logged.Len() > 0 {
		t.Errorf("libOpenflow logged %q", logged.String())
	}
}
