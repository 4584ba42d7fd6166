package bench

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/packet"
)

// TestNullControllerAnswersLikeTheEngine compares a filled template with what
// the engine answers the same packet; only numbers that the engine gives out one
// after the other may differ.
func TestNullControllerAnswersLikeTheEngine(t *testing.T) {
	hosts := fakeHosts(2, 3)
	n, err := newNullController(hosts)
	if err != nil {
		t.Fatal(err)
	}
	pol, err := compile("r1", oneTenant())
	if err != nil {
		t.Fatal(err)
	}
	from := &hosts[0].Endpoints[0]
	for name, to := range map[string]struct{ at, end int }{"one host": {at: 0, end: 1}, "two hosts": {at: 1, end: 2}} {
		t.Run(name, func(t *testing.T) {
			server := &hosts[to.at].Endpoints[to.end]
			frame := opener(from, server, packet.UDP, 45678, 53)
			var want []openflow.Batch
			c := newCore(pol, hosts)
			c.sent = func(b openflow.Batch) { want = append(want, b) }
			c.lift(1, from.Port, frame)
			s := c.engine.Sessions().Sessions()[0]
			high, low := s.WirePorts()

			tmpl := n.templates[[2]netip.Addr{from.IP, server.IP}]
			if tmpl == nil {
				t.Fatal("there is no template")
			}
			p := ports{source: 45678, port: 53, wire: max(high, low), templateWire: tmpl.wire}
			var got []openflow.Batch
			for i := range tmpl.batches {
				got = append(got, p.fill(&tmpl.batches[i], s.ID&0xffffffff, frame))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("answer (-engine +null):\n%s", d)
			}
		})
	}
}
