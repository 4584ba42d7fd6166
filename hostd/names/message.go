package names

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Sizes of messages, in bytes.
const (
	plainSize  = 512  // of an answer by UDP to who says nothing (RFC 1035, 4.2.1)
	ednsSize   = 1232 // at most by UDP: no fragments on any path (RFC 9715)
	maxQuery   = 2048 // of a question
	maxMessage = 1<<16 - 1
	maxExtra   = 8 // records beside the question that are looked at
)

// Response codes (IANA, DNS RCODEs).
const (
	noError   = dnsmessage.RCodeSuccess
	malformed = dnsmessage.RCodeFormatError
	failed    = dnsmessage.RCodeServerFailure
	noName    = dnsmessage.RCodeNameError
	unknown   = dnsmessage.RCodeNotImplemented
	refused   = dnsmessage.RCodeRefused
)

// answerTTL is how long an asker may keep what we answer, in seconds.
const answerTTL = 5

// query is what somebody asks.
type query struct {
	id        uint16
	question  dnsmessage.Question
	recursion bool // desired
	unchecked bool // DNSSEC checking disabled (RFC 4035, 3.2.2)
	edns      bool
	dnssec    bool // wants DNSSEC's records (RFC 3225)
	size      int  // of the answer by UDP, at most
}

// errSilent says that a message deserves no answer.
var errSilent = errors.New("no question")

// parse reads a question. An error but errSilent is answered with code; q.id and,
// as far as they could be read, the other fields hold then too.
func parse(b []byte) (q query, code dnsmessage.RCode, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.Response {
		return q, 0, errSilent
	}
	q = query{id: h.ID, recursion: h.RecursionDesired, unchecked: h.CheckingDisabled, size: plainSize}
	if h.OpCode != 0 {
		return q, unknown, errors.New("not a query")
	}
	if q.question, err = p.Question(); err != nil {
		return q, malformed, err
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return q, malformed, errors.New("more than one question")
	}
	if err := readExtra(&p, &q); err != nil {
		return q, malformed, err
	}
	if code := check(q.question); code != noError {
		return q, code, errors.New("not answered here")
	}
	return q, noError, nil
}

// readExtra reads EDNS (RFC 6891) and refuses answers in a question.
func readExtra(p *dnsmessage.Parser, q *query) error {
	if _, err := p.AnswerHeader(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return errors.New("answers in a question")
	}
	if _, err := p.AuthorityHeader(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return errors.New("authorities in a question")
	}
	for range maxExtra {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Type == dnsmessage.TypeOPT {
			if q.edns {
				return errors.New("EDNS twice")
			}
			q.edns, q.dnssec = true, h.DNSSECAllowed()
			q.size = min(max(int(h.Class), plainSize), ednsSize)
		}
		if err := p.SkipAdditional(); err != nil {
			return err
		}
	}
	return errors.New("too many records")
}

// check says what is not asked of a resolver: transfers and other classes.
func check(q dnsmessage.Question) dnsmessage.RCode {
	const ixfr, mailb = 251, 253
	switch {
	case q.Class != dnsmessage.ClassINET:
		return refused
	case q.Type >= ixfr && q.Type <= mailb, q.Type == dnsmessage.TypeOPT:
		return refused
	}
	return noError
}

// name returns the name that is asked for in small letters and without the dot at
// its end.
func (q *query) name() string {
	return strings.ToLower(strings.TrimSuffix(q.question.Name.String(), "."))
}

// failure returns an answer that is only a code.
func (q *query) failure(code dnsmessage.RCode) []byte {
	return q.build(code, false, func(*dnsmessage.Builder) error { return nil })
}

// truncated returns an answer that says: ask by TCP.
func (q *query) truncated() []byte {
	return q.build(noError, true, func(*dnsmessage.Builder) error { return nil })
}

// ours returns the answer to a name of ours.
func (q *query) ours(a Answer) []byte {
	if !a.exists() {
		return q.failure(noName)
	}
	return q.build(noError, false, func(b *dnsmessage.Builder) error {
		h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: answerTTL}
		asked := q.question.Type
		if asked == dnsmessage.TypeA || asked == dnsmessage.TypeALL {
			for _, ip := range a.Addresses {
				if err := b.AResource(h, dnsmessage.AResource{A: ip.As4()}); err != nil {
					return err
				}
			}
		}
		if a.Target != "" && (asked == dnsmessage.TypePTR || asked == dnsmessage.TypeALL) {
			to, err := dnsmessage.NewName(a.Target + ".")
			if err != nil {
				return err
			}
			return b.PTRResource(h, dnsmessage.PTRResource{PTR: to})
		}
		return nil
	})
}

// build returns an answer; records adds those of its first section. What cannot
// be built is a failure of ours.
func (q *query) build(code dnsmessage.RCode, truncated bool, records func(*dnsmessage.Builder) error) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, plainSize), dnsmessage.Header{
		ID: q.id, Response: true, RCode: code, Truncated: truncated,
		RecursionDesired: q.recursion, RecursionAvailable: true, CheckingDisabled: q.unchecked,
	})
	b.EnableCompression()
	err := b.StartQuestions()
	if err == nil && q.question.Name.Length > 0 {
		err = b.Question(q.question)
	}
	if err == nil {
		err = b.StartAnswers()
	}
	if err == nil {
		err = records(&b)
	}
	if err == nil && q.edns {
		err = addEDNS(&b, ednsSize, q.dnssec)
	}
	out, ferr := b.Finish()
	if err == nil && ferr == nil {
		return out
	}
	return bareFailure(q.id)
}

// bareFailure is an answer of a header alone (RFC 1035, 4.1.1): QR, RA, SERVFAIL.
func bareFailure(id uint16) []byte {
	return []byte{byte(id >> 8), byte(id), 0x80, 0x80 | byte(failed), 0, 0, 0, 0, 0, 0, 0, 0}
}

func addEDNS(b *dnsmessage.Builder, size int, dnssec bool) error {
	if err := b.StartAdditionals(); err != nil {
		return err
	}
	var h dnsmessage.ResourceHeader
	if err := h.SetEDNS0(size, noError, dnssec); err != nil {
		return err
	}
	return b.OPTResource(h, dnsmessage.OPTResource{})
}

// onward returns the question as it is handed on, under an id of its own: only
// what was understood of it.
func (q *query) onward(id uint16) ([]byte, error) {
	b := dnsmessage.NewBuilder(make([]byte, 0, plainSize), dnsmessage.Header{
		ID: id, RecursionDesired: true, CheckingDisabled: q.unchecked,
	})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	if err := b.Question(q.question); err != nil {
		return nil, err
	}
	if q.edns {
		if err := addEDNS(&b, q.size, q.dnssec); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// answers reports whether b is a server's answer to what onward asked under id.
func (q *query) answers(b []byte, id uint16) bool {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.OpCode != 0 || h.ID != id {
		return false
	}
	got, err := p.Question()
	if err != nil || got.Type != q.question.Type || got.Class != q.question.Class {
		return false
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return false
	}
	return strings.EqualFold(got.Name.String(), q.question.Name.String())
}

// relayed returns a server's answer as the asker gets it: byte for byte but for
// the id, since the names in records that nobody here knows may be compressed. One
// that is longer than the asker takes by UDP is only the word to ask by TCP.
func (q *query) relayed(b []byte, tcp bool) []byte {
	if !tcp && len(b) > q.size {
		return q.truncated()
	}
	b[0], b[1] = byte(q.id>>8), byte(q.id)
	return b
}

// Answer is what a name means to those who ask for it.
type Answer struct {
	Addresses []netip.Addr // none: there is no such name
	Ours      bool         // nobody else is asked for it
	Target    string       // of the name of an address: whose it is
}

// exists reports whether there is such a name.
func (a *Answer) exists() bool { return len(a.Addresses) > 0 || a.Target != "" }
