package probe

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// question is one pair and port, and what is known of it so far.
type question struct {
	from, to    *machine
	port        Port
	addressable bool // a packet to to's address means to: Plan.Means
	decided     chan struct{}

	mu       sync.Mutex // guards the fields below
	closed   bool       // decided is closed
	result   string
	seen     []string // names of the machines that saw a nonce, each once
	answered []string // names of those whose answer came back
}

func newQuestion(from, to *machine, port Port, addressable bool) *question {
	return &question{from: from, to: to, port: port, addressable: addressable, decided: make(chan struct{}), result: Drop}
}

// saw notes that a machine got a nonce of the question, or its SYN.
func (q *question) saw(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.seen, name) {
		q.seen = append(q.seen, name)
	}
	q.judgeLocked()
}

// got notes that the sender got an answer from a machine that named itself.
func (q *question) got(name string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !slices.Contains(q.answered, name) {
		q.answered = append(q.answered, name)
	}
	q.judgeLocked()
}

// told notes that the sender was refused.
func (q *question) told() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.addressable {
		q.decideLocked(Reject)
	} else {
		q.decideLocked(Drop)
	}
}

func (q *question) judgeLocked() {
	if slices.Contains(q.seen, q.to.Name) && (!q.addressable || slices.Contains(q.answered, q.to.Name)) {
		q.decideLocked(Allow)
	}
}

func (q *question) decideLocked(verdict string) {
	if !q.closed {
		q.closed, q.result = true, verdict
		close(q.decided)
	}
}

func (q *question) verdict() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.result
}

// note says what was odd, or "".
func (q *question) note() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	what := fmt.Sprintf("%s > %s %s", q.from.Name, q.to.Name, q.port.Text)
	others := slices.DeleteFunc(slices.Clone(q.seen), func(n string) bool { return n == q.to.Name })
	switch {
	case q.result == Allow && !q.addressable:
		return fmt.Sprintf("%s: %s saw the probe, which can't mean it: isolation is broken", what, q.to.Name)
	case q.addressable && len(others) > 0:
		return fmt.Sprintf("%s: the probe arrived at %s", what, strings.Join(others, ", "))
	case q.addressable && q.result == Drop && len(q.seen) > 0:
		return fmt.Sprintf("%s: %s saw the probe, but its answer did not come back", what, q.to.Name)
	}
	return ""
}

// board knows which question each try on its way belongs to.
type board struct {
	timeout time.Duration // of one question

	mu     sync.Mutex // guards the fields below
	nonces map[string]*question
	sent   map[flight]*question
	syns   map[arrival]*question
}

// arrival is how a SYN is known where it arrives.
type arrival struct {
	src, dst netip.Addr
	from, to uint16 // ports
}

// flight is what an ICMP error quotes of a try: the sender's machine, the
// protocol, the destination, and the two ports (of an echo request, its
// identifier and sequence number).
type flight struct {
	from    *machine
	proto   byte
	dst     netip.Addr
	src, to uint16
}

func newBoard(timeout time.Duration) *board {
	return &board{timeout: timeout, nonces: map[string]*question{}, sent: map[flight]*question{}, syns: map[arrival]*question{}}
}

// nonce returns a fresh one that stands for a try of q.
func (b *board) nonce(q *question) string {
	var bits [nonceLen / 2]byte
	rand.Read(bits[:])
	n := hex.EncodeToString(bits[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nonces[n] = q
	return n
}

// launch makes errors that quote f tell q, and a SYN of it be seen. It refuses a
// flight that may be taken for another one: then q's needs other ports.
func (b *board) launch(f flight, q *question) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := arrival{q.from.Addr, f.dst, f.src, f.to}
	if b.sent[f] != nil || f.proto == inside.TCP && b.syns[a] != nil {
		return false
	}
	b.sent[f] = q
	if f.proto == inside.TCP {
		b.syns[a] = q
	}
	return true
}

// byNonce returns the question of a nonce, or nil.
func (b *board) byNonce(n string) *question {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.nonces[n]
}

// byFlight returns the question of what an error quotes, or nil.
func (b *board) byFlight(f flight) *question {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[f]
}

// byArrival returns the question of a SYN, or nil.
func (b *board) byArrival(a arrival) *question {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.syns[a]
}
