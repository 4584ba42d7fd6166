package bridge

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// How often a switch that is away is looked for: its tables are empty when it
// comes back, and the host is cut off until they are filled again.
const (
	firstRedial = 20 * time.Millisecond
	lastRedial  = 200 * time.Millisecond
	helloWait   = 2 * time.Second
)

// OpenFlow 1.3 message types that the watch knows (enum ofp_type).
const (
	ofVersion   = 4
	ofHello     = 0
	ofEchoReq   = 2
	ofEchoReply = 3
	ofHeader    = 8 // bytes
)

// watch holds one connection to the bridge's management socket. It ends when
// the switch process does, which nothing in the database tells.
type watch struct {
	socket  string
	changes chan struct{} // capacity 1: State changed

	mu  sync.Mutex // guards the following fields
	up  bool
	gen uint64
}

func newWatch(socket string) *watch {
	return &watch{socket: socket, changes: make(chan struct{}, 1)}
}

func (w *watch) state() (up bool, generation uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.up, w.gen
}

// notify tells that something of State changed.
func (w *watch) notify() {
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

func (w *watch) set(up bool) {
	w.mu.Lock()
	changed := w.up != up
	w.up = up
	if changed && up {
		w.gen++
	}
	w.mu.Unlock()
	if changed {
		w.notify()
	}
}

// run connects again and again until ctx ends.
func (w *watch) run(ctx context.Context) {
	wait := firstRedial
	for ctx.Err() == nil {
		if w.follow(ctx) {
			wait = firstRedial
		}
		w.set(false)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRedial)
	}
}

// follow connects once and stays until the connection ends. It reports whether
// the switch answered.
func (w *watch) follow(ctx context.Context) (answered bool) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", w.socket)
	if err != nil {
		return false
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if _, err := conn.Write([]byte{ofVersion, ofHello, 0, ofHeader, 0, 0, 0, 0}); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(helloWait))
	r := bufio.NewReader(conn)
	for {
		typ, err := answer(r, conn)
		if err != nil {
			return answered
		}
		if typ == ofHello {
			answered = true
			_ = conn.SetReadDeadline(time.Time{})
			w.set(true)
		}
	}
}

// answer reads one OpenFlow message and answers it if it is an echo request.
func answer(r io.Reader, w io.Writer) (typ byte, err error) {
	var h [ofHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, err
	}
	size := int(binary.BigEndian.Uint16(h[2:]))
	if size < ofHeader {
		return 0, fmt.Errorf("message of %d bytes", size)
	}
	msg := append(h[:], make([]byte, size-ofHeader)...)
	if _, err := io.ReadFull(r, msg[ofHeader:]); err != nil {
		return 0, err
	}
	if h[1] == ofEchoReq {
		msg[1] = ofEchoReply
		_, err = w.Write(msg)
	}
	return h[1], err
}
