package bench

import (
	"errors"
	"fmt"
	"net"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/daolinet/daolinet/testbed/netns/inside"
)

// tap is a packet socket (packet(7)) on the eth0 of a namespace that costs as
// little as one can: what measures must not be what is measured.
type tap struct {
	fd  int
	mac net.HardwareAddr
}

// tapWait is how long receive waits before it says that nothing came.
const tapWait = 50 * time.Millisecond

func openTap(namespace string) (*tap, error) {
	t := new(tap)
	if err := inside.Do(namespace, t.open); err != nil {
		return nil, fmt.Errorf("tap %s: %w", namespace, err)
	}
	return t, nil
}

func (t *tap) open() error {
	nic, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	t.mac = nic.HardwareAddr
	if t.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(tapWait))
	const bigEndianIPv4 = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8
	if err := errors.Join(
		unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
		unix.SetsockoptTimeval(t.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: bigEndianIPv4, Ifindex: nic.Index}),
	); err != nil {
		unix.Close(t.fd)
		return err
	}
	return nil
}

func (t *tap) close() { unix.Close(t.fd) }

func (t *tap) send(frame []byte) error {
	_, err := unix.Write(t.fd, frame)
	return err
}

// receive reads the next IPv4 frame into buf, with the kernel's time of its
// arrival; 0 bytes when none came for a while.
func (t *tap) receive(buf, control []byte) (n int, at time.Time, err error) {
	n, cn, _, _, err := unix.Recvmsg(t.fd, buf, control, 0)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return 0, at, nil
	case err != nil:
		return 0, at, err
	}
	// The only message asked for: a header and a timespec.
	if cn >= unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{}))) {
		ts := (*unix.Timespec)(unsafe.Pointer(&control[unix.CmsgLen(0)]))
		at = time.Unix(ts.Unix())
	}
	return n, at, nil
}
