//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"

	"github.com/daolinet/daolinet/reconciler/api"
	"github.com/daolinet/daolinet/testbed/netns"
)

// Parts of the pipeline that the tests name; reconciler/pipeline has them all.
const (
	tableClassify = 0
	tableSession  = 2
	tableMiss     = 3

	uplinkPort = 1
	gatewayMAC = "02:00:00:00:00:01"
)

// sessionFlows selects the flows of sessions by their cookies' category.
const sessionFlows = "table=2,cookie=0x0300000000000000/0xff00000000000000"

func (f *fabric) why(from, to *netns.Endpoint, proto string, port int) api.Decision {
	f.t.Helper()
	w, err := f.Controller.API().Why(f.ctx, api.Pair{From: from.Path(), To: to.Path(), Proto: proto, Port: port})
	if err != nil {
		f.t.Fatal(err)
	}
	return w.Decision
}

// session returns the live session of a pair.
func (f *fabric) session(from, to *netns.Endpoint, proto string, port int) api.Session {
	f.t.Helper()
	tr, err := f.Controller.API().Trace(f.ctx, api.Pair{From: from.Path(), To: to.Path(), Proto: proto, Port: port})
	if err != nil {
		f.t.Fatal(err)
	}
	return tr.Session
}

// flowsOf returns the flows of a session on a host.
func (f *fabric) flowsOf(host string, s api.Session) []netns.Flow {
	f.t.Helper()
	return f.flows(host, "table=2,cookie="+s.ID+"/-1")
}

// forwardFlow returns the session's flow from its source's side on a host:
// where the source lives that from its port, elsewhere that from the uplink.
func (f *fabric) forwardFlow(host string, s api.Session, inPort uint32) netns.Flow {
	f.t.Helper()
	return f.flow(host, "table=2,cookie="+s.ID+"/-1", func(fl netns.Flow) bool {
		return fromPort(fl, inPort)
	})
}

// missed sums what reached the miss table of a host from an ofport.
func (f *fabric) missed(host string, port uint32) uint64 {
	f.t.Helper()
	var n uint64
	for _, fl := range f.flows(host, "table=3") {
		if fromPort(fl, port) {
			n += fl.Packets
		}
	}
	return n
}

// fromPort reports whether the flow matches packets of exactly that port.
func fromPort(fl netns.Flow, port uint32) bool {
	for _, part := range strings.Split(fl.Match, ",") {
		if part == fmt.Sprintf("in_port=%d", port) {
			return true
		}
	}
	return false
}
