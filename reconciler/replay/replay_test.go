package replay_test

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/decisionlog"
	"github.com/daolinet/daolinet/reconciler/policy"
	"github.com/daolinet/daolinet/reconciler/replay"
	"github.com/daolinet/daolinet/reconciler/spec"
)

const network = `apiVersion: daoli.net/v1
kind: Tenant
metadata: {name: acme}
spec: {hosts: ["h*"]}
---
apiVersion: daoli.net/v1
kind: VPC
metadata: {name: prod, tenant: acme}
spec:
  subnets: [{name: web, cidr: 10.1.0.0/24}, {name: db, cidr: 10.1.1.0/24}]
  default: deny
  egress: {default: deny}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: db, tenant: acme, vpc: prod}
spec:
  members: {subnets: [db]}
  ingress:
    - {from: [{group: web}], ports: [tcp/5432]}
    - {from: [{subnet: web}], ports: [tcp/22], until: 2026-06-01T12:00:00Z}
---
apiVersion: daoli.net/v1
kind: SecurityGroup
metadata: {name: web, tenant: acme, vpc: prod}
spec:
  egress:
    - {to: [{group: db}], ports: [tcp]}
    - {to: [{cidr: 203.0.113.0/24}], ports: [tcp/443]}
`

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func compiled(t testing.TB) *policy.Policy {
	t.Helper()
	n, problems := spec.Load(fstest.MapFS{"net.yaml": {Data: []byte(network)}})
	if n == nil {
		t.Fatal(problems)
	}
	p, err := policy.Compile("r", n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// record is what was decided from web1 to port 5432 of db1.
func record(change func(*decisionlog.Record)) decisionlog.Record {
	r := decisionlog.Record{
		Time: noon, Proto: "tcp", Port: 5432, Verdict: "allow", Reason: "rule",
		Src: decisionlog.Side{VPC: "acme/prod", Subnet: "web", Name: "web1", Groups: []string{"web"}, Host: "h1", IP: netip.MustParseAddr("10.1.0.2")},
		Dst: decisionlog.Side{VPC: "acme/prod", Subnet: "db", Name: "db1", Groups: []string{"db"}, Host: "h2", IP: netip.MustParseAddr("10.1.1.2")},
	}
	if change != nil {
		change(&r)
	}
	return r
}

func denied(r *decisionlog.Record, reason string) { r.Verdict, r.Reason = "drop", reason }

func outside(a string) decisionlog.Side { return decisionlog.Side{IP: netip.MustParseAddr(a)} }

func TestEachRecordIsJudgedAsAdmissionWould(t *testing.T) {
	pol := compiled(t)
	for _, tt := range []struct {
		name   string
		change func(*decisionlog.Record)
		want   string // what differs, "not judged: REASON", or nothing
	}{
		{"the same answer is no difference", nil, ""},
		{"another rule for the same verdict is none", func(r *decisionlog.Record) { r.Rule, r.At = "old", "old.yaml:1" }, ""},
		{"a drop that is allowed now", func(r *decisionlog.Record) { denied(r, "ingress-default") }, "drop > allow rule acme/prod/db/ingress/0"},
		{"groups count as claimed", func(r *decisionlog.Record) { r.Src.Groups = nil }, "allow > reject ingress-default acme/prod/db"},
		{"members are the policy's matter", func(r *decisionlog.Record) { r.Dst.Groups = nil }, ""},
		{"a group that is gone grants nothing", func(r *decisionlog.Record) { r.Src.Groups = []string{"front"} }, "allow > reject ingress-default acme/prod/db"},
		{"before its until a rule holds", func(r *decisionlog.Record) { r.Port, r.Time = 22, noon.Add(-time.Second) }, ""},
		{"from its until on it has ended", func(r *decisionlog.Record) { r.Port = 22 }, "allow > reject ingress-default acme/prod/db"},
		{"a VPC that is gone", func(r *decisionlog.Record) { r.Src.VPC = "acme/old" }, "allow > drop unknown-endpoint"},
		{"a subnet that has another range", func(r *decisionlog.Record) { r.Dst.IP = netip.MustParseAddr("10.9.0.1") }, "allow > drop no-endpoint"},
		{"a host that may not claim the tenant", func(r *decisionlog.Record) { r.Src.Host = "x1" }, "allow > drop unknown-endpoint"},
		{"to outside, where a rule allows it", func(r *decisionlog.Record) {
			r.Dst, r.Port = outside("203.0.113.9"), 443
			denied(r, "egress-default")
		}, "drop > allow rule acme/prod/web/egress/1"},
		{"what nothing carries was allowed", func(r *decisionlog.Record) {
			r.Dst, r.Port = outside("203.0.113.9"), 443
			denied(r, "unsupported")
		}, ""},
		{"and is not now", func(r *decisionlog.Record) {
			r.Dst, r.Port = outside("203.0.113.9"), 80
			denied(r, "unsupported")
		}, "allow > reject egress-default acme/prod/web"},
		{"nobody had the address, and nobody has", func(r *decisionlog.Record) {
			r.Dst = outside("10.1.1.77")
			denied(r, "no-endpoint")
		}, ""},
		{"an address that is in a subnet now", func(r *decisionlog.Record) {
			r.Dst = outside("10.1.1.77")
			denied(r, "egress-default")
		}, "not judged: no-endpoint"},
		{"an address that may be a host's", func(r *decisionlog.Record) { r.Dst = outside("169.254.1.1") }, "not judged: address-reserved"},
		{"what no policy decided", func(r *decisionlog.Record) { denied(r, "quota") }, "not judged: quota"},
		{"two addresses", func(r *decisionlog.Record) { r.Src, r.Dst = outside("10.1.0.2"), outside("10.1.1.2") }, "not judged: unknown-ends"},
		{"from outside", func(r *decisionlog.Record) { r.Src = outside("198.51.100.7") }, "allow > drop no-ingress"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := replay.Run(pol, slices.Values([]decisionlog.Record{record(tt.change)}))
			var got []string
			for reason := range d.Unjudged {
				got = append(got, "not judged: "+reason)
			}
			for _, c := range d.Changes {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s > %s %s %s", c.Was.Verdict, c.Is.Verdict, c.Is.Reason, c.Is.Rule)))
			}
			if diff := cmp.Diff(tt.want, strings.Join(got, "; ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// many is a log of n records of 100 clients and 100 servers, of which each tenth was
// denied and would be allowed.
func many(n int) iter.Seq[decisionlog.Record] {
	return func(yield func(decisionlog.Record) bool) {
		for i := range n {
			r := record(func(r *decisionlog.Record) {
				c, s := i%100, i/100%100
				r.Src.Name, r.Src.IP = fmt.Sprint("web", c), netip.AddrFrom4([4]byte{10, 1, 0, byte(2 + c)})
				r.Dst.Name, r.Dst.IP = fmt.Sprint("db", s), netip.AddrFrom4([4]byte{10, 1, 1, byte(2 + s)})
				r.Time = noon.Add(time.Duration(i) * time.Millisecond)
				if i%10 == 0 {
					denied(r, "ingress-default")
				}
			})
			if !yield(r) {
				return
			}
		}
	}
}

func TestAlikeDecisionsAreOneChange(t *testing.T) {
	const n = 100_000
	d := replay.Run(compiled(t), many(n))
	if d.Records != n || d.Differ != n/10 || d.More != 0 {
		t.Errorf("%d records, %d differ, %d more; want %d, %d and none", d.Records, d.Differ, d.More, n, n/10)
	}
	sum := 0
	for _, c := range d.Changes {
		if sum += c.Count; c.Last.Before(c.First) {
			t.Errorf("%s > %s is last at %v, and first at %v", c.From, c.To, c.Last, c.First)
		}
	}
	if sum != n/10 || len(d.Changes) != 1000 {
		t.Errorf("%d changes have %d records; want 1000 and %d", len(d.Changes), sum, n/10)
	}
}

func TestDifferencesOfTooManyKindsAreCounted(t *testing.T) {
	const n = 12_000
	d := replay.Run(compiled(t), func(yield func(decisionlog.Record) bool) {
		for i := range n {
			if !yield(record(func(r *decisionlog.Record) { r.Port = uint16(10_000 + i) })) {
				return
			}
		}
	})
	if len(d.Changes)+d.More != n || d.More == 0 || d.Differ != n {
		t.Errorf("%d changes, %d more, %d differ; want %d in all, and some more", len(d.Changes), d.More, d.Differ, n)
	}
}

func TestManyIdentitiesStayApart(t *testing.T) {
	// More than a judge remembers; of each two one is in the group.
	const n = 16_600
	d := replay.Run(compiled(t), func(yield func(decisionlog.Record) bool) {
		for i := range n {
			if !yield(record(func(r *decisionlog.Record) {
				r.Src.Labels = map[string]string{"n": fmt.Sprint(i)}
				if i%2 == 0 {
					r.Src.Groups = nil
				}
			})) {
				return
			}
		}
	})
	if d.Differ != n/2 {
		t.Errorf("%d differ; want %d", d.Differ, n/2)
	}
}

func TestWhatTheLogLacksIsTold(t *testing.T) {
	d := replay.Run(compiled(t), slices.Values([]decisionlog.Record{{Time: noon, LeftOut: 3}, record(nil), {Time: noon, LeftOut: 4}}))
	if d.LeftOut != 7 || d.Records != 1 {
		t.Errorf("%d left out, %d records; want 7 and 1", d.LeftOut, d.Records)
	}
}

// BenchmarkRun reads and judges a log's lines.
func BenchmarkRun(b *testing.B) {
	pol := compiled(b)
	var lines [][]byte
	for r := range many(10_000) {
		line, err := json.Marshal(r)
		if err != nil {
			b.Fatal(err)
		}
		lines = append(lines, append(line, '\n'))
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		in := &cycle{lines: lines, left: 100_000}
		replay.Run(pol, func(yield func(decisionlog.Record) bool) {
			for r, err := range decisionlog.Read(in) {
				if err != nil {
					b.Fatal(err)
				}
				n++
				yield(r)
			}
		})
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

// cycle reads lines again and again, left of them.
type cycle struct {
	lines [][]byte
	next  []byte
	left  int
}

func (c *cycle) Read(p []byte) (int, error) {
	if len(c.next) == 0 {
		if c.left == 0 {
			return 0, io.EOF
		}
		c.left--
		c.next = c.lines[c.left%len(c.lines)]
	}
	n := copy(p, c.next)
	c.next = c.next[n:]
	return n, nil
}
