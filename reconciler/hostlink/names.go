package hostlink

import (
	"fmt"
	"net/netip"

	"github.com/daolinet/daolinet/hostd/hostpb"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// NameQuery asks what a name means to the endpoints of a VPC.
type NameQuery struct {
	ID   uint64 // names it in the answer
	VPC  spec.VPCID
	Name string // small letters, without a dot at its end
}

// NameAnswer answers a NameQuery.
type NameAnswer struct {
	Addresses []netip.Addr
	Ours      bool   // nobody else is to be asked
	Target    string // of the name of an address: whose it is
}

func decodeNameQuery(q *hostpb.NameQuery) (NameQuery, error) {
	out := NameQuery{ID: q.GetId(), VPC: spec.VPCID(q.GetVpc()), Name: q.GetName()}
	if !hostpb.ValidVPCID(q.GetVpc()) {
		return out, fmt.Errorf("name query: vpc %.160q is not TENANT/NAME", q.GetVpc())
	}
	if !hostpb.ValidDNSName(out.Name) {
		return out, fmt.Errorf("name query: %.80q is no name", out.Name)
	}
	return out, nil
}

func nameAnswerMsg(id uint64, a NameAnswer) *hostpb.ControllerMsg {
	m := &hostpb.NameAnswer{Id: id, Ours: a.Ours, Target: a.Target}
	for _, ip := range a.Addresses[:min(len(a.Addresses), hostpb.MaxAnswers)] {
		m.Addresses = append(m.Addresses, ip.AsSlice())
	}
	return &hostpb.ControllerMsg{Msg: &hostpb.ControllerMsg_NameAnswer{NameAnswer: m}}
}
