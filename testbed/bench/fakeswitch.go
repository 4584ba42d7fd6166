package bench

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/reconciler/openflow"
)

// fakeSwitch is a switch's end of an OpenFlow 1.3 connection. It lifts frames as
// fast as they are answered, and remembers its flows.
type fakeSwitch struct {
	dpid uint64
	conn net.Conn
	in   *bufio.Reader
	next func(n int) (port uint32, frame []byte) // the n-th frame to lift; nil: none left

	flows *flowTable // only serve's goroutine uses it

	answers    atomic.Uint64 // PacketOuts
	mods       atomic.Uint64 // FlowMods that add
	deletes    atomic.Uint64 // FlowMods that delete
	lastDelete atomic.Int64  // when the last of them came, in nanoseconds since 1970
	up         chan struct{} // closed when the controller has seen its features

	mu     sync.Mutex // guards the fields below, and writing
	lifted int
	credit int // frames that may be lifted until an answer comes
	out    []byte
	ready  sync.Once
}

// newFakeSwitch does not start to talk before serve.
func newFakeSwitch(dpid uint64, conn net.Conn, flows *flowTable) *fakeSwitch {
	return &fakeSwitch{dpid: dpid, conn: conn, in: bufio.NewReaderSize(conn, 256<<10), flows: flows, up: make(chan struct{})}
}

// serve talks until the connection ends.
func (s *fakeSwitch) serve() error {
	if err := s.write(openflow.AppendHello(nil, 1)); err != nil {
		return err
	}
	for {
		b, err := s.in.Peek(openflow.HeaderLen)
		if err != nil {
			return ended(err)
		}
		h, err := openflow.ParseHeader(b)
		if err != nil {
			return fmt.Errorf("fake switch %d: %w", s.dpid, err)
		}
		if b, err = s.in.Peek(int(h.Length)); err != nil {
			return ended(err)
		}
		s.handle(h, b)
		if _, err := s.in.Discard(int(h.Length)); err != nil {
			return ended(err)
		}
		if s.in.Buffered() < openflow.HeaderLen { // all that is here was read: answer
			if err := s.flush(); err != nil {
				return ended(err)
			}
		}
	}
}

// ended is nil where a connection was closed by either end.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	var lost *net.OpError
	if errors.As(err, &lost) {
		return nil
	}
	return err
}

// handle queues what a message asks for.
func (s *fakeSwitch) handle(h openflow.Header, b []byte) {
	switch h.Type {
	case openflow.TypePacketOut:
		s.answers.Add(1)
		s.mu.Lock()
		s.credit++
		s.mu.Unlock()
	case openflow.TypeFlowMod:
		s.flowMod(b)
	case openflow.TypeFeaturesRequest:
		s.reply(openflow.TypeFeaturesReply, h.Xid, append(binary.BigEndian.AppendUint64(nil, s.dpid), make([]byte, 16)...))
	case openflow.TypeRoleRequest:
		s.reply(openflow.TypeRoleReply, h.Xid, b[openflow.HeaderLen:])
	case openflow.TypeEchoRequest:
		s.reply(openflow.TypeEchoReply, h.Xid, b[openflow.HeaderLen:])
	case openflow.TypeBarrierRequest:
		s.reply(openflow.TypeBarrierReply, h.Xid, nil)
	case openflow.TypeSetConfig:
		s.ready.Do(func() { close(s.up) })
	case openflow.TypeMultipartRequest:
		s.multipart(h, b)
	}
}

// Where a flow_mod has its command (OpenFlow 1.3.5, 7.3.4.1).
const commandAt = 25

func (s *fakeSwitch) flowMod(b []byte) {
	switch openflow.FlowCommand(b[commandAt]) {
	case openflow.FlowDelete, openflow.FlowDeleteStrict:
		s.lastDelete.Store(time.Now().UnixNano())
		s.deletes.Add(1)
	default:
		s.mods.Add(1)
	}
	s.flows.apply(b)
}

// Where a flow statistics request has what it asks for (OpenFlow 1.3.5, 7.3.5.2).
const askedTableAt, askedCookieAt, askedMaskAt, askedEnd = 16, 32, 40, 48

// multipart answers with the flows that are asked for, or with nothing.
func (s *fakeSwitch) multipart(h openflow.Header, b []byte) {
	typ, _, err := openflow.DecodeMultipart(b)
	if err != nil {
		return
	}
	parts := [][]byte{nil}
	if typ == openflow.MultipartFlow && len(b) >= askedEnd {
		parts = s.flows.stats(openflow.StatsFilter{
			Table:  openflow.TableID(b[askedTableAt]),
			Cookie: binary.BigEndian.Uint64(b[askedCookieAt:]), CookieMask: binary.BigEndian.Uint64(b[askedMaskAt:]),
		})
	}
	for i, p := range parts {
		head := []byte{byte(typ >> 8), byte(typ), 0, 0, 0, 0, 0, 0}
		if i < len(parts)-1 {
			head[3] = 1 // OFPMPF_REPLY_MORE
		}
		s.reply(openflow.TypeMultipartReply, h.Xid, append(head, p...))
	}
}

// reply queues a message; flush writes it.
func (s *fakeSwitch) reply(t openflow.MessageType, xid uint32, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = appendMessage(s.out, t, xid, body)
}

func appendMessage(b []byte, t openflow.MessageType, xid uint32, body []byte) []byte {
	b = append(b, openflow.Version, byte(t))
	b = binary.BigEndian.AppendUint16(b, uint16(openflow.HeaderLen+len(body)))
	b = binary.BigEndian.AppendUint32(b, xid)
	return append(b, body...)
}

// lift allows n more frames to be lifted without an answer, taken from next.
func (s *fakeSwitch) lift(n int, next func(n int) (uint32, []byte)) error {
	s.mu.Lock()
	s.next = next
	s.credit += n
	s.mu.Unlock()
	return s.flush()
}

// rest lifts no more.
func (s *fakeSwitch) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.credit, s.lifted = nil, 0, 0
}

// flush writes what is queued, and the frames for which there is credit.
func (s *fakeSwitch) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.credit > 0 && s.next != nil {
		port, frame := s.next(s.lifted)
		if frame == nil {
			s.next = nil
			break
		}
		s.lifted++
		s.credit--
		s.out = appendPacketIn(s.out, port, frame)
	}
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

func (s *fakeSwitch) write(b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.conn.Write(b)
	return err
}

// appendPacketIn adds a packet_in (OpenFlow 1.3.5, 7.4.1).
func appendPacketIn(b []byte, port uint32, frame []byte) []byte {
	var m [34]byte
	binary.BigEndian.PutUint32(m[0:], 0xffffffff) // no buffer
	binary.BigEndian.PutUint16(m[4:], uint16(len(frame)))
	m[6] = byte(openflow.ReasonNoMatch) // ovs-testcontroller ignores what an action lifted
	copy(m[16:], []byte{0, 1, 0, 12, 0x80, 0, 0, 4})
	binary.BigEndian.PutUint32(m[24:], port)
	b = appendMessage(b, openflow.TypePacketIn, 0, m[:])
	b = append(b, frame...)
	at := len(b) - len(frame) - len(m) - openflow.HeaderLen
	binary.BigEndian.PutUint16(b[at+2:], uint16(len(b)-at))
	return b
}

// flowTable keeps flows as the bytes that added them. What comes is only put
// aside until somebody asks, so that a switch under load costs little.
type flowTable struct {
	mods     []byte // flow_mods that are not in the maps yet
	byKey    map[string][]byte
	byCookie map[uint64][]string
	polls    uint64
}

func newFlowTable() *flowTable {
	return &flowTable{byKey: map[string][]byte{}, byCookie: map[uint64][]string{}}
}

// apply takes one flow_mod.
func (t *flowTable) apply(b []byte) { t.mods = append(t.mods, b...) }

// settle brings what was put aside into the maps.
func (t *flowTable) settle() {
	for b := t.mods; len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[2:]))
		t.change(b[:n])
		b = b[n:]
	}
	t.mods = t.mods[:0]
}

// A flow_mod: header 8, cookie 8, cookie mask 8, table, command, idle 2, hard 2,
// priority 2, buffer 4, out port 4, out group 4, flags 2, pad 2, match.
const matchAt = 48

// change does what a flow_mod asks for. A deletion that is not strict names a
// cookie whole.
func (t *flowTable) change(b []byte) {
	cookie := binary.BigEndian.Uint64(b[8:])
	length := int(binary.BigEndian.Uint16(b[matchAt+2:]))
	key := string(b[24:25]) + string(b[30:32]) + string(b[matchAt:matchAt+length])
	switch openflow.FlowCommand(b[commandAt]) {
	case openflow.FlowDelete:
		for _, k := range t.byCookie[cookie] {
			delete(t.byKey, k)
		}
		delete(t.byCookie, cookie)
	case openflow.FlowDeleteStrict:
		t.remove(key)
	default:
		t.remove(key)
		t.byKey[key] = append([]byte(nil), b...)
		t.byCookie[cookie] = append(t.byCookie[cookie], key)
	}
}

// remove takes a flow out, if it is there.
func (t *flowTable) remove(key string) {
	m := t.byKey[key]
	if m == nil {
		return
	}
	delete(t.byKey, key)
	cookie := binary.BigEndian.Uint64(m[8:])
	left := slices.DeleteFunc(t.byCookie[cookie], func(k string) bool { return k == key })
	if t.byCookie[cookie] = left; len(left) == 0 {
		delete(t.byCookie, cookie)
	}
}

// stats are the bodies of a flow statistics reply (OpenFlow 1.3.5, 7.3.5.2) with
// the flows that filter selects. Each has counted more packets than at the call
// before.
func (t *flowTable) stats(filter openflow.StatsFilter) [][]byte {
	const limit = 60 << 10
	t.settle()
	t.polls++
	var parts [][]byte
	var b []byte
	for cookie, keys := range t.byCookie {
		if (cookie^filter.Cookie)&filter.CookieMask != 0 {
			continue
		}
		for _, k := range keys {
			m := t.byKey[k]
			if table := openflow.TableID(m[24]); filter.Table != openflow.AllTables && filter.Table != table {
				continue
			}
			if len(b) > limit {
				parts, b = append(parts, b), nil
			}
			b = t.appendStats(b, m)
		}
	}
	return append(parts, b)
}

// appendStats adds the entry of a flow that m added.
func (t *flowTable) appendStats(b, m []byte) []byte {
	var e [48]byte
	binary.BigEndian.PutUint16(e[0:], uint16(len(e)+len(m)-matchAt))
	e[2] = m[24]
	copy(e[12:14], m[30:32]) // priority
	copy(e[14:16], m[26:28]) // idle timeout
	copy(e[16:18], m[28:30]) // hard timeout
	copy(e[24:32], m[8:16])  // cookie
	binary.BigEndian.PutUint64(e[32:], 10+10*t.polls)
	binary.BigEndian.PutUint64(e[40:], 1000+1000*t.polls)
	return append(append(b, e[:]...), m[matchAt:]...)
}
