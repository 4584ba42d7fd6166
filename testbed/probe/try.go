package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// try asks a question once, from a source port of its own, and waits for its
// answer until ctx ends. What it learns it tells the question; that it learns
// nothing is no error: a try that can't even be sent is silence too.
func (b *board) try(ctx context.Context, q *question) {
	switch q.port.Proto {
	case "tcp":
		b.tryTCP(ctx, q)
	case "udp":
		b.tryUDP(ctx, q)
	case "icmp":
		b.tryEcho(q)
	}
}

func (b *board) tryTCP(ctx context.Context, q *question) {
	f, stop, err := b.socket(ctx, q, unix.SOCK_STREAM, inside.TCP)
	if err != nil {
		return
	}
	defer stop()
	err = connect(f, q.to.Addr, q.port.Number)
	if errors.Is(err, syscall.ECONNREFUSED) {
		q.told()
	}
	if err != nil {
		return
	}
	n := b.nonce(q)
	if _, err := io.WriteString(f, ask+n); err != nil {
		return
	}
	buf := make([]byte, 1500)
	got := 0
	for got < len(buf) && !strings.HasSuffix(string(buf[:got]), "\n") {
		k, err := f.Read(buf[got:])
		if err != nil || k == 0 {
			return
		}
		got += k
	}
	q.heard(n, buf[:got])
}

func (b *board) tryUDP(ctx context.Context, q *question) {
	f, stop, err := b.socket(ctx, q, unix.SOCK_DGRAM, inside.UDP)
	if err != nil {
		return
	}
	defer stop()
	if connect(f, q.to.Addr, q.port.Number) != nil {
		return
	}
	n := b.nonce(q)
	if _, err := io.WriteString(f, ask+n); err != nil {
		return
	}
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		k, err := f.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err == nil { // else an ICMP error, which the raw socket judges
			q.heard(n, buf[:k])
		}
	}
}

// tryEcho sends an echo request. Answers and errors come in at the machine's
// raw socket.
func (b *board) tryEcho(q *question) {
	f := flight{from: q.from, proto: inside.ICMP, dst: q.to.Addr}
	for f.src, f.to = uint16(rand.Uint32()), uint16(rand.Uint32()); !b.launch(f, q); f.to++ {
	}
	message := []byte{echoRequest, 0, 0, 0}
	message = binary.BigEndian.AppendUint16(message, f.src)
	message = binary.BigEndian.AppendUint16(message, f.to)
	message = append(message, ask+b.nonce(q)...)
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	raw, err := q.from.icmp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		// No answer is expected here: what can't be sent is silence.
		_ = unix.Sendto(int(fd), message, 0, &unix.SockaddrInet4{Addr: q.to.Addr.As4()})
	})
}

// heard takes an answer to the try with nonce n.
func (q *question) heard(n string, answer []byte) {
	if name, found := strings.CutPrefix(string(answer), ans+n+" "); found {
		q.got(strings.TrimSuffix(name, "\n"))
	}
}

// socket opens a socket in the sender's namespace, bound to a fresh source port
// that errors are known by. It ends with ctx, or by stop.
func (b *board) socket(ctx context.Context, q *question, kind int, proto byte) (f *os.File, stop func(), err error) {
	err = inside.Do(q.from.Namespace, func() error {
		for {
			fd, source, err := bound(kind)
			if err != nil {
				return err
			}
			if b.launch(flight{q.from, proto, q.to.Addr, source, q.port.Number}, q) {
				f = os.NewFile(uintptr(fd), "probe")
				return nil
			}
			unix.Close(fd)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	})
	if err != nil {
		return nil, nil, err
	}
	forget := context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })
	return f, func() { forget(); f.Close() }, nil
}

// bound returns a socket of the calling thread's namespace and its source port,
// which no listener has.
func bound(kind int) (fd int, source uint16, err error) {
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{}); err != nil {
		unix.Close(fd)
		return 0, 0, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return 0, 0, err
	}
	return fd, uint16(name.(*unix.SockaddrInet4).Port), nil
}

// connect connects a socket, within its deadline.
func connect(f *os.File, addr netip.Addr, port uint16) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	to := &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	started := false
	var cerr error
	err = raw.Write(func(fd uintptr) bool {
		if !started {
			started = true
			cerr = unix.Connect(int(fd), to)
			return !errors.Is(cerr, unix.EINPROGRESS)
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = syscall.Errno(code)
		}
		if cerr = err; err != nil {
			return true
		}
		// The poller also wakes for what was before connect; only a peer ends it.
		_, err = unix.Getpeername(int(fd))
		return err == nil
	})
	return errors.Join(err, cerr)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
