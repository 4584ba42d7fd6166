package ofswitch

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// instant writes to a socket what that takes without waiting. One goroutine at a
// time may use it.
type instant struct {
	raw syscall.RawConn
	try func(fd uintptr) bool // made once, since each write needs it
	b   []byte                // what is not written yet
}

// newInstant returns nil for a connection that is no socket by itself.
func newInstant(conn net.Conn) *instant {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	i := &instant{raw: raw}
	i.try = func(fd uintptr) bool {
		n, err := unix.Write(int(fd), i.b[:min(len(i.b), chunk)])
		if err == nil {
			i.b = i.b[n:]
		}
		return true
	}
	return i
}

// write returns what is left of b, of which it writes no more than a chunk. Why
// something is left, whoever writes that next finds out.
func (i *instant) write(b []byte) (left []byte) {
	i.b = b
	i.raw.Write(i.try) // its error: the connection is closed, or ends
	left, i.b = i.b, nil
	return left
}
