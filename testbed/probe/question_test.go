package probe

import (
	"net/netip"
	"testing"
	"time"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

func TestQuestionJudges(t *testing.T) {
	a, b, c := &machine{Machine: Machine{Name: "a"}}, &machine{Machine: Machine{Name: "b"}}, "c"
	for name, r := range map[string]struct {
		foreign bool
		hear    func(q *question)
		want    string
		noted   bool
	}{
		"silence":                         {false, func(*question) {}, Drop, false},
		"target saw and answered":         {false, func(q *question) { q.saw("b"); q.got("b") }, Allow, false},
		"answer came before it was noted": {false, func(q *question) { q.got("b"); q.saw("b") }, Allow, false},
		"answer lost":                     {false, func(q *question) { q.saw("b") }, Drop, true},
		"answered for by somebody":        {false, func(q *question) { q.got("b") }, Drop, false},
		"somebody else saw and answered":  {false, func(q *question) { q.saw(c); q.got(c) }, Drop, true},
		"told":                            {false, func(q *question) { q.told() }, Reject, false},
		"the first word holds":            {false, func(q *question) { q.told(); q.saw("b"); q.got("b") }, Reject, false},

		"isolated, silence":                    {true, func(*question) {}, Drop, false},
		"isolated, own VPC's machine answered": {true, func(q *question) { q.saw(c); q.got(c) }, Drop, false},
		"isolated, told by its own VPC":        {true, func(q *question) { q.told() }, Drop, false},
		"isolated, and the target saw it":      {true, func(q *question) { q.saw("b") }, Allow, true},
	} {
		q := newQuestion(a, b, Port{Text: "tcp/80"}, !r.foreign)
		r.hear(q)
		if got := q.verdict(); got != r.want {
			t.Errorf("%s: verdict = %s; want %s", name, got, r.want)
		}
		if got := q.note(); (got != "") != r.noted {
			t.Errorf("%s: note = %q; want one: %v", name, got, r.noted)
		}
	}
}

// icmp returns an ICMP packet behind an IPv4 header.
func icmp(kind, code byte, body []byte) []byte {
	f := inside.Frame{
		EthType: inside.EtherIPv4, Proto: inside.ICMP, ICMPType: kind, ICMPCode: code,
		Src: netip.MustParseAddr("169.254.1.1"), Dst: netip.MustParseAddr("10.1.0.2"), Payload: body,
	}
	return f.Bytes()[2:] // no hardware addresses: only the type is before the header
}

func TestReceiveTakesOnlyErrorsThatForbidAndQuoteATry(t *testing.T) {
	from := netip.MustParseAddr("10.1.0.2")
	to := netip.MustParseAddr("10.1.1.3")
	udp := inside.Frame{EthType: inside.EtherIPv4, Proto: inside.UDP, Src: from, Dst: to, SrcPort: 40000, DstPort: 53}
	echo := inside.Frame{EthType: inside.EtherIPv4, Proto: inside.ICMP, ICMPType: 8, Src: from, Dst: to, ID: 77}
	other := udp
	other.SrcPort++
	for name, c := range map[string]struct {
		code  byte
		quote inside.Frame
		want  string
	}{
		"udp, communication prohibited":   {prohibited, udp, Reject},
		"udp, host prohibited":            {hostProhibited, udp, Reject},
		"udp, network prohibited":         {netProhibited, udp, Reject},
		"udp, port unreachable":           {3, udp, Drop},
		"udp, network unreachable":        {0, udp, Drop},
		"udp of somebody else":            {prohibited, other, Drop},
		"echo, communication prohibited":  {prohibited, echo, Reject},
		"echo, host unreachable":          {1, echo, Drop},
		"a quote cut short is no verdict": {prohibited, inside.Frame{}, Drop},
	} {
		b := newBoard(time.Second)
		m := &machine{Machine: Machine{Name: "a"}, board: b}
		q := newQuestion(m, &machine{Machine: Machine{Name: "b"}}, Port{}, true)
		b.launch(flight{m, inside.UDP, to, 40000, 53}, q)
		b.launch(flight{m, inside.ICMP, to, 77, 1}, q)
		var quote []byte
		if c.quote.Src.IsValid() {
			quote = c.quote.Bytes()[2:][:28]
		}
		m.receiveICMP(icmp(unreachable, c.code, quote))
		if got := q.verdict(); got != c.want {
			t.Errorf("%s: verdict = %s; want %s", name, got, c.want)
		}
	}
}

// A SYN carries no nonce; that it arrived must be seen all the same, else a leak
// one way would not be.
func TestReceiveKnowsASYNByItsPorts(t *testing.T) {
	from, to := netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("10.1.1.3")
	syn := inside.Frame{EthType: inside.EtherIPv4, Proto: inside.TCP, Src: from, Dst: to, SrcPort: 40000, DstPort: 80, Flags: inside.SYN}
	answer, other, elsewhere := syn, syn, syn
	answer.Flags |= inside.ACK
	other.SrcPort++
	elsewhere.Src = to
	for name, c := range map[string]struct {
		frame inside.Frame
		want  string
	}{
		"its SYN": {syn, Allow}, "a SYN-ACK": {answer, Drop}, "another port's": {other, Drop}, "another sender's": {elsewhere, Drop},
	} {
		b := newBoard(time.Second)
		target := &machine{Machine: Machine{Name: "b", Addr: to}, board: b}
		q := newQuestion(&machine{Machine: Machine{Name: "a", Addr: from}}, target, Port{}, false)
		b.launch(flight{q.from, inside.TCP, to, 40000, 80}, q)
		target.receiveTCP(c.frame.Bytes()[2:])
		if got := q.verdict(); got != c.want {
			t.Errorf("%s: verdict = %s; want %s", name, got, c.want)
		}
	}
}

func TestLaunchRefusesPortsThatAreAnotherTrys(t *testing.T) {
	to, addr := netip.MustParseAddr("10.1.1.3"), netip.MustParseAddr("10.1.0.2")
	b := newBoard(time.Second)
	here, there := &machine{Machine: Machine{Name: "a", Addr: addr}}, &machine{Machine: Machine{Name: "its twin", Addr: addr}}
	launch := func(m *machine, proto byte, source uint16) bool {
		return b.launch(flight{m, proto, to, source, 80}, newQuestion(m, m, Port{}, true))
	}
	for _, c := range []struct {
		name  string
		m     *machine
		proto byte
		port  uint16
		want  bool
	}{
		{"a first try", here, inside.TCP, 40000, true},
		{"the same ports again", here, inside.TCP, 40000, false},
		{"the same SYN from a machine with its address", there, inside.TCP, 40000, false},
		{"another port there", there, inside.TCP, 40001, true},
		{"another protocol", here, inside.UDP, 40000, true},
		{"the same datagram, which has a nonce", there, inside.UDP, 40000, true},
	} {
		if got := launch(c.m, c.proto, c.port); got != c.want {
			t.Errorf("%s: launch = %v; want %v", c.name, got, c.want)
		}
	}
}

func FuzzReceive(f *testing.F) {
	f.Add(icmp(unreachable, prohibited, icmp(8, 0, []byte("x"))))
	f.Add(icmp(echoRequest, 0, []byte(ask+"00000000000000000000000000000000")))
	f.Add([]byte{0x4f})
	f.Fuzz(func(_ *testing.T, b []byte) {
		m := &machine{board: newBoard(time.Second)}
		m.receiveICMP(b)
		m.receiveTCP(b)
		m.reply(b)
	})
}
