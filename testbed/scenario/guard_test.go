package scenario_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/daolinet/daolinet/reconciler/openflow"
	"github.com/daolinet/daolinet/reconciler/pipeline"
	"github.com/daolinet/daolinet/testbed/scenario"
)

// TestGuardsGuard takes one guard out of the flows at a time: the scenario that
// shows the hazard must then see it.
func TestGuardsGuard(t *testing.T) {
	const base, endpoint, session, peer = pipeline.CategoryBase, pipeline.CategoryEndpoint, pipeline.CategorySession, pipeline.CategoryPeer
	of := func(f *openflow.Flow, c pipeline.Category) bool { return pipeline.ParseCookie(f.Cookie).Category == c }
	tests := []struct {
		guard, scenario string
		sabotage        func(*openflow.Flow)
		sees            string // in the transcript or the error
	}{
		{"endpoint's address", "spoofing", func(f *openflow.Flow) {
			if of(f, endpoint) {
				f.Match.IPSrc = openflow.Bits[uint32]{}
			}
		}, "reason=spoofed"},
		{"endpoint's hardware address", "spoofing", func(f *openflow.Flow) {
			if of(f, endpoint) && f.Match.EthType == openflow.EthTypeIPv4 {
				f.Match.EthSrc = openflow.OptMAC{}
			}
		}, "found db1 got"},
		{"no tag", "spoofing", func(f *openflow.Flow) { f.Match.NoVLAN = false }, "wire from h1 tcp 172.31.1.1:40000 > 172.31.2.1:22690 syn ttl=63 vlan=100"},
		{"arp sender's address", "spoofing", func(f *openflow.Flow) {
			if of(f, endpoint) {
				f.Match.ARPSPA = openflow.Bits[uint32]{}
			}
		}, "found web1 got arp"},
		{"arp sender's hardware address", "spoofing", func(f *openflow.Flow) {
			if of(f, endpoint) {
				f.Match.ARPSHA = openflow.OptMAC{}
			}
		}, "found web1 got arp"},
		{"openers never are replies", "backward", func(f *openflow.Flow) {
			if of(f, session) {
				f.Match.Metadata.Mask &^= pipeline.MetaOpener
			}
		}, "found web1 got"},
		{"wire packets that miss are not the host's", "forged-wire", func(f *openflow.Flow) {
			if of(f, base) && f.Table == pipeline.TableMiss && f.Priority == 100 {
				f.Actions = openflow.ActionList(openflow.Output(openflow.PortLocal))
			}
		}, "found h2 got"},
		{"wire packets come from the session's host", "forged-wire", func(f *openflow.Flow) {
			if of(f, session) && f.Match.InPort == 1 {
				f.Match.IPSrc = openflow.Bits[uint32]{}
			}
		}, "found db1 got"},
		{"source ports are kept apart by wire ports", "equal-source-ports", func(f *openflow.Flow) {
			if of(f, session) && f.Match.InPort == 1 && f.Match.L4Dst.Mask == 0xffff {
				f.Match.L4Dst = openflow.Bits[uint16]{}
			}
		}, "found no-answer"},
		{"wire replies are no listener's", "wire-reply-guard", func(f *openflow.Flow) {
			if of(f, peer) && f.Priority > 300 {
				f.Priority -= 300
			}
		}, "found h1 got tcp"},
		{"the host's connections come before that guard", "wire-reply-guard", func(f *openflow.Flow) {
			if f.Learn.Priority != 0 {
				f.Learn.Priority = 200
			}
		}, "found no-answer"},
		{"the host's listeners have flows", "host-listeners", func(f *openflow.Flow) {
			if of(f, base) && f.Table == pipeline.TableMiss && f.Priority == 300 {
				f.Actions = openflow.Actions{}
			}
		}, "found no-answer"},
		{"the host's connections have flows from the start", "host-connections", func(f *openflow.Flow) {
			if f.Cookie == pipeline.LearnedTCPCookie {
				f.Actions = openflow.Actions{}
			}
		}, "found nothing"},
		{"errors of the underlay are lifted", "path-mtu", func(f *openflow.Flow) {
			if of(f, base) && f.Goto == pipeline.TableMiss && f.Match.ICMPType == openflow.Exact[uint8](3) {
				f.Goto = 0
			}
		}, "found h1 got icmp 172.31.1.254"},
		{"a router lifts what dies", "traceroute", func(f *openflow.Flow) {
			if of(f, session) {
				f.Match.Metadata.Mask &^= pipeline.MetaTTL
			}
		}, "found nothing"},
		{"flows of a connection see its end", "closed-connection", func(f *openflow.Flow) {
			if f.Actions[0].Kind == openflow.ActionFinTimeout {
				copy(f.Actions[:], f.Actions[1:])
			}
		}, "wire from h1 tcp 172.31.1.1:50000 > 172.31.2.1:22690 syn ttl=63"},
		{"within a subnet no TTL ends", "ttl", func(f *openflow.Flow) {
			if of(f, session) && f.Actions[0].Kind == openflow.ActionSetTTL {
				f.Actions[0] = openflow.DecTTL()
			}
		}, "found nothing"},
		{"reserved addresses", "reserved", func(f *openflow.Flow) {
			if of(f, base) && f.Table == pipeline.TableOpener && f.Priority == 190 {
				f.Actions = openflow.ActionList(openflow.Output(openflow.PortInPort))
			}
		}, "found web1 got"},
	}
	paths := archives(t)
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.guard, " ", "-"), func(t *testing.T) {
			t.Parallel()
			s, _ := load(t, paths[tt.scenario])
			got, err := scenario.Run(s, scenario.NewSim(scenario.Faults{Sabotage: tt.sabotage}))
			if got == s.Want && err == nil {
				t.Fatalf("%s without the guard is as with it", tt.scenario)
			}
			if !strings.Contains(fmt.Sprint(got, err), tt.sees) {
				t.Errorf("%s without the guard: %v; want %q\n%s", tt.scenario, err, tt.sees, got)
			}
		})
	}
}
