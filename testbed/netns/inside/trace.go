package inside

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Hop is who answered a probe of Trace, by an ICMP error.
type Hop struct {
	From       netip.Addr
	Type, Code uint8
}

// Trace sends UDP probes from the namespace to dst, with a TTL of 1 and more, as
// traceroute(8) does, and returns who answered each, up to the first answer that
// is no time exceeded. With spread each probe goes to a port of its own, from
// dst's on.
func Trace(ctx context.Context, namespace string, dst netip.AddrPort, spread bool) ([]Hop, error) {
	var fd int
	err := Do(namespace, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("trace %s: %w", dst, err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1); err != nil {
		return nil, fmt.Errorf("trace %s: %w", dst, err)
	}
	var hops []Hop
	for ttl := 1; ttl <= 30; ttl++ {
		to := &unix.SockaddrInet4{Port: int(dst.Port()), Addr: dst.Addr().As4()}
		if spread {
			to.Port += ttl - 1
		}
		h, err := probe(ctx, fd, to, ttl)
		if err != nil {
			return hops, fmt.Errorf("trace %s: ttl %d: %w", dst, ttl, err)
		}
		if hops = append(hops, h); h.Type != icmpTimeExceeded {
			return hops, nil
		}
	}
	return hops, fmt.Errorf("trace %s: not reached", dst)
}

const icmpTimeExceeded = 11

// probe sends one packet and waits for the error about it.
func probe(ctx context.Context, fd int, to unix.Sockaddr, ttl int) (Hop, error) {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
		return Hop{}, err
	}
	if err := unix.Sendto(fd, []byte("probe"), 0, to); err != nil {
		return Hop{}, err
	}
	for {
		h, err := queued(fd)
		if !errors.Is(err, unix.EAGAIN) {
			return h, err
		}
		const pause = 20 // ms, between looks at ctx
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, pause); err != nil && !errors.Is(err, unix.EINTR) {
			return Hop{}, err
		}
		if ctx.Err() != nil {
			return Hop{}, fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
	}
}

// queued takes the next error of a socket that has IP_RECVERR (ip(7)).
func queued(fd int) (Hop, error) {
	buf, oob := make([]byte, 2048), make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(fd, buf, oob, unix.MSG_ERRQUEUE)
	if err != nil {
		return Hop{}, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return Hop{}, err
	}
	const extended, sockaddr = 16, 8 // of struct sock_extended_err, up to a sockaddr_in's address
	for _, m := range messages {
		if m.Header.Level != unix.IPPROTO_IP || m.Header.Type != unix.IP_RECVERR || len(m.Data) < extended+sockaddr {
			continue
		}
		if m.Data[4] != unix.SO_EE_ORIGIN_ICMP {
			return Hop{}, fmt.Errorf("local error %w", unix.Errno(binary.NativeEndian.Uint32(m.Data)))
		}
		return Hop{Type: m.Data[5], Code: m.Data[6], From: netip.AddrFrom4([4]byte(m.Data[extended+4:]))}, nil
	}
	return Hop{}, errors.New("an error of the socket without its cause")
}
