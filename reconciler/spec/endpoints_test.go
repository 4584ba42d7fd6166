package spec_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/daolinet/daolinet/reconciler/spec"
)

// sampleFile is an endpoints file that is right for base. Line 2 is web1's.
const sampleFile = `endpoints:
- {name: web1, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2, groups: [web], labels: {role: web}, host: 2}
- {name: db1, tenant: acme, vpc: prod, subnet: db, ip: 10.1.1.2}
outside: [{name: client, ip: 203.0.113.9}]
ports: [tcp/5432, udp/53, sctp/3868, icmp/echo, icmp/0]
`

// sampleTwins are files whose @ is something right or something wrong.
var sampleTwins = []twin{
	{"an unknown key of the file", strings.Replace(sampleFile, "outside", "@", 1), "outside", "outsides", `4: an endpoints file has no key "outsides"; its keys are endpoints, outside, ports`},
	{"no endpoints", "@: []\nports: []\n", "endpoints", "outside", `1: an endpoints file has no "endpoints"; add endpoints: [{name: NAME, ...`},
	{"no ports", "endpoints: []\n@: []\n", "ports", "outside", `1: an endpoints file has no "ports"; add ports: [tcp/443, udp/53, icmp/echo]`},
	{"endpoints is no list", "endpoints: @\nports: []\n", "[]", "{}", `1: endpoints is {}, not a list; write it as [A, B]`},
	{"outside is no list", "endpoints: []\noutside: @\nports: []\n", "[]", "x", `2: outside is "x", not a list; write it as [A, B]`},
	{"a null value", "endpoints: []\noutside: @\nports: []\n", "[]", "", `2: "outside" is null; write [] for empty or leave the key out`},
	{"a null entry", "endpoints: []\nports: [@]\n", "tcp/1", "~", `2: an entry of the list is null; write a value or leave it out`},
	{"a second document", sampleFile + "---\n@", "# nothing", "{}", `7: the file holds a second document; put all endpoints into one`},
	{"nothing at all", "@", "{endpoints: [], ports: []}", "# nothing", `1: the file is empty, perhaps it is half written; write endpoints, outside and ports`},
	{"a file cut in the middle", "endpoints: [\n  {name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2@\nports: []\n", "}]", "",
		`2: this is no YAML: ...`},
	{"an anchor", "endpoints: @[]\nports: []\n", "", "&a ", `1: there is the anchor "&a"; write the value out wherever it is meant`},
	{"a key twice", "endpoints: []\nports: []\n@: []\n", "outside", "ports", `3: the key "ports" is here twice, first in line 2; remove one`},
	{"a control character", "endpoints: []\nports: []\n#@\n", "", "\x01", `3: there is the control character U+0001; remove it`},
	{"a byte that is not UTF-8", "endpoints: []\nports: []\n#@\n", "", "\xff", `3: the byte 0xff is not UTF-8; save the file as UTF-8`},

	{"an unknown key of an endpoint", endpoint("@: []"), "groups", "group", `2: an endpoint has no key "group"; its keys are name, tenant, vpc, subnet, ip, groups, labels, host`},
	{"an endpoint that is no mapping", "endpoints: [@]\nports: []\n", "", "a", `1: an endpoint is "a", not a mapping; write it as key: value`},
	{"without a name", wholly("@: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.9"), "name", "nam",
		"2: an endpoint has no key \"nam\"; its keys are name, tenant, vpc, subnet, ip, groups, labels, host\nx.yaml:2: an endpoint has no \"name\"; write {name: NAME, tenant: TENANT, vpc: VPC, subnet: SUBNET, ip: ADDRESS}"},
	{"a name that is none", wholly("name: @, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.9"), "a", "A", `2: the name of an endpoint is "A"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a name twice", sampleWith("name: @, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.9"), "web2", "web1", `4: the name "web1" is here twice, first at x.yaml:2; rename one`},
	{"a name twice, in two tenants", sampleWith("name: @, tenant: globex, vpc: shared, subnet: dns, ip: 10.9.0.9"), "dns1", "web1", `4: the name "web1" is here twice, first at x.yaml:2; rename one`},
	{"an outside name that an endpoint has", strings.Replace(sampleFile, "client", "@", 1), "client", "db1", `4: the name "db1" is here twice, first at x.yaml:3; rename one`},
	{"an outside name twice", "endpoints: []\noutside: [{name: a, ip: 192.0.2.1},\n{name: @, ip: 192.0.2.2}]\nports: []\n", "b", "a", `3: the name "a" is here twice, first at x.yaml:2; rename one`},
	{"an unknown tenant", wholly("name: a, tenant: @, vpc: prod, subnet: web, ip: 10.1.0.9"), "acme", "acne", `2: the tenant "acne" doesn't exist; add the Tenant or name another`},
	{"an unknown VPC", wholly("name: a, tenant: acme, vpc: @, subnet: web, ip: 10.1.0.9"), "prod", "prd", `2: the vpc "prd" of tenant "acme" doesn't exist; add the VPC or name another`},
	{"a VPC with its tenant", wholly("name: a, tenant: acme, vpc: @, subnet: web, ip: 10.1.0.9"), "prod", "acme/prod", `2: an endpoint's vpc is "acme/prod"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"an unknown subnet", wholly("name: a, tenant: acme, vpc: prod, subnet: @, ip: 10.1.0.9"), "web", "wep", `2: the subnet "wep" doesn't exist in vpc "acme/prod" (base.yaml:13); add it or name another`},
	{"an ip outside the subnet", wholly("name: a, tenant: acme, vpc: prod, subnet: web, ip: @"), "10.1.0.255", "10.1.1.0", `2: ip 10.1.1.0 is not in the subnet "web", 10.1.0.0/24 (base.yaml:14); choose an address in it`},
	{"an ip twice in a VPC", sampleWith("name: a, tenant: acme, vpc: prod, subnet: web, ip: @"), "10.1.0.3", "10.1.0.2", `4: ip 10.1.0.2 is taken in vpc "acme/prod", at x.yaml:2; give the endpoint one of its own`},
	{"an ip in two VPCs", sampleWith("name: a, tenant: acme, vpc: @, ip: 10.1.0.2"), "dev, subnet: all", "prod, subnet: web", `4: ip 10.1.0.2 is taken in vpc "acme/prod", at x.yaml:2; give the endpoint one of its own`},
	{"an ip that is none", wholly("name: a, tenant: acme, vpc: prod, subnet: web, ip: @"), "10.1.0.2", "10.1.0.02", `2: ip is "10.1.0.02", which is no IPv4 address; write it as 10.1.0.2`},
	{"an ip with a length", wholly("name: a, tenant: acme, vpc: prod, subnet: web, ip: @"), "10.1.0.2", "10.1.0.2/24", `2: ip is "10.1.0.2/24", which is no IPv4 address; write it as 10.1.0.2`},
	{"IPv6", wholly(`name: a, tenant: acme, vpc: prod, subnet: web, ip: "@"`), "10.1.0.2", "2001:db8::1", `2: ip is "2001:db8::1", which is IPv6, and that is refused until dual stack is built; write an IPv4 address`},
	{"IPv4-mapped IPv6", wholly(`name: a, tenant: acme, vpc: prod, subnet: web, ip: "@"`), "10.1.0.2", "::ffff:10.1.0.2", `2: ip is "::ffff:10.1.0.2", which is IPv4-mapped IPv6; write the IPv4 address`},
	{"IPv6 outside", `outside: [{name: a, ip: "@"}]` + "\nendpoints: []\nports: []\n", "192.0.2.1", "2001:db8::1", `1: ip is "2001:db8::1", which is IPv6, and that is refused until dual stack is built; write an IPv4 address`},
	{"an outside address without ip", "endpoints: []\noutside: [{name: a@}]\nports: []\n", ", ip: 192.0.2.1", "", `2: an outside address has no "ip"; write {name: NAME, ip: ADDRESS}`},
	{"a claim that is no name", endpoint("groups: [@]"), "web", "we b", `2: groups is "we b"; use 1 to 63 of a-z, 0-9 and -, with no - at either end`},
	{"a label that is no string", endpoint("labels: {a: @}"), `"1"`, "1", `2: label "a" is "1", which YAML takes for no string; quote it`},
	{"a host from 1", endpoint("host: @"), "1", "0", `2: host is "0"; write a number from 1 to 9999, or leave it out for any`},
	{"a host that is a number", endpoint("host: @"), "2", `"2"`, `2: host is "2"; write a number from 1 to 9999, or leave it out for any`},
	{"a host that is decimal", endpoint("host: @"), "2", "0x2", `2: host is "0x2"; write a number from 1 to 9999, or leave it out for any`},

	{"a protocol alone", port("@"), "tcp/1", "tcp", `2: ports has "tcp", which is no single port; write it as tcp/443, udp/53, sctp/3868, icmp/echo or icmp/TYPE`},
	{"icmp alone", port("@"), "icmp/8", "icmp", `2: ports has "icmp", which is no single port; ...`},
	{"a range", port("@"), "udp/2-2", "udp/1-2", `2: ports has "udp/1-2", which is no single port; ...`},
	{"port 0", port("@"), "tcp/1", "tcp/0", `2: ports has "tcp/0", which is no single port; ...`},
	{"port 65536", port("@"), "tcp/65535", "tcp/65536", `2: ports has "tcp/65536", which is no single port; ...`},
	{"a leading zero", port("@"), "tcp/1", "tcp/01", `2: ports has "tcp/01", which is no single port; ...`},
	{"an unknown protocol", port("@"), "sctp/1", "gre/1", `2: ports has "gre/1", which is no single port; ...`},
	{"a port twice", port("icmp/echo, @"), "icmp/0", "icmp/8", `2: the port "icmp/8" is here twice, first at x.yaml:2; remove one`},
	{"a port that is no string", port("@"), "tcp/80", "80", `2: ports is "80", which YAML takes for no string; quote it`},
}

// endpoint returns a file with an endpoint that has more than it must, in line 2.
func endpoint(rest string) string {
	return wholly("name: a, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.9, " + rest)
}

// wholly returns a file with one endpoint, in line 2.
func wholly(endpoint string) string {
	return "endpoints:\n- {" + endpoint + "}\nports: []\n"
}

// sampleWith returns sampleFile with one more endpoint, in line 4.
func sampleWith(endpoint string) string {
	return strings.Replace(sampleFile, "outside:", "- {"+endpoint+"}\noutside:", 1)
}

// port returns a file with ports, in line 2.
func port(ports string) string { return "endpoints: []\nports: [" + ports + "]\n" }

func TestLoadSampleTellsTwinsApart(t *testing.T) {
	net := load(t, "base.yaml", base)
	for _, test := range sampleTwins {
		t.Run(test.name, func(t *testing.T) {
			sample, problems := spec.LoadSample("x.yaml", []byte(strings.ReplaceAll(test.file, "@", test.good)), net)
			if sample == nil || len(problems) > 0 {
				t.Errorf("with %q, LoadSample says:\n%swant nothing", test.good, lines(problems))
			}
			sample, problems = spec.LoadSample("x.yaml", []byte(strings.ReplaceAll(test.file, "@", test.bad)), net)
			got, want := lines(problems), "x.yaml:"+test.want
			start, cut := strings.CutSuffix(want, "...")
			if sample != nil || !(got == want+"\n" || cut && strings.HasPrefix(got, start)) {
				t.Errorf("with %q, LoadSample says:\n%swant:\n%s", test.bad, got, want)
			}
			withWayOut(t, problems)
		})
	}
}

func TestLoadSampleReadsAllThatIsThere(t *testing.T) {
	got, problems := spec.LoadSample("x.yaml", []byte(sampleFile), load(t, "base.yaml", base))
	if len(problems) > 0 {
		t.Fatalf("LoadSample says:\n%s", lines(problems))
	}
	at := func(line int) spec.Pos { return spec.Pos{File: "x.yaml", Line: line} }
	want := &spec.Sample{
		Endpoints: []spec.SampleEndpoint{
			{Name: "web1", Tenant: "acme", VPC: "prod", Subnet: "web", IP: netip.MustParseAddr("10.1.0.2"),
				Groups: []string{"web"}, Labels: map[string]string{"role": "web"}, Host: 2, At: at(2)},
			{Name: "db1", Tenant: "acme", VPC: "prod", Subnet: "db", IP: netip.MustParseAddr("10.1.1.2"), At: at(3)},
		},
		Outside: []spec.SampleOutside{{Name: "client", IP: netip.MustParseAddr("203.0.113.9"), At: at(4)}},
		Ports: []spec.SamplePort{
			{Text: "tcp/5432", Port: spec.Port{Proto: "tcp", Lo: 5432, Hi: 5432}, At: at(5)},
			{Text: "udp/53", Port: spec.Port{Proto: "udp", Lo: 53, Hi: 53}, At: at(5)},
			{Text: "sctp/3868", Port: spec.Port{Proto: "sctp", Lo: 3868, Hi: 3868}, At: at(5)},
			{Text: "icmp/echo", Port: spec.Port{Proto: "icmp", Lo: 8, Hi: 8}, At: at(5)},
			{Text: "icmp/0", Port: spec.Port{Proto: "icmp"}, At: at(5)},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("LoadSample (-want +got):\n%s", diff)
	}
}

func TestLoadSampleReportsAllAtOnce(t *testing.T) {
	file := "endpoints:\n- {name: A, tenant: x, vpc: y, subnet: z, ip: q}\n- {name: b}\noutside: [{name: c, ip: \"::1\"}]\nports: [tcp]\n"
	_, problems := spec.LoadSample("x.yaml", []byte(file), load(t, "base.yaml", base))
	var found []int
	for _, p := range problems {
		found = append(found, p.At.Line)
	}
	if diff := cmp.Diff([]int{2, 2, 2, 3, 3, 3, 3, 4, 5}, found); diff != "" {
		t.Errorf("lines of problems (-want +got):\n%s\n%s", diff, lines(problems))
	}
}

func TestLoadSampleWithoutANetworkJudgesTheFileAlone(t *testing.T) {
	file := wholly("name: a, tenant: nobody, vpc: nowhere, subnet: none, ip: 192.0.2.1")
	if sample, problems := spec.LoadSample("x.yaml", []byte(file), nil); sample == nil {
		t.Errorf("LoadSample without a network says:\n%s", lines(problems))
	}
	if sample, _ := spec.LoadSample("x.yaml", []byte(port("tcp")), nil); sample != nil {
		t.Error("LoadSample without a network accepts the port tcp")
	}
}

func TestLoadSampleHoldsTheLimitsOfATree(t *testing.T) {
	entries := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "tcp/%d,", i+1)
		}
		return port(b.String())
	}
	nested := func(n int) string { return "x: " + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) }
	for _, test := range []struct{ name, good, bad, want string }{
		{"bytes", port("") + "#" + strings.Repeat("x", spec.MaxFileBytes-len(port(""))-1), port("") + "#" + strings.Repeat("x", spec.MaxFileBytes), "larger than 1048576 bytes"},
		{"entries", entries(spec.MaxEntries), entries(spec.MaxEntries + 1), "more than 10000 entries"},
		{"nesting", "", nested(spec.MaxNesting + 1), "nested deeper than 32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.good != "" {
				if sample, problems := spec.LoadSample("x.yaml", []byte(test.good), nil); sample == nil {
					t.Errorf("at the limit, LoadSample says:\n%.300s", lines(problems))
				}
			}
			if sample, problems := spec.LoadSample("x.yaml", []byte(test.bad), nil); sample != nil || !strings.Contains(lines(problems), test.want) {
				t.Errorf("beyond the limit, LoadSample says:\n%.300s\nwant %q", lines(problems), test.want)
			}
		})
	}
}

func TestSinglePort(t *testing.T) {
	if p, err := spec.SinglePort("icmp/echo"); err != nil || p.Port != (spec.Port{Proto: "icmp", Lo: 8, Hi: 8}) || p.Text != "icmp/echo" {
		t.Errorf(`SinglePort("icmp/echo") = %v, %v`, p, err)
	}
	for _, text := range []string{"", "tcp", "tcp/1-2", "5432"} {
		if p, err := spec.SinglePort(text); err == nil {
			t.Errorf("SinglePort(%q) = %v; want an error", text, p)
		}
	}
}

func FuzzLoadSample(f *testing.F) {
	f.Add([]byte(sampleFile))
	f.Add([]byte("[0"))
	for _, test := range sampleTwins {
		f.Add([]byte(strings.ReplaceAll(test.file, "@", test.good)))
		f.Add([]byte(strings.ReplaceAll(test.file, "@", test.bad)))
	}
	net, problems := spec.Load(tree("base.yaml", base))
	if net == nil {
		f.Fatalf("Load refuses base:\n%s", lines(problems))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		sample, problems := spec.LoadSample("x.yaml", file, net)
		for _, p := range problems {
			// A bracket that is never closed may be found behind the last line.
			if p.Text == "" || p.At.File != "x.yaml" || p.At.Line < 1 || p.At.Line > lineCount(file)+1 {
				t.Errorf("a problem at no line of the file: %s", p)
			}
		}
		if sample == nil {
			if len(problems) == 0 {
				t.Error("LoadSample refuses it and doesn't say why")
			}
			return
		}
		names := make(map[string]bool)
		for _, e := range sample.Endpoints {
			sub := net.VPCs[spec.MakeVPCID(e.Tenant, e.VPC)].Subnet(e.Subnet)
			if names[e.Name] || !sub.CIDR.Contains(e.IP) {
				t.Errorf("LoadSample accepts the endpoint %+v", e)
			}
			names[e.Name] = true
		}
		for _, p := range sample.Ports {
			if p.Port.Lo != p.Port.Hi {
				t.Errorf("LoadSample accepts the port %+v", p)
			}
		}
	})
}
