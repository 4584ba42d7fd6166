package scenario_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/daolinet/daolinet/reconciler/packet"
	"github.com/daolinet/daolinet/testbed/scenario"
)

var compareValues = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestParseSteps(t *testing.T) {
	mac := packet.MAC{2, 0, 0, 0, 0, 0x99}
	ip := netip.MustParseAddr
	tests := []struct {
		text string
		want scenario.Step
	}{
		{"host h1 172.31.1.1/24", scenario.Host{Name: "h1", Addr: netip.MustParsePrefix("172.31.1.1/24")}},
		{"endpoint web1 h1 acme/prod/web", scenario.Endpoint{Name: "web1", Host: "h1", Tenant: "acme", VPC: "prod", Subnet: "web"}},
		{"endpoint web1 h1 acme/prod/web 10.1.0.5 group=web,api label=role=web label=tier=1", scenario.Endpoint{
			Name: "web1", Host: "h1", Tenant: "acme", VPC: "prod", Subnet: "web", IP: ip("10.1.0.5"),
			Groups: []string{"web", "api"}, Labels: map[string]string{"role": "web", "tier": "1"},
		}},
		{"outside world 203.0.113.9", scenario.Outside{Name: "world", IP: ip("203.0.113.9")}},
		{"listen db1 tcp 5432", scenario.Listen{At: "db1", Proto: packet.TCP, Port: 5432}},
		{"packet a > b tcp 1 > 2 syn", scenario.Packet{From: "a", To: "b", Proto: packet.TCP, SrcPort: 1, DstPort: 2, Flags: packet.SYN}},
		{"packet a > 10.0.0.1 udp 1 > 2 ttl=3 vlan=100 src=10.0.0.9 smac=02:00:00:00:00:99 data=x", scenario.Packet{
			From: "a", To: "10.0.0.1", Proto: packet.UDP, SrcPort: 1, DstPort: 2,
			Frame: scenario.FrameOptions{TTL: 3, VLAN: packet.VLANPresent | 100, Src: ip("10.0.0.9"), SrcMAC: &mac, Data: "x"},
		}},
		{"packet a > b tcp 1 > 2 syn-ack psh", scenario.Packet{
			From: "a", To: "b", Proto: packet.TCP, SrcPort: 1, DstPort: 2, Flags: packet.SYN | packet.ACK | packet.PSH,
		}},
		{"packet a > b proto 47", scenario.Packet{From: "a", To: "b", Proto: 47}},
		{"ping a > b code=7", scenario.Packet{From: "a", To: "b", Proto: packet.ICMP, ICMPType: 8, Frame: scenario.FrameOptions{Code: 7}}},
		{"arp a > 10.0.0.1 spa=10.0.0.2 sha=02:00:00:00:00:99 reply", scenario.ARP{
			From: "a", Target: ip("10.0.0.1"), Reply: true, Sender: ip("10.0.0.2"), SenderMAC: &mac,
		}},
		{"connect a > b 80", scenario.Connect{From: "a", To: "b", Port: 80, SrcPort: 50000}},
		{"connect a > b 80 from=999", scenario.Connect{From: "a", To: "b", Port: 80, SrcPort: 999}},
		{"remove specs/a.yaml", scenario.Edit{File: "specs/a.yaml", Remove: true}},
		{"tick 1m30s", scenario.Tick{D: 90 * time.Second}},
		{"detach a", scenario.Detach{Name: "a"}},
		{"move a h2", scenario.Move{Name: "a", Host: "h2"}},
		{"restart h1", scenario.Restart{Host: "h1"}},
		{"expect delivered a", scenario.Expect{Outcome: scenario.OutcomeDelivered, At: "a"}},
		{"expect no-answer", scenario.Expect{Outcome: scenario.OutcomeNoAnswer}},
	}
	for _, tt := range tests {
		s, err := scenario.Parse([]byte("-- steps --\n" + tt.text + "  # why\n"))
		if err != nil {
			t.Errorf("Parse(%s) = %v", tt.text, err)
			continue
		}
		if d := cmp.Diff([]scenario.Line{{No: 1, Text: tt.text, Step: tt.want}}, s.Steps, compareValues); d != "" {
			t.Errorf("Parse(%s) differs (-want +got):\n%s", tt.text, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"dance":                               "unknown step",
		"host h1":                             "want host",
		"host h1 here":                        "here",
		"endpoint a h1 acme/prod":             "want endpoint",
		"endpoint a h1 acme/prod/web colour=": "unknown option",
		"listen a icmp 3":                     "unknown protocol",
		"packet a b":                          "FROM > TO",
		"packet a > b tcp 1 2":                "want packet",
		"packet a > b tcp 1 > 99999":          "out of range",
		"packet a > b udp 1 > 2 syn=1":        "unknown",
		"packet a > b tcp 1 > 2 shiny":        "unknown option",
		"ping a > b syn":                      "unknown option",
		"ping a > b smac=2":                   "no hardware address",
		"arp a > b":                           "b",
		"connect a > b":                       "want connect",
		"edit specs/a.yaml":                   "no section",
		"tick soon":                           "soon",
		"detach":                              "one name",
		"move a":                              "want move",
		"expect luck":                         "unknown outcome",
		"expect delivered":                    "want expect",
	} {
		_, err := scenario.Parse([]byte("-- steps --\n\n" + text + "\n"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "steps:2: ") {
			t.Errorf("Parse(%s) = %v; want an error with %q at steps:2", text, err, want)
		}
	}
	for _, archive := range []string{
		"-- other --\n",
		"-- specs/a.yaml --\n1\n-- specs/a.yaml --\n2\n-- steps --\n", // nobody edits
	} {
		if _, err := scenario.Parse([]byte(archive)); err == nil {
			t.Errorf("Parse(%q) = nil; want an error", archive)
		}
	}
}

func TestParseGivesEachEditItsSection(t *testing.T) {
	s, err := scenario.Parse([]byte(`Comment.
-- specs/a.yaml --
one
-- specs/b.yaml --
-- specs/a.yaml --
two
-- steps --
edit specs/a.yaml; edit specs/a.yaml; edit specs/b.yaml
-- specs/a.yaml --
three
-- specs/b.yaml --
first
-- want --
w
`))
	if err != nil {
		t.Fatal(err)
	}
	want := &scenario.Scenario{
		Comment: "Comment.\n", Want: "w\n",
		Files: []scenario.File{{Name: "specs/a.yaml", Data: []byte("one\n")}},
		Steps: []scenario.Line{
			{No: 1, Text: "edit specs/a.yaml", Step: scenario.Edit{File: "specs/a.yaml", Data: []byte("two\n")}},
			{No: 1, Text: "edit specs/a.yaml", Step: scenario.Edit{File: "specs/a.yaml", Data: []byte("three\n")}},
			{No: 1, Text: "edit specs/b.yaml", Step: scenario.Edit{File: "specs/b.yaml", Data: []byte("first\n")}},
		},
	}
	if d := cmp.Diff(want, s); d != "" {
		t.Errorf("Parse differs (-want +got):\n%s", d)
	}
}

func TestWithWantReplacesOnlyTheTranscript(t *testing.T) {
	const archive = "C.\n-- steps --\ntick 1s\n-- want --\nold\n"
	if got, want := string(scenario.WithWant([]byte(archive), "new\n")), strings.Replace(archive, "old", "new", 1); got != want {
		t.Errorf("WithWant = %q; want %q", got, want)
	}
	if got, want := string(scenario.WithWant([]byte("-- steps --\n"), "new\n")), "-- steps --\n-- want --\nnew\n"; got != want {
		t.Errorf("WithWant = %q; want %q", got, want)
	}
}

func TestFilterKeepsWhatNetworksShare(t *testing.T) {
	const transcript = `first revision
  revision accepted
packet a > b tcp 1 > 2 syn
  packetin h1 port=a tcp
  decision allow reason=rule
  + h1 table=session
  - h1 table=session
  delivered b tcp
  local h1 tcp
  outcome nothing
`
	const outcomes = `first revision
  revision accepted
packet a > b tcp 1 > 2 syn
  delivered b tcp
  local h1 tcp
  outcome nothing
`
	if d := cmp.Diff(outcomes, scenario.Filter(transcript, scenario.Outcomes)); d != "" {
		t.Errorf("Filter(Outcomes) differs (-want +got):\n%s", d)
	}
	flows := strings.Replace(outcomes, "  delivered", "  + h1 table=session\n  - h1 table=session\n  delivered", 1)
	if d := cmp.Diff(flows, scenario.Filter(transcript, scenario.Flows)); d != "" {
		t.Errorf("Filter(Flows) differs (-want +got):\n%s", d)
	}
	if got := scenario.Filter(transcript, scenario.All); got != transcript {
		t.Errorf("Filter(All) = %s", got)
	}
}

func TestRunSaysWhichStepFails(t *testing.T) {
	for steps, want := range map[string]string{
		"endpoint a h9 acme/prod/web":        "steps:1: endpoint a h9 acme/prod/web: no host",
		"ping a > 10.0.0.1":                  "no machine",
		"host h1 172.31.1.1/24; ping h1 > b": "no machine",
		"detach a":                           "no endpoint",
		"move a h1":                          "no endpoint",
		"restart h1":                         "no host",
		"listen a tcp 1":                     "no machine",
		"connect a > 10.0.0.1 1":             "no machine",
		"host h1 172.31.1.1/24\nping h1 > 10.9.9.9\nexpect icmp": "steps:3: expect icmp: found nothing",
	} {
		s, err := scenario.Parse([]byte("-- steps --\n" + steps + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := scenario.Run(s, scenario.NewSim(scenario.Faults{})); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run(%q) = %v; want an error with %q", steps, err, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	src, dst := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	build := func(h packet.Headers) []byte {
		h.Src, h.Dst = src, dst
		return packet.Build(h, nil)
	}
	bad := build(packet.Headers{Proto: packet.UDP, SrcPort: 1, DstPort: 2})
	bad[25] ^= 1
	later := build(packet.Headers{Proto: packet.UDP})
	later[21] = 1
	for want, frame := range map[string][]byte{
		"tcp 10.0.0.1:1 > 10.0.0.2:2 syn-ack ttl=64":                   build(packet.Headers{Proto: packet.TCP, SrcPort: 1, DstPort: 2, Flags: packet.SYN | packet.ACK}),
		"tcp 10.0.0.1:1 > 10.0.0.2:2 no-flags ttl=9":                   build(packet.Headers{Proto: packet.TCP, SrcPort: 1, DstPort: 2, TTL: 9}),
		"udp 10.0.0.1:1 > 10.0.0.2:2 ttl=64 vlan=7":                    build(packet.Headers{Proto: packet.UDP, SrcPort: 1, DstPort: 2, VLAN: packet.VLANPresent | 7}),
		"udp 10.0.0.1:1 > 10.0.0.2:2 ttl=64 BAD CHECKSUM":              bad,
		"icmp 10.0.0.1 > 10.0.0.2 echo/7 ttl=64":                       build(packet.Headers{Proto: packet.ICMP, ICMPType: 8, ICMPCode: 7}),
		"icmp 10.0.0.1 > 10.0.0.2 echo-reply ttl=64":                   build(packet.Headers{Proto: packet.ICMP}),
		"icmp 10.0.0.1 > 10.0.0.2 unreachable/13 ttl=64":               build(packet.Headers{Proto: packet.ICMP, ICMPType: 3, ICMPCode: 13}),
		"proto 47 10.0.0.1 > 10.0.0.2 ttl=64":                          build(packet.Headers{Proto: 47}),
		"arp who has 10.0.0.2 tell 10.0.0.1":                           packet.Build(packet.Headers{ARPOp: 1, ARPSrc: src, ARPDst: dst}, nil),
		"arp 10.0.0.1 is at 02:00:00:00:00:01":                         packet.Build(packet.Headers{ARPOp: 2, ARPSrc: src, ARPDst: dst, ARPSrcMAC: packet.MAC{2, 0, 0, 0, 0, 1}}, nil),
		"3 bytes, decode frame: truncated":                             {1, 2, 3},
		"ethertype 0x86dd":                                             {12: 0x86, 13: 0xdd},
		"fragment of proto 17 10.0.0.1 > 10.0.0.2 ttl=64 BAD CHECKSUM": later,
	} {
		if got := scenario.Describe(frame); got != want {
			t.Errorf("Describe = %q; want %q", got, want)
		}
	}
}
