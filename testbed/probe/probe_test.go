package probe_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/spec"
	"github.com/daolinet/daolinet/testbed/probe"
)

// sample has two VPCs with equal addresses, one machine outside, and ports of
// which two can't be probed.
func sample() *spec.Sample {
	return &spec.Sample{
		Endpoints: []spec.SampleEndpoint{
			{Name: "web1", Tenant: "acme", VPC: "prod", IP: netip.MustParseAddr("10.1.0.2")},
			{Name: "spy", Tenant: "globex", VPC: "prod", IP: netip.MustParseAddr("10.1.0.2")},
		},
		Outside: []spec.SampleOutside{{Name: "client", IP: netip.MustParseAddr("203.0.113.9")}},
		Ports: []spec.SamplePort{
			{Text: "tcp/80", Port: spec.Port{Proto: "tcp", Lo: 80, Hi: 80}},
			{Text: "sctp/80", Port: spec.Port{Proto: "sctp", Lo: 80, Hi: 80}},
			{Text: "icmp/echo", Port: spec.Port{Proto: "icmp", Lo: 8, Hi: 8}},
			{Text: "icmp/13", Port: spec.Port{Proto: "icmp", Lo: 13, Hi: 13}},
		},
	}
}

func TestNewPlanKeepsTheFilesOrderAndNamesWhatCannotBeProbed(t *testing.T) {
	p, left, err := probe.NewPlan(&spec.Network{}, sample(), func(n string) (string, error) { return "ns-" + n, nil })
	if err != nil {
		t.Fatal(err)
	}
	p.Means = nil
	want := probe.Plan{
		Machines: []probe.Machine{
			{Name: "web1", Namespace: "ns-web1", Addr: netip.MustParseAddr("10.1.0.2"), VPC: "acme/prod"},
			{Name: "spy", Namespace: "ns-spy", Addr: netip.MustParseAddr("10.1.0.2"), VPC: "globex/prod"},
			{Name: "client", Namespace: "ns-client", Addr: netip.MustParseAddr("203.0.113.9")},
		},
		Ports: []probe.Port{{Text: "tcp/80", Proto: "tcp", Number: 80}, {Text: "icmp/echo", Proto: "icmp", Number: 8}},
	}
	if d := cmp.Diff(want, p, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("plan (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"sctp/80", "icmp/13"}, left); d != "" {
		t.Errorf("ports left out (-want +got):\n%s", d)
	}
}

func TestNewPlanKnowsWhomAnAddressMeans(t *testing.T) {
	vpc := func(cidr string) *spec.VPC {
		return &spec.VPC{Subnets: []spec.Subnet{{CIDR: netip.MustParsePrefix(cidr)}}}
	}
	net := &spec.Network{
		VPCs:  map[spec.VPCID]*spec.VPC{"a/x": vpc("10.1.0.0/24"), "b/x": vpc("10.2.0.0/24"), "c/x": vpc("10.3.0.0/24")},
		Peers: map[spec.VPCID][]spec.VPCID{"a/x": {"b/x"}, "b/x": {"a/x"}},
	}
	p, _, err := probe.NewPlan(net, &spec.Sample{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(vpc spec.VPCID, ip string) probe.Machine {
		return probe.Machine{VPC: vpc, Addr: netip.MustParseAddr(ip)}
	}
	from := at("a/x", "10.1.0.2")
	for name, c := range map[string]struct {
		from, to probe.Machine
		want     bool
	}{
		"one VPC":                           {from, at("a/x", "10.1.0.3"), true},
		"peered":                            {from, at("b/x", "10.2.0.3"), true},
		"not peered":                        {from, at("c/x", "10.3.0.3"), false},
		"outside":                           {from, at("", "203.0.113.9"), true},
		"outside, in a stranger's subnet":   {from, at("", "10.3.0.9"), true},
		"outside, in the VPC's own subnet":  {from, at("", "10.1.0.9"), false},
		"outside, in a peered VPC's subnet": {from, at("", "10.2.0.9"), false},
		"from outside":                      {at("", "10.1.0.9"), from, true},
	} {
		if got := p.Means(c.from, c.to); got != c.want {
			t.Errorf("%s: Means = %v; want %v", name, got, c.want)
		}
	}
}

func TestNewPlanNeedsEveryName(t *testing.T) {
	_, _, err := probe.NewPlan(&spec.Network{}, sample(), func(n string) (string, error) {
		if n == "web1" {
			return "ns", nil
		}
		return "", errors.New("no " + n)
	})
	if err == nil || !strings.Contains(err.Error(), "no spy") || !strings.Contains(err.Error(), "no client") {
		t.Errorf("error = %v; want one that names spy and client", err)
	}
}

func matrix() probe.Matrix {
	return probe.Matrix{Pairs: []probe.Pair{
		{From: "a", To: "b", Port: "tcp/80", Verdict: probe.Allow},
		{From: "a", To: "b", Port: "udp/53", Verdict: probe.Reject},
		{From: "b", To: "a", Port: "tcp/80", Verdict: probe.Drop},
		{From: "b", To: "a", Port: "udp/53", Verdict: probe.Allow},
		{From: "out", To: "a", Port: "tcp/80", Verdict: probe.Allow},
	}}
}

func TestCompareOfEqualMatricesIsEmpty(t *testing.T) {
	if d := probe.Compare(matrix(), matrix()); len(d) != 0 {
		t.Errorf("Compare = %v; want nothing", d)
	}
}

// The harm that the comparison is there for: one wrong verdict, of whichever
// pair and in whichever way.
func TestCompareSeesEveryFlippedVerdict(t *testing.T) {
	for i, p := range matrix().Pairs {
		for _, verdict := range []string{probe.Allow, probe.Drop, probe.Reject} {
			if verdict == p.Verdict {
				continue
			}
			want := matrix()
			want.Pairs[i].Verdict = verdict
			d := probe.Compare(want, matrix())
			wanted := []probe.Difference{{From: p.From, To: p.To, Port: p.Port, Want: verdict, Got: p.Verdict}}
			if diff := cmp.Diff(wanted, d); diff != "" {
				t.Errorf("pair %d as %s (-want +got):\n%s", i, verdict, diff)
			}
		}
	}
}

func TestCompareSeesPairsThatOnlyOneHas(t *testing.T) {
	for name, c := range map[string]struct {
		want, got probe.Matrix
		text      string
	}{
		"not measured": {matrix(), probe.Matrix{Pairs: matrix().Pairs[1:]}, "a > b tcp/80: want allow, got no such pair"},
		"not expected": {probe.Matrix{Pairs: matrix().Pairs[1:]}, matrix(), "a > b tcp/80: want no such pair, got allow"},
	} {
		d := probe.Compare(c.want, c.got)
		if len(d) != 1 || d[0].String() != c.text {
			t.Errorf("%s: Compare = %v; want %s", name, d, c.text)
		}
	}
}

func TestTolerateTurnsOnlyAllowedOutsidePairsIntoDrops(t *testing.T) {
	want := matrix()
	want.Pairs[4].Verdict = probe.Drop
	if d := cmp.Diff(want, matrix().Tolerate([]string{"out"})); d != "" {
		t.Errorf("Tolerate (-want +got):\n%s", d)
	}
}

func TestWriteTableHasALineAPairAndAColumnAPort(t *testing.T) {
	var out bytes.Buffer
	if err := matrix().WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"FROM  TO  TCP/80  UDP/53\n" +
		"a     b   allow   reject\n" +
		"b     a   drop    allow\n" +
		"out   a   allow   \n"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
}
