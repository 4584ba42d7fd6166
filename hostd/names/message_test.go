package names

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// ask returns a question in bytes; edit changes what is packed.
func ask(t testing.TB, name string, typ dnsmessage.Type, edit func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}},
	}
	if edit != nil {
		edit(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func withEDNS(size int) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		var h dnsmessage.ResourceHeader
		if err := h.SetEDNS0(size, 0, true); err != nil {
			panic(err)
		}
		m.Additionals = append(m.Additionals, dnsmessage.Resource{Header: h, Body: &dnsmessage.OPTResource{}})
	}
}

func unpack(t testing.TB, b []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("unpack answer %x: %v", b, err)
	}
	return m
}

func TestParseRefusesWhatIsNoQuestionForAResolver(t *testing.T) {
	record := dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("a."), Class: dnsmessage.ClassINET},
		Body:   &dnsmessage.AResource{},
	}
	for _, tt := range []struct {
		name   string
		b      []byte
		silent bool
		code   dnsmessage.RCode
	}{
		{"nothing", nil, true, 0},
		{"half a header", []byte{0, 7, 1, 0, 0, 1}, true, 0},
		{"an answer", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = true }), true, 0},
		{"an update", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.OpCode = 5 }), false, unknown},
		{"no question", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = nil }), false, malformed},
		{"two questions", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }), false, malformed},
		{"half a question", ask(t, "abc.", dnsmessage.TypeA, nil)[:15], false, malformed},
		{"a name that points at itself", []byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}, false, malformed},
		{"a dot within a label", []byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, 'w', 'e', 'b', '.', 'p', 'r', 'o', 'd', 0, 0, 1, 0, 1}, false, malformed},
		{"an answer within a question", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Answers = append(m.Answers, record) }), false, malformed},
		{"an authority within a question", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Authorities = append(m.Authorities, record) }), false, malformed},
		{"EDNS twice", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { withEDNS(512)(m); withEDNS(512)(m) }), false, malformed},
		{"many records", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) {
			for range 40 {
				m.Additionals = append(m.Additionals, record)
			}
		}), false, malformed},
		{"another class", ask(t, "a.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }), false, refused},
		{"a transfer", ask(t, "a.", dnsmessage.TypeAXFR, nil), false, refused},
		{"another transfer", ask(t, "a.", 251, nil), false, refused},
	} {
		q, code, err := parse(tt.b)
		if err == nil || (err == errSilent) != tt.silent || code != tt.code {
			t.Errorf("%s: parse = %v, %v; want code %v, silent %v", tt.name, code, err, tt.code, tt.silent)
			continue
		}
		if tt.silent {
			continue
		}
		if m := unpack(t, q.failure(code)); m.ID != 7 || !m.Response || m.RCode != tt.code {
			t.Errorf("%s: answer = %+v", tt.name, m.Header)
		}
	}
}

func TestAnswersAreAsLongAsTheAskerTakes(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*dnsmessage.Message)
		want int
	}{
		{"says nothing", nil, 512},
		{"says little", withEDNS(100), 512},
		{"says some", withEDNS(900), 900},
		{"says much", withEDNS(65535), 1232},
	} {
		q, _, err := parse(ask(t, "www.example.org.", dnsmessage.TypeTXT, tt.edit))
		if err != nil {
			t.Fatal(err)
		}
		long := make([]byte, tt.want+1)
		m := unpack(t, q.relayed(long, false))
		if !m.Truncated || len(m.Answers) > 0 || m.ID != 7 {
			t.Errorf("%s: %d bytes are answered with %+v", tt.name, len(long), m.Header)
		}
		if got := q.relayed(long[:tt.want], false); len(got) != tt.want {
			t.Errorf("%s: %d bytes are answered with %d", tt.name, tt.want, len(got))
		}
		if got := q.relayed(long, true); len(got) != len(long) {
			t.Errorf("%s: by TCP %d bytes are answered with %d", tt.name, len(long), len(got))
		}
	}
}

// TestOnlyTheAnswerToTheQuestionIsOne: what a forger off the path gets wrong.
func TestOnlyTheAnswerToTheQuestionIsOne(t *testing.T) {
	q, _, err := parse(ask(t, "www.Example.org.", dnsmessage.TypeA, nil))
	if err != nil {
		t.Fatal(err)
	}
	reply := func(edit func(*dnsmessage.Message)) []byte {
		return ask(t, "www.example.org.", dnsmessage.TypeA, func(m *dnsmessage.Message) {
			m.ID, m.Response = 99, true
			if edit != nil {
				edit(m)
			}
		})
	}
	if !q.answers(reply(nil), 99) {
		t.Error("the answer is refused")
	}
	for name, b := range map[string][]byte{
		"another id":     reply(func(m *dnsmessage.Message) { m.ID = 98 }),
		"no answer":      reply(func(m *dnsmessage.Message) { m.Response = false }),
		"another type":   reply(func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeAAAA }),
		"another class":  reply(func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }),
		"another name":   reply(func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("www.example.com.") }),
		"no question":    reply(func(m *dnsmessage.Message) { m.Questions = nil }),
		"two questions":  reply(func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }),
		"half a message": reply(nil)[:20],
		"nothing":        nil,
	} {
		if q.answers(b, 99) {
			t.Errorf("%s is taken for the answer", name)
		}
	}
}

func TestWhatIsHandedOnIsOnlyTheQuestion(t *testing.T) {
	q, _, err := parse(ask(t, "www.example.org.", dnsmessage.TypeA, withEDNS(4096)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := q.onward(300)
	if err != nil {
		t.Fatal(err)
	}
	m := unpack(t, b)
	if m.ID != 300 || len(m.Questions) != 1 || m.Questions[0] != q.question || len(m.Answers)+len(m.Authorities) > 0 || len(m.Additionals) != 1 ||
		m.Additionals[0].Header.Class != 1232 || !m.Additionals[0].Header.DNSSECAllowed() {
		t.Errorf("handed on: %+v", m)
	}
}

func TestOursByType(t *testing.T) {
	host := Answer{Ours: true, Addresses: []netip.Addr{netip.MustParseAddr("10.1.0.2")}}
	address := Answer{Ours: true, Target: "web1.web.prod"}
	for _, tt := range []struct {
		name    string
		typ     dnsmessage.Type
		a       Answer
		code    dnsmessage.RCode
		records int
	}{
		{"A", dnsmessage.TypeA, host, noError, 1},
		{"AAAA of a name that has none", dnsmessage.TypeAAAA, host, noError, 0},
		{"MX", dnsmessage.TypeMX, host, noError, 0},
		{"any", dnsmessage.TypeALL, host, noError, 1},
		{"PTR", dnsmessage.TypePTR, address, noError, 1},
		{"A of an address", dnsmessage.TypeA, address, noError, 0},
		{"no such name", dnsmessage.TypeAAAA, Answer{Ours: true}, noName, 0},
		{"a target that is no name", dnsmessage.TypePTR, Answer{Ours: true, Target: string(bytes.Repeat([]byte{'a'}, 300))}, failed, 0},
	} {
		q, _, err := parse(ask(t, "web1.", tt.typ, withEDNS(1232)))
		if err != nil {
			t.Fatal(err)
		}
		m := unpack(t, q.ours(tt.a))
		if m.RCode != tt.code || len(m.Answers) != tt.records || m.ID != 7 || !m.Response {
			t.Errorf("%s: %+v with %d records; want %v with %d", tt.name, m.Header, len(m.Answers), tt.code, tt.records)
		}
	}
}

// FuzzParse: whatever comes, an answer to it is a message that answers it.
func FuzzParse(f *testing.F) {
	f.Add(ask(f, "web1.", dnsmessage.TypeA, nil))
	f.Add(ask(f, "db1.db.prod.acme.", dnsmessage.TypeAAAA, withEDNS(4096)))
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	f.Add([]byte{0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'w', '.', 'b', 0, 0, 1, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, code, err := parse(b)
		if err == errSilent {
			return
		}
		out := q.failure(code)
		if err == nil {
			out = q.ours(Answer{Ours: true, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, 0, 2})}})
			on, oerr := q.onward(9)
			if oerr != nil {
				t.Fatalf("hand on %q: %v", q.name(), oerr)
			}
			on[2] |= 0x80
			if !q.answers(on, 9) {
				t.Errorf("%q is not the answer to itself", q.name())
			}
		}
		var m dnsmessage.Message
		if err := m.Unpack(out); err != nil || !m.Response || m.ID != q.id || len(out) > ednsSize {
			t.Errorf("answer %x: %v", out, err)
		}
	})
}

// FuzzAnswers: a server's bytes are judged without harm.
func FuzzAnswers(f *testing.F) {
	q, _, err := parse(ask(f, "www.example.org.", dnsmessage.TypeA, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ask(f, "www.example.org.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = true }))
	f.Fuzz(func(t *testing.T, b []byte) {
		if q.answers(b, 7) && len(q.relayed(b, false)) > max(q.size, plainSize) {
			t.Error("the answer is longer than the asker takes")
		}
	})
}
