package matrix_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"github.com/daolinet/daolinet/reconciler/matrix"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/spec"
)

// organisation is two tenants with the same addresses.
const organisation = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: globex}
spec: {hosts: ["*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: globex}
spec: {subnets: [{name: web, cidr: 10.1.0.0/24}]}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec: {}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: db, tenant: acme, vpc: prod}
spec:
  members: {subnets: [db]}
  ingress:
  - {from: [{group: web}], ports: [tcp/5432], until: 2026-12-24T18:00:00Z}
`

const sampleText = `endpoints:
- {name: web1, tenant: acme, vpc: prod, subnet: web, ip: 10.1.0.2, groups: [web]}
- {name: db1, tenant: acme, vpc: prod, subnet: db, ip: 10.1.1.2}
- {name: other, tenant: globex, vpc: prod, subnet: web, ip: 10.1.0.2}
outside: [{name: client, ip: 203.0.113.9}, {name: local, ip: 127.0.0.1}]
ports: [tcp/5432, icmp/echo]
`

var (
	before = time.Date(2026, 12, 24, 17, 59, 59, 0, time.UTC)
	after  = before.Add(time.Second)
)

// compiled returns the policy of a tree of one file, o.yaml.
func compiled(t *testing.T, file string) *policy.Policy {
	t.Helper()
	net, problems := spec.Load(fstest.MapFS{"o.yaml": &fstest.MapFile{Data: []byte(file)}})
	if net == nil {
		t.Fatalf("Load refuses the tree: %v", problems)
	}
	pol, err := policy.Compile("r1", net, nil)
	if err != nil {
		t.Fatal(err)
	}
	return pol
}

// sampled returns the endpoints file for the network of pol.
func sampled(t *testing.T, pol *policy.Policy, file string) *spec.Sample {
	t.Helper()
	sample, problems := spec.LoadSample("e.yaml", []byte(file), pol.Network())
	if sample == nil {
		t.Fatalf("LoadSample refuses the file: %v", problems)
	}
	return sample
}

// rows returns the pairs as "from to port verdict reason rule at".
func rows(m *matrix.Matrix) []string {
	var list []string
	for _, p := range m.Pairs {
		list = append(list, strings.Join(strings.Fields(fmt.Sprint(p.From, " ", p.To, " ", p.Port, " ", p.Verdict, " ", p.Reason, " ", p.Rule, " ", p.At)), " "))
	}
	return list
}

func TestComputeAsksEveryOrderedPairInTheFilesOrder(t *testing.T) {
	pol := compiled(t, organisation)
	m, problems := matrix.Compute(pol, before, sampled(t, pol, sampleText))
	if len(problems) > 0 {
		t.Errorf("Compute says %v; want nothing", problems)
	}
	want := []string{
		"web1 db1 tcp/5432 allow rule acme/prod/db/ingress/0 o.yaml:32",
		"web1 db1 icmp/echo reject ingress-default acme/prod/db o.yaml:31",
		"web1 other tcp/5432 drop isolation",
		"web1 other icmp/echo drop isolation",
		"web1 client tcp/5432 reject no-egress acme/prod o.yaml:13",
		"web1 client icmp/echo reject no-egress acme/prod o.yaml:13",
		"web1 local tcp/5432 drop address-reserved",
		"web1 local icmp/echo drop address-reserved",
		"db1 web1 tcp/5432 reject ingress-default acme/prod o.yaml:13",
		"db1 web1 icmp/echo reject ingress-default acme/prod o.yaml:13",
		"db1 other tcp/5432 drop isolation",
		"db1 other icmp/echo drop isolation",
		"db1 client tcp/5432 reject no-egress acme/prod o.yaml:13",
		"db1 client icmp/echo reject no-egress acme/prod o.yaml:13",
		"db1 local tcp/5432 drop address-reserved",
		"db1 local icmp/echo drop address-reserved",
		"other web1 tcp/5432 drop isolation",
		"other web1 icmp/echo drop isolation",
		"other db1 tcp/5432 drop isolation",
		"other db1 icmp/echo drop isolation",
		"other client tcp/5432 reject no-egress globex/prod o.yaml:18",
		"other client icmp/echo reject no-egress globex/prod o.yaml:18",
		"other local tcp/5432 drop address-reserved",
		"other local icmp/echo drop address-reserved",
		"client web1 tcp/5432 drop no-ingress",
		"client web1 icmp/echo drop no-ingress",
		"client db1 tcp/5432 drop no-ingress",
		"client db1 icmp/echo drop no-ingress",
		"client other tcp/5432 drop no-ingress",
		"client other icmp/echo drop no-ingress",
		"local web1 tcp/5432 drop address-reserved",
		"local web1 icmp/echo drop address-reserved",
		"local db1 tcp/5432 drop address-reserved",
		"local db1 icmp/echo drop address-reserved",
		"local other tcp/5432 drop address-reserved",
		"local other icmp/echo drop address-reserved",
	}
	if diff := cmp.Diff(want, rows(m)); diff != "" {
		t.Errorf("Compute (-want +got):\n%s", diff)
	}
}

func TestComputeJudgesAtTheMomentThatItIsGiven(t *testing.T) {
	pol := compiled(t, organisation)
	sample := sampled(t, pol, sampleText)
	for _, test := range []struct {
		name string
		now  time.Time
		want string
	}{
		{"a second before until", before, "allow"},
		{"from that second on", after, "reject"},
		{"and before again", before, "allow"},
	} {
		m, _ := matrix.Compute(pol, test.now, sample)
		if got := m.Pairs[0].Verdict; got != test.want {
			t.Errorf("%s: web1 > db1 tcp/5432 = %s; want %s", test.name, got, test.want)
		}
	}
}

// Numbers of identities are only unique to one computation, so a policy that
// kept what it said of one sample would say it of the next.
func TestComputeOfOneSampleDoesNotAnswerForAnother(t *testing.T) {
	pol := compiled(t, organisation)
	unclaimed := strings.Replace(sampleText, ", groups: [web]", "", 1)
	for range 2 {
		for text, want := range map[string]string{sampleText: "allow", unclaimed: "reject"} {
			m, _ := matrix.Compute(pol, before, sampled(t, pol, text))
			if got := m.Pairs[0].Verdict; got != want {
				t.Errorf("web1 > db1 tcp/5432 = %s; want %s with\n%s", got, want, text)
			}
		}
	}
	if hits := pol.Stats().Hits; hits > 0 {
		t.Errorf("the policy answered %d times from its cache; want never", hits)
	}
}

func TestComputeWarnsOfClaimsThatGrantNothing(t *testing.T) {
	for _, test := range []struct{ name, claim, want string }{
		{"a group without members", "web", ""},
		{"a group that doesn't exist", "nope", `e.yaml:2: warning: web1 claims the group "nope", which grants nothing: it doesn't exist in vpc "acme/prod"; add the group or leave the claim out`},
		{"a group with members", "db", `e.yaml:2: warning: web1 claims the group "db", which grants nothing: it has members (o.yaml:28), so that nobody can claim it; leave the claim out`},
	} {
		t.Run(test.name, func(t *testing.T) {
			pol := compiled(t, organisation)
			m, problems := matrix.Compute(pol, before, sampled(t, pol, strings.Replace(sampleText, "[web]", "["+test.claim+"]", 1)))
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			if m == nil || strings.Join(got, "\n") != test.want {
				t.Errorf("Compute says %q; want %q", got, test.want)
			}
		})
	}
}

func TestComputeRefusesMorePairsThanFitIntoMemory(t *testing.T) {
	pol := compiled(t, organisation)
	sample := sampled(t, pol, sampleText)
	for len(sample.Ports) < matrix.MaxPairs/18+1 {
		sample.Ports = append(sample.Ports, sample.Ports[0])
	}
	m, problems := matrix.Compute(pol, before, sample)
	if m != nil || len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "e.yaml:1: the file asks for 1000008 pairs") {
		t.Errorf("Compute of %d ports = %v, %v; want an error", len(sample.Ports), m != nil, problems)
	}
}

func TestComputeRefusesASampleOfAnotherNetwork(t *testing.T) {
	sample := sampled(t, compiled(t, organisation), sampleText)
	other := compiled(t, strings.ReplaceAll(organisation, "10.1.1.0/24", "10.2.1.0/24"))
	m, problems := matrix.Compute(other, before, sample)
	if m != nil || len(problems) != 1 || problems[0].At.Line != 3 || problems[0].Warning {
		t.Errorf("Compute = %v, %v; want an error at e.yaml:3", m, problems)
	}
}

func TestAnEmptySampleHasNoPairs(t *testing.T) {
	pol := compiled(t, organisation)
	m, problems := matrix.Compute(pol, before, sampled(t, pol, "endpoints: []\noutside: [{name: a, ip: 192.0.2.1}, {name: b, ip: 192.0.2.2}]\nports: [tcp/1]\n"))
	if m == nil || len(m.Pairs) != 0 || len(problems) > 0 {
		t.Fatalf("Compute = %v, %v; want no pairs", m, problems)
	}
	var b bytes.Buffer
	if err := m.WriteJSON(&b); err != nil || !strings.Contains(b.String(), `"pairs": [`) || !json.Valid(b.Bytes()) {
		t.Errorf("WriteJSON writes %q, %v; want an empty list of pairs", b.String(), err)
	}
}

func TestExplainSaysWhyInOneLineAPair(t *testing.T) {
	pol := compiled(t, organisation)
	sample := sampled(t, pol, sampleText)
	m, _ := matrix.Explain(pol, before, sample)
	computed, _ := matrix.Compute(pol, before, sample)
	for i, p := range m.Pairs {
		if p.Why == "" || strings.Contains(p.Why, "\n") || !strings.HasPrefix(p.Why, p.Verdict+": "+p.Reason) {
			t.Errorf("%s > %s %s: why = %q; want one line that begins with the decision", p.From, p.To, p.Port, p.Why)
		}
		p.Why = ""
		if p != computed.Pairs[i] {
			t.Errorf("Explain has %v where Compute has %v", p, computed.Pairs[i])
		}
	}
}

func TestQueryIsWhatThePolicyIsAsked(t *testing.T) {
	pol := compiled(t, organisation)
	sample := sampled(t, pol, sampleText)
	port, err := spec.SinglePort("tcp/5432")
	if err != nil {
		t.Fatal(err)
	}
	q, err := matrix.Query(pol, before, sample, "web1", "db1", port)
	if err != nil || pol.Decide(before, q).Verdict != policy.Allow || pol.Decide(after, q).Verdict != policy.Reject {
		t.Errorf("Query of web1 > db1 = %v, %v; want one that is allowed until %s", q, err, after)
	}
	for _, test := range []struct{ from, to, want string }{
		{"web1", "db2", `no endpoint or outside address has the name "db2"`},
		{"web2", "db1", `no endpoint or outside address has the name "web2"`},
		{"web1", "web1", `"web1" is on both sides; name two`},
		{"client", "local", `"client" and "local" are both outside; name an endpoint`},
		{"web1", "local", "the policy is not asked about web1 and local: address-reserved"},
	} {
		if _, err := matrix.Query(pol, before, sample, test.from, test.to, port); err == nil || err.Error() != test.want {
			t.Errorf("Query of %s > %s says %v; want %s", test.from, test.to, err, test.want)
		}
	}
}

func TestIdentitiesHaveNoNumbers(t *testing.T) {
	pol := compiled(t, organisation)
	ids := matrix.Identities(pol.Network(), sampled(t, pol, sampleText))
	if len(ids) != 3 {
		t.Errorf("Identities returns %d; want 3", len(ids))
	}
	for _, id := range ids {
		if id.ID != 0 {
			t.Errorf("an identity of %s has the number %d; want none", id.VPC, id.ID)
		}
	}
}

// written is a matrix with what the formats must escape.
var written = matrix.Matrix{Revision: "sha256:1", Pairs: []matrix.Pair{
	{From: "a", To: "bcd", Port: "tcp/1", Verdict: "allow", Reason: "rule", Rule: "acme/prod/db/ingress/0", At: `te "n", <&>/x.yaml:17`},
	{From: "bcd", To: "a", Port: "icmp/echo", Verdict: "drop", Reason: "isolation"},
}}

func TestWriteTable(t *testing.T) {
	want := `FROM  TO   PORT       VERDICT  REASON     RULE                    AT
a     bcd  tcp/1      allow    rule       acme/prod/db/ingress/0  te "n", <&>/x.yaml:17
bcd   a    icmp/echo  drop     isolation  -                       -
`
	var b, coloured bytes.Buffer
	if err := written.WriteTable(&b, matrix.Plain); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("WriteTable (-want +got):\n%s", diff)
	}
	if err := written.WriteTable(&coloured, matrix.Colour); err != nil {
		t.Fatal(err)
	}
	if text := coloured.String(); !strings.Contains(text, "\x1b[32mallow\x1b[0m   ") || !strings.Contains(text, "\x1b[31mdrop\x1b[0m    ") {
		t.Errorf("WriteTable in colour: %q", text)
	}
	bare := strings.NewReplacer("\x1b[1m", "", "\x1b[32m", "", "\x1b[31m", "", "\x1b[0m", "").Replace(coloured.String())
	if bare != want {
		t.Errorf("colours take width:\n%s", bare)
	}
}

func TestWritersAgree(t *testing.T) {
	var j, y, c bytes.Buffer
	for _, write := range []func() error{
		func() error { return written.WriteJSON(&j) },
		func() error { return written.WriteYAML(&y) },
		func() error { return written.WriteCSV(&c) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	var fromJSON matrix.Matrix
	dec := json.NewDecoder(&j)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&fromJSON); err != nil {
		t.Fatalf("read what WriteJSON wrote: %v", err)
	}
	if diff := cmp.Diff(written, fromJSON); diff != "" {
		t.Errorf("WriteJSON (-want +got):\n%s", diff)
	}
	var fromYAML struct {
		Revision string
		Pairs    []map[string]string
	}
	if err := yaml.Unmarshal(y.Bytes(), &fromYAML); err != nil {
		t.Fatalf("read what WriteYAML wrote: %v", err)
	}
	records, err := csv.NewReader(&c).ReadAll()
	if err != nil || len(records) != 3 {
		t.Fatalf("read what WriteCSV wrote: %v, %v", records, err)
	}
	for i, p := range written.Pairs {
		want := map[string]string{"from": p.From, "to": p.To, "port": p.Port, "verdict": p.Verdict, "reason": p.Reason, "rule": p.Rule, "at": p.At}
		if diff := cmp.Diff(want, fromYAML.Pairs[i]); diff != "" {
			t.Errorf("WriteYAML (-want +got):\n%s", diff)
		}
		got := make(map[string]string)
		for column, name := range records[0] {
			got[name] = records[i+1][column]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("WriteCSV (-want +got):\n%s", diff)
		}
	}
}

// A key is always there, "" where there is nothing.
func TestWriteJSONLeavesNoKeyOut(t *testing.T) {
	var b bytes.Buffer
	if err := written.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want := `{"from":"bcd","to":"a","port":"icmp/echo","verdict":"drop","reason":"isolation","rule":"","at":""}`
	if !strings.Contains(b.String(), want) {
		t.Errorf("WriteJSON writes\n%s\nwant in it\n%s", b.String(), want)
	}
}
