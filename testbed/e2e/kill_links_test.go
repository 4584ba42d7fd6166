//go:build e2e

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daolinet/daolinet/testbed/netns"
	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// link is a TCP connection with both ends in the test's hands. Nothing is ever
// sent on it but what the test sends: no keep-alives.
type link struct {
	name           string
	client, server *net.TCPConn
}

// listen listens at an endpoint until the test ends.
func (f *fabric) listen(e *netns.Endpoint, port uint16) net.Listener {
	f.t.Helper()
	var l net.Listener
	err := inside.Do(e.Namespace, func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(e.Addr, port).String())
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { l.Close() })
	return l
}

// connect makes a link from a client to what listens at a server.
func (f *fabric) connect(client, server *netns.Endpoint, source uint16, l net.Listener) link {
	f.t.Helper()
	to := netip.MustParseAddrPort(l.Addr().String())
	c := f.dial(client, "tcp4", source, to).(*net.TCPConn)
	l.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	s, err := l.Accept()
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { s.Close() })
	k := link{fmt.Sprintf("%s > %s:%d", client.Name, server.Name, to.Port()), c, s.(*net.TCPConn)}
	if err := errors.Join(k.client.SetKeepAlive(false), k.server.SetKeepAlive(false)); err != nil {
		f.t.Fatal(err)
	}
	return k
}

// say has from write text and to read it, within d.
func say(from, to net.Conn, text string, d time.Duration) error {
	from.SetWriteDeadline(time.Now().Add(d))
	if _, err := io.WriteString(from, text); err != nil {
		return err
	}
	got, err := read(to, len(text), d)
	if err == nil && got != text {
		err = fmt.Errorf("got %q; want %q", got, text)
	}
	return err
}

// speak has one end of the link speak first, and the other answer.
func (k link) speak(serverFirst bool, text string, d time.Duration) error {
	first, second, who := net.Conn(k.client), net.Conn(k.server), "client"
	if serverFirst {
		first, second, who = second, first, "server"
	}
	if err := say(first, second, text, d); err != nil {
		return fmt.Errorf("%s, whose %s speaks first: %w", k.name, who, err)
	}
	if err := say(second, first, "answer to "+text, d); err != nil {
		return fmt.Errorf("%s, whose %s spoke first, at the answer: %w", k.name, who, err)
	}
	return nil
}

// Pace of the traffic: enough to be there whenever something dies, little enough
// for two cores.
const (
	streamChunk = 8 << 10
	streamPause = 10 * time.Millisecond
	askPause    = 20 * time.Millisecond
)

// stream is a long transfer from client to server, whose server sums what it
// gets.
type stream struct {
	link
	sent, got atomic.Int64 // bytes

	mu   sync.Mutex // held while a chunk is written; guards on
	on   bool
	quit chan struct{}
	ends chan error // of writer and reader
	sums [2][]byte  // of what was written and of what was read; read after ends
}

func (f *fabric) startStream(k link) *stream {
	s := &stream{link: k, quit: make(chan struct{}), ends: make(chan error, 2)}
	go func() { s.ends <- s.write() }()
	go func() { s.ends <- s.read() }()
	return s
}

// flow lets it run, or holds it after the chunk under way.
func (s *stream) flow(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

func (s *stream) write() error {
	random, sum, chunk := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", s.name)))), sha256.New(), make([]byte, streamChunk)
	tick := time.NewTicker(streamPause)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			s.sums[0] = sum.Sum(nil)
			return s.client.CloseWrite()
		case <-tick.C:
		}
		if err := s.chunk(random, sum, chunk); err != nil {
			return fmt.Errorf("%s: write after %d bytes: %w", s.name, s.sent.Load(), err)
		}
	}
}

func (s *stream) chunk(random io.Reader, sum io.Writer, chunk []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return nil
	}
	io.ReadFull(random, chunk) // ChaCha8 has no end and no error
	sum.Write(chunk)
	s.client.SetWriteDeadline(time.Now().Add(settleTime))
	n, err := s.client.Write(chunk)
	s.sent.Add(int64(n))
	return err
}

func (s *stream) read() error {
	sum, buf := sha256.New(), make([]byte, 64<<10)
	for {
		n, err := s.server.Read(buf)
		sum.Write(buf[:n])
		s.got.Add(int64(n))
		if errors.Is(err, io.EOF) {
			s.sums[1] = sum.Sum(nil)
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: read after %d bytes: %w", s.name, s.got.Load(), err)
		}
	}
}

// broken returns how the transfer broke off, if it did.
func (s *stream) broken() error {
	select {
	case err := <-s.ends:
		s.ends <- err
		return err
	default:
		return nil
	}
}

// moved reports whether all that was sent has come, and more than mark.
func (s *stream) moved(mark int64) error {
	sent, got := s.sent.Load(), s.got.Load()
	if err := s.broken(); err != nil {
		return err
	}
	if got <= mark {
		return fmt.Errorf("%s: %d bytes sent, %d came: none for long", s.name, sent, got)
	}
	return nil
}

// finish ends the transfer, whole.
func (s *stream) finish() error {
	close(s.quit)
	if err := errors.Join(<-s.ends, <-s.ends); err != nil {
		return err
	}
	if sent, got := s.sent.Load(), s.got.Load(); sent != got || !bytes.Equal(s.sums[0], s.sums[1]) {
		return fmt.Errorf("%s: %d bytes with sum %x came as %d with sum %x", s.name, sent, s.sums[0], got, s.sums[1])
	}
	return nil
}

// asker sends numbered datagrams to an echo server and reads the answers.
type asker struct {
	name            string
	conn            net.Conn
	asked, answered atomic.Int64 // highest numbers
	on              atomic.Bool
	quit            chan struct{}
	done            sync.WaitGroup

	mu   sync.Mutex // guards errs
	errs []error
}

func (f *fabric) startAsker(client, server *netns.Endpoint, port uint16) *asker {
	f.t.Helper()
	a := &asker{
		name: fmt.Sprintf("%s > %s:%d/udp", client.Name, server.Name, port),
		conn: f.dial(client, "udp4", 0, server.AddrPort(port)), quit: make(chan struct{}),
	}
	a.done.Go(a.listen)
	a.done.Go(func() {
		tick := time.NewTicker(askPause)
		defer tick.Stop()
		for {
			select {
			case <-a.quit:
				return
			case <-tick.C:
				if a.on.Load() {
					a.ask()
				}
			}
		}
	})
	return a
}

func (a *asker) ask() {
	if _, err := fmt.Fprintf(a.conn, "%s %d", a.name, a.asked.Add(1)); err != nil {
		a.note(err)
	}
}

func (a *asker) listen() {
	buf := make([]byte, 256)
	for {
		n, err := a.conn.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			a.note(err)
			continue
		}
		text, number := string(buf[:n]), int64(0)
		fmt.Sscanf(text[min(len(text), len(a.name)):], "%d", &number)
		if text != fmt.Sprintf("%s %d", a.name, number) || number > a.asked.Load() {
			a.note(fmt.Errorf("got %q", text))
			continue
		}
		a.answered.Store(max(number, a.answered.Load()))
	}
}

func (a *asker) note(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.errs) < 10 {
		a.errs = append(a.errs, fmt.Errorf("%s: %w", a.name, err))
	}
}

// wrong returns what went wrong so far, other than silence.
func (a *asker) wrong() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.errs...)
}

func (a *asker) close() {
	close(a.quit)
	a.conn.Close()
	a.done.Wait()
}
