package netns

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseFlowsReadsWhatOfctlPrints(t *testing.T) {
	const dump = `OFPST_FLOW reply (OF1.3) (xid=0x2):
 cookie=0x300000100000007, duration=1.5s, table=2, n_packets=3, n_bytes=222, priority=200,metadata=0/0x1,tcp,in_port=16,nw_src=10.1.0.2,nw_dst=10.1.1.3,tp_src=32768/0x8000,tp_dst=5432 actions=set_field:172.31.1.1->ip_src,output:1
 cookie=0x0, duration=1.5s, table=3, n_packets=0, n_bytes=0, hard_timeout=10, send_flow_rem priority=0 actions=drop
 cookie=0x1, duration=2s, table=0, n_packets=1, n_bytes=2, in_port=1 actions=LOCAL,goto_table:3
`
	want := []Flow{
		{
			Table: 2, Priority: 200, Cookie: 0x300000100000007, Packets: 3, Bytes: 222,
			Match:   "metadata=0/0x1,tcp,in_port=16,nw_src=10.1.0.2,nw_dst=10.1.1.3,tp_src=32768/0x8000,tp_dst=5432",
			Actions: "set_field:172.31.1.1->ip_src,output:1",
		},
		{Table: 3, Actions: "drop", HardTimeout: 10},
		{Priority: 32768, Cookie: 1, Packets: 1, Bytes: 2, Match: "in_port=1", Actions: "LOCAL,goto_table:3"},
	}
	got, err := parseFlows(dump)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parseFlows (-want +got):\n%s", d)
	}
}

func TestFlowStringIsWhatOfctlReads(t *testing.T) {
	for _, c := range []struct {
		flow Flow
		want string
	}{
		{Flow{Table: 3, Priority: 101, Cookie: 0x10, Match: "ip,in_port=1", Actions: "LOCAL"}, "cookie=0x10,table=3,priority=101,ip,in_port=1,actions=LOCAL"},
		{Flow{Actions: "drop"}, "cookie=0x0,table=0,priority=0,actions=drop"},
	} {
		if got := c.flow.String(); got != c.want {
			t.Errorf("%+v.String() = %q; want %q", c.flow, got, c.want)
		}
	}
}

func TestParseFlowsRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for _, dump := range []string{" cookie=0x0, table=0, priority=1,ip", " cookie=zzz, table=0, priority=1 actions=drop", " cookie=0x0, table=0, priority=x actions=drop"} {
		if flows, err := parseFlows(dump); err == nil {
			t.Errorf("parseFlows(%q) = %v; want an error", dump, flows)
		}
	}
}
